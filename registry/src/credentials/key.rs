//! The key that registries of Ollama's know a user by (ed25519, in OpenSSH's form).
//!
//! ```text
//! $SLM_HOME/id_ed25519        0600
//! $SLM_HOME/id_ed25519.pub    what the user gives the registry
//! ```
//!
//! A request for a token is signed with it, see `crate::remote::auth`.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};

use super::file::replace;
use super::{Error, text_of};
use crate::Result;

/// Its name in the home.
pub(super) const FILE: &str = "id_ed25519";

/// The key.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    /// The public half, as a line of `authorized_keys`.
    public: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.public)
    }
}

impl Key {
    /// The public half, as a line of `authorized_keys`.
    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    /// `<public key>:<signature>`, both in base64: what stands in the `Authorization` header of a request for a token.
    pub(crate) fn sign(&self, text: &str) -> String {
        let key = self.public.split(' ').nth(1).unwrap_or_default();
        let signature = self.pair.sign(text.as_bytes());
        format!("{key}:{}", BASE64_STANDARD.encode(signature))
    }
}

/// Reads the key, or makes it.
pub(super) fn load_or_make(path: &Path) -> Result<Key> {
    let told = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let unreadable =
        |error: ssh_key::Error| told(format!("it is no key that slm can use: {error}"));
    let key = match text_of(path)? {
        Some(text) => PrivateKey::from_openssh(text).map_err(unreadable)?,
        None => {
            let key = make().ok_or_else(|| told("no random numbers are to be had".to_owned()))?;
            let text = key.to_openssh(LineEnding::LF).map_err(unreadable)?;
            let public = key.public_key().to_openssh().map_err(unreadable)?;
            // The public half first, so a private key never exists without its public half.
            replace(
                &path.with_extension("pub"),
                format!("{public}\n").as_bytes(),
            )?;
            replace(path, text.as_bytes())?;
            key
        }
    };
    let ed25519 = key
        .key_data()
        .ed25519()
        .ok_or_else(|| told("it is no ed25519 key without a password".to_owned()))?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(
        &ed25519.private.to_bytes(),
        ed25519.public.as_ref(),
    )
    .map_err(|error| told(error.to_string()))?;
    let public = key.public_key().to_openssh().map_err(unreadable)?;
    Ok(Key { pair, public })
}

fn make() -> Option<PrivateKey> {
    let mut seed = [0_u8; 32];
    SystemRandom::new().fill(&mut seed).ok()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
    let public = pair.public_key().as_ref().try_into().ok()?;
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(public),
        private: Ed25519PrivateKey::from_bytes(&seed),
    };
    PrivateKey::new(KeypairData::Ed25519(pair), "slm").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn a_key_is_made_once_and_signs_so_that_its_public_half_can_tell() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let first = load_or_make(&path).expect("it is made");
        let second = load_or_make(&path).expect("it is read");
        assert_eq!(first.public(), second.public());
        assert!(first.public().starts_with("ssh-ed25519 AAAA"), "{first:?}");
        let signed = second.sign("GET,https://reg.example/token");
        let (key, signature) = signed.split_once(':').expect("two parts");
        assert_eq!(first.public().split(' ').nth(1), Some(key));
        let key = BASE64_STANDARD.decode(key).expect("base64");
        let signature = BASE64_STANDARD.decode(signature).expect("base64");
        // The wire form ends in the 32 bytes of the key.
        UnparsedPublicKey::new(&ED25519, &key[key.len() - 32..])
            .verify(b"GET,https://reg.example/token", &signature)
            .expect("the signature is of this key");
    }

    #[test]
    fn what_is_no_key_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        std::fs::write(&path, "hush").expect("a file");
        let error = load_or_make(&path).expect_err("it is no key").to_string();
        assert!(!error.contains("hush"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "hush");
    }
}
