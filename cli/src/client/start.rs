//! Starts a daemon when none answers.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Error, own};
use crate::fs;
use crate::home::Home;
use crate::output::{Output, clean};

/// How long a daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another daemon may take that was started at the same moment and won.
const GRACE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the log that are shown when it did not start.
const TAIL: u64 = 1500;

/// Starts `slmd` for one home, in the background and out of reach of this terminal's Ctrl-C.
#[derive(Debug)]
pub(crate) struct Starter {
    home: Home,
    out: Output,
}

impl Starter {
    /// Starts the daemon of `home`, and says so on `out`.
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
        reason = "the daemon outlives us, so nobody supervises it"
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
            // A process group of its own: Ctrl-C in this terminal is not meant for it.
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
                // It may have found that another one holds the store, which then answers soon.
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
        // Only what this start wrote explains it.
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

/// Where the program `slmd` is expected: next to this one.
pub(crate) fn program_beside_us() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name("slmd")
}
