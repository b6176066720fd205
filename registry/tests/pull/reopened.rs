//! A store that is opened once more, as a process sees it that starts after this one. The tests of pushes use it too.

use registry::{Error, Options, Registry};

/// Closes the store, and opens it with these options.
pub(crate) async fn reopened(registry: Registry, options: Options) -> Registry {
    registry.close().await;
    drop(registry);
    // What ran for the old one may hold the home for a moment.
    loop {
        match Registry::open(options.clone()).await {
            Ok(registry) => break registry,
            Err(Error::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
