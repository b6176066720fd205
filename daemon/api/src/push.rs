//! Pushing models, and the logins that it needs.

use serde::{Deserialize, Serialize};

use crate::Priority;
use crate::model::either;
use crate::null_as_default;

/// Body of `POST /api/push`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRequest {
    /// Name of the model, and where it goes unless `destination` says otherwise.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The same under its former name, which counts when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// The name that it gets there (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// In which form (ours); as it is stored, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PushFormat>,
    /// Whether a connection without TLS to another machine is allowed, where the destination asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the push goes on when no client listens (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// Which of the queued transfers goes first (ours); normal unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Whether the push starts outside of `pull_window` and on a metered network too (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
}

/// In which form a model is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushFormat {
    /// The manifest as it is stored, with Ollama's media types.
    Ollama,
    /// A manifest by CNCF's ModelPack specification.
    ModelPack,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Host, repository and tag.
    pub place: String,
    /// The digest of the manifest there, as `sha256:<hex>`.
    pub digest: String,
    /// Blobs that the registry had.
    pub present: usize,
    /// Blobs that it took over from another repository.
    pub mounted: usize,
    /// Blobs that were sent.
    pub sent: usize,
}

/// Body of `POST /api/login` (ours). It is never logged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// Host of the registry, or `hf.co`.
    pub host: String,
    /// The user's name there; the hub wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password or the token.
    pub password: String,
    /// Other hosts that the login may go to when the registry sends there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub realm_hosts: Vec<String>,
}

impl std::fmt::Debug for LoginRequest {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest")
            .field("host", &self.host)
            .field("user", &self.user)
            .field("realm_hosts", &self.realm_hosts)
            .finish_non_exhaustive()
    }
}

/// Answer of `POST /api/login` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginResponse {
    /// The host under which the login is kept.
    pub host: String,
    /// Whether the host was asked and accepts it; a host that asks for no login cannot say.
    pub confirmed: bool,
}

/// Body of `POST /api/logout` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutRequest {
    /// Host of the registry, or `hf.co`.
    pub host: String,
}

/// Answer of `POST /api/logout` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutResponse {
    /// Whether there was a login of slm's own.
    pub removed: bool,
}

/// Body of `POST /api/logins` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginsRequest {
    /// Whether the public key is wanted; it is made if there is none.
    #[serde(default)]
    pub key: bool,
}

/// Answer of `POST /api/logins` (ours). No secret is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginsResponse {
    /// The hosts that there are logins for.
    pub logins: Vec<KnownLogin>,
    /// The public key that registries of Ollama's know the user by, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A host that there is a login for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLogin {
    /// The host.
    pub host: String,
    /// The user's name there, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the login was found, in words.
    pub source: String,
}

impl PushRequest {
    /// Name to push, whichever field has it.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_read_from_either_field_and_a_password_is_not_shown() {
        let push: PushRequest =
            serde_json::from_str(r#"{"name":"m","format":"modelpack"}"#).unwrap();
        assert_eq!(
            (push.name(), push.format),
            ("m", Some(PushFormat::ModelPack))
        );
        let login: LoginRequest =
            serde_json::from_str(r#"{"host":"h","password":"hush"}"#).unwrap();
        assert!(!format!("{login:?}").contains("hush"));
    }
}
