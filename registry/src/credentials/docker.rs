//! Logins of Docker and Podman: `config.json` and `auth.json`.
//!
//! ```text
//! {"auths":{"registry.example":{"auth":"<base64 of user:password>"}, "other.example":{"identitytoken":"…"}},
//!  "credHelpers":{"gcr.io":"gcloud"}, "credsStore":"pass"}
//! ```
//!
//! A helper for the host comes first, then what stands in the file, then the store for all hosts, as in Docker itself.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::{DOCKER_HUB, Error, FoundLogin, Login, Secret, Source, foreign_text, helper, on_disk};
use crate::Result;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<Secret>,
    identitytoken: Option<Secret>,
}

impl Auth {
    fn login(&self) -> Option<Login> {
        if let Some(token) = self
            .identitytoken
            .clone()
            .filter(|t| !t.reveal().is_empty())
        {
            return Some(Login::Identity(token));
        }
        let decoded = BASE64_STANDARD.decode(self.auth.as_ref()?.reveal()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        // Old versions padded the text with zeros.
        let (user, password) = text.trim_end_matches('\0').split_once(':')?;
        Some(Login::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        })
    }
}

/// The login that a file has for a host.
pub(super) async fn find(path: &Path, host: &str) -> Result<Option<FoundLogin>> {
    let of = path.to_owned();
    let Some(config) = on_disk(move || read(&of)).await? else {
        return Ok(None);
    };
    let keys = keys(host);
    let by_key = |key: &String| config.helpers.get(key).map(|name| (name, key.clone()));
    if let Some((name, key)) = keys.iter().find_map(by_key) {
        return asked(path, name, &key).await;
    }
    let written = keys.iter().find_map(|key| config.auths.get(key)?.login());
    if let Some(login) = written {
        let source = Source::File(path.to_owned());
        return Ok(Some(FoundLogin {
            login,
            source,
            realm_hosts: Vec::new(),
        }));
    }
    match &config.store {
        Some(name) => asked(path, name, &keys[0]).await,
        None => Ok(None),
    }
}

/// The hosts that a file has logins for, without asking helpers.
pub(super) fn hosts(path: &Path) -> Result<Vec<(String, Option<String>, Source)>> {
    let Some(config) = read(path)? else {
        return Ok(Vec::new());
    };
    let known = |key: &String| super::host(key).ok();
    let helped = config.helpers.iter().filter_map(|(key, name)| {
        let source = Source::Helper(name.chars().take(40).collect());
        Some((known(key)?, None, source))
    });
    let written = config.auths.iter().filter_map(|(key, auth)| {
        let host = known(key)?;
        match (auth.login(), &config.store) {
            (Some(login), _) => {
                let source = Source::File(path.to_owned());
                Some((host, login.user().map(str::to_owned), source))
            }
            (None, Some(name)) => Some((host, None, Source::Helper(name.clone()))),
            (None, None) => None,
        }
    });
    Ok(helped.chain(written).collect())
}

fn read(path: &Path) -> Result<Option<Config>> {
    let Some(text) = foreign_text(path) else {
        return Ok(None);
    };
    let config = serde_json::from_str(&text).map_err(|error| Error::File {
        path: path.to_owned(),
        // What a JSON error quotes may be a secret.
        reason: format!("it is not in Docker's form, in line {}", error.line()),
    })?;
    Ok(Some(config))
}

async fn asked(path: &Path, name: &str, key: &str) -> Result<Option<FoundLogin>> {
    let login = helper::get(name, key).await;
    let login = login.map_err(|reason| Error::Helper {
        name: name.chars().take(40).collect(),
        path: path.to_owned(),
        reason,
    })?;
    Ok(login.map(|login| FoundLogin {
        login,
        source: Source::Helper(name.to_owned()),
        realm_hosts: Vec::new(),
    }))
}

/// What a host may stand under in the file, the usual form first.
fn keys(host: &str) -> Vec<String> {
    if host == DOCKER_HUB {
        let usual = "https://index.docker.io/v1/";
        return [usual, "index.docker.io", "docker.io"]
            .map(str::to_owned)
            .to_vec();
    }
    let forms = ["", "https://", "http://"].into_iter().flat_map(|scheme| {
        let ends = ["", "/", "/v2/", "/v1/"].into_iter();
        ends.map(move |end| format!("{scheme}{host}{end}"))
    });
    forms.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(text: &str, host: &str) -> Result<Option<FoundLogin>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).expect("a file");
        find(&path, host).await
    }

    #[tokio::test]
    async fn logins_in_the_file_are_read_in_each_of_their_forms() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6aHVzaDpoZQ=="},
            "reg.example:5000":{"auth":"bWU6aHVzaA=="},
            "https://old.example/v1/":{"auth":"bWU6aHVzaAAA"},
            "id.example":{"auth":"bWU6","identitytoken":"t0ken"},
            "empty.example":{}}}"#;
        for (host, user, secret) in [
            ("docker.io", Some("me"), "hush:he"),
            ("reg.example:5000", Some("me"), "hush"),
            ("old.example", Some("me"), "hush"),
            ("id.example", None, "t0ken"),
        ] {
            let found = found(text, host).await.expect("a good file").expect(host);
            assert_eq!(found.login.user(), user);
            let (Login::Password { password, .. }
            | Login::Identity(password)
            | Login::Token(password)) = &found.login;
            assert_eq!(password.reveal(), secret, "{host}");
            assert!(!format!("{found:?}").contains(secret), "{host}");
        }
        for host in ["empty.example", "reg.example", "none.example"] {
            assert_eq!(
                found(text, host).await.expect("a good file"),
                None,
                "{host}"
            );
        }
    }

    #[tokio::test]
    async fn bad_files_and_bad_helpers_are_errors_that_show_no_secret() {
        for text in [
            r#"{"auths":{"reg.example":{"auth":["hush"]}}}"#,
            r#"{"credHelpers":{"reg.example":"../hush"}}"#,
            r#"{"credsStore":"no-such-helper-anywhere"}"#,
        ] {
            found(text, "reg.example").await.expect_err(text);
        }
        let error = found(r#"{"auths":{"x":"hush"}}"#, "x")
            .await
            .expect_err("no object");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
