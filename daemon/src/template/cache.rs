//! A cache of parsed templates.
//!
//! To parse and instrument a template takes longer than to render it. Few models are in use at a time, so their templates are
//! kept, by their text.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, Template};

/// Most kept templates; the least recently used one is dropped first. A text has at most
/// [`MAX_SOURCE`](super::MAX_SOURCE) bytes.
const MOST: usize = 32;

/// Parsed templates by their text, the most recently used first.
type Templates = Vec<(String, Arc<Template>)>;

/// The cache that all requests share. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Cache(Arc<Mutex<Templates>>);

impl Cache {
    /// The template with this text, from the cache or parsed now.
    ///
    /// # Errors
    /// As [`Template::parse`]. A template that cannot be parsed is not kept.
    pub fn parse(&self, text: &str) -> Result<Arc<Template>, Error> {
        if let Some(known) = self.take(text) {
            return Ok(known);
        }
        let template = Arc::new(Template::parse(text)?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have parsed it meanwhile.
        kept.retain(|(known, _)| known != text);
        kept.truncate(MOST - 1);
        kept.insert(0, (text.to_owned(), template.clone()));
        Ok(template)
    }

    /// A template in the cache, which becomes the most recently used one.
    fn take(&self, text: &str) -> Option<Arc<Template>> {
        // The lock protects the list, which is valid after every statement.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == text)?;
        kept[..=at].rotate_right(1);
        Some(kept[0].1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_template_is_dropped() {
        let cache = Cache::default();
        let parse = |number: usize| cache.parse(&format!("{number} {{{{ .Prompt }}}}")).unwrap();
        let first = parse(0);
        for number in 1..MOST {
            parse(number);
        }
        assert!(Arc::ptr_eq(&first, &parse(0)));
        let second = parse(1);
        for number in MOST..2 * MOST - 2 {
            parse(number);
        }
        assert!(Arc::ptr_eq(&first, &parse(0)));
        assert!(Arc::ptr_eq(&second, &parse(1)));
        parse(2 * MOST);
        parse(2 * MOST + 1);
        let kept = cache.0.lock().unwrap().len();
        assert_eq!(kept, MOST);
        assert!(cache.parse("{{ if }}").is_err());
    }
}
