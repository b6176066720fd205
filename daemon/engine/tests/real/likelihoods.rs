//! How likely tokens were, and shifts of their scores.

use runner_protocol::{Bias, Call, Event, FailureKind, Generate, Logprob, Sampling};

use crate::harness::{Runner, greedy};

/// The text of an answer and what is told of its tokens, piece by piece.
fn told(runner: &mut Runner, generate: Generate) -> (String, Vec<Logprob>) {
    let id = runner.send(Call::Generate(Box::new(generate)));
    let (mut text, mut logprobs) = (String::new(), Vec::new());
    loop {
        match runner.event(id) {
            Event::Delta(mut delta) => {
                text.push_str(&delta.text);
                logprobs.append(&mut delta.logprobs);
            }
            Event::Done(done) => {
                assert_eq!(logprobs.len(), done.tokens as usize);
                let chosen = logprobs.iter().map(|it| it.chosen.token);
                let answer = &done.all_tokens[done.prompt_tokens as usize..];
                assert_eq!(chosen.collect::<Vec<_>>(), answer);
                return (text, logprobs);
            }
            Event::Started { .. } | Event::Prefill { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_token_is_told_with_its_rivals() {
    let mut runner = Runner::loaded(|_| ());
    let plain = runner.generate(greedy("hello", 40)).0;
    let asked = Generate {
        logprobs: Some(20),
        ..greedy("hello", 40)
    };
    let (text, logprobs) = told(&mut runner, asked);
    assert_eq!(text, plain);
    for logprob in &logprobs {
        assert_eq!(logprob.top.len(), 20);
        assert!(logprob.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        // The likeliest was chosen.
        assert_eq!(logprob.top[0], logprob.chosen);
        let sum: f32 = logprob.top.iter().map(|it| it.logprob.exp()).sum();
        assert!((0.0..=1.001).contains(&sum), "{sum}");
    }
}

#[test]
fn likelihoods_are_those_of_the_model_before_samplers() {
    let mut runner = Runner::loaded(|_| ());
    let with = |temperature, top_k| Generate {
        sampling: Sampling {
            seed: Some(3),
            temperature,
            top_k,
            ..Sampling::default()
        },
        logprobs: Some(0),
        ..greedy("hello", 1)
    };
    let (_, hot) = told(&mut runner, with(50.0, 0));
    assert!(hot[0].top.is_empty());
    let (_, cold) = told(&mut runner, with(0.0, 1));
    // Drawn like dice, and still as unlikely as the model finds it.
    assert!(hot[0].chosen.logprob <= cold[0].chosen.logprob);
}

#[test]
fn nothing_is_told_that_was_not_asked_for() {
    let mut runner = Runner::loaded(|_| ());
    let id = runner.send(Call::Generate(Box::new(greedy("hello", 5))));
    loop {
        match runner.event(id) {
            Event::Delta(delta) => assert!(delta.logprobs.is_empty()),
            Event::Done(_) => break,
            _ => {}
        }
    }
    let (kind, _) = runner.fails(Call::Generate(Box::new(Generate {
        logprobs: Some(21),
        ..greedy("hello", 5)
    })));
    assert_eq!(kind, FailureKind::Invalid);
}

#[test]
fn a_token_can_be_banned_or_forced() {
    let mut runner = Runner::loaded(|_| ());
    let asked = |token, shift| Generate {
        sampling: Sampling {
            logit_bias: vec![Bias { token, shift }],
            ..Sampling::greedy()
        },
        ..greedy("hello", 20)
    };
    let (_, done) = runner.generate(greedy("hello", 20));
    let first = done.all_tokens[done.prompt_tokens as usize];
    let (_, banned) = runner.generate(asked(first, f32::NEG_INFINITY));
    assert!(!banned.all_tokens[banned.prompt_tokens as usize..].contains(&first));
    let (_, forced) = runner.generate(asked(first, 1000.0));
    let answer = &forced.all_tokens[forced.prompt_tokens as usize..];
    assert!(answer.iter().all(|token| *token == first) && answer.len() == 20);
    for token in [-1, 1_000_000] {
        let (kind, message) = runner.fails(Call::Generate(Box::new(asked(token, 1.0))));
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(&token.to_string()), "{message}");
    }
}
