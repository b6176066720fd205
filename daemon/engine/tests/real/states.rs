//! Conversations that lose their cells, or their runner, and go on where they were.

use std::{fs::File, os::fd::AsRawFd};

use runner_protocol::{
    Adapter, Call, Done, Event, ExportState, FailureKind, Generate, HostCacheSetup, MAX_STATES,
    Prompt, State, StateOutcome,
    state::{Head, Writer},
};

use crate::{
    adapters::{listed, scale, two},
    harness::{Runner, greedy, inheritable},
};

const MEMORY: u64 = 64 << 20;

const WANTED: ExportState = ExportState {
    min_tokens: 128,
    max_bytes: MEMORY,
};

fn set_up_host_cache(memory: u64, files: &[&File]) -> Call {
    Call::HostCacheSetup(HostCacheSetup {
        model: "m".to_owned(),
        memory: Some(memory),
        files: files.iter().map(|file| file.as_raw_fd()).collect(),
    })
}

/// A runner with the tiny model that was handed these files before it loaded.
fn with(memory: u64, files: &[&File]) -> Runner {
    with_adapters(memory, files, Vec::new())
}

fn with_adapters(memory: u64, files: &[&File], adapters: Vec<Adapter>) -> Runner {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let ready = runner.call(set_up_host_cache(memory, files));
    assert!(matches!(ready, Event::HostCacheReady { .. }), "{ready:?}");
    runner.load(|load| load.adapters = adapters).unwrap();
    runner
}

/// A prompt of so many tokens that all prompts with this seed begin with, and one of its own.
fn tokens(seed: i32, alike: i32, own: i32) -> Vec<i32> {
    let beginning = (0..alike).map(|at| 50 + (at * 7 + seed) % 100);
    beginning.chain([200 + own]).collect()
}

fn ask(prompt: Vec<i32>) -> Generate {
    Generate {
        prompt: Prompt::Tokens(prompt),
        logprobs: Some(0),
        ..greedy("", 24)
    }
}

/// The end of an answer, and how likely its tokens were.
fn answer(runner: &mut Runner, prompt: Vec<i32>) -> (Done, Vec<f32>) {
    let id = runner.send(Call::Generate(Box::new(ask(prompt))));
    let mut likely = Vec::new();
    loop {
        match runner.event(id) {
            Event::Delta(delta) => likely.extend(delta.logprobs.iter().map(|it| it.chosen.logprob)),
            Event::Done(done) => return (*done, likely),
            Event::Started { .. } | Event::Prefill { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn same(a: &(Done, Vec<f32>), b: &(Done, Vec<f32>)) {
    assert_eq!(a.0.all_tokens, b.0.all_tokens);
    assert_eq!(a.1.len(), b.1.len());
    for (a, b) in a.1.iter().zip(&b.1) {
        // Cells that lie in another order are summed in another order, with half the digits of a float.
        assert!((a - b).abs() < 5e-3, "{a} and {b}");
    }
}

fn export_state(runner: &mut Runner) -> Option<(State, Vec<u8>)> {
    let state = match runner.call(Call::ExportState(WANTED)) {
        Event::State(state) => *state?,
        other => panic!("{other:?}"),
    };
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < state.head.bytes {
        let offset = bytes.len() as u64;
        match runner.call(Call::StatePart { offset }) {
            Event::StatePart(part) => bytes.extend(part.0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bytes.len() as u64, state.head.bytes);
    Some((state, bytes))
}

fn file_bytes(head: &Head, state: &[u8]) -> Vec<u8> {
    let (mut writer, start) = Writer::begin(head);
    assert!(writer.part(state));
    [&start[..], state, &writer.end()].concat()
}

/// A state of a conversation, and what comes when it goes on.
struct Talk {
    head: Head,
    state: Vec<u8>,
    next: Vec<i32>,
    /// In a runner that remembers nothing.
    then: (Done, Vec<f32>),
    /// In a runner where it never lost its cells. What was chosen there token by token is not read at once,
    /// which makes a small difference.
    stayed: (Done, Vec<f32>),
}

fn talk() -> Talk {
    let mut runner = with(MEMORY, &[]);
    let (first, _) = answer(&mut runner, tokens(1, 300, 1));
    let next = [&first.all_tokens[..], &tokens(5, 20, 1)].concat();
    let (state, bytes) = export_state(&mut runner).unwrap();
    assert_eq!(
        state.head.tokens,
        first.all_tokens[..first.all_tokens.len() - 1]
    );
    assert!(export_state(&mut runner).is_none(), "it was forgotten");
    let then = answer(&mut runner, next.clone());
    assert_eq!(then.0.cached_tokens, 0);
    let mut other = with(0, &[]);
    answer(&mut other, tokens(1, 300, 1));
    let stayed = answer(&mut other, next.clone());
    assert_eq!(stayed.0.cached_tokens as usize, state.head.tokens.len());
    Talk {
        head: state.head,
        state: bytes,
        next,
        then,
        stayed,
    }
}

#[test]
fn a_conversation_that_lost_its_cells_goes_on_as_if_it_had_not() {
    let Talk {
        head, next, stayed, ..
    } = talk();
    let mut runner = with(MEMORY, &[]);
    answer(&mut runner, tokens(1, 300, 1));
    for seed in 10..13 {
        let (other, _) = answer(&mut runner, tokens(seed, 500, 1));
        assert_eq!(other.cached_tokens, 0);
    }
    let back = answer(&mut runner, next);
    assert_eq!(back.0.cached_tokens as usize, head.tokens.len());
    same(&back, &stayed);
    // A part of it is of use as well, and it stays where it is.
    answer(&mut runner, tokens(20, 500, 1));
    let (part, _) = answer(&mut runner, tokens(1, 250, 9));
    assert_eq!(part.cached_tokens, 250);
}

#[test]
fn nothing_is_kept_where_there_is_no_memory_for_it() {
    for mut runner in [with(0, &[]), Runner::loaded(|_| ())] {
        answer(&mut runner, tokens(1, 300, 1));
        answer(&mut runner, tokens(2, 500, 1));
        let (again, _) = answer(&mut runner, tokens(1, 300, 1));
        assert_eq!(again.cached_tokens, 0);
    }
    let mut runner = Runner::loaded(|_| ());
    answer(&mut runner, tokens(1, 300, 1));
    assert_eq!(runner.call(Call::ExportState(WANTED)), Event::State(None));
}

#[test]
fn a_conversation_goes_on_in_another_runner_as_if_nothing_had_been() {
    let talk = talk();
    let file = inheritable(&file_bytes(&talk.head, &talk.state));
    let mut runner = with(MEMORY, &[&file]);
    let back = answer(&mut runner, talk.next.clone());
    assert_eq!(back.0.cached_tokens as usize, talk.head.tokens.len());
    same(&back, &talk.stayed);
    let used = Event::StateOutcome {
        state: 0,
        outcome: StateOutcome::Used,
    };
    assert_eq!(runner.event(0), used);
    // What it became is worth more than what it was; what is in the file already is not handed out again.
    let (longer, _) = export_state(&mut runner).unwrap();
    assert_eq!(longer.instead_of, [0]);
    assert!(longer.head.tokens.len() > talk.head.tokens.len());
    assert!(export_state(&mut runner).is_none());
}

#[test]
fn what_is_saved_already_is_not_handed_out_again() {
    let talk = talk();
    let file = inheritable(&file_bytes(&talk.head, &talk.state));
    let mut runner = with(MEMORY, &[&file]);
    let beginning = Generate {
        max_tokens: Some(0),
        ..ask(talk.head.tokens[..250].to_vec())
    };
    let (_, done) = runner.generate(beginning);
    assert_eq!(done.cached_tokens, 249);
    assert!(export_state(&mut runner).is_none());
}

/// Asks until it was told of so many states.
fn outcomes(
    runner: &mut Runner,
    next: &[i32],
    count: usize,
    then: &(Done, Vec<f32>),
) -> Vec<(u32, StateOutcome)> {
    let mut told = Vec::new();
    for _ in 0..count {
        // No state but the last is used, so none of the answers is in the cells either.
        let done = answer(runner, next.to_vec());
        same(&done, then);
        runner.call(Call::Stats);
    }
    for _ in 0..count {
        match runner.event(0) {
            Event::StateOutcome { state, outcome } => told.push((state, outcome)),
            other => panic!("{other:?}"),
        }
    }
    told.sort_by_key(|(state, _)| *state);
    told
}

#[test]
fn damaged_files_are_refused_wherever_they_are_damaged() {
    let talk = talk();
    let good = file_bytes(&talk.head, &talk.state);
    let head = good.len() - talk.state.len() - 16;
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let bad = [
        flip(0),
        flip(8),
        flip(12),
        flip(40),
        flip(head - 1),
        good[..good.len() - 1].to_vec(),
        Vec::new(),
        // These are found out when they are used.
        flip(head),
        flip(good.len() / 2),
        flip(good.len() - 17),
        flip(good.len() - 1),
    ];
    for bad in &bad {
        let file = inheritable(bad);
        let mut runner = with(0, &[&file]);
        let told = outcomes(&mut runner, &talk.next, 1, &talk.then);
        assert_eq!(told, [(0, StateOutcome::Refused)]);
    }
}

#[test]
fn a_state_belongs_to_its_adapters_wherever_they_are_in_the_list() {
    let [a, b] = two();
    let asking = |digest: &str, prompt| Generate {
        adapters: vec![scale(digest, 1.0)],
        ..ask(prompt)
    };
    let mut first = with_adapters(MEMORY, &[], listed(&[a, b]));
    let (_, done) = first.generate(asking("b", tokens(1, 300, 1)));
    let (state, bytes) = export_state(&mut first).unwrap();
    assert_eq!(state.head.adapters, [("b".to_owned(), 1.0_f32.to_bits())]);
    let next = [&done.all_tokens[..], &tokens(5, 20, 1)].concat();
    let file = inheritable(&file_bytes(&state.head, &bytes));
    let cached = |adapters: &[(&str, File)], digest| {
        let mut runner = with_adapters(MEMORY, &[&file], listed(adapters));
        let (_, done) = runner.generate(asking(digest, next.clone()));
        let told = runner.has_early(0).then(|| runner.event(0));
        (done.cached_tokens as usize, told)
    };
    let [a, b] = two();
    let order = [b, a];
    let used = Event::StateOutcome {
        state: 0,
        outcome: StateOutcome::Used,
    };
    assert_eq!(cached(&order, "b"), (state.head.tokens.len(), Some(used)));
    assert_eq!(cached(&order, "a"), (0, None));
    // It stays for a runner with its adapter.
    assert_eq!(cached(&order[1..], "a"), (0, None));
}

#[test]
fn files_that_are_whole_and_not_of_this_model_or_engine_are_refused() {
    let talk = talk();
    let changed = |change: fn(&mut Head)| {
        let mut head = talk.head.clone();
        change(&mut head);
        file_bytes(&head, &talk.state)
    };
    let foreign = [
        changed(|head| head.model = "another".to_owned()),
        changed(|head| head.build.push_str(" and later")),
        changed(|head| head.tokens[7] = i32::MAX),
        changed(|head| head.tokens[7] = -1),
    ];
    let files: Vec<File> = foreign.iter().map(|bytes| inheritable(bytes)).collect();
    let mut runner = with(MEMORY, &files.iter().collect::<Vec<_>>());
    for state in 0..4 {
        let outcome = StateOutcome::Refused;
        assert_eq!(runner.event(0), Event::StateOutcome { state, outcome });
    }
    same(&answer(&mut runner, talk.next.clone()), &talk.then);
}

/// With a check that is right, so that llama.cpp sees them.
#[test]
fn states_that_are_none_are_refused_by_what_reads_them() {
    let talk = talk();
    let with_state = |state: Vec<u8>| {
        let head = Head {
            bytes: state.len() as u64,
            ..talk.head.clone()
        };
        inheritable(&file_bytes(&head, &state))
    };
    let mut other_count = talk.state.clone();
    // Behind magic, sequence and streams: the number of cells.
    other_count[12..16].copy_from_slice(&5_u32.to_le_bytes());
    for state in [
        vec![0; 1000],
        talk.state[..talk.state.len() / 2].to_vec(),
        [&talk.state[..], &[0; 64]].concat(),
        other_count,
    ] {
        let file = with_state(state);
        let mut runner = with(0, &[&file]);
        let told = outcomes(&mut runner, &talk.next, 1, &talk.then);
        assert_eq!(told, [(0, StateOutcome::Refused)]);
    }
}

#[test]
fn a_state_that_is_longer_than_the_context_is_left_for_later() {
    let talk = talk();
    let file = inheritable(&file_bytes(&talk.head, &talk.state));
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    runner.call(set_up_host_cache(MEMORY, &[&file]));
    runner.load(|load| load.settings.context = 256).unwrap();
    let (done, _) = answer(&mut runner, tokens(1, 200, 1));
    assert_eq!(done.cached_tokens, 0);
    let id = runner.send(Call::Stats);
    assert!(matches!(runner.event(id), Event::Stats(_)));
    assert!(!runner.has_early(0), "nobody is told anything of it");
}

#[test]
fn what_is_kept_is_said_once_before_the_load_and_within_bounds() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let file = inheritable(b"x");
    let many = vec![&file; MAX_STATES + 1];
    assert_eq!(
        runner.fails(set_up_host_cache(0, &many)).0,
        FailureKind::Invalid
    );
    let none = Call::HostCacheSetup(HostCacheSetup {
        files: vec![1_000_000],
        model: "m".to_owned(),
        memory: None,
    });
    assert_eq!(runner.fails(none).0, FailureKind::Invalid);
    let nameless = Call::HostCacheSetup(HostCacheSetup::default());
    assert_eq!(runner.fails(nameless).0, FailureKind::Invalid);
    assert_eq!(
        runner.call(set_up_host_cache(0, &[])),
        Event::HostCacheReady { states: 0 }
    );
    assert_eq!(
        runner.fails(set_up_host_cache(0, &[])).0,
        FailureKind::Invalid
    );
    runner.load(|_| ()).unwrap();
    assert_eq!(
        runner.fails(set_up_host_cache(0, &[])).0,
        FailureKind::Invalid
    );
    for offset in [1, u64::MAX] {
        let part = Call::StatePart { offset };
        assert_eq!(runner.fails(part).0, FailureKind::Invalid);
    }
    runner.generate(greedy("hello", 4));
}
