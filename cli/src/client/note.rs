//! `run/slmd.json` in the home: the note of the running daemon.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

use crate::fs;
use crate::home::Home;

/// The largest note; usual ones have some hundred bytes.
const MAX_BYTES: usize = 64 << 10;

/// Process and addresses of a daemon, which may have ended since.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Note {
    /// Process id.
    pub(crate) pid: u32,
    /// Address and port of its TCP listener.
    pub(crate) tcp: Option<String>,
    /// Path of its Unix socket.
    pub(crate) socket: PathBuf,
    /// When it started to serve.
    pub(crate) started_at: Option<Timestamp>,
    /// Its log file; `None` if it logs to a terminal or a service manager.
    pub(crate) log: Option<PathBuf>,
}

impl Note {
    /// The note in `home`; `None` if it is missing or unreadable.
    ///
    /// # Errors
    /// The note belongs to another user, and could name any socket.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, io::Error> {
        let path = home.note();
        let Ok((bytes, owner)) = fs::read_with_owner(&path, MAX_BYTES) else {
            return Ok(None);
        };
        if !is_trusted(owner) {
            let text = format!("`{}` belongs to user {owner}", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

impl Note {
    /// The URL of its TCP listener, as a program on this machine reaches it.
    pub(crate) fn base_url(&self) -> Option<String> {
        let mut address: SocketAddr = self.tcp.as_ref()?.parse().ok()?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(format!("http://{address}"))
    }
}

/// Whether the note and the daemon may belong to this user: ours or root.
pub(crate) fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_note_is_read_and_an_unreadable_one_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(folder.path()), &[]).unwrap();
        assert!(Note::read(&home).unwrap().is_none());
        fs::make_private_folder(&folder.path().join("run")).unwrap();
        let write = |text: &str| std::fs::write(home.note(), text).unwrap();
        write(r#"{"pid":7,"tcp":"127.0.0.1:1","socket":"/tmp/x.sock","version":"0.1.0","new":1}"#);
        let note = Note::read(&home).unwrap().unwrap();
        assert_eq!(
            (note.pid, note.socket.as_path()),
            (7, Path::new("/tmp/x.sock"))
        );
        write(r#"{"pid":7"#);
        assert!(Note::read(&home).unwrap().is_none());
    }

    #[test]
    fn only_our_user_and_root_are_trusted() {
        let ours = rustix::process::geteuid().as_raw();
        assert!(is_trusted(ours) && is_trusted(0));
        assert!(!is_trusted(ours.wrapping_add(1).max(1)));
    }
}
