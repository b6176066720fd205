//! Notices that `config.yaml` or a catalog changed.
//!
//! The home and `catalogs/` are watched, and not the files themselves, because editors replace a file by another one. Where the
//! system reports no changes, such as on a network file system, the files are compared with their stamps every few seconds.
//! Reports are collected for a moment, because an editor makes several changes for one save.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::FILE;
use crate::{blocking, fs};

/// Folder of the catalogs in the home.
pub(super) const CATALOGS: &str = "catalogs";

/// After this time without a further report, the files are read.
const QUIET: Duration = Duration::from_millis(100);

/// The files are read after this time, even when reports go on.
const LONGEST: Duration = Duration::from_secs(1);

/// Time between two looks at the files where the system reports no changes.
const POLL: Duration = Duration::from_secs(2);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// `config.yaml`.
    pub file: bool,
    /// A catalog.
    pub catalogs: bool,
}

/// Reports that wait. Their number is bounded, because a file is reported or it is not.
#[derive(Debug, Default)]
struct Reports {
    file: AtomicBool,
    catalogs: AtomicBool,
    news: Notify,
}

impl Reports {
    /// Reports that these may have changed.
    fn add(&self, changes: Changes) {
        self.file.fetch_or(changes.file, Ordering::Relaxed);
        self.catalogs.fetch_or(changes.catalogs, Ordering::Relaxed);
        if changes.file || changes.catalogs {
            self.news.notify_one();
        }
    }

    /// Waits for a report, and then until none came for a moment.
    async fn settled(&self) -> Changes {
        self.news.notified().await;
        let end = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(end);
            if timeout_at(quiet, self.news.notified()).await.is_err() {
                break;
            }
        }
        Changes {
            file: self.file.swap(false, Ordering::Relaxed),
            catalogs: self.catalogs.swap(false, Ordering::Relaxed),
        }
    }
}

/// How changes are noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Watching {
    /// They are not noticed.
    #[default]
    Off,
    /// The system reports them.
    Reported,
    /// The files are looked at every few seconds, for this reason.
    Polled(String),
}

/// Watches the files of a home. Dropping it ends the watch.
#[derive(Debug)]
pub struct FileWatch {
    home: PathBuf,
    reports: Arc<Reports>,
    watcher: Option<RecommendedWatcher>,
    watching: Watching,
    /// The stamps of the last look at the files, where they are looked at.
    seen: Stamps,
}

/// The stamps of `config.yaml` and of the catalogs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stamps {
    file: Option<String>,
    catalogs: Vec<String>,
}

/// Notices changes of the files; tests have another one.
pub trait Watch {
    /// Waits until something may have changed.
    fn changed(&mut self) -> impl Future<Output = Changes> + Send;

    /// How changes are noticed.
    fn watching(&self) -> Watching;
}

impl FileWatch {
    /// Begins to watch. It never fails: where the system reports no changes, the files are looked at.
    pub fn start(home: &Path) -> Self {
        let reports = Arc::<Reports>::default();
        let (watcher, watching) = match report(home, &reports) {
            Ok(watcher) => (Some(watcher), Watching::Reported),
            Err(reason) => (None, Watching::Polled(reason)),
        };
        let mut watch = Self {
            home: home.to_owned(),
            reports,
            watcher,
            watching,
            seen: Stamps::of(home),
        };
        watch.follow_catalogs();
        watch
    }

    /// Watches the folder of catalogs, which may be new.
    fn follow_catalogs(&mut self) {
        let folder = self.home.join(CATALOGS);
        if let Some(watcher) = &mut self.watcher
            && fs::is_folder(&folder)
            && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
        {
            self.watching = Watching::Polled(error.to_string());
        }
    }

    /// Looks at the files every few seconds, until a stamp is another one.
    async fn look(&mut self) -> Changes {
        loop {
            sleep(POLL).await;
            let home = self.home.clone();
            let Ok(now) = blocking::run(move || Stamps::of(&home)).await else {
                // The runtime shuts down.
                continue;
            };
            let changes = Changes {
                file: self.seen.file != now.file,
                catalogs: self.seen.catalogs != now.catalogs,
            };
            self.seen = now;
            if changes.file || changes.catalogs {
                return changes;
            }
        }
    }
}

impl Stamps {
    fn of(home: &Path) -> Self {
        Self {
            file: fs::stamp(&home.join(FILE)),
            catalogs: fs::stamps(&home.join(CATALOGS)),
        }
    }
}

impl Watch for FileWatch {
    async fn changed(&mut self) -> Changes {
        let changes = match &self.watching {
            Watching::Polled(_) => self.look().await,
            _ => self.reports.settled().await,
        };
        if changes.catalogs {
            self.follow_catalogs();
        }
        changes
    }

    fn watching(&self) -> Watching {
        self.watching.clone()
    }
}

/// Lets the system report changes below the home.
fn report(home: &Path, reports: &Arc<Reports>) -> Result<RecommendedWatcher, String> {
    if let Some(reason) = fs::reports_no_changes(&home.join(FILE)) {
        return Err(reason);
    }
    let (folder, reports) = (home.to_owned(), Arc::clone(reports));
    let handle = move |event: notify::Result<Event>| {
        reports.add(match event {
            Ok(event) if !event.need_rescan() => concerns(&folder, &event),
            // Reports were lost.
            _ => Changes {
                file: true,
                catalogs: true,
            },
        });
    };
    let watch = || {
        let mut watcher = notify::recommended_watcher(handle)?;
        watcher.watch(home, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    };
    watch().map_err(|error: notify::Error| error.to_string())
}

/// What an event is about. Reading a file changes nothing.
fn concerns(home: &Path, event: &Event) -> Changes {
    let is_read = match event.kind {
        EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
        _ => false,
    };
    let catalogs = home.join(CATALOGS);
    let is_file = |path: &PathBuf| path.parent() == Some(home) && path.ends_with(FILE);
    let is_catalog = |path: &PathBuf| *path == catalogs || path.parent() == Some(&*catalogs);
    Changes {
        file: !is_read && event.paths.iter().any(is_file),
        catalogs: !is_read && event.paths.iter().any(is_catalog),
    }
}

#[cfg(test)]
mod tests;
