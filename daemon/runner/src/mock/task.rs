//! The mock runner as a task: the state machine in the daemon's own runtime, whose clock can be paused.

use std::{
    collections::HashMap, fs::File, future::pending, io, os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use futures::StreamExt as _;
use rustix::process::Signal;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    time::Instant,
};
use tokio_util::codec::FramedRead;

use super::{
    machine::{Last, Mock, Output, World},
    script::Death,
};
use crate::{
    protocol::{Request, Sandbox},
    supervisor::{Files, codec::Frames},
};

/// Runs until the socket ends or a directive ends it; resolves with what a process would have ended with.
pub(crate) async fn run(
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
    let mut requests = FramedRead::new(read, Frames::<Request>::new());
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
            // What was said before the next token is heard before it.
            biased;
            request = requests.next() => match request {
                Some(Ok(request)) => mock.receive(request, start.elapsed()),
                _ => return ExitStatus::from_raw(0),
            },
            () = tokio::task::yield_now(), if due.is_some_and(|due| due <= Instant::now()) => mock.step(start.elapsed()),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some_and(|due| due > Instant::now()) => {
                mock.step(start.elapsed())
            }
        };
    }
}

/// How a process would have ended.
fn status(death: Death) -> ExitStatus {
    ExitStatus::from_raw(match death {
        Death::Abort => Signal::ABORT.as_raw(),
        Death::Segv => Signal::SEGV.as_raw(),
        Death::Kill => Signal::KILL.as_raw(),
        Death::Exit(code) => i32::from(code) << 8,
    })
}
