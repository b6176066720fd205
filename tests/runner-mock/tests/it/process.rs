//! The life of a runner process.

use std::{
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Command,
    time::Duration,
};

use runner_protocol::{Call, Event, Hello, Reply, Request, VERSION, frame};
use rustix::process::{Pid, Signal};
use supervisor::{Cause, Error, Files, Options, Program};

use crate::support::{
    ask, chat, finish, first_word, load_it, loaded, processes, program, spawn, weights,
};

/// Whether the process is gone and reaped: a zombie still has its id.
pub(crate) fn is_reaped(pid: u32) -> bool {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::test_kill_process(pid).is_err()
}

/// Whether the process was stopped by a signal, from its state in proc(5).
fn is_stopped(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .unwrap()
        .contains(") T ")
}

#[tokio::test]
async fn a_process_answers_and_leaves_when_asked() {
    let spawner = processes();
    let runner = loaded(&spawner, Options::default()).await;
    let pid = runner.pid().unwrap();
    assert_eq!(ask(&runner, "are you there?").await.0, "are you there?");
    assert!(runner.resident_bytes().unwrap() > 100_000);
    let exit = runner.stop(Duration::from_secs(60)).await;
    assert!(matches!(exit.cause, Cause::Stopped), "{exit:?}");
    assert_eq!(exit.status.unwrap().code(), Some(0));
    assert!(is_reaped(pid));
    assert_eq!(runner.resident_bytes(), None);
    assert!(matches!(
        ask(&runner, "and now?").await.1,
        Err(Error::Stopped)
    ));
    spawner.drained().await;
}

#[tokio::test]
async fn the_last_handle_takes_the_process_with_it() {
    let spawner = processes();
    let runner = loaded(&spawner, Options::default()).await;
    let (pid, exited) = (runner.pid().unwrap(), runner.exited());
    let other = runner.clone();
    drop(runner);
    assert_eq!(ask(&other, "one is left").await.0, "one is left");
    drop(other);
    let exit = exited.await;
    assert!(matches!(exit.cause, Cause::Stopped), "{exit:?}");
    assert!(is_reaped(pid));
}

#[tokio::test]
async fn an_answer_keeps_its_runner() {
    let runner = loaded(&processes(), Options::default()).await;
    let generation = runner.generate(chat("to the end")).await.unwrap();
    drop(runner);
    assert_eq!(finish(generation).await.0, "to the end");
}

#[tokio::test]
async fn open_answers_end_when_a_runner_is_stopped() {
    let runner = loaded(&processes(), Options::default()).await;
    let mut generation = runner
        .generate(chat("[[mock: delay-ms 3600000; count 3]]"))
        .await
        .unwrap();
    let reading = tokio::spawn(async move { first_word_or_error(&mut generation).await });
    runner.stats().await.unwrap();
    runner.stop(Duration::from_secs(60)).await;
    assert!(matches!(reading.await.unwrap(), Err(Error::Stopped)));
}

async fn first_word_or_error(generation: &mut supervisor::Generation) -> Result<(), Error> {
    use futures::StreamExt as _;
    while let Some(step) = generation.next().await {
        step?;
    }
    Ok(())
}

#[tokio::test]
async fn a_runner_that_does_not_listen_is_terminated() {
    let runner = loaded(&processes(), Options::default()).await;
    let pid = runner.pid().unwrap();
    let mut generation = runner
        .generate(chat("[[mock: deaf-at-token 1]] hello"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    let exit = runner.stop(Duration::ZERO).await;
    assert_eq!(exit.signal(), Some(Signal::TERM.as_raw()));
    assert!(is_reaped(pid));
}

#[tokio::test]
async fn a_runner_that_cannot_be_terminated_is_killed() {
    let runner = loaded(
        &processes(),
        Options {
            term: Duration::from_millis(100),
            ..Options::default()
        },
    )
    .await;
    let pid = runner.pid().unwrap();
    let mut generation = runner
        .generate(chat("[[mock: freeze-at-token 1]] hello"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    while !is_stopped(pid) {
        tokio::task::yield_now().await;
    }
    let exit = runner.stop(Duration::ZERO).await;
    assert_eq!(exit.signal(), Some(Signal::KILL.as_raw()));
    assert!(is_reaped(pid));
}

#[tokio::test]
async fn a_second_stop_makes_the_first_one_faster() {
    let runner = loaded(
        &processes(),
        Options {
            term: Duration::from_secs(3600),
            ..Options::default()
        },
    )
    .await;
    let mut generation = runner
        .generate(chat("[[mock: freeze-at-token 1]] hello"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    let patient = tokio::spawn({
        let runner = runner.clone();
        async move { runner.stop(Duration::from_secs(3600)).await }
    });
    assert!(matches!(
        ask(&runner, "refused, so the stop is under way").await.1,
        Err(Error::Stopped | Error::Stalled { .. })
    ));
    runner.kill().await;
    assert_eq!(patient.await.unwrap().signal(), Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let spawner = processes();
    let missing = spawner
        .spawn(
            &Program::new("/nonexistent/slm-runner"),
            Files::new(),
            Options::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(&missing, Error::Spawn { .. }), "{missing:?}");
    assert!(
        missing.to_string().contains("/nonexistent/slm-runner"),
        "{missing}"
    );
    let relative = spawner
        .spawn(
            &Program::new("slm-runner"),
            Files::new(),
            Options::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(relative, Error::Spawn { .. }), "{relative:?}");
}

#[tokio::test]
async fn a_program_of_another_build_is_refused() {
    let error = spawn(
        &processes(),
        "hello-version 99",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, Error::Version { theirs: 99, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("install both from one release"),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_is_no_runner_is_refused() {
    let hasty = processes()
        .spawn(&Program::new("/bin/true"), Files::new(), Options::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&hasty, Error::Exited(exit) if exit.status.unwrap().success()),
        "{hasty:?}"
    );
    let garbage = spawn(
        &processes(),
        "garbage-in-hello",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap_err();
    assert!(matches!(garbage, Error::Protocol { .. }), "{garbage:?}");
    let crash = spawn(
        &processes(),
        "say no device; crash-in-hello exit-3",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&crash, Error::Exited(exit) if exit.status.unwrap().code() == Some(3)),
        "{crash:?}"
    );
    assert_eq!(crash.stderr(), ["no device"]);
}

#[tokio::test]
async fn a_program_that_does_not_introduce_itself_is_killed() {
    let options = Options {
        hello: Duration::from_millis(50),
        ..Options::default()
    };
    let error = spawn(&processes(), "stall-in-hello", weights(""), options)
        .await
        .unwrap_err();
    let Error::Hello { exit, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(exit.signal(), Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_is_undone() {
    let spawner = processes();
    let program = program("stall-in-hello");
    {
        let start = spawner.spawn(&program, Files::new(), Options::default());
        tokio::select! {
            biased;
            _ = start => panic!("it cannot have started"),
            () = tokio::task::yield_now() => {}
        }
    }
    spawner.drained().await;
}

/// The environment of a process, as a shell in place of the runner reports it.
#[tokio::test]
async fn a_process_gets_its_own_environment_and_nothing_else() {
    let mut files = Files::new();
    files.push(weights("the weights"));
    files.push(weights("an adapter"));
    let program = Program {
        path: "/bin/sh".into(),
        args: vec![
            "-c".into(),
            "echo to nobody; exec >&2; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_=; pwd; \
             cat /proc/self/fd/3 /proc/self/fd/4; echo; ls /proc/$$/fd; \
             set -- $(cat /proc/$$/stat); test $5 = $$ && echo group"
                .into(),
        ],
        env: vec![("ALLOWED".into(), "yes".into())],
    };
    let error = processes()
        .spawn(&program, files, Options::default())
        .await
        .unwrap_err();
    let lines = error.stderr();
    // `cat` reads a file from its start only if its offset is there; the writer left the offset at the end.
    assert_eq!(lines[..2], ["ALLOWED=yes", "/"], "{lines:?}");
    assert!(
        lines.ends_with(&[
            "0".into(),
            "1".into(),
            "2".into(),
            "3".into(),
            "4".into(),
            "group".into()
        ]),
        "{lines:?}"
    );
}

/// Without a supervisor, because a killed daemon leaves only a closed socket.
#[test]
fn the_end_of_its_input_ends_a_runner() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_slm-mock-runner"))
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let hello: Hello = frame::read(&mut ours).unwrap();
    assert_eq!(hello.version, VERSION);
    drop(ours);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A runner that hangs does not read the end of its input, but the death of its parent ends it.
#[test]
#[cfg(target_os = "linux")]
fn the_death_of_its_parent_ends_a_runner_that_hangs() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    // The shell stands for the daemon. It starts the runner as its child, because another command follows.
    let mut daemon = Command::new("/bin/sh")
        .args(["-c", "\"$0\"; true", env!("CARGO_BIN_EXE_slm-mock-runner")])
        .env("SLM_MOCK", "deaf-in-load")
        .stdin(OwnedFd::from(theirs))
        .stdout(weights(""))
        .spawn()
        .unwrap();
    frame::read::<Hello>(&mut ours).unwrap();
    let load = runner_protocol::Load {
        weights_fd: 1,
        shard_fds: Vec::new(),
        ..crate::support::load()
    };
    frame::write(
        &mut ours,
        &Request {
            id: 1,
            call: Call::Load(load),
        },
    )
    .unwrap();
    let reply: Reply = frame::read(&mut ours).unwrap();
    assert!(matches!(reply.event, Event::Loading { .. }), "{reply:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // The socket closes when the last process that holds it ends.
    assert_eq!(ours.read(&mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn a_runner_leaves_no_core_file() {
    let runner = loaded(&processes(), Options::default()).await;
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", runner.pid().unwrap())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().filter(|word| *word == "0").count(),
        2,
        "{core}"
    );
}

#[tokio::test]
async fn a_spare_process_takes_the_files_of_a_model_and_answers() {
    let spawner = processes();
    let mut spare = spawner.prepare(&program("")).await.unwrap();
    assert_eq!(*spare.program(), program(""));
    assert!(!spare.has_ended());
    let mut files = Files::new();
    assert_eq!(files.push(weights("GGUF")), Files::FIRST);
    let runner = spawner.use_spare(spare, files, Options::default());
    let runner = runner.await.unwrap();
    load_it(&runner).await.unwrap();
    assert_eq!(ask(&runner, "are you there?").await.0, "are you there?");
    let exit = runner.stop(Duration::from_secs(60)).await;
    assert_eq!(exit.status.unwrap().code(), Some(0), "{exit:?}");
}

#[tokio::test]
async fn a_spare_process_that_cannot_start_is_an_error() {
    let mut broken = program("");
    broken.path = "/no/such/runner".into();
    let error = processes().prepare(&broken).await.unwrap_err();
    assert!(matches!(error, Error::Spawn { .. }), "{error}");
}
