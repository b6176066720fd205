//! The real runner dies, hangs or loses its client during load, prefill and decode: one clear error, and the next request is
//! served. Faults that need a lying runner are tested with the mock, in `faults`.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::harness::{Daemon, Engine, Home, Outcome, wait_until};

/// What the runner does at the moment of the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Load,
    Prefill,
    Decode,
}

/// A context that takes seconds of prefill, in tokens.
const CONTEXT: u32 = 32_768;

/// Time within which a cancelled answer must free its slot.
const SOON: Duration = Duration::from_millis(500);

/// A home with the real engine and one slot.
fn home() -> Home {
    let mut home = Home::new(Engine::Real);
    home.set("SLM_PARALLEL", "1");
    home.set("SLM_STALL_TIMEOUT", "2s");
    home.set("SLM_CONTEXT_LENGTH", CONTEXT.to_string());
    home
}

/// A daemon with a tiny random model of a long context, which never ends its turn.
fn daemon(home: &Home) -> Daemon {
    let daemon = home.daemon();
    let model = gguf_writer::tiny::writer(7).replace("llama.context_length", CONTEXT);
    home.file("long.gguf", model.to_bytes());
    home.create("mine", "FROM ./long.gguf\n").ok();
    daemon
}

/// A client whose answer takes longer than the test.
fn ask(home: &Home, phase: Phase) -> Child {
    let prompt = match phase {
        Phase::Prefill => "the sky is blue because ".repeat(1200),
        Phase::Load | Phase::Decode => "hello".to_owned(),
    };
    home.program("slm")
        .args(["run", "mine", "--param", "num_predict=-1"])
        .args(["--param", "temperature=0"])
        .arg(prompt)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slm starts")
}

/// Waits until the runner is in this phase, and returns its process.
fn reach(home: &Home, daemon: &Daemon, client: &mut Child, phase: Phase) -> Pid {
    if phase == Phase::Load {
        return wait_until("a runner", || child_of(daemon));
    }
    let runner = wait_until("a runner that works", || busy(home));
    if phase == Phase::Decode {
        let output = client.stdout.as_mut().expect("it is piped");
        output.read_exact(&mut [0]).expect("an answer that begins");
    }
    runner
}

/// The runner of a busy model.
fn busy(home: &Home) -> Option<Pid> {
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    let model = &ps["models"][0];
    (model["state"] == "busy").then_some(())?;
    Pid::from_raw(i32::try_from(model["pid"].as_i64()?).ok()?)
}

/// The child of the daemon with the model, once it is a runner: between fork and exec it is a copy of the daemon.
/// At its start the daemon also runs the same program to check CPU modules.
fn child_of(daemon: &Daemon) -> Option<Pid> {
    let parent = daemon.pid().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let mut runners = processes.filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let (number, name) = head.split_once(" (")?;
        let is_ours = tail.split_whitespace().nth(1) == Some(parent.as_str());
        let arguments = fs::read_to_string(process.path().join("cmdline")).ok()?;
        // A child that has ended has no command line.
        if arguments.is_empty() || arguments.contains("probe") {
            return None;
        }
        (is_ours && name == "slm-runner").then(|| Pid::from_raw(number.parse().ok()?))?
    });
    runners.next()
}

/// Sends a signal until it takes effect: the first SIGSEGV from outside counts as a full stack and is ignored.
fn strike(runner: Pid, signal: Signal) {
    wait_until("the signal to be heeded", || {
        let _ = rustix::process::kill_process(runner, signal);
        let state = state_of(runner);
        matches!(state, None | Some('Z' | 'X' | 'T')).then_some(())
    });
}

/// The state letter of proc_pid_stat(5), while the process exists.
fn state_of(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Sends a signal to the runner in this phase; the client gets an error, and the next one an answer.
#[track_caller]
fn check(phase: Phase, signal: Signal, speaks_of: &str) {
    let home = home();
    let daemon = daemon(&home);
    let mut client = ask(&home, phase);
    let runner = reach(&home, &daemon, &mut client, phase);
    strike(runner, signal);
    let error = Outcome::of(client.wait_with_output().expect("our own child")).fails(1);
    for word in ["model 'mine", "the runner ", speaks_of] {
        assert!(error.contains(word), "{phase:?}: no `{word}` in: {error}");
    }
    assert!(
        matches!(state_of(runner), None | Some('Z' | 'X')),
        "it is gone"
    );
    answers(&home);
    home.assert_clean();
}

/// Asserts that the model answers, and returns the time that it took.
#[track_caller]
fn answers(home: &Home) -> Duration {
    let start = Instant::now();
    let events = home
        .slm(&["run", "mine", "--json", "--param", "num_predict=4", "hello"])
        .ok();
    let took = start.elapsed();
    let last: Value = serde_json::from_str(events.lines().last().expect("events")).expect("NDJSON");
    assert_eq!(last["done"], true, "{events}");
    took
}

#[test]
fn a_runner_that_is_killed_in_load() {
    check(Phase::Load, Signal::KILL, "signal: 9");
}

#[test]
fn a_runner_that_is_killed_in_prefill() {
    check(Phase::Prefill, Signal::KILL, "signal: 9");
}

#[test]
fn a_runner_that_is_killed_in_decode() {
    check(Phase::Decode, Signal::KILL, "signal: 9");
}

#[test]
fn a_runner_that_aborts_in_load() {
    check(Phase::Load, Signal::ABORT, "signal: 6");
}

#[test]
fn a_runner_that_aborts_in_prefill() {
    check(Phase::Prefill, Signal::ABORT, "signal: 6");
}

#[test]
fn a_runner_that_aborts_in_decode() {
    check(Phase::Decode, Signal::ABORT, "signal: 6");
}

#[test]
fn a_runner_that_faults_in_prefill() {
    check(Phase::Prefill, Signal::SEGV, "signal: 11");
}

#[test]
fn a_runner_that_faults_in_decode() {
    check(Phase::Decode, Signal::SEGV, "signal: 11");
}

#[test]
fn a_runner_that_hangs_in_prefill() {
    check(Phase::Prefill, Signal::STOP, "made no progress for 2 s");
}

#[test]
fn a_runner_that_hangs_in_decode() {
    check(Phase::Decode, Signal::STOP, "made no progress for 2 s");
}

/// A client that disconnects frees its slot.
#[test]
fn a_client_that_disconnects_frees_its_slot_soon() {
    let home = home();
    let daemon = daemon(&home);
    answers(&home);
    for phase in [Phase::Prefill, Phase::Decode] {
        // A busy machine may be late once; a runner that does not cancel is late each time.
        let late = (0..3).map(|_| {
            let mut client = ask(&home, phase);
            reach(&home, &daemon, &mut client, phase);
            client.kill().expect("our own child");
            client.wait().expect("our own child");
            answers(&home)
        });
        let soonest = late.min().expect("three times");
        assert!(soonest < SOON, "{phase:?}: {soonest:?}");
    }
}

#[test]
fn a_queued_client_that_disconnects_does_not_disturb_the_others() {
    let home = home();
    let daemon = daemon(&home);
    let mut first = ask(&home, Phase::Decode);
    let runner = reach(&home, &daemon, &mut first, Phase::Decode);
    let mut second = ask(&home, Phase::Decode);
    wait_until("a second request", || (active(&home) == 2).then_some(()));
    second.kill().expect("our own child");
    second.wait().expect("our own child");
    wait_until("the second to be gone", || {
        (active(&home) == 1).then_some(())
    });
    // The first answer continues, from the same runner.
    let output = first.stdout.as_mut().expect("it is piped");
    output
        .read_exact(&mut [0; 64])
        .expect("an answer that continues");
    assert_eq!(busy(&home), Some(runner));
    first.kill().expect("our own child");
    first.wait().expect("our own child");
    answers(&home);
}

fn active(home: &Home) -> u64 {
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    ps["models"][0]["active"].as_u64().unwrap_or(0)
}

/// In every phase.
#[test]
fn the_runner_of_a_killed_daemon_ends() {
    for (phase, is_frozen) in [
        (Phase::Load, false),
        (Phase::Prefill, false),
        (Phase::Decode, false),
        (Phase::Decode, true),
    ] {
        let home = home();
        let daemon = daemon(&home);
        let mut client = ask(&home, phase);
        let runner = reach(&home, &daemon, &mut client, phase);
        if is_frozen {
            strike(runner, Signal::STOP);
        }
        daemon.end(Signal::KILL);
        let start = Instant::now();
        wait_until("the runner to end", || {
            matches!(state_of(runner), None | Some('Z' | 'X')).then_some(())
        });
        let took = start.elapsed();
        assert!(
            took < Duration::from_secs(2),
            "{phase:?}, frozen {is_frozen}: {took:?}"
        );
        Outcome::of(client.wait_with_output().expect("our own child")).fails(1);
        // The store opens again.
        let _daemon = home.daemon();
        answers(&home);
    }
}
