use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;

/// A watch that reports what a test sends.
struct Sent(mpsc::UnboundedReceiver<Changes>);

impl Watch for Sent {
    async fn changed(&mut self) -> Changes {
        match self.0.recv().await {
            Some(changes) => changes,
            None => std::future::pending().await,
        }
    }

    fn watching(&self) -> Watching {
        Watching::Polled("a test".to_owned())
    }
}

#[tokio::test]
async fn events_say_what_became_of_the_files() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.yaml");
    fs::replace(&path, "threads: 1\n").unwrap();
    let config = Config::from_text(home.path(), "threads: 1\n").unwrap();
    let config = LiveConfig::from(config);
    let registry = Registry::open(registry::Options::new(home.path()))
        .await
        .unwrap();
    let events = Events::new(CancellationToken::new());
    let mut seen = Box::pin(events.listen(None));
    let (changes, watch) = mpsc::unbounded_channel();
    let following = follow(config.clone(), registry, events, Sent(watch));
    let following = tokio::spawn(following);
    let mut next = async |changed: Changes, kind: EventKind, words: &str| {
        changes.send(changed).unwrap();
        let event = seen.next().await.unwrap();
        assert_eq!(event.kind, kind, "{event:?}");
        assert!(event.text.contains(words), "{words}: {}", event.text);
    };
    let (file, catalogs) = (
        Changes {
            file: true,
            catalogs: false,
        },
        Changes {
            file: false,
            catalogs: true,
        },
    );

    fs::replace(&path, "threads: 2\nport: 1\n").unwrap();
    let words = "config.yaml is applied: threads; waiting for a restart: port";
    next(file, EventKind::Configured, words).await;
    assert_eq!(config.watching(), Watching::Polled("a test".to_owned()));
    fs::replace(&path, "threads: 3\nport: 1\nlog: loud\n").unwrap();
    let words = "config.yaml line 3: log: \"loud\" must be a level";
    next(file, EventKind::ConfigRefused, words).await;
    assert_eq!(config.current().threads, 2);

    let folder = home.path().join("catalogs");
    std::fs::create_dir(&folder).unwrap();
    fs::replace(&folder.join("a.yaml"), "version: 1\nmodels: [\n").unwrap();
    let words = "no version of it is in force: ";
    next(catalogs, EventKind::ConfigRefused, words).await;
    fs::replace(&folder.join("a.yaml"), "version: 1\nmodels: []\n").unwrap();
    next(catalogs, EventKind::Configured, "all catalogs are in force").await;
    fs::replace(&folder.join("a.yaml"), "version: 1\nmodel: []\n").unwrap();
    next(catalogs, EventKind::ConfigRefused, "stays in force: ").await;
    following.abort();
}
