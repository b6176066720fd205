//! Answers that are the same whatever was asked before, and whoever asks beside them.

use runner_protocol::{Call, Generate, Sampling};

use crate::harness::{Runner, greedy};

/// Some hundred tokens, which are read in several steps.
const PROMPT: &str = "the sky is and the hello and the sky is and a thing in the ";

fn asked(seed: u64) -> Generate {
    Generate {
        sampling: Sampling {
            seed: Some(seed),
            temperature: 1.2,
            ..Sampling::default()
        },
        deterministic: true,
        ..greedy(&PROMPT.repeat(8), 24)
    }
}

/// The tokens of an answer, and that nothing of it was remembered or drafted.
fn tokens(runner: &mut Runner, generate: Generate) -> Vec<i32> {
    let (_, done) = runner.generate(generate);
    assert_eq!((done.cached_tokens, done.drafted), (0, 0));
    done.all_tokens
}

#[test]
fn neither_the_past_nor_company_changes_a_deterministic_answer() {
    for seed in 1..=5 {
        let fresh = tokens(&mut Runner::loaded(|_| ()), asked(seed));

        let mut runner = Runner::loaded(|load| load.sequences = 8);
        runner.generate(greedy("hello", 9));
        assert_eq!(tokens(&mut runner, asked(seed)), fresh, "after another");
        assert_eq!(tokens(&mut runner, asked(seed)), fresh, "after the same");
        let usual = Generate {
            deterministic: false,
            ..asked(seed)
        };
        runner.generate(usual.clone());
        assert_eq!(tokens(&mut runner, asked(seed)), fresh, "after a usual one");

        let others: Vec<u64> = (0..7)
            .map(|at| {
                let other = Generate {
                    sampling: usual.sampling.clone(),
                    ..greedy(&PROMPT.repeat(at + 1), 40)
                };
                runner.send(Call::Generate(Box::new(other)))
            })
            .collect();
        let id = runner.send(Call::Generate(Box::new(asked(seed))));
        let late = runner.send(Call::Generate(Box::new(usual)));
        assert_eq!(runner.answer(id).1.all_tokens, fresh, "beside seven others");
        for other in others.into_iter().chain([late]) {
            assert!(runner.answer(other).1.tokens > 0);
        }
    }
}

#[test]
fn a_deterministic_request_that_waits_can_be_cancelled() {
    let mut runner = Runner::loaded(|_| ());
    let first = runner.send(Call::Generate(Box::new(greedy("hello", 400))));
    let waiting = runner.send(Call::Generate(Box::new(asked(1))));
    let behind = runner.send(Call::Generate(Box::new(greedy("sky", 4))));
    runner.send(Call::Cancel { target: waiting });
    assert_eq!(runner.answer(waiting).1.tokens, 0);
    assert_eq!(runner.answer(behind).1.tokens, 4);
    assert_eq!(runner.answer(first).1.tokens, 400);
}
