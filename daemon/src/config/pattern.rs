//! Which models a setting of `models` in `config.yaml` applies to: a name, or a pattern with `*`.

use registry::ModelName;

/// Most bytes of a pattern.
const MOST: usize = 512;

/// A name of a model, or a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    /// As it was written.
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Name(ModelName),
    /// In lower case, because names do not differ by case alone.
    Pattern(String),
}

impl NamePattern {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name, if it is no pattern.
    pub fn name(&self) -> Option<&ModelName> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            Kind::Pattern(_) => None,
        }
    }

    /// Whether it means this model. A pattern without a tag means all tags.
    pub fn matches(&self, name: &ModelName) -> bool {
        match &self.kind {
            Kind::Name(one) => one.full().eq_ignore_ascii_case(name.full()),
            Kind::Pattern(pattern) => {
                let shown = name.to_string().to_ascii_lowercase();
                let without_tag = shown.rsplit_once(':').map(|(name, _)| name);
                covers(pattern, &shown) || without_tag.is_some_and(|name| covers(pattern, name))
            }
        }
    }

    /// The more specific of two patterns that match has the larger number: a name, else the number of characters besides `*`.
    pub fn specificity(&self) -> usize {
        match &self.kind {
            Kind::Name(_) => usize::MAX,
            Kind::Pattern(pattern) => pattern.bytes().filter(|byte| *byte != b'*').count(),
        }
    }
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MOST {
            return Err(format!("the pattern is longer than {MOST} bytes"));
        }
        let kind = if text.contains('*') {
            Kind::Pattern(text.to_ascii_lowercase())
        } else {
            Kind::Name(ModelName::parse(text).map_err(|error| error.to_string())?)
        };
        let text = text.to_owned();
        Ok(Self { text, kind })
    }
}

/// Whether `text` is `pattern` with a text for each `*`.
fn covers(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(inner) = text
        .strip_prefix(start)
        .and_then(|inner| inner.strip_suffix(end))
    else {
        return false;
    };
    // Each part at its first place leaves most text for the parts after it.
    let mut inner = inner;
    middle.split('*').all(|part| match inner.find(part) {
        Some(at) => {
            inner = &inner[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern: NamePattern = pattern.parse().unwrap();
        pattern.matches(&ModelName::parse(name).unwrap())
    }

    #[test]
    fn a_name_means_one_model_in_any_case() {
        assert!(matches("phi4-mini", "phi4-mini:latest"));
        assert!(matches("Phi4-Mini:latest", "phi4-mini"));
        assert!(matches("library/phi4-mini", "phi4-mini"));
        assert!(!matches("phi4-mini", "phi4-mini:3.8b"));
    }

    #[test]
    fn a_pattern_means_all_tags_unless_it_has_one() {
        for (pattern, name) in [
            ("*", "phi4-mini"),
            ("qwen3*", "qwen3:0.6b"),
            ("*-mini", "phi4-mini:3.8b"),
            ("hf.co/*", "hf.co/unsloth/Phi-4-mini-GGUF:Q4_K_M"),
            ("HF.co/*GGUF:q4*", "hf.co/unsloth/Phi-4-mini-GGUF:Q4_K_M"),
            ("phi*mi*i:lat*", "phi4-mini"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("qwen3*", "qwen2.5"),
            ("*-mini:1b", "phi4-mini:3.8b"),
            ("hf.co/*", "phi4-mini"),
            ("mini*", "phi4-mini"),
            // Both ends would need the same characters.
            ("phi4-mini*mini:latest", "phi4-mini"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_is_more_specific_than_any_pattern() {
        let specificity = |text: &str| text.parse::<NamePattern>().unwrap().specificity();
        assert!(specificity("a") > specificity("a-long-pattern*"));
        assert!(specificity("hf.co/unsloth/*") > specificity("hf.co/*"));
        assert_eq!(specificity("*"), 0);
    }

    #[test]
    fn a_text_that_no_model_can_have_is_refused() {
        for text in ["", "a b", "../x", &"x".repeat(600), &"*".repeat(600)] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }
}
