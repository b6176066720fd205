//! The daemon of a home: its socket, and the check that it is ours.
//!
//! The check comes before the first byte: another user may listen at a socket in a folder that others can write.

use std::io;
use std::path::PathBuf;

use tokio::net::UnixStream;

use super::note::{Note, is_trusted};
use crate::home::Home;

/// A connection to the daemon of a home.
#[derive(Debug)]
pub(crate) struct DaemonConnection {
    /// The connection.
    pub(crate) stream: UnixStream,
    /// The path of its socket.
    pub(crate) socket: PathBuf,
    /// The process at the other end, if the system tells.
    pub(crate) pid: Option<i32>,
    /// The process in the note of the home.
    pub(crate) noted: Option<i32>,
}

/// Connects to the daemon of `home`: at the socket in its note, else at the home's usual socket.
///
/// # Errors
/// Why no daemon answers; [`io::ErrorKind::PermissionDenied`] if it belongs to another user.
pub(crate) async fn reach(home: &Home) -> Result<DaemonConnection, io::Error> {
    let note = Note::read(home)?;
    let noted = note.as_ref().and_then(|note| i32::try_from(note.pid).ok());
    let usual = home.socket();
    let mut sockets = vec![usual.clone()];
    sockets.extend(
        note.map(|note| note.socket)
            .filter(|socket| *socket != usual),
    );
    let mut reason = io::ErrorKind::NotFound.into();
    // The note is from the running daemon, so its socket comes first.
    for socket in sockets.into_iter().rev() {
        match UnixStream::connect(&socket).await {
            Ok(stream) => return admit(stream, socket, noted),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn admit(
    stream: UnixStream,
    socket: PathBuf,
    noted: Option<i32>,
) -> Result<DaemonConnection, io::Error> {
    let peer = stream.peer_cred()?;
    if !is_trusted(peer.uid()) {
        let text = format!(
            "the program that listens at `{}` runs as user {}",
            socket.display(),
            peer.uid()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(DaemonConnection {
        stream,
        socket,
        pid: peer.pid(),
        noted,
    })
}
