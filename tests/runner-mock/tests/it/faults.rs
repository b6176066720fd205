//! Each fault at each point: the caller gets the cause and the last lines of standard error, the process is reaped, and a new one works.

use std::time::Duration;

use supervisor::{Cause, Error, Exit, Options};

use crate::{
    process::is_reaped,
    support::{ask, load_it, loaded, processes, spawn, weights},
};

/// Whether an error has the expected kind.
type Expected = fn(&Error) -> bool;

/// Faults with the expected errors.
const FAULTS: &[(&str, &str, Expected)] = &[
    ("crash", "abort", |error| signal(error) == Some(6)),
    ("crash", "segv", |error| signal(error) == Some(11)),
    ("crash", "kill", |error| signal(error) == Some(9)),
    (
        "crash",
        "exit-0",
        |error| matches!(error, Error::Exited(exit) if code(exit) == Some(0)),
    ),
    (
        "crash",
        "exit-3",
        |error| matches!(error, Error::Exited(exit) if code(exit) == Some(3)),
    ),
    ("garbage", "", |error| {
        matches!(error, Error::Protocol { .. })
    }),
    ("half-frame", "", |error| {
        matches!(error, Error::Protocol { .. })
    }),
    ("huge-frame", "", |error| {
        matches!(error, Error::Protocol { .. })
    }),
    ("wrong-event", "", |error| {
        matches!(error, Error::Protocol { .. })
    }),
    ("wrong-id", "", |error| {
        matches!(error, Error::Protocol { .. })
    }),
    ("stall", "", |error| matches!(error, Error::Stalled { .. })),
    ("deaf", "", |error| matches!(error, Error::Stalled { .. })),
    ("freeze", "", |error| matches!(error, Error::Stalled { .. })),
];

fn signal(error: &Error) -> Option<i32> {
    match error {
        Error::Exited(exit) if matches!(exit.cause, Cause::Itself) => exit.signal(),
        _ => None,
    }
}

fn code(exit: &Exit) -> Option<i32> {
    exit.status.and_then(|status| status.code())
}

/// Short timeouts only for faults that show by a timeout; the others must be noticed without.
fn options(fault: &str) -> Options {
    if ["stall", "deaf", "freeze"].contains(&fault) {
        Options {
            silence: Duration::from_secs(1),
            ..Options::default()
        }
    } else {
        Options::default()
    }
}

#[tokio::test]
async fn in_load() {
    let spawner = processes();
    for (fault, how, expected) in FAULTS {
        let weights = weights(&format!(
            "GGUF [[mock: say last words; {fault}-in-load {how}]]"
        ));
        let options = options(fault);
        let options = Options {
            load_silence: options.silence,
            ..options
        };
        let runner = spawn(&spawner, "", weights, options).await.unwrap();
        let (pid, exited) = (runner.pid().unwrap(), runner.exited());
        let error = load_it(&runner).await.unwrap_err();
        assert!(expected(&error), "{fault} {how}: {error:?}");
        assert_eq!(error.stderr(), ["last words"], "{fault} {how}");
        // The exit is published before the error, so a caller that retries never gets a dead runner.
        assert!(exited.await.status.is_some(), "{fault} {how}");
        assert!(is_reaped(pid), "{fault} {how}");
    }
    assert_eq!(
        ask(&loaded(&spawner, Options::default()).await, "next")
            .await
            .0,
        "next"
    );
}

#[tokio::test]
async fn in_prefill() {
    while_generating("-in-prefill", "").await;
}

#[tokio::test]
async fn in_decode() {
    while_generating("-at-token 2", "one two").await;
}

async fn while_generating(place: &str, before: &str) {
    let spawner = processes();
    for (fault, how, expected) in FAULTS {
        let runner = loaded(&spawner, options(fault)).await;
        let (pid, exited) = (runner.pid().unwrap(), runner.exited());
        let directives = format!("[[mock: say last words; {fault}{place} {how}]]");
        let (text, end) = ask(&runner, &format!("one two three{directives}")).await;
        let error = end.unwrap_err();
        assert!(expected(&error), "{fault} {how}: {error:?}");
        assert_eq!(error.stderr(), ["last words"], "{fault} {how}");
        assert_eq!(text, before, "{fault} {how}");
        assert!(exited.await.status.is_some(), "{fault} {how}");
        assert!(is_reaped(pid), "{fault} {how}");
        // A later call gets the same error.
        assert!(
            expected(&ask(&runner, "later").await.1.unwrap_err()),
            "{fault} {how}"
        );
    }
    assert_eq!(
        ask(&loaded(&spawner, Options::default()).await, "next")
            .await
            .0,
        "next"
    );
}

#[tokio::test]
async fn a_crash_ends_all_answers() {
    let runner = loaded(&processes(), Options::default()).await;
    let other = runner
        .generate(crate::support::chat("[[mock: delay-ms 3600000]] slow"))
        .await
        .unwrap();
    let (_, end) = ask(&runner, "[[mock: crash-at-token 1 segv]] a b").await;
    assert_eq!(signal(&end.unwrap_err()), Some(11));
    let (_, end) = crate::support::finish(other).await;
    assert_eq!(signal(&end.unwrap_err()), Some(11));
}

#[tokio::test]
async fn a_process_killed_from_outside_is_noticed_while_idle() {
    let runner = loaded(&processes(), Options::default()).await;
    let pid = rustix::process::Pid::from_raw(runner.pid().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let exit = runner.exited().await;
    assert!(matches!(exit.cause, Cause::Itself), "{exit:?}");
    assert_eq!(exit.signal(), Some(9));
    assert_eq!(exit.to_string(), "was ended by signal: 9 (SIGKILL)");
}
