//! The listeners: TCP on loopback, and a Unix socket that only its owner can open.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::fs::{self, AtSocket};
use crate::note;

/// Longest path of a Unix socket on both Linux and macOS.
const LONGEST_SOCKET_PATH: usize = 103;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error(
        "{address} is taken: {holder} listens there; stop it, or choose another port with --port N or SLM_PORT"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// That program, for people.
        holder: String,
    },
    /// The system refuses to bind.
    #[error("cannot listen on {at}")]
    Bind {
        /// Address or path.
        at: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The path is longer than a socket address.
    #[error(
        "the path of the socket has more than {LONGEST_SOCKET_PATH} bytes: {0}; choose a shorter one with --socket PATH"
    )]
    TooLong(PathBuf),
    /// A file is there that is not a socket of this home.
    #[error(
        "{} is {what}, and is left as it is; remove it, or choose another path with --socket PATH or SLM_SOCKET",
        path.display()
    )]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// What the file is.
        what: &'static str,
    },
    /// An error about the file of the socket.
    #[error(transparent)]
    File(#[from] fs::Error),
}

/// The peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Any user of this machine.
    Tcp(SocketAddr),
    /// The owner of this process, who alone can open the socket.
    Unix,
}

/// A stream of bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One open listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix socket.
    Unix(UnixSocket),
}

/// A Unix socket, whose file is removed when it is closed.
#[derive(Debug)]
pub struct UnixSocket {
    path: PathBuf,
    /// The file that was created.
    made: AtSocket,
    listener: UnixListener,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Another program may have replaced the file.
        let removed = match fs::at_socket(&self.path) {
            Ok(found) if found == self.made => fs::remove(&self.path),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!("{}", crate::error::chain(&error));
        }
    }
}

/// The owner of a socket without a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// A daemon of this home, which ended without removing it.
    Ours,
    /// Perhaps another program.
    Unknown,
}

impl Listener {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// [`Error::Taken`] for a port in use, with a remedy.
    pub async fn tcp(address: SocketAddr) -> Result<Self, Error> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::Tcp(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Taken {
                address,
                holder: note::holder(address).await,
            }),
            Err(source) => Err(Error::Bind {
                at: address.to_string(),
                source,
            }),
        }
    }

    /// Listens on each of these TCP addresses that is free; another is a warning in the log.
    pub async fn further(addresses: &[SocketAddr]) -> Vec<Self> {
        let mut listeners = Vec::new();
        for &address in addresses {
            match Self::tcp(address).await {
                Ok(listener) => listeners.push(listener),
                Err(Error::Taken { holder, .. }) => tracing::warn!(
                    "also_listen: {address} is taken: {holder} listens there; the daemon serves without this address"
                ),
                Err(error) => tracing::warn!(
                    "also_listen: {}; the daemon serves without this address",
                    crate::error::chain(&error)
                ),
            }
        }
        listeners
    }

    /// Listens on a Unix socket. A stale socket of this home is replaced; any other file stays.
    ///
    /// # Errors
    /// When the path is too long or taken, or the socket cannot be created.
    pub async fn unix(path: &Path, stale: Stale) -> Result<Self, Error> {
        if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(Error::TooLong(path.to_owned()));
        }
        let bind = |source| Error::Bind {
            at: path.display().to_string(),
            source,
        };
        let not_ours = |what| Error::NotOurs {
            path: path.to_owned(),
            what,
        };
        match fs::at_socket(path)? {
            AtSocket::Nothing => {}
            AtSocket::Other => return Err(not_ours("a file and no socket")),
            AtSocket::Socket(..) if UnixStream::connect(path).await.is_ok() => {
                return Err(bind(io::ErrorKind::AddrInUse.into()));
            }
            AtSocket::Socket(..) if stale == Stale::Unknown => {
                return Err(not_ours("a socket of another program"));
            }
            AtSocket::Socket(..) => fs::remove(path)?,
        }
        let listener = UnixListener::bind(path).map_err(bind)?;
        let socket = UnixSocket {
            made: fs::at_socket(path)?,
            path: path.to_owned(),
            listener,
        };
        fs::private_file(path)?;
        Ok(Self::Unix(socket))
    }

    /// The bound address; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The error of the system; the listener stays open.
    pub async fn accept(&self) -> io::Result<(Box<dyn Io>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Small pieces of a stream must leave at once. If the system refuses the option, the connection is served anyway.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "small pieces may wait in the system");
                }
                Ok((Box::new(stream), Peer::Tcp(address)))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok((Box::new(stream), Peer::Unix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_the_address_and_the_remedy() {
        let first = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = first.address().unwrap();
        let error = Listener::tcp(address).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    /// Creates a socket without a listener.
    fn leave_a_socket(path: &Path) {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }

    #[tokio::test]
    async fn a_stale_socket_of_this_home_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        leave_a_socket(&path);
        let first = Listener::unix(&path, Stale::Ours).await.unwrap();
        assert_eq!(first.address(), None);
        assert!(Listener::unix(&path, Stale::Ours).await.is_err());
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(first);
        assert_eq!(fs::at_socket(&path).unwrap(), AtSocket::Nothing);
    }

    #[tokio::test]
    async fn a_foreign_file_at_the_path_is_named_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("notes.txt");
        fs::replace(&notes, "dear diary").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&notes, &link).unwrap();
        for path in [&notes, &link] {
            let error = Listener::unix(path, Stale::Ours).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            assert!(text.contains("--socket"), "{text}");
            let kept = fs::read_text(path, 100).unwrap();
            assert_eq!(kept.as_deref(), Some("dear diary"));
        }
        let socket = dir.path().join("other.sock");
        leave_a_socket(&socket);
        let before = fs::at_socket(&socket).unwrap();
        assert!(Listener::unix(&socket, Stale::Unknown).await.is_err());
        assert_eq!(fs::at_socket(&socket).unwrap(), before);
    }

    #[tokio::test]
    async fn closing_does_not_remove_a_file_that_replaced_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let socket = Listener::unix(&path, Stale::Unknown).await.unwrap();
        fs::replace(&path, "mine now").unwrap();
        drop(socket);
        let kept = fs::read_text(&path, 100).unwrap();
        assert_eq!(kept.as_deref(), Some("mine now"));
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named() {
        let path = PathBuf::from(format!("/{}", "x".repeat(200)));
        let error = Listener::unix(&path, Stale::Unknown).await.unwrap_err();
        assert!(matches!(error, Error::TooLong(_)), "{error}");
    }
}
