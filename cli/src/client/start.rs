//! Starts a daemon if none answers.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Error, own};
use crate::fs;
use crate::home::Home;
use crate::output::{Output, clean};

/// Timeout until a started daemon answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Timeout for another daemon, started at the same time, that took the home.
const GRACE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the log shown with a failed start.
const TAIL: u64 = 1500;

/// Starts `slmd` for one home, in the background and out of reach of this terminal's Ctrl-C.
#[derive(Debug)]
pub(crate) struct Starter {
    home: Home,
    out: Output,
}

impl Starter {
    /// A starter of the daemon of `home`, with messages to `out`.
    pub(crate) fn new(home: Home, out: Output) -> Self {
        Self { home, out }
    }

    /// Starts a daemon and waits until it answers.
    pub(super) async fn start(&self) -> Result<(), Error> {
        let program = program_beside_us();
        if !matches!(fs::kind(&program), Ok(Some(fs::Kind::File(_)))) {
            return Err(Error::NoProgram(program));
        }
        self.out.note(&format!(
            "no daemon answers: starting one ({})",
            self.home.log().display()
        ));
        let log_start = match fs::kind(&self.home.log()) {
            Ok(Some(fs::Kind::File(length))) => length,
            _ => 0,
        };
        let child = self
            .spawn(&program)
            .map_err(|what| self.failed(what, log_start))?;
        self.wait(child, log_start).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon outlives this process, which does not supervise it"
    )]
    fn spawn(&self, program: &PathBuf) -> Result<Child, String> {
        let prepare = || -> Result<_, fs::Error> {
            fs::make_private_folder(&self.home.root().join("logs"))?;
            fs::append_private(&self.home.log())
        };
        let log = prepare().map_err(|error| format!("has no log: {error}"))?;
        let log_again = log
            .try_clone()
            .map_err(|error| format!("has no log: {error}"))?;
        Command::new(program)
            .arg("--home")
            .arg(self.home.root())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_again)
            // A separate process group: Ctrl-C in this terminal does not reach the daemon.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("did not run: {error}"))
    }

    async fn wait(&self, mut child: Child, log_start: u64) -> Result<(), Error> {
        let _spinner = self.out.spinner("waiting for the daemon");
        let mut deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        let mut ended = None;
        loop {
            if own::reach(&self.home).await.is_ok() {
                return Ok(());
            }
            if ended.is_none()
                && let Ok(Some(status)) = child.try_wait()
            {
                // It may have ended because another daemon has the home, and that one answers soon.
                ended = Some(status);
                deadline = deadline.min(Instant::now() + GRACE);
            }
            if Instant::now() >= deadline {
                let what = match ended {
                    Some(status) => format!("ended ({status})"),
                    None => format!("did not answer within {} seconds", PATIENCE.as_secs()),
                };
                return Err(self.failed(what, log_start));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn failed(&self, what: String, log_start: u64) -> Error {
        let log = self.home.log();
        // Only the lines of this start explain the failure.
        let length = match fs::kind(&log) {
            Ok(Some(fs::Kind::File(length))) => length.saturating_sub(log_start),
            _ => 0,
        };
        let log_tail = clean(&fs::tail(&log, length.min(TAIL)));
        Error::Start {
            what,
            log,
            log_tail,
        }
    }
}

/// The path of `slmd`: next to this program.
pub(crate) fn program_beside_us() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name("slmd")
}
