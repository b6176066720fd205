//! For tests: calls on paths below a folder are recorded; the test chooses which fail or end the process.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What happens to a call in place of what it was meant to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It fails, and the operating system says this.
    Fail(io::ErrorKind),
    /// The process dies.
    Kill,
}

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// The first call to fail, from 1.
    pub(crate) first: usize,
    /// Whether all calls after it fail too.
    pub(crate) sticky: bool,
    /// How.
    pub(crate) fault: Fault,
}

impl Plan {
    /// Nothing fails; the calls are only recorded.
    pub(crate) const NONE: Self = Self {
        first: usize::MAX,
        sticky: false,
        fault: Fault::Fail(io::ErrorKind::Other),
    };

    /// The process dies before its nth call, counted from 1.
    pub(crate) fn kill_before(call: usize) -> Self {
        Self {
            first: call,
            sticky: false,
            fault: Fault::Kill,
        }
    }

    fn strikes(&self, call: usize) -> bool {
        call == self.first || (self.sticky && call > self.first)
    }
}

/// One call: what was tried, and on which path.
pub(crate) type Call = (&'static str, PathBuf);

struct Watched {
    folder: PathBuf,
    plan: Plan,
    calls: Vec<Call>,
}

/// Tests run side by side, each in its own folder.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

fn watched() -> MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts recording calls on paths below `folder`; they fail as planned.
pub(crate) fn arm(folder: &Path, plan: Plan) {
    watched().push(Watched {
        folder: folder.into(),
        plan,
        calls: Vec::new(),
    });
}

/// Stops recording. Returns the calls in order, failed ones included.
pub(crate) fn disarm(folder: &Path) -> Vec<Call> {
    let mut watched = watched();
    let place = watched
        .iter()
        .position(|watched| watched.folder == folder)
        .expect("it was armed");
    watched.remove(place).calls
}

pub(super) fn strike(action: &'static str, path: &Path) -> io::Result<()> {
    let mut watched = watched();
    let Some(watched) = watched
        .iter_mut()
        .find(|watched| path.starts_with(&watched.folder))
    else {
        return Ok(());
    };
    watched.calls.push((action, path.into()));
    match watched.plan.fault {
        _ if !watched.plan.strikes(watched.calls.len()) => Ok(()),
        Fault::Fail(kind) => Err(kind.into()),
        Fault::Kill => std::process::abort(),
    }
}
