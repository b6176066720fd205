//! Credentials: a known token, or an answer to a registry's challenge.
//!
//! A challenge (`WWW-Authenticate`) wants the login itself (`Basic`), or a token that is given out at another address, the *realm*
//! (`Bearer`, the distribution project's `spec/auth/token.md`). A login goes to the origin of the registry that it is for, and to the
//! realm only where that is at the same host, or at one that the user or [`crate::credentials`] lists for the registry. Without TLS it
//! goes to this machine only. For every other realm, and where there is no login, an anonymous token is asked for.
//!
//! The Ollama library extends `Bearer` by a signed request for the token: see [`Challenged::signed`]. No other
//! registry is shown the user's key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;

use crate::Digest;
use crate::credentials::key::Key;
use crate::credentials::{FoundLogin, Login, Logins, Secret, unusable};
use crate::host::{bare, is_loopback};
use crate::http::{Client, Error, Request, Response, shown};

/// Longest answer of a token server.
const TOKEN_MAX: u64 = 256 << 10;

/// The credentials for one origin. Cheap to clone; clones share a token that is renewed.
#[derive(Clone, Default)]
pub(crate) struct Auth(Option<Arc<Kind>>);

enum Kind {
    /// A token of the user.
    Fixed(HeaderValue),
    /// The registry says where a token is given out.
    Challenged(Challenged),
}

#[derive(Default)]
struct Challenged {
    held: Mutex<Held>,
    /// The scope of a push, beside that of the challenge.
    scope: Option<String>,
}

/// The answer to the last challenge.
#[derive(Default)]
struct Held {
    header: Option<HeaderValue>,
    /// It was an anonymous token; the next one may need the user's login.
    is_anonymous: bool,
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

/// The response of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// A `Bearer` challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bearer {
    realm: Url,
    service: Option<String>,
    scopes: Vec<String>,
}

impl Auth {
    /// A token of the user, where there is one that a header can hold.
    pub(crate) fn token(token: Option<&str>) -> Self {
        let value = token.and_then(bearer);
        Self(value.map(|value| Arc::new(Kind::Fixed(value))))
    }

    /// Credentials for a registry that states what it needs by a challenge.
    pub(crate) fn challenged() -> Self {
        Self(Some(Arc::new(Kind::Challenged(Challenged::default()))))
    }

    /// The same, to write to a repository.
    pub(crate) fn for_push(repository: &str) -> Self {
        Self(Some(Arc::new(Kind::Challenged(Challenged {
            scope: Some(format!("repository:{repository}:pull,push")),
            ..Challenged::default()
        }))))
    }

    /// What to send, as far as it is known.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match self.0.as_deref()? {
            Kind::Fixed(value) => Some(value.clone()),
            Kind::Challenged(challenged) => challenged.held().header.clone(),
        }
    }

    /// Sends a request with the credentials that are known, and answers at most `most` challenges of the registry.
    ///
    /// The response has any status; 401 where a challenge could not be answered, or came from the origin that a redirect leads to.
    ///
    /// # Errors
    /// Errors of [`Client::send`] and of [`Auth::answer`].
    pub(crate) async fn send(
        &self,
        client: &Client,
        request: &Request,
        most: usize,
    ) -> Result<Response, Error> {
        let mut challenges = 0;
        loop {
            let sent = self.header();
            let response = client
                .send(&request.clone().authorized(sent.clone()))
                .await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                if sent.is_some() {
                    self.accepted();
                }
                return Ok(response);
            }
            if challenges == most || response.url.origin() != request.url.origin() {
                return Ok(response);
            }
            challenges += 1;
            // Another request may have answered the challenge meanwhile.
            let is_answered = self.header() != sent
                || self
                    .answer(client, &request.url, response.headers())
                    .await?
                    .is_some();
            if !is_answered {
                return Ok(response);
            }
        }
    }

    /// The last header was accepted: a later refusal means that it expired, not that it lacks rights.
    fn accepted(&self) {
        if let Some(Kind::Challenged(challenged)) = self.0.as_deref() {
            challenged.held().is_anonymous = false;
        }
    }

    /// Answers a challenge with the user's login or a token. `None` where neither is to be had.
    ///
    /// # Errors
    /// When the token server cannot be asked, or refuses; [`Error::Realm`] where it refuses an anonymous request, and the login may not
    /// go there; [`Error::PlainLogin`].
    pub(crate) async fn answer(
        &self,
        client: &Client,
        asked: &Url,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        let Some(Kind::Challenged(challenged)) = self.0.as_deref() else {
            return Ok(None);
        };
        challenged.answer(client, asked, headers).await
    }
}

impl Challenged {
    // It protects two fields, and is never held across an await.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, value: HeaderValue, is_anonymous: bool) -> HeaderValue {
        *self.held() = Held {
            header: Some(value.clone()),
            is_anonymous,
        };
        value
    }

    async fn answer(
        &self,
        client: &Client,
        asked: &Url,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        let (bearer, has_basic) = challenges(headers);
        if bearer.is_none() && !has_basic {
            return Ok(None);
        }
        let found = match client.logins() {
            Some(logins) => {
                let found = logins.find(&authority(asked)).await;
                found.map_err(|error| unusable(&error))?
            }
            None => None,
        };
        let Some(mut bearer) = bearer else {
            let Some(Login::Password { user, password }) = found.map(|found| found.login) else {
                return Ok(None);
            };
            secure(asked, asked)?;
            let sent_before = self.held().header.clone();
            let value = basic(&user, &password);
            // The same login would be refused again.
            return Ok(value
                .filter(|value| Some(value) != sent_before.as_ref())
                .map(|value| self.hold(value, false)));
        };
        if asked.scheme() == "https" && bearer.realm.scheme() != "https" {
            return Err(Error::Downgrade {
                host: shown(asked),
                to: shown(&bearer.realm),
            });
        }
        if let Some(scope) = &self.scope {
            bearer.widen(scope);
        }
        match found {
            Some(found) if may_have(asked, &bearer.realm, &found) => {
                secure(asked, &bearer.realm)?;
                let value = with_login(client, &bearer, &found.login).await?;
                Ok(Some(self.hold(value, false)))
            }
            // An anonymous token would not prove the login that is tried.
            _ if client.logins().is_some_and(Logins::is_trial) => Err(Error::Realm {
                host: shown(&origin(asked)),
                realm: authority(&bearer.realm),
                refusal: "the login cannot be confirmed".to_owned(),
            }),
            found => {
                self.without_login(client, asked, &bearer, found.is_some())
                    .await
            }
        }
    }

    /// An anonymous token and, where that is refused or not enough, one for the user's key. `None` where neither is enough.
    async fn without_login(
        &self,
        client: &Client,
        asked: &Url,
        bearer: &Bearer,
        has_login: bool,
    ) -> Result<Option<HeaderValue>, Error> {
        let was_anonymous = self.held().is_anonymous;
        let refused = if was_anonymous {
            None
        } else {
            match token(client, &Request::get(bearer.url()), &bearer.realm).await {
                Ok(value) => return Ok(Some(self.hold(value, true))),
                Err(error @ Error::Status { status, .. }) if status.is_client_error() => {
                    Some(error)
                }
                Err(error) => return Err(error),
            }
        };
        if has_login {
            let refusal = match &refused {
                Some(error) => error.to_string(),
                None => "an anonymous token is not enough".to_owned(),
            };
            return Err(Error::Realm {
                host: shown(&origin(asked)),
                realm: authority(&bearer.realm),
                refusal,
            });
        }
        if let Some(key) = key_for(client, asked, &bearer.realm).await {
            match self.signed(client, bearer, |text| key.sign(text)).await {
                Ok(value) => return Ok(Some(self.hold(value, false))),
                Err(error) if error.is_transient() => return Err(error),
                // The refusal without the key is the error.
                Err(error) => {
                    tracing::warn!(%error, "the user's key gets no token");
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// A token for the user's key: the request names a time and a number, and is signed as Ollama's client does it.
    async fn signed(
        &self,
        client: &Client,
        bearer: &Bearer,
        sign: impl FnOnce(&str) -> String,
    ) -> Result<HeaderValue, Error> {
        let mut nonce = [0_u8; 16];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|error| Error::Settings {
                what: "the source of random numbers".to_owned(),
                reason: error.to_string(),
            })?;
        let mut url = bearer.url();
        url.query_pairs_mut()
            .append_pair("ts", &jiff::Timestamp::now().as_second().to_string())
            .append_pair("nonce", &BASE64_URL_SAFE_NO_PAD.encode(nonce));
        let body = BASE64_STANDARD.encode(Digest::of(b"").hex());
        let value = sign(&format!("GET,{url},{body}"));
        let mut value = HeaderValue::from_str(&value).expect("base64 is good in a header");
        value.set_sensitive(true);
        let request = Request::get(url).with(AUTHORIZATION, value);
        token(client, &request, &bearer.realm).await
    }
}

impl Bearer {
    /// Adds a scope; it replaces scopes of the challenge for the same repository.
    fn widen(&mut self, scope: &str) {
        let (about, _) = scope.rsplit_once(':').unwrap_or((scope, ""));
        self.scopes
            .retain(|one| one.rsplit_once(':').is_none_or(|(of, _)| of != about));
        self.scopes.insert(0, scope.to_owned());
    }

    /// The URL of an anonymous request.
    fn url(&self) -> Url {
        let mut url = self.realm.clone();
        if self.service.is_some() || !self.scopes.is_empty() {
            let mut query = url.query_pairs_mut();
            let service = self.service.iter().map(|service| ("service", service));
            let scopes = self.scopes.iter().map(|scope| ("scope", scope));
            query.extend_pairs(service.chain(scopes));
        }
        url
    }
}

/// The user's key: for the Ollama library alone, and over TLS, or on this machine, alone.
async fn key_for(client: &Client, asked: &Url, realm: &Url) -> Option<Key> {
    let logins = client.logins()?;
    let may_have = logins.is_library(asked)
        && asked.host_str() == realm.host_str()
        && secure(asked, realm).is_ok();
    if !may_have {
        return None;
    }
    let key = logins.key().await;
    key.inspect_err(|error| {
        let error = crate::error::in_full(error);
        tracing::warn!(error, "the user's key cannot be used");
    })
    .ok()
}

/// A token for a login.
async fn with_login(client: &Client, bearer: &Bearer, login: &Login) -> Result<HeaderValue, Error> {
    let request = match login {
        Login::Password { user, password } => {
            let mut url = bearer.url();
            url.query_pairs_mut().append_pair("account", user);
            Request::get(url).authorized(basic(user, password))
        }
        Login::Identity(refresh) | Login::Token(refresh) => {
            let mut form = Url::parse("form:").expect("it is one");
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "slm")
                .append_pair("refresh_token", refresh.reveal())
                .append_pair("service", bearer.service.as_deref().unwrap_or_default())
                .append_pair("scope", &bearer.scopes.join(" "));
            let form = form.query().unwrap_or_default().to_owned();
            Request::new(Method::POST, bearer.realm.clone())
                .with(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                )
                .sending_login(form.into())
        }
    };
    token(client, &request, &bearer.realm).await
}

/// The token in the response to a request.
async fn token(client: &Client, request: &Request, realm: &Url) -> Result<HeaderValue, Error> {
    let (body, _) = client.document(request, TOKEN_MAX).await?;
    let told = |reason: &str| Error::Document {
        host: shown(realm),
        wanted: "token",
        reason: reason.to_owned(),
    };
    // A JSON error may quote a token.
    let Token {
        token,
        access_token,
    } = serde_json::from_slice(&body)
        .map_err(|_| told("its answer is not in the form of tokens"))?;
    token
        .or(access_token)
        .as_deref()
        .and_then(bearer)
        .ok_or_else(|| told("it has no `token`"))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let token = token.trim();
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    (!token.is_empty()).then_some(value)
}

fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    let login = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
    let mut value = HeaderValue::from_str(&format!("Basic {login}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Host and port, as in the names of models.
fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}"));
    let host = url.host_str().unwrap_or_default();
    format!("{host}{}", port.unwrap_or_default())
}

fn origin(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_path("");
    url.set_query(None);
    url
}

/// Whether the login for a registry may go to a realm.
fn may_have(registry: &Url, realm: &Url, found: &FoundLogin) -> bool {
    let host = realm.host_str().unwrap_or_default();
    registry.host_str() == Some(host)
        || found
            .realm_hosts
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(host) || *listed == authority(realm))
}

/// Refuses to send a login without TLS, except to this machine.
fn secure(registry: &Url, to: &Url) -> Result<(), Error> {
    if to.scheme() == "https" || to.host_str().is_some_and(|host| is_loopback(bare(host))) {
        return Ok(());
    }
    Err(Error::PlainLogin {
        host: authority(registry),
        to: authority(to),
    })
}

/// The `Bearer` challenge, and whether there is a `Basic` one.
fn challenges(headers: &HeaderMap) -> (Option<Bearer>, bool) {
    let mut found = (None, false);
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Some(parsed) = value
            .to_str()
            .ok()
            .and_then(|text| http_auth::parse_challenges(text).ok())
        else {
            continue;
        };
        for challenge in parsed {
            let of = |name: &str| {
                let mut params = challenge.params.iter();
                let found = params.find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                found.1 = true;
            }
            if !challenge.scheme.eq_ignore_ascii_case("bearer") || found.0.is_some() {
                continue;
            }
            let realm = of("realm").and_then(|realm| Url::parse(&realm).ok());
            found.0 = realm
                .filter(|realm| matches!(realm.scheme(), "http" | "https"))
                .map(|realm| Bearer {
                    realm,
                    service: of("service"),
                    scopes: of("scope")
                        .iter()
                        .flat_map(|scopes| scopes.split(' '))
                        .filter(|scope| !scope.is_empty())
                        .map(str::to_owned)
                        .collect(),
                });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Source;

    fn read(challenge: &str) -> (Option<Bearer>, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, challenge.parse().expect("a header"));
        challenges(&headers)
    }

    #[test]
    fn a_challenge_says_where_tokens_are() {
        let (bearer, has_basic) = read(
            r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull""#,
        );
        assert!(!has_basic);
        let mut bearer = bearer.expect("a challenge");
        assert_eq!(
            bearer.url().as_str(),
            "https://auth.example/token?service=reg&scope=repository%3Aa%2Fb%3Apull"
        );
        bearer.widen("repository:a/b:pull,push");
        assert_eq!(bearer.scopes, ["repository:a/b:pull,push"]);
        for other in [
            "Bearer",
            "Bearer realm=\"file:///x\"",
            "Bearer realm=\"x\"",
            "",
        ] {
            assert_eq!(read(other), (None, false), "{other}");
        }
        assert_eq!(read("Basic realm=\"x\""), (None, true));
    }

    #[test]
    fn a_login_goes_to_the_registrys_host_and_to_those_that_are_listed_for_it() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let found = FoundLogin {
            login: Login::Identity(Secret::new("x")),
            source: Source::Own,
            realm_hosts: vec!["auth.example".to_owned()],
        };
        let registry = url("https://reg.example/v2/");
        for (realm, may) in [
            ("https://reg.example/token", true),
            ("https://reg.example:8443/token", true),
            ("https://auth.example/token", true),
            ("https://reg.example.evil.example/token", false),
            ("https://evil.example/token", false),
        ] {
            assert_eq!(may_have(&registry, &url(realm), &found), may, "{realm}");
        }
        assert!(secure(&registry, &url("http://reg.example/token")).is_err());
        assert!(secure(&registry, &url("http://127.0.0.1:1/token")).is_ok());
    }

    #[tokio::test]
    async fn the_key_is_for_the_library_over_tls_or_on_this_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = |text: &str| Url::parse(text).expect("a URL");
        for (library, asked, realm, may) in [
            (
                "https://a.example",
                "https://a.example",
                "https://a.example",
                true,
            ),
            (
                "http://127.0.0.1:1",
                "http://127.0.0.1:1",
                "http://127.0.0.1:1",
                true,
            ),
            (
                "https://a.example",
                "https://b.example",
                "https://b.example",
                false,
            ),
            (
                "https://a.example",
                "https://a.example",
                "https://b.example",
                false,
            ),
            (
                "http://a.example",
                "http://a.example",
                "http://a.example",
                false,
            ),
        ] {
            let places = crate::credentials::LoginFiles::default();
            let logins = Logins::new(folder.path(), &places, Some(url(library)));
            let network = crate::http::Network::default();
            let client = Client::new(&network, []).expect("no settings");
            let client = client.with_logins(logins);
            let key = key_for(&client, &url(asked), &url(realm)).await;
            assert_eq!(key.is_some(), may, "{library} {asked} {realm}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let auth = Auth::token(Some("hf_secret"));
        assert!(!format!("{auth:?}{:?}", auth.header()).contains("secret"));
        assert!(auth.header().is_some());
        assert!(Auth::token(Some(" ")).header().is_none());
        assert!(Auth::token(Some("a\nb")).header().is_none());
        let basic = basic("me", &Secret::new("secret")).expect("a header");
        assert!(!format!("{basic:?}").contains(&BASE64_STANDARD.encode("me:secret")));
    }
}
