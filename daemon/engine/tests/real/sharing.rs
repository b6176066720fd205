//! Several answers at once.

use runner_protocol::{Call, Event, FailureKind, Generate, Prompt, Stats, StopReason};

use crate::harness::{Runner, greedy};

const PROMPTS: [&str; 4] = ["hello", "the sky is", "and so on and so on and so on", "a"];

#[test]
fn answers_side_by_side_are_the_same_as_alone() {
    let mut runner = Runner::loaded(|_| ());
    let alone: Vec<String> = PROMPTS
        .iter()
        .map(|prompt| runner.generate(greedy(prompt, 48)).0)
        .collect();
    let ids = PROMPTS.map(|prompt| runner.send(Call::Generate(Box::new(greedy(prompt, 48)))));
    let together: Vec<String> = ids.iter().map(|&id| runner.answer(id).0).collect();
    assert_eq!(alone, together);
}

#[test]
fn answers_that_outgrow_the_cache_together_still_come_whole() {
    let mut runner = Runner::loaded(|load| load.settings.context = 256);
    let long = |prompt| Generate {
        max_tokens: None,
        ..greedy(prompt, 0)
    };
    let ids = PROMPTS.map(|prompt| runner.send(Call::Generate(Box::new(long(prompt)))));
    let answers = ids.map(|id| runner.answer(id).1);
    for done in &answers {
        assert_eq!(
            (done.reason, done.all_tokens.len()),
            (StopReason::Length, 256)
        );
    }
    // Whether the tokens of those that were evicted were put back in their places shows in how they went on:
    // as the same tokens go on when they are a prompt. A tie may fall differently here and there.
    let windows: Vec<(&[i32], &[i32])> = answers
        .iter()
        .flat_map(|done| {
            (40..240)
                .step_by(20)
                .map(|at| (&done.all_tokens[..at], &done.all_tokens[at..at + 6]))
        })
        .collect();
    let mut agree = |(before, after): (&[i32], &[i32])| {
        let prompt = Prompt::Tokens(before.to_vec());
        let (_, done) = runner.generate(Generate {
            prompt,
            ..greedy("", 6)
        });
        done.all_tokens[before.len()..] == *after
    };
    let agreeing = windows.iter().filter(|window| agree(**window)).count();
    assert!(
        agreeing * 10 >= windows.len() * 9,
        "{agreeing} of {} windows agree",
        windows.len()
    );
}

#[test]
fn more_than_there_are_sequences_wait_their_turn() {
    let mut runner = Runner::loaded(|load| load.sequences = 2);
    let ids: Vec<u64> = (0..7)
        .map(|_| runner.send(Call::Generate(Box::new(greedy("hello", 24)))))
        .collect();
    let answers: Vec<String> = ids.into_iter().map(|id| runner.answer(id).0).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn one_that_waits_can_be_cancelled() {
    let mut runner = Runner::loaded(|load| load.sequences = 1);
    let endless = Generate {
        max_tokens: None,
        ..greedy("hello", 0)
    };
    let first = runner.send(Call::Generate(Box::new(endless)));
    let second = runner.send(Call::Generate(Box::new(greedy("hello", 4))));
    runner.send(Call::Cancel { target: second });
    let (text, done) = runner.answer(second);
    assert_eq!(
        (text.as_str(), done.tokens, done.reason),
        ("", 0, StopReason::Cancelled)
    );
    runner.send(Call::Cancel { target: first });
    assert_eq!(runner.answer(first).1.reason, StopReason::Cancelled);
}

#[test]
fn a_full_queue_is_an_answer() {
    let mut runner = Runner::loaded(|load| load.sequences = 1);
    let endless = || {
        Box::new(Generate {
            max_tokens: None,
            ..greedy("hello", 0)
        })
    };
    let first = runner.send(Call::Generate(endless()));
    // Its first event shows that the engine is at work on it.
    runner.event(first);
    let ids: Vec<u64> = (0..1100)
        .map(|_| runner.send(Call::Generate(endless())))
        .collect();
    let last = *ids.last().unwrap();
    let Event::Failed(failure) = runner.end(last) else {
        panic!("the last one should be refused")
    };
    assert_eq!(failure.kind, FailureKind::Busy);
}

#[test]
fn what_is_in_use_is_told() {
    let mut runner = Runner::loaded(|load| load.sequences = 1);
    let Event::Stats(idle) = runner.call(Call::Stats) else {
        panic!()
    };
    assert!(matches!(
        idle,
        Stats {
            active: 0,
            waiting: 0,
            cells_used: 0,
            ..
        }
    ));
    assert!(idle.resident_bytes > 0);

    let endless = Generate {
        max_tokens: None,
        ..greedy("hello", 0)
    };
    let first = runner.send(Call::Generate(Box::new(endless.clone())));
    runner.send(Call::Generate(Box::new(endless)));
    while !matches!(runner.event(first), Event::Delta(_)) {}
    let Event::Stats(busy) = runner.call(Call::Stats) else {
        panic!()
    };
    assert_eq!((busy.active, busy.waiting), (1, 1));
    assert!(busy.cells_used > 0);
}
