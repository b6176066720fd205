//! One run of pip, watched.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, interval};

use super::pip_output::{PipOutput, announced};
use crate::child::{self, Group};
use crate::{Progress, Reporter, Stage, fs};

/// How often the size of what has come is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// A line that is longer is taken in pieces.
const LONGEST_LINE: usize = 4096;

/// How a run ended.
pub(super) enum Ended {
    /// By itself, with its last words.
    With(ExitStatus, PipOutput),
    /// Nothing came for too long.
    Stalled,
    /// The system could not watch it.
    Lost(io::Error),
}

/// A running pip.
pub(super) struct Child {
    // Dropped first, while the leader is still there to lend the group its number.
    group: Group,
    process: tokio::process::Child,
}

impl Child {
    /// Starts a command with more words behind it; `temporary` is where it puts what is half-done.
    pub(super) fn start(
        command: &[OsString],
        words: &[OsString],
        temporary: &Path,
    ) -> io::Result<Self> {
        let whole: Vec<_> = command.iter().chain(words).cloned().collect();
        let variables = [
            ("TMPDIR", temporary.as_os_str()),
            ("PYTHONUNBUFFERED", OsStr::new("1")),
        ];
        let (group, process) = child::start(&whole, &variables, Stdio::null(), Stdio::piped())?;
        Ok(Self { group, process })
    }

    /// Watches it until it ends, or is silent for longer than `patience` while nothing comes into `folder`.
    pub(super) async fn watch(
        mut self,
        folder: &Path,
        patience: Duration,
        size: Option<u64>,
        stage: Stage,
        reporter: &Reporter,
    ) -> Ended {
        let mut out = Lines::new(self.process.stdout.take());
        let mut err = Lines::new(self.process.stderr.take());
        let mut download = Download::new(size, stage, reporter);
        let mut output = PipOutput::default();
        let mut look = interval(LOOK);
        let mut last = Instant::now();
        // The process may end before its words are read, so both are waited for.
        loop {
            tokio::select! {
                biased;
                line = out.next(), if out.is_open() => if let Some(line) = line {
                    download.announce(&line);
                    output.add(&line);
                    last = Instant::now();
                },
                line = err.next(), if err.is_open() => if let Some(line) = line {
                    output.add(&line);
                    last = Instant::now();
                },
                outcome = self.process.wait(), if !out.is_open() && !err.is_open() => {
                    self.group.is_over();
                    return match outcome {
                        Ok(outcome) => Ended::With(outcome, output),
                        Err(error) => Ended::Lost(error),
                    };
                },
                _ = look.tick() => {
                    if download.look(fs::largest(folder)) {
                        last = Instant::now();
                    }
                    if last.elapsed() > patience {
                        return Ended::Stalled;
                    }
                },
            }
        }
    }
}

/// The lines of one channel, each bounded.
struct Lines<R> {
    from: Option<BufReader<R>>,
    line: Vec<u8>,
}

impl<R: tokio::io::AsyncRead + Unpin> Lines<R> {
    fn new(from: Option<R>) -> Self {
        Self {
            from: from.map(BufReader::new),
            line: Vec::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.from.is_some()
    }

    /// The next line or piece of one; `None` at the end. What was read is kept when this is dropped half-way.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let from = self.from.as_mut()?;
        loop {
            match piece(from, &mut self.line).await {
                Ok(true) => return Some(std::mem::take(&mut self.line)),
                Ok(false) => {}
                Err(_) => {
                    self.from = None;
                    let rest = std::mem::take(&mut self.line);
                    return (!rest.is_empty()).then_some(rest);
                }
            }
        }
    }
}

/// Adds what has come to `line`; says whether the line is done. The end of the channel is an error.
async fn piece(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    let bytes = from.fill_buf().await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let room = LONGEST_LINE - line.len().min(LONGEST_LINE - 1);
    let end = bytes.iter().take(room).position(|byte| *byte == b'\n');
    let taken = end.map_or(bytes.len().min(room), |end| end + 1);
    line.extend_from_slice(&bytes[..taken]);
    from.consume(taken);
    Ok(end.is_some() || line.len() >= LONGEST_LINE)
}

/// How far a download has come, by the size of what is there.
struct Download<'call> {
    stage: Stage,
    reporter: &'call Reporter,
    /// About how many bytes there will be; 0 where nothing is known.
    total: u64,
    completed: u64,
}

impl<'call> Download<'call> {
    fn new(size: Option<u64>, stage: Stage, reporter: &'call Reporter) -> Self {
        let download = Self {
            stage,
            reporter,
            total: size.unwrap_or(0),
            completed: 0,
        };
        download.report();
        download
    }

    fn announce(&mut self, line: &[u8]) {
        if let Some(total) = announced(&String::from_utf8_lossy(line)) {
            self.total = total;
        }
    }

    /// Says whether more is there than the last time.
    fn look(&mut self, found: u64) -> bool {
        let more = found > self.completed;
        if more {
            self.completed = found;
            self.report();
        }
        more
    }

    fn report(&self) {
        self.reporter.report(Progress {
            stage: self.stage.clone(),
            digest: None,
            total: self.total,
            completed: self.completed.min(self.total),
        });
    }
}
