//! The accept loop: takes connections within limits, and serves them until the daemon stops.

mod connection;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::Semaphore;

use crate::listen::Listener;
use crate::shutdown::Shutdown;
use crate::watchdog::ConnectionLimits;
use connection::connection;

/// Longest pause after an accept failed, for example for lack of file descriptors.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Serves `router` on one listener until the graceful token; then stops listening and returns.
///
/// Connections continue in the task tracker: each finishes its current request, and ends at once on the force token.
/// `permits` bounds the connections of all listeners together. A listener accepts first and takes a permit then, so an idle
/// listener holds none. Without a free permit, one accepted connection waits at each listener, and the others in the system's queue.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    shutdown: Shutdown,
) {
    let mut backoff = Duration::from_millis(10);
    loop {
        let next = async {
            let accepted = listener.accept().await?;
            Ok((accepted, permits.clone().acquire_owned().await))
        };
        let accepted = tokio::select! {
            () = shutdown.graceful.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok(((stream, peer), permit)) => {
                backoff = Duration::from_millis(10);
                let connection = connection(stream, peer, router.clone(), limits, shutdown.clone());
                shutdown.tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // The peer disconnected before it was served.
            Err(error) if is_about_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?backoff, "cannot accept connections, pausing");
                tokio::select! {
                    () = shutdown.graceful.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

/// Whether an error of accept is about one connection: Linux returns its network errors here too.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
