//! Tokens that are guessed before they are chosen: they come sooner, and are the same.
//!
//! What is computed in batches of other sizes differs in the last digits. No choice of the tiny model here hangs on those, as nowhere in
//! these tests, so whole texts can be compared.

use std::{collections::HashSet, os::fd::AsRawFd};

use gguf_writer::Tensor;
use runner_protocol::{
    Adapter, AdapterScale, Call, Constraint, Done, Event, FailureKind, Generate, Logprob,
    MAX_DRAFT, Mirostat, Prompt, Sampling, Shape, Speculation, Stats, StopReason,
};

use crate::{
    adapters::lora,
    harness::{Runner, greedy, inheritable},
};

const PROMPTS: [&str; 4] = ["hello", "the sky is", "and so on and so on and so on", "a"];

/// Where guesses come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    /// The text itself.
    Text,
    /// A draft model that says the same as the model.
    Twin,
    /// One that says something else.
    Stranger,
}

const SOURCES: [Source; 3] = [Source::Text, Source::Twin, Source::Stranger];

/// A runner that guesses whenever it can.
fn guessing(source: Source, change: impl FnOnce(&mut runner_protocol::Load)) -> Runner {
    let file = match source {
        Source::Text => None,
        Source::Twin => Some(inheritable(&gguf_writer::tiny::llama(1))),
        Source::Stranger => Some(inheritable(&gguf_writer::tiny::llama(2))),
    };
    Runner::loaded(|load| {
        load.speculation = Speculation::Always;
        load.draft_fd = file.as_ref().map(|file| file.as_raw_fd());
        change(load);
    })
}

/// A runner that never guesses.
fn plain() -> Runner {
    Runner::loaded(|load| load.speculation = Speculation::Off)
}

/// What all of these say one after the other.
fn answers(runner: &mut Runner, asked: &[Generate]) -> Vec<(String, Done)> {
    let one = |generate: &Generate| runner.generate(generate.clone());
    asked.iter().map(one).collect()
}

/// Compares texts, tokens and ends, and says how many tokens were drafted and accepted.
fn compare(found: &[(String, Done)], expected: &[(String, Done)], what: &str) -> (u32, u32) {
    assert_eq!(found.len(), expected.len());
    for ((text, done), (same, end)) in found.iter().zip(expected) {
        assert_eq!(text, same, "{what}");
        assert_eq!(
            (done.reason, done.tokens, &done.all_tokens),
            (end.reason, end.tokens, &end.all_tokens),
            "{what}"
        );
        assert!(done.accepted <= done.drafted && done.accepted <= done.tokens);
        assert_eq!((end.drafted, end.accepted), (0, 0));
    }
    found.iter().fold((0, 0), |(drafted, accepted), (_, done)| {
        (drafted + done.drafted, accepted + done.accepted)
    })
}

#[test]
fn greedy_text_is_the_same_whoever_guesses() {
    let asked = PROMPTS.map(|prompt| greedy(prompt, 160));
    let expected = answers(&mut plain(), &asked);
    for source in SOURCES {
        let found = answers(&mut guessing(source, |_| ()), &asked);
        let (drafted, accepted) = compare(&found, &expected, &format!("{source:?}"));
        assert!(drafted > 0, "{source:?}");
        match source {
            Source::Text => assert!(accepted > 0),
            Source::Twin => assert!(accepted > 4 * 120, "{accepted} of {drafted}"),
            Source::Stranger => assert!(accepted < drafted / 2, "{accepted} of {drafted}"),
        }
    }
}

#[test]
fn text_by_chance_is_the_same_with_every_sampler() {
    let seeds = |sampling: Sampling| {
        (1..4).map(move |seed| Generate {
            sampling: Sampling {
                seed: Some(seed),
                ..sampling.clone()
            },
            ..greedy("hello the sky", 80)
        })
    };
    let usual = Sampling::default();
    let penalized = Sampling {
        temperature: 1.5,
        top_k: 0,
        top_p: 1.0,
        repeat_penalty: 1.3,
        presence_penalty: 0.5,
        xtc_probability: 0.5,
        ..usual.clone()
    };
    let mirostat = Sampling {
        mirostat: Some(Mirostat {
            version: 2,
            tau: 5.0,
            eta: 0.1,
        }),
        ..usual.clone()
    };
    let asked: Vec<Generate> = [usual, penalized, mirostat]
        .into_iter()
        .flat_map(seeds)
        .collect();
    let expected = answers(&mut plain(), &asked);
    for source in SOURCES {
        let found = answers(&mut guessing(source, |_| ()), &asked);
        let (drafted, _) = compare(&found, &expected, &format!("{source:?}"));
        assert!(drafted > 0 || source == Source::Text, "{source:?}");
    }
}

#[test]
fn several_at_once_say_the_same_as_alone() {
    let asked = PROMPTS.map(|prompt| greedy(prompt, 120));
    let expected = answers(&mut plain(), &asked);
    for source in SOURCES {
        let mut runner = guessing(source, |_| ());
        let ids = asked
            .clone()
            .map(|asked| runner.send(Call::Generate(Box::new(asked))));
        let found = ids.map(|id| runner.answer(id));
        let (drafted, accepted) = compare(&found, &expected, &format!("{source:?}"));
        assert!(drafted > 0, "{source:?}");
        assert!(
            accepted > 0 || source == Source::Stranger,
            "{accepted} of {drafted} of {source:?}"
        );
    }
}

#[test]
fn several_that_outgrow_the_cache_still_come_whole() {
    for source in SOURCES {
        let mut runner = guessing(source, |load| load.settings.context = 256);
        let asked = PROMPTS.map(|prompt| Generate {
            max_tokens: None,
            ..greedy(prompt, 0)
        });
        let ids = asked.map(|asked| runner.send(Call::Generate(Box::new(asked))));
        for id in ids {
            let (_, done) = runner.answer(id);
            assert_eq!(
                (done.reason, done.all_tokens.len()),
                (StopReason::Length, 256)
            );
            assert!(done.drafted > 0, "{source:?}");
        }
    }
}

#[test]
fn an_answer_keeps_its_shape() {
    let asked: Vec<Generate> = (1..9)
        .map(|seed| Generate {
            sampling: Sampling {
                seed: Some(seed),
                temperature: 1.0,
                ..Sampling::default()
            },
            constraint: Some(Constraint {
                shape: Shape::Json,
                after: None,
            }),
            ..greedy("hello the sky", 100)
        })
        .collect();
    let expected = answers(&mut plain(), &asked);
    for source in SOURCES {
        let found = answers(&mut guessing(source, |_| ()), &asked);
        compare(&found, &expected, &format!("{source:?}"));
    }
}

/// The text, what is said of its tokens, and the end.
fn likelihoods(runner: &mut Runner, generate: Generate) -> (String, Vec<Logprob>, Done) {
    let id = runner.send(Call::Generate(Box::new(Generate {
        logprobs: Some(2),
        ..generate
    })));
    let (mut text, mut told) = (String::new(), Vec::new());
    loop {
        match runner.event(id) {
            Event::Delta(delta) => {
                text.push_str(&delta.text);
                told.extend(delta.logprobs);
            }
            Event::Started { .. } | Event::Prefill { .. } => {}
            Event::Done(done) => return (text, told, *done),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_said_of_tokens_is_the_same() {
    let (text, expected, _) = likelihoods(&mut plain(), greedy("hello the sky", 60));
    assert_eq!(expected.len(), 60);
    for source in SOURCES {
        let mut runner = guessing(source, |_| ());
        let (same, told, _) = likelihoods(&mut runner, greedy("hello the sky", 60));
        assert_eq!((&same, told.len()), (&text, expected.len()));
        for (told, expected) in told.iter().zip(&expected) {
            assert_eq!(told.chosen.token, expected.chosen.token);
            let difference = (told.chosen.logprob - expected.chosen.logprob).abs();
            assert!(difference < 0.01, "{difference}");
            assert_eq!(told.top.len(), 2);
        }
    }
}

#[test]
fn a_stop_text_amid_what_was_guessed_ends_the_answer() {
    let (whole, _) = plain().generate(greedy("hello the sky", 48));
    let mut runner = guessing(Source::Twin, |_| ());
    let mut accepted = 0;
    for start in [1, 5, 9, 10, 11, 12, 13, 20] {
        let stop = &whole[start..start + 6];
        let expected = &whole[..whole.find(stop).unwrap()];
        let (text, done) = runner.generate(Generate {
            stop: vec![stop.into()],
            ..greedy("hello the sky", 48)
        });
        assert_eq!((text.as_str(), done.reason), (expected, StopReason::Stop));
        accepted += done.accepted;
    }
    assert!(accepted > 0);
}

#[test]
fn no_answer_is_longer_than_it_may_be() {
    let (_, whole) = plain().generate(greedy("hello the sky", 48));
    for source in SOURCES {
        let mut runner = guessing(source, |_| ());
        for tokens in 0..40 {
            let (_, done) = runner.generate(greedy("hello the sky", tokens));
            assert_eq!((done.tokens, done.reason), (tokens, StopReason::Length));
            let length = done.all_tokens.len();
            assert_eq!(done.all_tokens, whole.all_tokens[..length]);
        }
    }
}

#[test]
fn a_full_context_ends_the_answer() {
    for source in SOURCES {
        let mut runner = guessing(source, |load| load.settings.context = 64);
        let (_, done) = runner.generate(Generate {
            max_tokens: None,
            ..greedy("and so on and so on and so on", 0)
        });
        assert_eq!(
            (done.reason, done.all_tokens.len()),
            (StopReason::Length, 64)
        );
    }
}

#[test]
fn whoever_leaves_leaves_nothing_behind_that_was_only_guessed() {
    for source in SOURCES {
        let mut runner = guessing(source, |load| load.settings.context = 1 << 16);
        let endless = Generate {
            max_tokens: None,
            ..greedy("hello the sky", 0)
        };
        let id = runner.send(Call::Generate(Box::new(endless)));
        for _ in 0..40 {
            runner.event(id);
        }
        runner.send(Call::Cancel { target: id });
        let (_, done) = runner.answer(id);
        assert_eq!(done.reason, StopReason::Cancelled);
        let Event::Stats(Stats { cells_used, .. }) = runner.call(Call::Stats) else {
            panic!()
        };
        assert_eq!(cells_used as usize, done.all_tokens.len() - 1);
        // Whoever goes on from there goes on with what was chosen, and not with what was guessed.
        let prompt = Prompt::Tokens(done.all_tokens.clone());
        let on = |runner: &mut Runner| {
            let prompt = prompt.clone();
            runner.generate(Generate {
                prompt,
                ..greedy("", 24)
            })
        };
        let (text, more) = on(&mut runner);
        assert!(more.cached_tokens > 0);
        assert_eq!(text, on(&mut plain()).0, "{source:?}");
    }
}

#[test]
fn adapters_are_kept_apart() {
    let file = inheritable(&lora("blk.0.attn_q.weight"));
    let adapter = Adapter {
        fd: file.as_raw_fd(),
        digest: "a".to_owned(),
    };
    let scaled = |scale| Generate {
        adapters: vec![AdapterScale {
            digest: "a".to_owned(),
            scale,
        }],
        ..greedy("hello the sky", 60)
    };
    let asked = [0.0, 1.0, -1.0].map(scaled);
    let mut without = Runner::loaded(|load| {
        load.speculation = Speculation::Off;
        load.adapters = vec![adapter.clone()];
    });
    let expected = answers(&mut without, &asked);
    let texts: HashSet<&String> = expected.iter().map(|(text, _)| text).collect();
    assert_eq!(texts.len(), 3);
    for source in SOURCES {
        let mut runner = guessing(source, |load| load.adapters = vec![adapter.clone()]);
        let ids = asked
            .clone()
            .map(|asked| runner.send(Call::Generate(Box::new(asked))));
        let found = ids.map(|id| runner.answer(id));
        compare(&found, &expected, &format!("{source:?}"));
    }
}

#[test]
fn a_request_says_how_much_is_guessed_and_the_model_whether() {
    // A batch has as many places to choose from as there are sequences, with those that are kept.
    let mut runner = guessing(Source::Twin, |load| load.sequences = 20);
    let mut drafted = |draft, tokens| {
        let asked = Generate {
            draft,
            ..greedy("hello the sky", tokens)
        };
        let (_, done) = runner.generate(asked);
        (done.drafted, done.accepted)
    };
    assert_eq!(drafted(Some(0), 60), (0, 0));
    assert_eq!(drafted(Some(1), 2), (0, 0));
    assert_eq!(drafted(Some(1), 3), (1, 1));
    // The first token is chosen from the prompt, and each draft brings one more than it has.
    assert_eq!(drafted(Some(4), 11), (8, 8));
    assert_eq!(
        drafted(Some(u32::MAX), MAX_DRAFT + 2),
        (MAX_DRAFT, MAX_DRAFT)
    );
    assert!(drafted(None, 60).1 > 40);
    let (_, done) = plain().generate(Generate {
        draft: Some(4),
        ..greedy("hello the sky", 60)
    });
    assert_eq!(done.drafted, 0);
}

#[test]
fn left_to_itself_it_says_the_same() {
    let asked = PROMPTS.map(|prompt| greedy(prompt, 160));
    let expected = answers(&mut plain(), &asked);
    for source in SOURCES {
        let mut runner = guessing(source, |load| load.speculation = Speculation::Auto);
        for _ in 0..2 {
            compare(&answers(&mut runner, &asked), &expected, "on its own");
        }
    }
}

/// The tiny model as one whose first layer sees so many tokens back and no more.
fn windowed(window: u32) -> Vec<u8> {
    let of = |key: &str| format!("granite_swa.{key}");
    gguf_writer::tiny::writer(1)
        .replace("general.architecture", "granite_swa")
        .kv(&of("block_count"), 2_u32)
        .kv(&of("context_length"), 2048_u32)
        .kv(&of("embedding_length"), 64_u32)
        .kv(&of("feed_forward_length"), 128_u32)
        .kv(&of("attention.head_count"), 4_u32)
        .kv(&of("attention.head_count_kv"), 2_u32)
        .kv(&of("attention.layer_norm_rms_epsilon"), 1e-5_f32)
        .kv(&of("rope.dimension_count"), 16_u32)
        .kv(&of("logit_scale"), 1.0_f32)
        .kv(&of("attention.sliding_window"), window)
        .kv(&of("attention.sliding_window_pattern"), vec![true, false])
        .tensor(Tensor::f32("blk.0.attn_sinks.weight", &[4], &[0.0; 4]))
        .tensor(Tensor::f32("blk.1.attn_sinks.weight", &[4], &[0.0; 4]))
        .to_bytes()
}

#[test]
fn nothing_is_guessed_where_it_could_not_be_taken_back() {
    const WINDOW: u32 = 64;
    let model = windowed(WINDOW);
    let speak = |speculation| {
        let mut runner = Runner::start(&model);
        runner.load(|load| load.speculation = speculation).unwrap();
        let short = runner.generate(greedy("and so on and so on and so on", 200));
        let long = runner.generate(greedy(&"and so on ".repeat(30), 40));
        [short, long]
    };
    let (found, expected) = (speak(Speculation::Always), speak(Speculation::Off));
    compare(&found, &expected, "in a window");
    let [(_, short), (_, long)] = found;
    assert!(long.prompt_tokens > WINDOW);
    assert_eq!(long.drafted, 0);
    assert!(short.drafted > 0 && short.accepted < WINDOW);
}

/// What loading says with these bytes as the draft model.
fn refusal(draft: &[u8]) -> (FailureKind, String) {
    let file = inheritable(draft);
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let failure = runner
        .load(|load| load.draft_fd = Some(file.as_raw_fd()))
        .unwrap_err();
    // The next one may load without it.
    assert!(runner.load(|_| ()).is_ok());
    (failure.kind, failure.message)
}

#[test]
fn a_draft_model_that_does_not_fit_is_refused_with_a_reason() {
    let whole = gguf_writer::tiny::llama(2);
    let mut other_word = whole.clone();
    let hello = b"\x05\0\0\0\0\0\0\0hello";
    let place = whole.windows(hello.len()).position(|part| part == hello);
    other_word[place.unwrap() + 9] = b'u';
    let cases: [(&str, Vec<u8>, &str); 4] = [
        (
            "other words",
            other_word,
            "is another than that of the model",
        ),
        ("half a file", whole[..whole.len() / 2].to_vec(), ""),
        ("no model", b"GGUF\xff\xff\xff\xff".repeat(100), ""),
        ("nothing", Vec::new(), ""),
    ];
    for (what, bytes, reason) in cases {
        let (kind, message) = refusal(&bytes);
        assert_eq!(kind, FailureKind::Unsupported, "{what}: {message}");
        assert!(
            message.contains("its draft model does not fit it") && message.contains(reason),
            "{what}: {message}"
        );
        assert!(!message.contains("no reason"), "{what}: {message}");
    }
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let failure = runner.load(|load| load.draft_fd = Some(999)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.message.contains("draft model"), "{failure:?}");
}
