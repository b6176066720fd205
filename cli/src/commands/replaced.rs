//! What a name meant before it was given to something else.
//!
//! A name is given away without a question, as in the other programs of this kind; so it is said which model it was.

use api::{TagsResponse, routes};

use crate::client::Client;
use crate::text;

/// The model that a name means, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameTarget {
    name: String,
    digest: Option<String>,
}

impl NameTarget {
    /// Asks what `name` means now. A daemon that does not say is asked nothing more.
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

    /// The model that had this name and has lost it, by its short digest; asks again to know.
    pub(crate) async fn replaced(self, client: &Client) -> Option<String> {
        let before = self.digest.as_deref()?;
        let now = Self::of(client, &self.name).await;
        (now.digest.as_deref() != Some(before)).then(|| text::short_digest(before).to_owned())
    }
}

/// Adds what was replaced to a message.
pub(crate) fn with_replaced(message: &str, replaced: Option<&str>) -> String {
    match replaced {
        Some(replaced) => format!("{message}; it replaced {replaced}"),
        None => message.to_owned(),
    }
}

/// A name as the daemon compares it: without regard to case, and with its tag.
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
