//! Logins of the user: which secret is for which host, and where it was found.
//!
//! 1. `credentials.json` in the home, written by `slm login`;
//! 2. the files of Docker and Podman, with their credential helpers.
//!
//! They are looked up when a registry asks for a login, and not before. A secret has the type [`Secret`], which no message shows.
//! `key` is another kind of login: registries of Ollama's know a user by a key.

mod docker;
mod file;
mod helper;
pub(crate) mod key;
mod secret;

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::error::in_full;
use crate::reference;

pub use self::secret::Secret;
pub use crate::error::credentials::Error;

pub(crate) use self::file::{Entry, forget, keep};

/// The hub's host in names and in the file of logins.
pub const HUB: &str = reference::HUB_HOST;
/// Docker Hub's host in names and in the file of logins.
pub const DOCKER_HUB: &str = "docker.io";
/// The host that answers for Docker Hub.
pub(crate) const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// Hosts that belong to a registry beside its own: where Docker Hub gives out tokens.
const REALMS: [(&str, &str); 1] = [(DOCKER_HUB, "auth.docker.io")];
/// Largest file of logins that is read.
const FILE_MAX: u64 = 1 << 20;

/// Files of other programs that may hold logins of this user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginFiles {
    /// Files in the form of Docker's `config.json`, the first to be looked at first.
    pub docker: Vec<PathBuf>,
    /// Files that hold a token for the Hugging Face hub and nothing else, in the same order.
    pub hub_tokens: Vec<PathBuf>,
}

/// What identifies the user to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password, or a token that stands in for it.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth 2.0 refresh token.
    Identity(Secret),
    /// A token that is sent as it is.
    Token(Secret),
}

impl Login {
    /// The name in it, where there is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user),
            Self::Identity(_) | Self::Token(_) => None,
        }
    }
}

/// A login and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLogin {
    /// The login.
    pub login: Login,
    /// Where it was found.
    pub source: Source,
    /// Other hosts that it may go to when the registry sends there.
    pub realm_hosts: Vec<String>,
}

/// Where a login was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `slm login`.
    Own,
    /// A file of another program.
    File(PathBuf),
    /// A credential helper, by its name.
    Helper(String),
    /// A variable of the environment.
    Environment(&'static str),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("`slm login`"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Helper(name) => write!(f, "docker-credential-{name}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// A token for the Hugging Face hub, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubToken {
    /// The token.
    pub token: Secret,
    /// Where it was found.
    pub source: Source,
}

impl HubToken {
    /// The token of the variable `HF_TOKEN`.
    pub fn of_environment(text: &str) -> Self {
        Self {
            token: Secret::new(text),
            source: Source::Environment("HF_TOKEN"),
        }
    }
}

/// A host that there is a login for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The host.
    pub host: String,
    /// The user's name there, where it is known.
    pub user: Option<String>,
    /// Where the login was found.
    pub source: Source,
}

/// Where the logins are looked up. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Logins {
    own: PathBuf,
    key: PathBuf,
    places: LoginFiles,
    /// The Ollama library, which knows the user by the key.
    library: Option<Url>,
    /// A login that is tried before it is kept, for its host alone.
    trial: Option<(String, FoundLogin)>,
}

impl Logins {
    /// The logins of a home and of other programs. `library` is where the Ollama library is.
    pub(crate) fn new(home: &Path, places: &LoginFiles, library: Option<Url>) -> Self {
        Self {
            own: own(home),
            key: home.join(key::FILE),
            places: places.clone(),
            library,
            trial: None,
        }
    }

    /// The same, with a login that is tried.
    pub(crate) fn with_trial(self, host: String, found: FoundLogin) -> Self {
        Self {
            trial: Some((host, found)),
            ..self
        }
    }

    /// Whether there is a login that is tried.
    pub(crate) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether an address is one of the Ollama library.
    pub(crate) fn is_library(&self, url: &Url) -> bool {
        let library = self.library.as_ref();
        library.is_some_and(|library| library.origin() == url.origin())
    }

    /// The login for a registry, by its host with its port.
    pub(crate) async fn find(&self, host: &str) -> crate::Result<Option<FoundLogin>> {
        let host = canonical(host);
        let mut found = match &self.trial {
            Some((of, found)) => Some(found.clone()).filter(|_| *of == host),
            None => self.looked_up(&host).await?,
        };
        if let Some(found) = &mut found {
            let known = REALMS.iter().filter(|(registry, _)| *registry == host);
            found
                .realm_hosts
                .extend(known.map(|(_, realm)| (*realm).to_owned()));
        }
        Ok(found)
    }

    /// Other hosts that the user listed for registries; so they are hosts that the user named.
    pub(crate) async fn realm_hosts(&self) -> crate::Result<Vec<String>> {
        let own = self.own.clone();
        let entries = on_disk(move || file::list(&own)).await?;
        let tried = self.trial.iter().flat_map(|(_, found)| &found.realm_hosts);
        let listed = entries.values().flat_map(|entry| &entry.realm_hosts);
        let bare = |host: &String| match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                bare.to_owned()
            }
            _ => host.clone(),
        };
        Ok(tried.chain(listed).map(bare).collect())
    }

    async fn looked_up(&self, host: &str) -> crate::Result<Option<FoundLogin>> {
        let (own, of) = (self.own.clone(), host.to_owned());
        let found = on_disk(move || file::find(&own, &of)).await?;
        if found.is_some() {
            return Ok(found);
        }
        for path in &self.places.docker {
            // A helper that fails does not stop a pull from a registry that may need no login.
            match docker::find(path, host).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => passed_over(&error),
            }
        }
        Ok(None)
    }

    /// Which hosts there are logins for, as far as that is known without asking credential helpers.
    pub(crate) async fn list(&self, environment: Option<&HubToken>) -> crate::Result<Vec<Listed>> {
        let (own, places, known) = (self.own.clone(), self.places.clone(), environment.cloned());
        on_disk(move || {
            let mut listed = Vec::new();
            let mut add = |host: String, user: Option<String>, source: Source| {
                // The first one counts.
                if !listed.iter().any(|one: &Listed| one.host == host) {
                    listed.push(Listed { host, user, source });
                }
            };
            if let Some(HubToken { source, .. }) = known {
                add(HUB.to_owned(), None, source);
            }
            for (host, entry) in file::list(&own)? {
                add(host, entry.user, Source::Own);
            }
            for path in &places.docker {
                let hosts = docker::hosts(path).unwrap_or_else(|error| {
                    passed_over(&error);
                    Vec::new()
                });
                for (host, user, source) in hosts {
                    add(host, user, source);
                }
            }
            for path in places.hub_tokens {
                if foreign_text(&path).is_some_and(|text| !text.trim().is_empty()) {
                    add(HUB.to_owned(), None, Source::File(path));
                }
            }
            Ok(listed)
        })
        .await
    }

    /// The key that registries of Ollama's know the user by; it is made when it is first asked for.
    pub(crate) async fn key(&self) -> crate::Result<key::Key> {
        let path = self.key.clone();
        on_disk(move || key::load_or_make(&path)).await
    }

    /// The token for the hub: of the environment, of `slm login`, or of the hub's own programs.
    pub(crate) async fn hub_token(
        &self,
        environment: Option<&HubToken>,
    ) -> crate::Result<Option<HubToken>> {
        if let Some(token) = environment {
            return Ok(Some(token.clone()));
        }
        let (own, files) = (self.own.clone(), self.places.hub_tokens.clone());
        on_disk(move || {
            if let Some(FoundLogin {
                login: Login::Token(token),
                source,
                ..
            }) = file::find(&own, HUB)?
            {
                return Ok(Some(HubToken { token, source }));
            }
            for path in files {
                if let Some(text) = foreign_text(&path) {
                    let token = text.trim();
                    if !token.is_empty() {
                        return Ok(Some(HubToken {
                            token: Secret::new(token),
                            source: Source::File(path),
                        }));
                    }
                }
            }
            Ok(None)
        })
        .await
    }
}

/// The file of slm's own logins.
pub(crate) fn own(home: &Path) -> PathBuf {
    home.join(file::FILE)
}

/// The one way to write a host that has several: in lower case, without the usual port, and known hosts by the name that people use.
pub(crate) fn canonical(host: &str) -> String {
    let lower = host.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix(":443").unwrap_or(&lower);
    match lower {
        "docker.io" | "index.docker.io" | "registry.hub.docker.com" | DOCKER_HUB_API => {
            DOCKER_HUB.to_owned()
        }
        host if reference::HUB.contains(&host) => HUB.to_owned(),
        _ => lower.to_owned(),
    }
}

/// A host as people write it, perhaps as an address.
///
/// # Errors
/// [`Error::Host`] when it is none.
pub(crate) fn host(text: &str) -> Result<String, Error> {
    let given = text.trim();
    let bare = given
        .strip_prefix("https://")
        .or_else(|| given.strip_prefix("http://"))
        .unwrap_or(given);
    let bare = bare.strip_suffix("/v1/").unwrap_or(bare);
    let bare = bare.trim_end_matches('/');
    let is_host = Url::parse(&format!("https://{bare}")).is_ok_and(|url| {
        url.path() == "/" && url.username().is_empty() && url.password().is_none()
    });
    if !is_host || bare.contains(['/', '?', '#', '@']) || !bare.is_ascii() {
        return Err(Error::Host {
            host: given
                .rsplit('@')
                .next()
                .unwrap_or_default()
                .chars()
                .take(80)
                .collect(),
        });
    }
    Ok(canonical(bare))
}

/// The text of a small file that slm wrote; `None` where there is no file. A link is an error.
fn text_of(path: &Path) -> crate::Result<Option<String>> {
    let Some(file) = crate::fs::open_if_there(path)? else {
        return Ok(None);
    };
    let bytes = crate::fs::read_bounded(&file, path, FILE_MAX)?;
    let told = |reason: &str| Error::File {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    if bytes.len() as u64 > FILE_MAX {
        return Err(told("it has more than a mebibyte").into());
    }
    let text = String::from_utf8(bytes).map_err(|_| told("it is no text"))?;
    Ok(Some(text))
}

/// The text of a small file of another program, links followed. A file that cannot be read is logged and passed over.
fn foreign_text(path: &Path) -> Option<String> {
    let text = crate::fs::resolve_if_there(path).and_then(|found| match found {
        Some(file) => text_of(&file),
        None => Ok(None),
    });
    text.unwrap_or_else(|error| {
        passed_over(&error);
        None
    })
}

fn passed_over(error: &crate::Error) {
    tracing::warn!(
        error = in_full(error),
        "logins of another program are passed over"
    );
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> crate::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(crate::Error::Task)?
}

/// A failure to look logins up, for an error of the network.
pub(crate) fn unusable(error: &crate::Error) -> crate::http::Error {
    crate::http::Error::Settings {
        what: "a login".to_owned(),
        reason: in_full(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_unreadable_file_of_slm_is_no_missing_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        symlink(at("elsewhere"), at(file::FILE)).expect("a link");
        symlink(at("elsewhere"), at(key::FILE)).expect("a link");
        let entry = Entry::default();
        keep(&at(file::FILE), "reg.example".to_owned(), entry).expect_err("no new file");
        key::load_or_make(&at(key::FILE)).expect_err("no new key");
        assert!(at(file::FILE).is_symlink());
        assert!(at(key::FILE).is_symlink());
        assert!(!at("elsewhere").exists());
    }

    #[tokio::test]
    async fn files_of_other_programs_may_be_links_and_unreadable_ones_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), "hf_x\n").expect("a file");
        symlink(at("real"), at("token")).expect("a link");
        std::fs::create_dir(at("unreadable")).expect("a folder");
        std::fs::write(at("odd"), "no JSON").expect("a file");
        let places = LoginFiles {
            docker: vec![at("unreadable"), at("odd")],
            hub_tokens: vec![at("missing"), at("unreadable"), at("token")],
        };
        let logins = Logins::new(folder.path(), &places, None);
        let token = logins.hub_token(None).await.expect("no error");
        assert_eq!(token.expect("a token").token, Secret::new("hf_x"));
        let listed = logins.list(None).await.expect("no error");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].source, Source::File(at("token")));
    }

    #[test]
    fn a_host_has_one_way_to_be_written() {
        for (text, expected) in [
            ("Reg.Example:443", "reg.example"),
            ("https://reg.example:5000/", "reg.example:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("huggingface.co", "hf.co"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(host(text).expect("a host"), expected, "{text}");
        }
        for text in [
            "",
            "a b",
            "reg.example/ns",
            "me:secret@reg.example",
            "http://",
            "é.example",
        ] {
            let error = host(text).expect_err(text);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
