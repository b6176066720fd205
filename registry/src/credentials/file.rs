//! slm's own file of logins.
//!
//! ```text
//! $SLM_HOME/credentials.json    0600
//! {"version":1,"logins":{"registry.example:5000":{"user":"me","password":"…","realm_hosts":["auth.example"]},"hf.co":{"token":"…"}}}
//! ```
//!
//! It is replaced as a whole, by a rename, so that a crash leaves the old logins or the new ones.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, FoundLogin, Login, Secret, Source, text_of};
use crate::{Result, fs};

/// Its name in the home.
pub(super) const FILE: &str = "credentials.json";
/// The form that is written.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(default)]
    logins: BTreeMap<String, Entry>,
}

/// A login as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The password that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Secret>,
    /// A token, where there is no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
    /// Other hosts that it may go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) realm_hosts: Vec<String>,
}

impl Entry {
    fn login(self) -> Option<Login> {
        match self {
            Self {
                user: Some(user),
                password: Some(password),
                ..
            } => Some(Login::Password { user, password }),
            Self { token, .. } => token.map(Login::Token),
        }
    }
}

/// All logins of the file.
pub(crate) fn list(path: &Path) -> Result<BTreeMap<String, Entry>> {
    let Some(text) = text_of(path)? else {
        return Ok(BTreeMap::new());
    };
    let told = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    // What a JSON error quotes may be a secret, so only its place is told.
    let stored: Stored = serde_json::from_str(&text).map_err(|error| {
        told(format!(
            "it is not what slm writes, in line {}",
            error.line()
        ))
    })?;
    if stored.version != VERSION {
        return Err(told(format!(
            "it is of version {}, of a newer slm",
            stored.version
        ))
        .into());
    }
    Ok(stored.logins)
}

/// The login for a host.
pub(super) fn find(path: &Path, host: &str) -> Result<Option<FoundLogin>> {
    let found = list(path)?.remove(host);
    Ok(found.and_then(|entry| {
        let realm_hosts = entry.realm_hosts.clone();
        Some(FoundLogin {
            login: entry.login()?,
            source: Source::Own,
            realm_hosts,
        })
    }))
}

/// Keeps a login for a host, in place of an older one.
pub(crate) fn keep(path: &Path, host: String, entry: Entry) -> Result<()> {
    let mut logins = list(path)?;
    logins.insert(host, entry);
    write(path, logins)
}

/// Forgets the login for a host; says whether there was one.
pub(crate) fn forget(path: &Path, host: &str) -> Result<bool> {
    let mut logins = list(path)?;
    let was_there = logins.remove(host).is_some();
    if was_there {
        write(path, logins)?;
    }
    Ok(was_there)
}

fn write(path: &Path, logins: BTreeMap<String, Entry>) -> Result<()> {
    let stored = Stored {
        version: VERSION,
        logins,
    };
    let text = serde_json::to_vec_pretty(&stored).expect("logins are texts");
    replace(path, &text)
}

/// Writes a small private file as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = path.with_extension("new");
    fs::remove(&temp)?;
    let file = fs::create(&temp)?;
    fs::write(&file, &temp, bytes, bytes.len() as u64)?;
    fs::sync(&file, &temp)?;
    fs::rename(&temp, path)?;
    match path.parent() {
        Some(folder) => fs::sync_folder(folder),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_kept_and_forgotten_in_a_file_of_the_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        assert!(list(&path).expect("no file is no login").is_empty());
        let entry = Entry {
            user: Some("me".to_owned()),
            password: Some(Secret::new("hush")),
            ..Entry::default()
        };
        assert!(!format!("{entry:?}").contains("hush"));
        keep(&path, "reg.example".to_owned(), entry.clone()).expect("it is written");
        let token = Entry {
            token: Some(Secret::new("hf_x")),
            ..Entry::default()
        };
        keep(&path, "hf.co".to_owned(), token).expect("it is written");
        let mode = std::fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let found = find(&path, "reg.example").expect("it can be read");
        assert_eq!(
            found.expect("it is there").login,
            entry.login().expect("a login")
        );
        assert!(forget(&path, "reg.example").expect("it is written"));
        assert!(!forget(&path, "reg.example").expect("it is gone"));
        assert_eq!(list(&path).expect("it can be read").len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_shows_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        for text in [
            r#"{"version":1,"logins":"hush"}"#,
            r#"{"version":2}"#,
            "hush",
        ] {
            std::fs::write(&path, text).expect("a file");
            let error = list(&path).expect_err(text).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
