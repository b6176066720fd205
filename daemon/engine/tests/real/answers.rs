//! What an answer is made of.

use runner_protocol::{
    Call, Detokenize, Event, FailureKind, Generate, Message, Overflow, Prompt, Sampling,
    StopReason, Template, Tokenize,
};

use crate::harness::{Runner, greedy};

/// Bytes that the keys and values of a token of the tiny model take: two layers of two heads of 16, in two bytes each.
#[cfg(target_os = "linux")]
const TOKEN: u64 = 2 * 2 * 16 * 2 * 2;

#[cfg(target_os = "linux")]
#[test]
fn a_context_takes_memory_only_where_it_is_used() {
    let resident = |context: u32| {
        let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
        runner
            .load(|load| load.settings.context = context)
            .unwrap()
            .resident_bytes
    };
    let (short, long) = (2048, 128 * 1024);
    let more = resident(long).saturating_sub(resident(short));
    let whole = u64::from(long - short) * TOKEN;
    assert!(more < whole / 2, "{more} of {whole} bytes");
}

#[test]
fn a_split_model_says_what_the_whole_one_says() {
    let (whole, _) = Runner::loaded(|_| ()).generate(greedy("hello the sky", 32));
    for mmap in [true, false] {
        let parts = gguf_writer::tiny::writer(1).split(3);
        let mut runner = Runner::start_with_parts(&parts);
        runner.load(|load| load.settings.mmap = mmap).unwrap();
        let (text, done) = runner.generate(greedy("hello the sky", 32));
        assert_eq!((text, done.tokens), (whole.clone(), 32));
    }
}

#[test]
fn parts_that_are_no_model_are_refused_with_the_reason() {
    let parts = gguf_writer::tiny::writer(1).split(3);
    let swapped = [0, 2, 1].map(|part: usize| parts[part].clone());
    for (parts, said) in [
        (&parts[..2], "invalid split count"),
        (&swapped, "invalid split file idx"),
    ] {
        let failure = Runner::start_with_parts(parts).load(|_| ()).unwrap_err();
        assert!(failure.message.contains(said), "{failure:?}");
    }
}

#[test]
fn a_model_is_loaded_and_answers() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let loaded = runner.load(|_| ()).unwrap();
    assert_eq!(loaded.context, 2048);
    assert_eq!(loaded.trained_context, gguf_writer::tiny::CONTEXT_LENGTH);
    assert!(loaded.vocabulary > 256);
    assert!(loaded.has_chat_template);
    assert!(loaded.resident_bytes > 1_000_000);
    assert_eq!(loaded.device_bytes, 0);
    assert!(loaded.device.starts_with("CPU"), "{}", loaded.device);
    assert!(loaded.load_ns > 0);

    let (text, done) = runner.generate(greedy("hello the sky", 32));
    assert!(!text.is_empty());
    assert_eq!(done.reason, StopReason::Length);
    assert_eq!(done.tokens, 32);
    assert_eq!(done.truncated, 0);
    assert_eq!(
        done.all_tokens.len(),
        (done.prompt_tokens + done.tokens) as usize
    );
    assert!(done.prefill_ns > 0 && done.decode_ns > 0);

    let answer = done.all_tokens[done.prompt_tokens as usize..].to_vec();
    assert_eq!(
        runner.call(Call::Detokenize(Detokenize { tokens: answer })),
        Event::Text(text)
    );
    assert_eq!(runner.hang_up().code(), Some(0));
}

#[test]
fn loading_tells_progress() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let load = runner.load_call(|_| ());
    let id = runner.send(load);
    let mut fractions = Vec::new();
    while let Event::Loading { fraction } = runner.event(id) {
        fractions.push(fraction);
    }
    assert!(
        fractions.is_sorted() && fractions.last() == Some(&1.0),
        "{fractions:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let mut runner = Runner::loaded(|_| ());
    let mut say = |seed| {
        let sampling = Sampling {
            seed: Some(seed),
            temperature: 1.5,
            repeat_penalty: 1.1,
            presence_penalty: 0.1,
            frequency_penalty: 0.1,
            typical_p: 0.99,
            min_p: 0.001,
            ..Sampling::default()
        };
        runner.generate(Generate {
            sampling,
            ..greedy("the sky is", 40)
        })
    };
    let (first, done) = say(7);
    assert_eq!(done.seed, 7);
    assert_eq!(say(7).0, first);
    assert_ne!(say(8).0, first);
    // Seeds that are wider than the numbers that begin it, such as milliseconds, count as well.
    let wide = 1_760_000_000_000;
    let (text, done) = say(wide);
    assert_eq!(done.seed, wide);
    assert_eq!(say(wide).0, text);
    assert_ne!(say(wide + 1).0, text);
}

#[test]
fn a_seed_nobody_gave_is_told_and_repeats_the_text() {
    let mut runner = Runner::loaded(|_| ());
    let free = Sampling {
        temperature: 2.0,
        ..Sampling::default()
    };
    let (text, done) = runner.generate(Generate {
        sampling: free.clone(),
        ..greedy("a", 40)
    });
    let again = Sampling {
        seed: Some(done.seed),
        ..free
    };
    assert_eq!(
        runner
            .generate(Generate {
                sampling: again,
                ..greedy("a", 40)
            })
            .0,
        text
    );
}

#[test]
fn penalties_change_a_greedy_answer() {
    let mut runner = Runner::loaded(|_| ());
    let (plain, _) = runner.generate(greedy("hello", 64));
    let sampling = Sampling {
        repeat_penalty: 1.8,
        repeat_last_n: -1,
        ..Sampling::greedy()
    };
    let (penalized, _) = runner.generate(Generate {
        sampling,
        ..greedy("hello", 64)
    });
    assert_ne!(plain, penalized);
}

#[test]
fn text_tokens_and_text_again() {
    let mut runner = Runner::loaded(|_| ());
    let text = "hello the sky — näheres 🦀";
    let tokenize = |add_special| Tokenize {
        text: text.into(),
        add_special,
        parse_special: false,
        literal: Vec::new(),
    };
    let Event::Tokens(tokens) = runner.call(Call::Tokenize(tokenize(false))) else {
        panic!()
    };
    assert!(tokens.len() < text.len());
    let Event::Tokens(with_begin) = runner.call(Call::Tokenize(tokenize(true))) else {
        panic!()
    };
    assert_eq!(with_begin[0], gguf_writer::tiny::BEGIN as i32);
    assert_eq!(with_begin[1..], tokens);
    assert_eq!(
        runner.call(Call::Detokenize(Detokenize { tokens })),
        Event::Text(text.into())
    );
    assert_eq!(
        runner.call(Call::Detokenize(Detokenize { tokens: Vec::new() })),
        Event::Text(String::new())
    );
}

#[test]
fn an_answer_has_the_context_of_its_request_and_no_more() {
    let mut runner = Runner::loaded(|_| ());
    let prompt = "the sky is ".repeat(4);
    let within = |context, overflow| Generate {
        context: Some(context),
        overflow,
        max_tokens: None,
        ..greedy(&prompt, 0)
    };
    let (_, done) = runner.generate(within(32, Overflow::Refuse));
    assert_eq!(done.reason, StopReason::Length);
    assert_eq!(done.prompt_tokens + done.tokens, 32);
    let (_, cut) = runner.generate(within(8, Overflow::Truncate { keep: 1 }));
    assert!(cut.truncated > 0);
    assert_eq!(cut.prompt_tokens + cut.tokens, 8);
    let (kind, message) = runner.fails(Call::Generate(Box::new(within(8, Overflow::Refuse))));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.contains("the context 8"), "{message}");
    let (kind, _) = runner.fails(Call::Generate(Box::new(within(3, Overflow::Refuse))));
    assert_eq!(kind, FailureKind::Invalid);
}

fn conversation() -> Template {
    Template {
        messages: vec![Message {
            role: "user".into(),
            content: "hello".into(),
            ..Message::default()
        }],
        add_generation_prompt: true,
        ..Template::default()
    }
}

#[test]
fn a_conversation_is_rendered_and_begins_once() {
    let mut runner = Runner::loaded(|_| ());
    let rendered = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        runner.call(Call::Template(conversation())),
        Event::Prompt(rendered.to_owned().into())
    );

    let chat = Generate {
        prompt: Prompt::Chat(conversation()),
        ..greedy("", 8)
    };
    let (text, done) = runner.generate(chat);
    let begin = gguf_writer::tiny::BEGIN as i32;
    assert_eq!(done.all_tokens[0], begin);
    assert_ne!(done.all_tokens[1], begin);
    // The template is the same as the text that was rendered with it.
    assert_eq!(runner.generate(greedy(rendered, 8)).0, text);
    // Control tokens have no text in an answer.
    assert!(!text.contains("<|"));
}

#[test]
fn a_template_can_be_replaced() {
    let mut runner =
        Runner::loaded(|load| load.chat_template = Some("{{ messages[0].content }}!".into()));
    assert_eq!(
        runner.call(Call::Template(conversation())),
        Event::Prompt("hello!".to_owned().into())
    );
}

#[test]
fn a_broken_template_fails_the_conversation_and_nothing_else() {
    let mut runner = Runner::loaded(|load| load.chat_template = Some("{% for x in %}".into()));
    let (kind, message) = runner.fails(Call::Template(conversation()));
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("template"), "{message}");
    let chat = Generate {
        prompt: Prompt::Chat(conversation()),
        ..greedy("", 8)
    };
    assert_eq!(
        runner.fails(Call::Generate(Box::new(chat))).0,
        FailureKind::Invalid
    );
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}

#[test]
fn a_model_without_a_template_speaks_chatml() {
    let mut runner = Runner::start(
        &gguf_writer::tiny::writer(1)
            .without("tokenizer.chat_template")
            .to_bytes(),
    );
    assert!(!runner.load(|_| ()).unwrap().has_chat_template);
    let rendered = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        runner.call(Call::Template(conversation())),
        Event::Prompt(rendered.to_owned().into())
    );
}

#[test]
fn an_answer_of_no_tokens_computes_the_prompt_only() {
    let mut runner = Runner::loaded(|_| ());
    let (text, done) = runner.generate(greedy("hello", 0));
    assert_eq!(
        (text.as_str(), done.tokens, done.reason),
        ("", 0, StopReason::Length)
    );
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_or_cut_and_said() {
    let mut runner = Runner::loaded(|load| load.settings.context = 64);
    let long = "hello the sky ".repeat(40);
    let (kind, message) = runner.fails(Call::Generate(Box::new(greedy(&long, 8))));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.contains("64"), "{message}");

    let whole = Tokenize {
        text: long.clone(),
        add_special: true,
        parse_special: true,
        literal: Vec::new(),
    };
    let Event::Tokens(whole) = runner.call(Call::Tokenize(whole)) else {
        panic!()
    };
    let cut = Generate {
        overflow: Overflow::Truncate { keep: 3 },
        ..greedy(&long, 8)
    };
    let (_, done) = runner.generate(cut);
    assert_eq!(done.prompt_tokens, 56);
    assert_eq!(done.truncated as usize, whole.len() - 56);
    assert_eq!(done.all_tokens[..3], whole[..3]);
    assert_eq!(done.all_tokens[3..56], whole[whole.len() - 53..]);
    assert_eq!(done.tokens, 8);
}

#[test]
fn a_long_prompt_is_refused_or_cut_with_the_number_of_its_tokens() {
    let mut runner = Runner::loaded(|load| load.settings.context = 1 << 17);
    let long = "hello the sky \n".repeat(6_000);
    let whole = Tokenize {
        text: long.clone(),
        add_special: true,
        parse_special: true,
        literal: Vec::new(),
    };
    let Event::Tokens(whole) = runner.call(Call::Tokenize(whole)) else {
        panic!()
    };
    let within = |overflow| Generate {
        context: Some(64),
        overflow,
        ..greedy(&long, 8)
    };
    let (_, done) = runner.generate(within(Overflow::Truncate { keep: 3 }));
    assert_eq!(done.prompt_tokens, 56);
    assert_eq!(done.truncated as usize, whole.len() - 56);

    let number = format!("the prompt has {} tokens and the context 64", whole.len());
    for overflow in [
        Overflow::Refuse,
        Overflow::Truncate { keep: 60 },
        Overflow::Truncate { keep: 64 },
    ] {
        let (kind, message) = runner.fails(Call::Generate(Box::new(within(overflow))));
        assert_eq!(kind, FailureKind::ContextOverflow);
        assert!(message.starts_with(&number), "{overflow:?}: {message}");
    }

    let mut chat = conversation();
    chat.messages[0].content = long.clone();
    let chat = Generate {
        prompt: Prompt::Chat(chat),
        ..within(Overflow::Refuse)
    };
    let (_, message) = runner.fails(Call::Generate(Box::new(chat)));
    assert!(message.starts_with("the prompt has "), "{message}");
}

#[test]
fn a_text_that_is_far_too_long_is_refused_or_cut_before_it_is_read() {
    let mut runner = Runner::loaded(|load| load.settings.context = 64);
    // Reading all of it would take minutes.
    let long = format!("begin{}the end", "<|im_end|>".repeat(2_000_000));
    for call in [
        Call::Generate(Box::new(greedy(&long, 8))),
        Call::Tokenize(Tokenize {
            text: long.clone(),
            add_special: true,
            parse_special: true,
            literal: Vec::new(),
        }),
        Call::Template(Template {
            messages: vec![Message {
                role: "user".into(),
                content: long.clone(),
                ..Message::default()
            }],
            ..conversation()
        }),
    ] {
        let (kind, message) = runner.fails(call);
        assert_eq!(kind, FailureKind::ContextOverflow);
        assert!(
            message.contains("64") && message.contains("200000"),
            "{message}"
        );
    }

    let tokens = |runner: &mut Runner, text: &str| {
        let tokenize = Tokenize {
            text: text.into(),
            add_special: false,
            parse_special: true,
            literal: Vec::new(),
        };
        match runner.call(Call::Tokenize(tokenize)) {
            Event::Tokens(tokens) => tokens,
            other => panic!("{other:?}"),
        }
    };
    let cut = Generate {
        overflow: Overflow::Truncate { keep: 3 },
        ..greedy(&long, 8)
    };
    let (_, done) = runner.generate(cut);
    assert_eq!(done.prompt_tokens, 56);
    assert!(done.truncated > 1_000_000, "{}", done.truncated);
    let begin = tokens(&mut runner, "begin");
    assert_eq!(done.all_tokens[1..3], begin[..2]);
    let end = tokens(&mut runner, "<|im_end|>the end");
    assert_eq!(done.all_tokens[56 - end.len()..56], end);

    let keeps_all = Generate {
        overflow: Overflow::Truncate { keep: 64 },
        ..greedy(&long, 8)
    };
    let (kind, _) = runner.fails(Call::Generate(Box::new(keeps_all)));
    assert_eq!(kind, FailureKind::ContextOverflow);
}

#[test]
fn a_long_text_has_the_tokens_of_its_parts() {
    let mut runner = Runner::loaded(|load| load.settings.context = 1 << 17);
    let mut tokens = |text: &str, special| {
        let tokenize = Tokenize {
            text: text.into(),
            add_special: false,
            parse_special: special,
            literal: Vec::new(),
        };
        match runner.call(Call::Tokenize(tokenize)) {
            Event::Tokens(tokens) => tokens,
            other => panic!("{other:?}"),
        }
    };
    let unit = "hello the sky<|im_end|>\n é<|im_start|>";
    let once = tokens(unit, true);
    assert_eq!(tokens(&unit.repeat(3000), true), once.repeat(3000));
    // Where control tokens are text, no part ends at them.
    let plain = tokens(&unit.repeat(3), false);
    let twice = tokens(&unit.repeat(6), false);
    let period = twice.len() - plain.len();
    let long = tokens(&unit.repeat(300), false);
    assert_eq!(long.len(), plain.len() + 99 * period);
}

#[test]
fn more_tokens_than_any_context_holds_are_not_turned_into_text() {
    let mut runner = Runner::loaded(|_| ());
    let tokens = vec![5; (1 << 20) + 1];
    let (kind, message) = runner.fails(Call::Detokenize(Detokenize { tokens }));
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("1048577"), "{message}");
}

#[test]
fn a_full_context_ends_the_answer() {
    let mut runner = Runner::loaded(|load| load.settings.context = 64);
    let (_, done) = runner.generate(Generate {
        max_tokens: None,
        ..greedy("hello", 0)
    });
    assert_eq!(done.reason, StopReason::Length);
    assert_eq!(done.all_tokens.len(), 64);
}

#[test]
fn what_is_out_of_range_is_refused_and_nothing_breaks() {
    let mut runner = Runner::loaded(|_| ());
    for token in [-1, i32::MIN, 1_000_000] {
        let prompt = Prompt::Tokens(vec![5, token]);
        let (kind, message) = runner.fails(Call::Generate(Box::new(Generate {
            prompt,
            ..greedy("", 8)
        })));
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(&token.to_string()), "{message}");
        assert_eq!(
            runner
                .fails(Call::Detokenize(Detokenize {
                    tokens: vec![token]
                }))
                .0,
            FailureKind::Invalid
        );
    }
    let wrong = [
        Generate {
            prompt: Prompt::Tokens(Vec::new()),
            ..greedy("", 8)
        },
        Generate {
            stop: vec![String::new()],
            ..greedy("a", 8)
        },
        Generate {
            sampling: Sampling {
                temperature: f32::NAN,
                ..Sampling::default()
            },
            ..greedy("a", 8)
        },
        Generate {
            prompt: Prompt::Chat(Template {
                messages: Vec::new(),
                ..conversation()
            }),
            ..greedy("", 8)
        },
    ];
    for wrong in wrong {
        assert_eq!(
            runner.fails(Call::Generate(Box::new(wrong))).0,
            FailureKind::Invalid
        );
    }
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}
