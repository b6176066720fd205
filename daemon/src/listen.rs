//! The two doors: TCP on loopback, and a Unix socket that only its owner can open.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::{fs, place};

/// Longest path of a Unix socket that Linux and macOS both take.
const LONGEST_SOCKET_PATH: usize = 103;

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "{address} is taken: {holder} listens there; stop it, or choose another port with --port N or SLM_PORT"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Who that is, in words.
        holder: String,
    },
    /// The system refuses.
    #[error("cannot listen on {at}")]
    Bind {
        /// Address or path.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The path does not fit the system's address.
    #[error(
        "the path of the socket has more than {LONGEST_SOCKET_PATH} bytes: {0}; choose a shorter one with --socket PATH"
    )]
    TooLong(PathBuf),
    /// A file that belongs to the socket.
    #[error(transparent)]
    File(#[from] fs::Error),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on this machine, whoever that is.
    Tcp(SocketAddr),
    /// Somebody who may open the socket: the owner of this process.
    Unix,
}

/// A stream of bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One open door.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// [`Error::Taken`] names the remedy for a port that is in use.
    pub async fn tcp(address: SocketAddr) -> Result<Self, Error> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::Tcp(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Taken {
                address,
                holder: place::holder(address).await,
            }),
            Err(source) => Err(Error::Bind {
                at: address.to_string(),
                source,
            }),
        }
    }

    /// Listens on a Unix socket. A file that a dead daemon left there is replaced; a living one is not disturbed, because
    /// the caller holds the lock of the store.
    ///
    /// # Errors
    /// When the path is too long, or the directory or the socket cannot be made.
    pub async fn unix(path: &Path) -> Result<Self, Error> {
        if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(Error::TooLong(path.to_owned()));
        }
        let bind = |source| Error::Bind {
            at: path.display().to_string(),
            source,
        };
        if UnixStream::connect(path).await.is_ok() {
            return Err(bind(io::ErrorKind::AddrInUse.into()));
        }
        fs::remove(path)?;
        let listener = UnixListener::bind(path).map_err(bind)?;
        fs::private_file(path)?;
        Ok(Self::Unix(listener))
    }

    /// The address that was really taken; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system said; the listener goes on working.
    pub async fn accept(&self) -> io::Result<(Box<dyn Io>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are streamed in small pieces, and each must leave at once.
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
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

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let first = Listener::unix(&path).await.unwrap();
        assert!(Listener::unix(&path).await.is_err());
        drop(first);
        let second = Listener::unix(&path).await.unwrap();
        assert_eq!(second.address(), None);
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named() {
        let path = PathBuf::from(format!("/{}", "x".repeat(200)));
        let error = Listener::unix(&path).await.unwrap_err();
        assert!(matches!(error, Error::TooLong(_)), "{error}");
    }
}
