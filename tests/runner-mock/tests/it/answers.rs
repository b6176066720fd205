//! Answers of the mock through the supervisor.

use futures::StreamExt as _;
use runner_protocol::{
    Constraint, FailureKind, Generate, Message, Overflow, Prompt, Shape, StopReason, Template,
    Tokenize,
};
use supervisor::{Error, Options, Runner, Step};

use crate::support::{ask, chat, finish, first_word, load, load_it, loaded, spawn, weights};

async fn mock() -> Runner {
    loaded(&runner_mock::spawner(), Options::default()).await
}

#[tokio::test]
async fn the_last_message_of_the_user_comes_back_word_by_word() {
    let runner = mock().await;
    let mut generation = runner.generate(chat("tell me more")).await.unwrap();
    let mut steps = Vec::new();
    while let Some(step) = generation.next().await {
        steps.push(step.unwrap());
    }
    let words: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Delta(delta) => Some((delta.text.as_str(), delta.tokens)),
            _ => None,
        })
        .collect();
    assert_eq!(words, [("tell", 1), (" me", 2), (" more", 3)]);
    assert!(
        matches!(
            steps[..],
            [
                Step::Started {
                    prompt_tokens: 5,
                    cached_tokens: 0
                },
                Step::Prefill { total: 5, .. },
                ..
            ]
        ),
        "{steps:?}"
    );
    let Some(Step::Done(done)) = steps.last() else {
        panic!("no end: {steps:?}")
    };
    assert_eq!(
        (done.reason, done.prompt_tokens, done.tokens, done.truncated),
        (StopReason::Stop, 5, 3, 0)
    );
    assert_eq!(done.all_tokens.len(), 8);
}

#[tokio::test]
async fn loading_shows_its_progress_and_what_it_loaded() {
    let runner = spawn(
        &runner_mock::spawner(),
        "",
        weights("[[mock: resident-bytes 7; device-bytes 8]]"),
        Options::default(),
    )
    .await
    .unwrap();
    let mut shares = Vec::new();
    let loaded = runner
        .load(load(), |share| shares.push(share))
        .await
        .unwrap();
    assert_eq!(shares.last(), Some(&1.0));
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(
        (loaded.context, loaded.resident_bytes, loaded.device_bytes),
        (64, 7, 8)
    );
    assert!(loaded.has_chat_template);
    assert_eq!(runner.hello().engine, "mock");
    let again = load_it(&runner).await.unwrap_err();
    assert!(matches!(again, Error::Failed(failure) if failure.kind == FailureKind::Invalid));
}

#[tokio::test]
async fn limits_stops_and_the_context_end_an_answer() {
    let runner = mock().await;
    let answer = async |change: fn(&mut Generate)| {
        let mut generate = chat("[[mock: count 100]]");
        change(&mut generate);
        let (text, done) = finish(runner.generate(generate).await.unwrap()).await;
        let done = done.unwrap();
        (text, done.reason, done.tokens)
    };
    assert_eq!(
        answer(|generate| generate.max_tokens = Some(3)).await,
        ("1 2 3".to_owned(), StopReason::Length, 3)
    );
    assert_eq!(
        answer(|generate| generate.max_tokens = Some(0)).await,
        (String::new(), StopReason::Length, 0)
    );
    assert_eq!(
        answer(|generate| generate.stop = vec![" 4".to_owned()]).await,
        ("1 2 3".to_owned(), StopReason::Stop, 3)
    );
    let (_, reason, tokens) = answer(|_| {}).await;
    // The rendered prompt is `user:`, a token of whitespace and `assistant:`.
    assert_eq!((reason, tokens), (StopReason::Length, 62));
}

#[tokio::test]
async fn the_stop_text_that_is_whole_first_ends_an_answer_and_of_these_the_longest() {
    let runner = mock().await;
    let mut generate = chat("[[mock: count 9]]");
    generate.stop = ["2 3 4", "3", " 3"].map(str::to_owned).to_vec();
    let (text, done) = finish(runner.generate(generate).await.unwrap()).await;
    assert_eq!(text, "1 2");
    assert_eq!(done.unwrap().stop_text.as_deref(), Some(" 3"));
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_or_cut_and_said_so() {
    let runner = mock().await;
    let long = vec!["word"; 70].join(" ");
    let mut generate = Generate::new(Prompt::Text {
        text: long,
        special: false,
    });
    let (_, end) = finish(runner.generate(generate.clone()).await.unwrap()).await;
    assert!(
        matches!(end, Err(Error::Failed(failure)) if failure.kind == FailureKind::ContextOverflow)
    );
    generate.overflow = Overflow::Truncate { keep: 2 };
    let (_, end) = finish(runner.generate(generate).await.unwrap()).await;
    let done = end.unwrap();
    assert_eq!(
        (done.truncated, done.prompt_tokens, done.tokens),
        (7, 63, 1)
    );
}

#[tokio::test]
async fn tokens_text_and_conversations_are_turned_into_each_other() {
    let runner = mock().await;
    let tokenize = Tokenize {
        text: "one two".to_owned(),
        add_special: true,
        parse_special: false,
        literal: Vec::new(),
    };
    let tokens = runner.tokenize(tokenize).await.unwrap();
    assert_eq!(tokens.len(), 3);
    assert_eq!(runner.detokenize(tokens.clone()).await.unwrap(), "one two");
    let (text, _) = finish(
        runner
            .generate(Generate::new(Prompt::Tokens(tokens)))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(text, "one two");
    assert!(matches!(
        runner.detokenize(vec![-1]).await,
        Err(Error::Failed(_))
    ));

    let message = |role: &str, content: &str| Message {
        role: role.to_owned(),
        content: content.to_owned(),
        ..Message::default()
    };
    let messages = vec![message("system", "be brief"), message("user", "why?")];
    let template = Template {
        messages,
        add_generation_prompt: true,
        thinking: Some(true),
        ..Template::default()
    };
    let rendered = "system: be brief\nuser: why?\nthinking\nassistant:";
    assert_eq!(
        runner.template(template.clone()).await.unwrap().text,
        rendered
    );
    let (text, _) = finish(
        runner
            .generate(Generate::new(Prompt::Chat(template)))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(text, "why?");
}

#[tokio::test]
async fn a_rendered_prompt_comes_back_whole() {
    let runner = mock().await;
    let rendered = "<|user|>\nwhy?<|end|>\n<|assistant|>";
    let text = Prompt::Text {
        text: format!("{rendered}[[mock: delay-ms 0]]"),
        special: true,
    };
    assert_eq!(
        finish(runner.generate(Generate::new(text)).await.unwrap())
            .await
            .0,
        rendered
    );
}

#[tokio::test]
async fn two_answers_come_side_by_side_and_a_third_waits() {
    let runner = mock().await;
    let mut first = runner.generate(chat("[[mock: count 50]]")).await.unwrap();
    let mut second = runner
        .generate(chat("[[mock: stall-at-token 1; answer two]]"))
        .await
        .unwrap();
    let third = runner.generate(chat("three")).await.unwrap();
    assert_eq!(first_word(&mut first).await, "1");
    assert_eq!(first_word(&mut second).await, "two");
    let stats = runner.stats().await.unwrap();
    assert_eq!((stats.active, stats.waiting), (2, 1));
    drop(third);
}

#[tokio::test]
async fn a_misspelt_directive_fails_the_request_and_nothing_else() {
    let runner = mock().await;
    let (_, end) = ask(&runner, "[[mock: crahs]] hello").await;
    let Err(Error::Failed(failure)) = end else {
        panic!("{end:?}")
    };
    assert!(failure.message.contains("crahs"), "{failure:?}");
    assert_eq!(ask(&runner, "still there?").await.0, "still there?");
    let (_, end) = ask(&runner, "[[mock: fail busy]]").await;
    assert!(matches!(end, Err(Error::Failed(failure)) if failure.kind == FailureKind::Busy));
}

#[tokio::test]
async fn a_request_above_the_frame_limit_is_refused_here() {
    let runner = mock().await;
    let text = Prompt::Text {
        text: "x".repeat(runner_protocol::frame::MAX_FRAME),
        special: false,
    };
    let refused = runner.generate(Generate::new(text)).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Failed(failure)) if failure.kind == FailureKind::Invalid));
    assert_eq!(ask(&runner, "still there?").await.0, "still there?");
}

#[tokio::test]
async fn a_model_without_a_chat_template_renders_only_with_one_that_is_given() {
    let start = async || {
        spawn(
            &runner_mock::spawner(),
            "",
            weights("[[mock: no-chat-template]]"),
            Options::default(),
        )
        .await
        .unwrap()
    };
    let without = start().await;
    assert!(!load_it(&without).await.unwrap().has_chat_template);
    let (_, end) = ask(&without, "hello").await;
    assert!(
        matches!(end, Err(Error::Failed(failure)) if failure.message.contains("chat template"))
    );
    let with = start().await;
    let load = runner_protocol::Load {
        chat_template: Some("{{ messages }}".to_owned()),
        ..load()
    };
    assert!(with.load(load, |_| {}).await.unwrap().has_chat_template);
    assert_eq!(ask(&with, "hello").await.0, "hello");
}

#[tokio::test]
async fn an_answer_has_the_shape_that_is_asked_for() {
    let runner = mock().await;
    let shaped = |shape, after: Option<&str>| Generate {
        constraint: Some(Constraint {
            shape,
            after: after.map(str::to_owned),
        }),
        ..chat("tell me")
    };
    for (generate, text) in [
        (shaped(Shape::Json, None), "{}"),
        (
            shaped(Shape::Schema("{}".to_owned()), Some("</t>")),
            "hm</t>{}",
        ),
        (shaped(Shape::Grammar("root ::= x".to_owned()), None), "ok"),
        (shaped(Shape::Regex(".".to_owned()), None), "ok"),
    ] {
        let generation = runner.generate(generate).await.unwrap();
        assert_eq!(finish(generation).await.0, text);
    }
    for shape in [
        Shape::Schema(r#"{"uniqueItems":true}"#.to_owned()),
        Shape::Grammar("x".to_owned()),
    ] {
        let generation = runner.generate(shaped(shape, None)).await.unwrap();
        match finish(generation).await.1 {
            Err(Error::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Invalid),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn likelihoods_are_told_when_asked_for() {
    let runner = mock().await;
    let asked = |logprobs| Generate {
        logprobs,
        ..chat("tell me")
    };
    for (logprobs, expected) in [(None, 0), (Some(0), 1), (Some(3), 1)] {
        let mut generation = runner.generate(asked(logprobs)).await.unwrap();
        let mut seen = 0;
        while let Some(step) = generation.next().await {
            if let Step::Delta(delta) = step.unwrap() {
                seen += 1;
                assert_eq!(delta.logprobs.len(), expected);
                for logprob in delta.logprobs {
                    assert_eq!(logprob.chosen.bytes, delta.text.as_bytes());
                    assert_eq!(logprob.chosen.logprob, seen as f32 / -8.0);
                    assert_eq!(logprob.top.len(), logprobs.unwrap_or(0) as usize);
                    assert!(logprob.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
                }
            }
        }
        assert_eq!(seen, 2);
    }
    let generation = runner.generate(asked(Some(21))).await.unwrap();
    assert!(finish(generation).await.1.is_err());
}
