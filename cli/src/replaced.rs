//! The model that a name pointed to before it was reassigned.
//!
//! `create`, `cp` and `/save` reassign a name without asking, as Ollama does, so they report the replaced model.

use api::{TagsResponse, routes};

use crate::client::Client;
use crate::text;

/// The model that a name points to, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameTarget {
    name: String,
    digest: Option<String>,
}

impl NameTarget {
    /// Looks up `name`. If the daemon does not answer, nothing is reported later.
    pub(crate) async fn of(client: &Client, name: &str) -> Self {
        let tags = client.get::<TagsResponse>(routes::TAGS).await;
        let models = tags.map(|tags| tags.models).unwrap_or_default();
        let wanted = full(name);
        let found = models.into_iter().find(|model| full(&model.name) == wanted);
        Self {
            name: name.to_owned(),
            digest: found.map(|model| model.digest),
        }
    }

    /// The short digest of the replaced model; looks the name up again.
    pub(crate) async fn replaced(self, client: &Client) -> Option<String> {
        let before = self.digest.as_deref()?;
        let now = Self::of(client, &self.name).await;
        (now.digest.as_deref() != Some(before)).then(|| text::short_digest(before).to_owned())
    }
}

/// The message with the replaced model.
pub(crate) fn with_replaced(message: &str, replaced: Option<&str>) -> String {
    match replaced {
        Some(replaced) => format!("{message}; it replaced {replaced}"),
        None => message.to_owned(),
    }
}

/// A name as the daemon compares it: in lower case and with its tag.
fn full(name: &str) -> String {
    let name = name.to_lowercase();
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains(':') {
        name
    } else {
        format!("{name}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_with_their_tag() {
        assert_eq!(full("B"), "b:latest");
        assert_eq!(full("b:q4"), "b:q4");
        assert_eq!(full("host:80/b"), "host:80/b:latest");
    }
}
