//! Prompts that begin alike.

use std::os::fd::AsRawFd;

use runner_protocol::{Adapter, Call, Done, Event, Generate, Prompt, Stats, StopReason};

use crate::{
    adapters::{lora, scale},
    harness::{Runner, greedy, inheritable},
};

/// A prompt of so many tokens that all prompts with this seed begin with, and one of its own.
fn tokens(seed: i32, alike: i32, own: i32) -> Prompt {
    let beginning = (0..alike).map(|at| 50 + (at * 7 + seed) % 100);
    Prompt::Tokens(beginning.chain([200 + own]).collect())
}

fn ask(prompt: Prompt) -> Generate {
    Generate {
        prompt,
        ..greedy("", 24)
    }
}

fn answer(done: &Done) -> &[i32] {
    &done.all_tokens[done.prompt_tokens as usize..]
}

fn cells(runner: &mut Runner) -> u32 {
    match runner.call(Call::Stats) {
        Event::Stats(Stats { cells_used, .. }) => cells_used,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_beginning_that_was_read_before_is_not_read_again_and_changes_nothing() {
    let mut runner = Runner::loaded(|_| ());
    let (_, first) = runner.generate(ask(tokens(1, 200, 1)));
    assert_eq!(first.cached_tokens, 0);
    let (_, again) = runner.generate(ask(tokens(1, 200, 1)));
    assert_eq!(again.cached_tokens, 200);
    let (_, other) = runner.generate(ask(tokens(1, 200, 2)));
    assert_eq!(other.cached_tokens, 200);
    let (_, foreign) = runner.generate(ask(tokens(2, 200, 2)));
    assert_eq!(foreign.cached_tokens, 0);

    let mut fresh = Runner::loaded(|_| ());
    let (_, alone) = fresh.generate(ask(tokens(1, 200, 2)));
    assert_eq!(answer(&again), answer(&first));
    assert_eq!(answer(&other), answer(&alone));
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    let mut runner = Runner::loaded(|_| ());
    let (_, first) = runner.generate(ask(tokens(1, 100, 1)));
    let mut tokens = first.all_tokens.clone();
    tokens.extend([60, 61, 62]);
    let (_, second) = runner.generate(ask(Prompt::Tokens(tokens)));
    // All but the last token of the answer, which was chosen and never read.
    assert_eq!(second.cached_tokens as usize, first.all_tokens.len() - 1);
}

#[test]
fn a_prompt_that_many_bring_at_once_takes_the_cells_of_one() {
    let mut runner = Runner::loaded(|_| ());
    let ids: Vec<u64> = (0..4)
        .map(|own| runner.send(Call::Generate(Box::new(ask(tokens(1, 500, own))))))
        .collect();
    let done: Vec<Done> = ids.into_iter().map(|id| runner.answer(id).1).collect();
    let cached: Vec<u32> = done.iter().map(|done| done.cached_tokens).collect();
    assert_eq!(cached, [0, 500, 500, 500]);
    // The cells of the common beginning, and of each one's last prompt token and answer.
    assert!(cells(&mut runner) <= 500 + 4 * 25);
}

#[test]
fn what_is_kept_makes_room_for_what_comes() {
    let mut runner = Runner::loaded(|load| load.settings.context = 512);
    for seed in 0..8 {
        let (_, done) = runner.generate(ask(tokens(seed, 200, seed)));
        assert_eq!((done.tokens, done.cached_tokens), (24, 0));
        assert!(cells(&mut runner) <= 512);
    }
    let (_, latest) = runner.generate(ask(tokens(7, 200, 1)));
    assert_eq!(latest.cached_tokens, 200);
    let (_, oldest) = runner.generate(ask(tokens(0, 200, 1)));
    assert_eq!(oldest.cached_tokens, 0);
    let whole = Generate {
        prompt: tokens(3, 480, 1),
        ..greedy("", 0)
    };
    let (_, done) = runner.generate(Generate {
        max_tokens: None,
        ..whole
    });
    assert_eq!(done.reason, StopReason::Length);
    assert_eq!(done.all_tokens.len(), 512);
}

#[test]
fn a_cancelled_prompt_leaves_what_was_read_of_it() {
    let mut runner = Runner::loaded(|load| {
        load.settings.context = 1 << 14;
        load.settings.batch = 64;
    });
    let id = runner.send(Call::Generate(Box::new(ask(tokens(1, 10_000, 1)))));
    while !matches!(runner.event(id), Event::Prefill { .. }) {}
    runner.send(Call::Cancel { target: id });
    let (text, done) = runner.answer(id);
    assert_eq!((text.as_str(), done.reason), ("", StopReason::Cancelled));
    let read = cells(&mut runner);
    assert!((64..10_000).contains(&read), "{read}");
    let (_, again) = runner.generate(ask(tokens(1, 10_000, 1)));
    assert_eq!(again.cached_tokens, read);
}

#[test]
fn requests_with_other_adapters_share_nothing_and_take_turns() {
    let file = inheritable(&lora("blk.0.attn_q.weight"));
    let adapter = |digest: &str| Adapter {
        fd: file.as_raw_fd(),
        digest: digest.to_owned(),
    };
    let mut runner = Runner::loaded(|load| load.adapters = ["a", "b"].map(adapter).to_vec());
    let with = |scales: [f32; 2]| Generate {
        adapters: vec![scale("a", scales[0]), scale("b", scales[1])],
        ..ask(tokens(1, 100, 1))
    };
    let (_, plain) = runner.generate(with([0.0, 0.0]));
    let (_, both) = runner.generate(with([1.0, 1.0]));
    assert_eq!(both.cached_tokens, 0);
    assert_ne!(answer(&plain), answer(&both));
    let (_, again) = runner.generate(with([1.0, 1.0]));
    assert_eq!(again.cached_tokens, 100);
    assert_eq!(answer(&again), answer(&both));
    let (_, unnamed) = runner.generate(ask(tokens(1, 100, 1)));
    assert_eq!(unnamed.cached_tokens, 0);
    assert_eq!(answer(&unnamed), answer(&plain));

    let scales = [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]];
    let ids = scales.map(|scales| runner.send(Call::Generate(Box::new(with(scales)))));
    let together = ids.map(|id| runner.answer(id).1);
    for (done, alone) in together.iter().zip([&plain, &both, &plain, &both]) {
        assert_eq!(answer(done), answer(alone));
    }
}

#[test]
fn scales_that_fit_no_adapters_are_refused() {
    let mut runner = Runner::loaded(|_| ());
    let wrong = Generate {
        adapters: vec![scale("a", 1.0)],
        ..greedy("hello", 4)
    };
    let (_, message) = runner.fails(Call::Generate(Box::new(wrong)));
    assert!(message.contains("adapter a"), "{message}");
}
