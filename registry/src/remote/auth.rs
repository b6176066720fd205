//! Credentials: a token that is known, or one that a registry gives out for the asking.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use crate::http::{Client, Error, Request, shown};

/// Longest answer of a token server.
const TOKEN_MAX: u64 = 256 << 10;

/// The credentials for one origin. Cheap to clone; clones share a token that is renewed.
#[derive(Clone, Default)]
pub(crate) struct Auth(Option<Arc<Kind>>);

enum Kind {
    /// A token of the user.
    Fixed(HeaderValue),
    /// The registry says where a token is given out.
    Challenged(Mutex<Option<HeaderValue>>),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0.as_deref() {
            None => "Auth(none)",
            Some(Kind::Fixed(_)) => "Auth(a token)",
            Some(Kind::Challenged(_)) => "Auth(by challenge)",
        })
    }
}

/// What a token server answers (the distribution project's `spec/auth/token.md`).
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Auth {
    /// A token of the user, where there is one that a header can hold.
    pub(crate) fn token(token: Option<&str>) -> Self {
        let value = token.and_then(bearer);
        Self(value.map(|value| Arc::new(Kind::Fixed(value))))
    }

    /// Whatever the registry asks for.
    pub(crate) fn challenged() -> Self {
        Self(Some(Arc::new(Kind::Challenged(Mutex::default()))))
    }

    /// What to send, as far as it is known.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match self.0.as_deref()? {
            Kind::Fixed(value) => Some(value.clone()),
            Kind::Challenged(value) => value.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Answers a challenge: fetches a token where the registry says, without any secret of the user. Nothing where there is no way.
    ///
    /// # Errors
    /// When the token server cannot be asked, or refuses.
    pub(crate) async fn answer(
        &self,
        client: &Client,
        asked: &Url,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        let Some(Kind::Challenged(known)) = self.0.as_deref() else {
            return Ok(None);
        };
        let Some(realm) = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| realm(value.to_str().ok()?))
            .next()
        else {
            return Ok(None);
        };
        if asked.scheme() == "https" && realm.scheme() != "https" {
            return Err(Error::Downgrade {
                host: shown(asked),
                to: shown(&realm),
            });
        }
        let request = Request::get(realm.clone());
        let (body, _) = client.document(&request, TOKEN_MAX).await?;
        let told = |reason: String| Error::Document {
            host: shown(&realm),
            wanted: "token",
            reason,
        };
        let token: Token =
            serde_json::from_slice(&body).map_err(|error| told(error.to_string()))?;
        let value = token
            .token
            .or(token.access_token)
            .as_deref()
            .and_then(bearer)
            .ok_or_else(|| told("it has no `token`".to_owned()))?;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
        Ok(Some(value))
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let token = token.trim();
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    (!token.is_empty()).then_some(value)
}

/// The address that a challenge sends to, with what it is to be asked.
fn realm(challenge: &str) -> Option<Url> {
    let challenges = http_auth::parse_challenges(challenge).ok()?;
    let bearer = challenges
        .iter()
        .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
    let of = |name: &str| {
        let found = bearer
            .params
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let mut url = Url::parse(&of("realm")?).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    for name in ["service", "scope"] {
        if let Some(value) = of(name) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are() {
        let url = realm(
            r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull""#,
        );
        assert_eq!(
            url.map(String::from).as_deref(),
            Some("https://auth.example/token?service=reg&scope=repository%3Aa%2Fb%3Apull")
        );
        for other in [
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer realm=\"file:///x\"",
            "Bearer realm=\"x\"",
            "",
        ] {
            assert_eq!(realm(other), None, "{other}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let auth = Auth::token(Some("hf_secret"));
        assert!(!format!("{auth:?}{:?}", auth.header()).contains("secret"));
        assert!(auth.header().is_some());
        assert!(Auth::token(Some(" ")).header().is_none());
        assert!(Auth::token(Some("a\nb")).header().is_none());
    }
}
