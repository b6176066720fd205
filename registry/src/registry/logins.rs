//! Logging in and out.

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

use crate::credentials::{
    self, Entry, Error, FoundLogin, HUB, Listed, Login, Logins, Secret, Source,
};
use crate::error::Result;
use crate::host::is_loopback;
use crate::http::{self, Client, Request, shown};
use crate::name::DEFAULT_HOST;
use crate::remote::Auth;
use crate::resolve::{self, Hosts, registry_at};
use crate::source::Settings;

use super::{Registry, blocking, relock};

/// Most bytes that are read of a response whose body does not matter.
const ANSWER_MAX: u64 = 64 << 10;

/// A login that is to be kept.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// The registry, or the Hugging Face hub.
    pub host: String,
    /// The user's name; the hub wants none.
    pub user: Option<String>,
    /// The password or the token.
    pub secret: Secret,
    /// Other hosts that the login may go to when the registry sends there.
    pub realm_hosts: Vec<String>,
}

/// A login that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The host under which it is kept.
    pub host: String,
    /// Whether the host was asked and accepts the login; a registry without logins cannot tell.
    pub is_confirmed: bool,
}

impl Registry {
    /// Keeps a login for a host, after the host accepted it.
    ///
    /// # Errors
    /// [`Error::Refused`] when the host refuses it; [`crate::Error::Http`] when the host cannot be asked. Nothing is kept then.
    pub async fn login(&self, login: NewLogin, settings: &Settings) -> Result<LoggedIn> {
        let host = credentials::host(&login.host)?;
        let realm_hosts = login
            .realm_hosts
            .iter()
            .map(|host| credentials::host(host))
            .collect::<Result<Vec<_>, _>>()?;
        let mut entry = Entry {
            realm_hosts,
            ..Entry::default()
        };
        let kind = |reason| Error::Kind {
            host: host.clone(),
            reason,
        };
        let is_confirmed = if host == HUB {
            entry.token = Some(login.secret.clone());
            hub_knows(&login.secret, settings).await?
        } else if host == DEFAULT_HOST {
            return Err(kind(
                "knows its users by a key and not by a password; add the key that `slm login --show-key` shows to your account there",
            )
            .into());
        } else {
            let user = login.user.filter(|user| !user.is_empty());
            let user = user.ok_or_else(|| kind("wants the name of a user too"))?;
            if user.contains(':') {
                return Err(kind("cannot be told a name with a colon in it").into());
            }
            entry.user = Some(user.clone());
            entry.password = Some(login.secret.clone());
            let found = FoundLogin {
                login: Login::Password {
                    user,
                    password: login.secret,
                },
                source: Source::Own,
                realm_hosts: entry.realm_hosts.clone(),
            };
            let logins = self.logins(settings).with_trial(host.clone(), found);
            let is_plain = is_loopback(&host) && !login.host.starts_with("https://");
            registry_knows(&host, is_plain, logins, settings).await?
        };
        let (registry, of) = (self.clone(), host.clone());
        blocking(move || {
            let _turn = relock(&registry.0.logins);
            credentials::keep(&credentials::own(registry.home()), of, entry)
        })
        .await?;
        Ok(LoggedIn { host, is_confirmed })
    }

    /// Removes the login for a host that `slm login` kept. Returns whether there was one.
    ///
    /// # Errors
    /// When the file of logins cannot be read or written.
    pub async fn logout(&self, host: &str) -> Result<bool> {
        let host = credentials::host(host)?;
        let registry = self.clone();
        blocking(move || {
            let _turn = relock(&registry.0.logins);
            credentials::forget(&credentials::own(registry.home()), &host)
        })
        .await
    }

    /// The hosts with logins, and where each login was found.
    ///
    /// # Errors
    /// When a file of logins cannot be read.
    pub async fn known_logins(&self, settings: &Settings) -> Result<Vec<Listed>> {
        let logins = self.logins(settings);
        logins.list(settings.hub_token.as_ref()).await
    }

    /// The public key that identifies the user to registries of Ollama. The key pair is made if there is none.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn public_key(&self, settings: &Settings) -> Result<String> {
        let key = self.logins(settings).key().await?;
        Ok(key.public().to_owned())
    }

    /// Where the user's logins are.
    pub(crate) fn logins(&self, settings: &Settings) -> Logins {
        // An invalid address is an error where it is used.
        let library = Hosts::new(settings).ok().map(|bases| bases.library);
        Logins::new(self.home(), &settings.logins, library)
    }

    /// A client that may connect to private addresses of `named` hosts, and answers challenges with the user's logins.
    pub(crate) async fn client(
        &self,
        settings: &Settings,
        named: &BTreeSet<String>,
    ) -> Result<Client> {
        client(self.logins(settings), settings, named).await
    }

    /// The settings with the token for the hub that is to be used. A file that cannot be read does not stop a public pull.
    pub(crate) async fn with_hub_token(&self, settings: &Settings) -> Settings {
        let environment = settings.hub_token.as_ref();
        let found = self.logins(settings).hub_token(environment).await;
        let hub_token = found.unwrap_or_else(|error| {
            let error = crate::error::in_full(&error);
            tracing::warn!(error, "the token for the hub could not be looked up");
            None
        });
        Settings {
            hub_token,
            ..settings.clone()
        }
    }
}

async fn client(logins: Logins, settings: &Settings, named: &BTreeSet<String>) -> Result<Client> {
    // An unreadable file of logins does not stop a pull that needs no login.
    let listed = logins.realm_hosts().await.unwrap_or_default();
    let named = named.iter().cloned().chain(listed);
    Ok(Client::new(&settings.network, named)?.with_logins(logins))
}

/// Asks a registry whether it accepts a login.
async fn registry_knows(
    host: &str,
    is_plain: bool,
    logins: Logins,
    settings: &Settings,
) -> Result<bool> {
    let base = registry_at(host, is_plain)?;
    let named = BTreeSet::from_iter(resolve::host(&base));
    resolve::reachable(&named, &settings.network)?;
    let client = client(logins, settings, &named).await?;
    let mut url = base;
    url.set_path("/v2/");
    let auth = Auth::challenged();
    let refused = |reason: String| Error::Refused {
        host: host.to_owned(),
        reason,
    };
    let first = client.send(&Request::get(url.clone())).await?;
    if first.status() != StatusCode::UNAUTHORIZED {
        first.document(ANSWER_MAX).await?;
        return Ok(false);
    }
    let answer = match answered(&auth, &client, &url, first.headers()).await {
        Err(error @ http::Error::Status { status, .. }) if status.is_client_error() => {
            return Err(refused(error.to_string()).into());
        }
        answer => answer?,
    };
    let Some(answer) = answer else {
        let reason = "asks for a login of a kind that slm does not know";
        return Err(Error::Kind {
            host: host.to_owned(),
            reason,
        }
        .into());
    };
    match answer.document(ANSWER_MAX).await {
        Ok(_) => Ok(true),
        Err(error @ http::Error::Status { status, .. }) if status.is_client_error() => {
            Err(refused(error.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn answered(
    auth: &Auth,
    client: &Client,
    url: &Url,
    challenge: &HeaderMap,
) -> Result<Option<http::Response>, http::Error> {
    match auth.answer(client, url, challenge).await? {
        Some(value) => {
            let request = Request::get(url.clone()).authorized(Some(value));
            client.send(&request).await.map(Some)
        }
        None => Ok(None),
    }
}

/// Asks the hub whether it accepts a token. A mirror may not be able to tell.
async fn hub_knows(token: &Secret, settings: &Settings) -> Result<bool> {
    let hub = Hosts::new(settings)?;
    resolve::reachable(&hub.named, &settings.network)?;
    let client = Client::new(&settings.network, hub.named)?;
    let mut url = hub.hub;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "whoami-v2"]);
    }
    let value = Auth::token(Some(token.reveal())).header();
    let refused = |reason: String| Error::Refused {
        host: HUB.to_owned(),
        reason,
    };
    let Some(value) = value else {
        return Err(refused("it cannot stand in a header".to_owned()).into());
    };
    if !hub.is_safe {
        let host = shown(&url);
        return Err(http::Error::PlainLogin {
            to: host,
            host: HUB.to_owned(),
        }
        .into());
    }
    let request = Request::get(url).authorized(Some(value));
    match client.document(&request, ANSWER_MAX).await {
        Ok(_) => Ok(true),
        Err(http::Error::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(false),
        Err(error @ http::Error::Status { status, .. }) if status.is_client_error() => {
            Err(refused(error.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}
