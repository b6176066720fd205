//! The mock runner as a task of the daemon's runtime, whose clock can be paused.

use std::{
    collections::HashMap, fs::File, future::pending, io, os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use runner_protocol::{Sandbox, frame};
use rustix::process::Signal;
use supervisor::{Files, Launch, Launched, Prepared, Process, Program, Spawner};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::{
    machine::{Last, Mock, Output, World},
    process::VARIABLE,
    script::Death,
};

/// Size of the pipe between task and supervisor in bytes, about that of a socket's buffer.
const BUFFER: usize = 64 * 1024;

/// A spawner that starts the mock runner as a task of the caller's runtime, whatever program it is told to start.
///
/// It starts no process, and its clock is the runtime's, which a test can pause.
/// The mock gets `SLM_MOCK` of the program's environment, and the files by their descriptors.
pub fn spawner() -> Spawner {
    Spawner::new(Tasks)
}

/// Starts the mock as a task.
#[derive(Debug)]
struct Tasks;

impl Launch for Tasks {
    /// Connects the mock through memory. A process that is started at the same moment would inherit a socket, so its end could come
    /// late, and a paused clock does not wait for that.
    fn launch(&self, program: Program, files: Files) -> BoxFuture<'_, io::Result<Launched>> {
        std::future::ready(Ok(start(&program, files))).boxed()
    }

    /// A task starts at once, so it starts with its files.
    fn prepare(&self, program: Program) -> BoxFuture<'_, io::Result<Box<dyn Prepared>>> {
        let waiting: Box<dyn Prepared> = Box::new(Waiting(program));
        std::future::ready(Ok(waiting)).boxed()
    }
}

/// A mock that waits for its files.
#[derive(Debug)]
struct Waiting(Program);

impl Prepared for Waiting {
    fn hand_over(self: Box<Self>, files: Files) -> io::Result<Launched> {
        Ok(start(&self.0, files))
    }

    fn has_ended(&mut self) -> bool {
        false
    }
}

fn start(program: &Program, files: Files) -> Launched {
    let script = program
        .env
        .iter()
        .find(|(name, _)| name == VARIABLE)
        .map(|(_, script)| script.to_string_lossy().into_owned());
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (errors, stderr) = tokio::io::duplex(BUFFER);
    let task = tokio::spawn(run(theirs, stderr, files, script.unwrap_or_default()));
    let (read, write) = tokio::io::split(ours);
    Launched {
        process: Box::new(Task { task, status: None }),
        read: Box::new(read),
        write: Box::new(write),
        stderr: Box::new(errors),
    }
}

/// The mock as a task.
#[derive(Debug)]
struct Task {
    /// Returns the exit status that a process would have.
    task: JoinHandle<ExitStatus>,
    /// The exit status, once known.
    status: Option<ExitStatus>,
}

impl Process for Task {
    fn wait(&mut self) -> BoxFuture<'_, Option<ExitStatus>> {
        async {
            if self.status.is_none() {
                // A panic of the mock counts as a crash.
                let end = (&mut self.task).await;
                self.status =
                    Some(end.unwrap_or_else(|_| ExitStatus::from_raw(Signal::ABORT.as_raw())));
            }
            self.status
        }
        .boxed()
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn signal(&mut self, signal: Signal) {
        if self.status.is_none() && !self.task.is_finished() {
            self.task.abort();
            self.status = Some(ExitStatus::from_raw(signal.as_raw()));
        }
    }
}

/// Ends the mock at its next wait, as a process is killed.
impl Drop for Task {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs until the socket closes or a directive ends it, and returns the exit status that a process would have.
async fn run(
    socket: DuplexStream,
    mut stderr: DuplexStream,
    files: Files,
    environment: String,
) -> ExitStatus {
    let files: HashMap<i32, File> = files
        .into_numbered()
        .map(|(number, file)| (number, File::from(file)))
        .collect();
    let open = move |descriptor| {
        let file: &File = files
            .get(&descriptor)
            .ok_or_else(|| io::Error::other(format!("no file {descriptor} was passed on")))?;
        file.try_clone()
    };
    let (read, mut write) = tokio::io::split(socket);
    let frames = LengthDelimitedCodec::builder()
        .max_frame_length(frame::MAX_FRAME)
        .new_codec();
    let mut requests = FramedRead::new(read, frames);
    let start = Instant::now();
    let world = World {
        open: Box::new(open),
        attempt: |_| "denied: a mock that is no process tries nothing".to_owned(),
        sandbox: Sandbox::default(),
    };
    let mut mock = Mock::new(&environment, world);

    let mut outputs = mock.begin();
    loop {
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    if write.write_all(&bytes).await.is_err() {
                        return ExitStatus::from_raw(0);
                    }
                }
                Output::Say(line) => {
                    let _ = stderr.write_all(format!("{line}\n").as_bytes()).await;
                }
                Output::Last(Last::Die(death)) => return status(death),
                Output::Last(Last::Deaf | Last::Freeze) => return pending().await,
                Output::Last(Last::HangUp) => {
                    drop((requests, write));
                    return pending().await;
                }
            }
        }
        let due = mock.next_step().map(|next| start + next);
        outputs = tokio::select! {
            // Requests that arrived before the next token are handled before it.
            biased;
            request = requests.next() => match request {
                Some(Ok(body)) => match frame::decode(&body) {
                    Ok(request) => mock.receive(request, start.elapsed()),
                    Err(_) => return ExitStatus::from_raw(0),
                },
                _ => return ExitStatus::from_raw(0),
            },
            () = tokio::task::yield_now(), if due.is_some_and(|due| due <= Instant::now()) => mock.step(start.elapsed()),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some_and(|due| due > Instant::now()) => {
                mock.step(start.elapsed())
            }
        };
    }
}

/// The exit status of a process with this end.
fn status(death: Death) -> ExitStatus {
    ExitStatus::from_raw(match death {
        Death::Abort => Signal::ABORT.as_raw(),
        Death::Segv => Signal::SEGV.as_raw(),
        Death::Kill => Signal::KILL.as_raw(),
        Death::Exit(code) => i32::from(code) << 8,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt as _, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn dropping_its_process_ends_the_mock() {
        let started = Tasks.launch(Program::new("mock"), Files::new());
        let Launched {
            process,
            mut read,
            write: _open,
            ..
        } = started.await.unwrap();
        drop(process);
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(9), read.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "its end of the pipe is open");
    }
}
