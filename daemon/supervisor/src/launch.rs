//! How a runner is started.
//!
//! The daemon starts processes. A test can start the mock runner as a task instead.

use std::{fmt, io, process::ExitStatus};

use futures::future::BoxFuture;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWrite};

use super::program::{Files, Program};

/// Starts runners.
pub trait Launch: fmt::Debug + Send + Sync {
    /// Starts one runner with these files. Dropping the future ends it.
    fn launch(&self, program: Program, files: Files) -> BoxFuture<'_, io::Result<Launched>>;

    /// Starts one runner that waits for its files. Dropping the future or the result ends it.
    fn prepare(&self, program: Program) -> BoxFuture<'_, io::Result<Box<dyn Prepared>>>;
}

/// A runner that was started and waits for its files.
pub trait Prepared: fmt::Debug + Send {
    /// Gives it the files.
    ///
    /// # Errors
    /// The system's error; the runner ends.
    fn hand_over(self: Box<Self>, files: Files) -> io::Result<Launched>;

    /// Whether it has ended already.
    fn has_ended(&mut self) -> bool;
}

/// A runner that was started, with the daemon's end of each of its streams.
pub struct Launched {
    /// Ends it and tells how it ended.
    pub process: Box<dyn Process>,
    /// Frames from it.
    pub read: Reading,
    /// Frames to it.
    pub write: Writing,
    /// Its standard error.
    pub stderr: Reading,
}

/// What comes from a runner.
pub type Reading = Box<dyn AsyncRead + Send + Unpin>;

/// What goes to a runner.
pub type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A runner from its start to its end. Dropping it ends the runner.
pub trait Process: Send {
    /// Waits for its end and reaps it. Can be dropped and called again, also after the end.
    /// `None` when the system does not tell how it ended.
    fn wait(&mut self) -> BoxFuture<'_, Option<ExitStatus>>;

    /// Id of the process, until it is reaped; `None` for a runner without one.
    fn pid(&self) -> Option<u32>;

    /// Sends it a signal. Nothing happens to a runner that has ended.
    fn signal(&mut self, signal: Signal);
}
