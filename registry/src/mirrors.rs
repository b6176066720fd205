//! Registries that stand in for other registries.
//!
//! `HOST=[http://]MIRROR[/PREFIX]`, several of them divided by commas or spaces. A repository of `HOST` is first asked for at each of
//! its mirrors, in order, below `PREFIX`, as in `containers-registries.conf(5)`:
//!
//! ```text
//! ghcr.io=mirror.corp/ghcr      ghcr.io/acme/phi4 is asked for as mirror.corp/ghcr/acme/phi4
//! ```

use reqwest::Url;

use crate::host::is_loopback;

/// Mirrors by host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(Vec<(String, Mirror)>);

/// One mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Scheme, host and port.
    pub(crate) base: Url,
    /// What its repositories begin with; may be empty.
    prefix: String,
}

impl Mirrors {
    /// Reads a setting.
    ///
    /// # Errors
    /// The reason, which names the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text
            .split([',', ' ', '\t', '\n'])
            .filter(|part| !part.is_empty());
        parts.map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The mirrors of a host, in order.
    pub(crate) fn of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Mirror> {
        self.0
            .iter()
            .filter(move |(of, _)| of.eq_ignore_ascii_case(host))
            .map(|(_, mirror)| mirror)
    }
}

impl Mirror {
    /// Where the mirror has a repository.
    pub(crate) fn repository(&self, repository: &str) -> String {
        match self.prefix.as_str() {
            "" => repository.to_owned(),
            prefix => format!("{prefix}/{repository}"),
        }
    }
}

fn pair(text: &str) -> Result<(String, Mirror), String> {
    // A user and a password may stand before the host.
    let shown = text.rsplit('@').next().unwrap_or_default();
    let wrong = || {
        format!(
            "{shown:?} is no mirror of a registry, which is written ghcr.io=mirror.example/prefix"
        )
    };
    let (host, mirror) = text.split_once('=').ok_or_else(wrong)?;
    let (plain, place) = match mirror.split_once("://") {
        Some(("http", place)) => (true, place),
        Some(("https", place)) => (false, place),
        Some(_) => return Err(wrong()),
        None => (false, mirror),
    };
    let (at, prefix) = place.split_once('/').unwrap_or((place, ""));
    let is_plain = plain || is_loopback(at);
    let base = Url::parse(&format!(
        "{}://{at}",
        if is_plain { "http" } else { "https" }
    ));
    let base = base.map_err(|_| wrong())?;
    let prefix = prefix.trim_matches('/');
    let is_path = prefix.is_empty()
        || prefix.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        });
    let is_bare = base.username().is_empty() && base.password().is_none();
    if host.is_empty() || at.is_empty() || !is_path || !is_bare {
        return Err(wrong());
    }
    Ok((
        host.to_owned(),
        Mirror {
            base,
            prefix: prefix.to_owned(),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_asked_for_below_the_prefix_of_each_mirror() {
        let mirrors = Mirrors::parse(
            "ghcr.io=mirror.corp/ghcr, ghcr.io=http://10.0.0.1:5000 docker.io=localhost:1/a/b/",
        )
        .expect("mirrors");
        let of = |host: &str| -> Vec<String> {
            mirrors
                .of(host)
                .map(|mirror| format!("{}{}", mirror.base, mirror.repository("acme/phi4")))
                .collect()
        };
        assert_eq!(
            of("GHCR.io"),
            [
                "https://mirror.corp/ghcr/acme/phi4",
                "http://10.0.0.1:5000/acme/phi4"
            ]
        );
        assert_eq!(of("docker.io"), ["http://localhost:1/a/b/acme/phi4"]);
        assert!(of("quay.io").is_empty());
        assert_eq!(Mirrors::parse(""), Ok(Mirrors::default()));
    }

    #[test]
    fn what_is_no_mirror_is_named() {
        for text in [
            "ghcr.io",
            "=a",
            "a=",
            "a=ftp://b",
            "a=b/../c",
            "a=user:secret@b",
            "a=b/c?d",
            "a=b/c//d",
        ] {
            let reason = Mirrors::parse(text).expect_err(text);
            assert!(
                reason.contains("is no mirror") && !reason.contains("secret"),
                "{reason}"
            );
        }
    }
}
