//! Pushes, and the logins that they need.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Priority;
use crate::model::either;
use crate::null_as_default;

/// Body of `POST /api/push`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushRequest {
    /// Name of the model, and its destination unless `destination` is set.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The former name of `model`, used when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    #[schema(nullable)]
    pub name: String,
    /// Name at the destination (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Format of the manifest (ours); as stored by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PushFormat>,
    /// Whether `http://` in the destination may reach another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Whether the answer is a stream; the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the push continues when no client listens (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// Rank in the queue (ours); the default is `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Whether the push ignores `pull_window` and `metered` (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
}

/// Format of a pushed manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PushFormat {
    /// The manifest as stored, with Ollama's media types.
    Ollama,
    /// A manifest of CNCF's ModelPack specification.
    ModelPack,
}

/// The result of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pushed {
    /// Host, repository and tag.
    pub place: String,
    /// Digest of the manifest at the destination, as `sha256:<hex>`.
    pub digest: String,
    /// Number of blobs that the repository already had.
    pub present: usize,
    /// Number of blobs mounted from another repository.
    pub mounted: usize,
    /// Number of blobs sent.
    pub sent: usize,
}

/// Body of `POST /slm/v1/login` (ours). It is never logged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginRequest {
    /// Host of the registry, or `hf.co`.
    pub host: String,
    /// User name; the hub needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password or the token.
    pub password: String,
    /// Token realms on other hosts that may receive the login.
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

/// Answer of `POST /slm/v1/login` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginResponse {
    /// The host under which the login is kept.
    pub host: String,
    /// Whether the host accepted it; a host that requires no login cannot tell.
    pub confirmed: bool,
}

/// Body of `POST /slm/v1/logout` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogoutRequest {
    /// Host of the registry, or `hf.co`.
    pub host: String,
}

/// Answer of `POST /slm/v1/logout` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogoutResponse {
    /// Whether slm itself had a login for the host.
    pub removed: bool,
}

/// Body of `POST /slm/v1/logins` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginsRequest {
    /// Whether to return the public key; it is created if there is none.
    #[serde(default)]
    pub key: bool,
}

/// Answer of `POST /slm/v1/logins` (ours). No secret is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginsResponse {
    /// Hosts with a login.
    pub logins: Vec<KnownLogin>,
    /// Public key for Ollama's registries, if the request asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A host with a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownLogin {
    /// The host.
    pub host: String,
    /// User name, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the login was found, for the user.
    pub source: String,
}

impl PushRequest {
    /// Name to push, from either field.
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
