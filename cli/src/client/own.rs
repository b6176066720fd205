//! The daemon of a home: where it is, and that it is ours.
//!
//! Nothing is sent before it is known who listens: a socket in a folder that others can write may be anybody's.

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
    /// The socket that it goes through.
    pub(crate) socket: PathBuf,
    /// The process at the other end, where the system tells.
    pub(crate) pid: Option<i32>,
    /// The process that the note of the home names.
    pub(crate) noted: Option<i32>,
}

/// Connects to the daemon of `home`: where its note says, else where the configuration puts its socket.
///
/// # Errors
/// Why none answers; [`io::ErrorKind::PermissionDenied`] when it is somebody else's.
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
    // The note is newer than any habit, so it comes first.
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
