//! Texts to vectors, and documents to scores.

use std::os::fd::AsRawFd;

use gguf_writer::tiny_bert::{self, Pooling};
use runner_protocol::{
    Adapter, AdapterScale, Call, Detokenize, Embed, Embeddings, Event, FailureKind, Input,
    MAX_INPUTS, Rerank, Scores, Stats, Tokenize,
};

use crate::adapters::scale;
use crate::harness::{Runner, greedy, inheritable};

fn runner(pooling: Pooling) -> Runner {
    let mut runner = Runner::start(&tiny_bert::bert(3, pooling));
    let loaded = runner.load(|_| ()).unwrap();
    assert_eq!(loaded.context, tiny_bert::CONTEXT_LENGTH);
    assert!(!loaded.has_chat_template);
    runner
}

fn texts(texts: &[&str]) -> Embed {
    Embed {
        inputs: texts.iter().map(|&text| Input::Text(text.into())).collect(),
        dimensions: None,
        normalize: true,
        truncate: true,
        context: None,
        adapters: Vec::new(),
    }
}

fn embed(runner: &mut Runner, embed: Embed) -> Embeddings {
    match runner.call(Call::Embed(embed)) {
        Event::Embeddings(embeddings) => embeddings,
        other => panic!("expected vectors, got {other:?}"),
    }
}

/// Attention works with 16-bit floats, and adds up in another order where other texts are in the batch.
const ROUNDING: f32 = 2e-3;

fn close(one: &[f32], other: &[f32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a - b).abs() < ROUNDING)
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|it| it * it).sum::<f32>().sqrt()
}

#[test]
fn a_text_has_the_same_vector_alone_and_among_others() {
    let mut runner = runner(Pooling::Mean);
    let alone = embed(&mut runner, texts(&["the sky is blue"]));
    assert_eq!((alone.prompt_tokens, alone.truncated), (6, 0));
    let vector = &alone.vectors[0];
    assert_eq!(vector.len() as u64, tiny_bert::WIDTH);
    assert!((length(vector) - 1.0).abs() < 1e-5);

    let mut many: Vec<String> = (0..200)
        .map(|number| format!("hello world {number}"))
        .collect();
    many[77] = "The SKY   is blue".into();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let together = embed(&mut runner, texts(&many));
    assert_eq!(together.vectors.len(), 200);
    assert!(
        close(&together.vectors[77], vector),
        "the same words in another batch"
    );
    assert!(!close(&together.vectors[76], vector));
}

#[test]
fn requests_share_batches_and_each_gets_its_own() {
    let mut runner = runner(Pooling::First);
    let words = ["cat", "dog", "grass", "sky"];
    let alone: Vec<_> = words
        .iter()
        .map(|word| embed(&mut runner, texts(&[word])).vectors[0].clone())
        .collect();
    let ids: Vec<u64> = words
        .iter()
        .map(|word| runner.send(Call::Embed(texts(&[*word; 40]))))
        .collect();
    for (id, expected) in ids.into_iter().zip(&alone) {
        let Event::Embeddings(Embeddings { vectors, .. }) = runner.end(id) else {
            panic!("vectors for every request");
        };
        assert_eq!(vectors.len(), 40);
        assert!(vectors.iter().all(|vector| close(vector, expected)));
    }
}

#[test]
fn vectors_are_cut_and_given_a_length_as_asked() {
    let mut runner = runner(Pooling::Mean);
    let raw = embed(
        &mut runner,
        Embed {
            normalize: false,
            ..texts(&["green grass"])
        },
    );
    let short = embed(
        &mut runner,
        Embed {
            dimensions: Some(5),
            ..texts(&["green grass"])
        },
    );
    let (raw, short) = (&raw.vectors[0], &short.vectors[0]);
    assert!(
        (length(raw) - 1.0).abs() > 0.1,
        "a vector of its own length"
    );
    assert_eq!(short.len(), 5);
    let whole = length(&raw[..5]);
    let expected: Vec<f32> = raw[..5].iter().map(|value| value / whole).collect();
    assert!(close(short, &expected));
    for dimensions in [0, 33] {
        let (kind, message) = runner.fails(Call::Embed(Embed {
            dimensions: Some(dimensions),
            ..texts(&["x"])
        }));
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains("1 to 32"), "{message}");
    }
}

#[test]
fn tokens_are_as_good_as_the_text() {
    let mut runner = runner(Pooling::Mean);
    let Event::Tokens(tokens) = runner.call(Call::Tokenize(Tokenize {
        text: "why is the cat green".into(),
        add_special: true,
        parse_special: true,
        literal: Vec::new(),
    })) else {
        panic!("tokens");
    };
    assert_eq!(tokens.first(), Some(&(tiny_bert::BEGIN as i32)));
    assert_eq!(tokens.last(), Some(&(tiny_bert::SEPARATOR as i32)));
    let by_text = embed(&mut runner, texts(&["why is the cat green"]));
    let by_tokens = embed(
        &mut runner,
        Embed {
            inputs: vec![Input::Tokens(tokens.clone())],
            ..texts(&[])
        },
    );
    assert_eq!(by_text, by_tokens);
    let text = runner.call(Call::Detokenize(Detokenize { tokens }));
    assert!(
        matches!(&text, Event::Text(text) if text.contains("cat")),
        "{text:?}"
    );
}

#[test]
fn long_texts_are_cut_or_refused() {
    let mut runner = runner(Pooling::First);
    for long in ["cat ".repeat(500), "cat ".repeat(200_000)] {
        let cut = embed(&mut runner, texts(&["dog", &long]));
        assert_eq!(cut.truncated, 1);
        assert_eq!(cut.prompt_tokens, 3 + tiny_bert::CONTEXT_LENGTH);
        let (kind, message) = runner.fails(Call::Embed(Embed {
            truncate: false,
            ..texts(&["dog", &long])
        }));
        assert_eq!(kind, FailureKind::ContextOverflow);
        assert!(message.starts_with("input 1 has"), "{message}");
        assert!(message.contains("128"), "{message}");
    }
    // The longest that fits, and one more.
    let fits = "cat ".repeat(126);
    let fits = Embed {
        truncate: false,
        ..texts(&[&fits])
    };
    assert_eq!(embed(&mut runner, fits).prompt_tokens, 128);
    let (kind, message) = runner.fails(Call::Embed(Embed {
        truncate: false,
        ..texts(&[&"cat ".repeat(127)])
    }));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.starts_with("input 0 has 129 tokens"), "{message}");
}

#[test]
fn a_text_is_cut_to_the_context_of_its_request() {
    let mut runner = runner(Pooling::Mean);
    let long = "cat dog ".repeat(45);
    let of = |context| Embed {
        context,
        ..texts(&[&long])
    };
    let small = embed(&mut runner, of(Some(16)));
    assert_eq!((small.prompt_tokens, small.truncated), (16, 1));
    // It reads what a text reads that has no more.
    let words: Vec<&str> = long.split_whitespace().take(14).collect();
    let short = embed(&mut runner, texts(&[&words.join(" ")]));
    assert_eq!(short.prompt_tokens, 16);
    assert!(close(&small.vectors[0], &short.vectors[0]));
    // Whoever reads more, or asks for more than there is, changes nothing for it.
    let whole = embed(&mut runner, of(Some(4096)));
    assert_eq!(
        u64::from(whole.prompt_tokens),
        u64::from(tiny_bert::CONTEXT_LENGTH).min(92)
    );
    assert!(!close(&small.vectors[0], &whole.vectors[0]));
    assert_eq!(embed(&mut runner, of(Some(16))), small);
    let (kind, message) = runner.fails(Call::Embed(Embed {
        truncate: false,
        ..of(Some(16))
    }));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.contains("reads 16"), "{message}");
    let (kind, _) = runner.fails(Call::Embed(of(Some(3))));
    assert_eq!(kind, FailureKind::Invalid);
}

#[test]
fn what_is_wrong_with_inputs_is_named() {
    let mut runner = runner(Pooling::Mean);
    let with = |inputs| Embed {
        inputs,
        ..texts(&[])
    };
    let wrong = [
        (with(vec![]), "0 inputs"),
        (
            with(vec![Input::Text("x".into()); MAX_INPUTS + 1]),
            "257 inputs",
        ),
        (with(vec![Input::Tokens(vec![])]), "input 0 has no tokens"),
        (with(vec![Input::Tokens(vec![-1])]), "token -1"),
        (with(vec![Input::Tokens(vec![1_000_000])]), "token 1000000"),
    ];
    for (embed, expected) in wrong {
        let (kind, message) = runner.fails(Call::Embed(embed));
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(expected), "{message}");
    }
    // A text of nothing is what stands around every text.
    assert_eq!(embed(&mut runner, texts(&[""])).prompt_tokens, 2);
}

#[test]
fn a_model_does_what_it_was_made_for_and_says_so() {
    let rerank = || {
        Call::Rerank(Rerank {
            query: "why".into(),
            documents: vec!["sky".into()],
            truncate: true,
            context: None,
            adapters: Vec::new(),
        })
    };
    let mut embeds = runner(Pooling::Mean);
    let (_, message) = embeds.fails(Call::Generate(Box::new(greedy("hello", 1))));
    assert!(message.contains("does not generate text"), "{message}");
    let (_, message) = embeds.fails(rerank());
    assert!(message.contains("does not rank"), "{message}");
    let mut ranks = runner(Pooling::Rank);
    let (_, message) = ranks.fails(Call::Embed(texts(&["x"])));
    assert!(message.contains("gives no vectors"), "{message}");
    let mut writes = Runner::loaded(|_| ());
    for call in [Call::Embed(texts(&["x"])), rerank()] {
        let (kind, message) = writes.fails(call);
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains("generates text"), "{message}");
    }
}

#[test]
fn documents_are_scored_alone_as_among_others() {
    let mut runner = runner(Pooling::Rank);
    let mut rank = |documents: &[&str]| {
        let documents = documents.iter().map(|&it| it.into()).collect();
        let rerank = Rerank {
            query: "why is the sky blue".into(),
            documents,
            truncate: true,
            context: None,
            adapters: Vec::new(),
        };
        match runner.call(Call::Rerank(rerank)) {
            Event::Scores(scores) => scores,
            other => panic!("expected scores, got {other:?}"),
        }
    };
    let documents = [
        "the sky is blue",
        "green grass",
        "[SEP] cat",
        &"dog ".repeat(300),
    ];
    let Scores {
        scores,
        prompt_tokens,
        truncated,
    } = rank(&documents);
    assert_eq!((scores.len(), truncated), (4, 1));
    // Begin, five words, separator, document, separator; the mark of the separator is letters of a text here.
    assert!(prompt_tokens > 12 + 10 + 128, "{prompt_tokens}");
    for (document, score) in documents.iter().zip(&scores) {
        let alone = rank(&[document]).scores[0];
        assert!(
            (alone - score).abs() < ROUNDING,
            "{document}: {alone} {score}"
        );
    }
    assert!((scores[0] - scores[1]).abs() > ROUNDING, "{scores:?}");
}

#[test]
fn texts_are_read_with_the_adapters_that_their_request_names() {
    let width = tiny_bert::WIDTH;
    let file = inheritable(&gguf_writer::lora("bert", "blk.0.attn_v.weight", width, 7));
    let adapter = Adapter {
        fd: file.as_raw_fd(),
        digest: "a".to_owned(),
    };
    let asking = |adapters: &[AdapterScale]| Embed {
        adapters: adapters.to_vec(),
        ..texts(&["the sky is blue", "hello"])
    };
    let plain = embed(&mut runner(Pooling::Mean), asking(&[]));
    let mut shared = Runner::start(&tiny_bert::bert(3, Pooling::Mean));
    shared.load(|load| load.adapters = vec![adapter]).unwrap();
    let with = embed(&mut shared, asking(&[scale("a", 1.0)]));
    assert!(!close(&plain.vectors[0], &with.vectors[0]));
    // Those with and those without take turns.
    let calls = [vec![], vec![scale("a", 1.0)], vec![], vec![scale("a", 1.0)]];
    let ids = calls.map(|adapters| shared.send(Call::Embed(asking(&adapters))));
    for (id, expected) in ids.into_iter().zip([&plain, &with, &plain, &with]) {
        let Event::Embeddings(found) = shared.end(id) else {
            panic!("expected vectors");
        };
        for (found, expected) in found.vectors.iter().zip(&expected.vectors) {
            assert!(close(found, expected), "{found:?} {expected:?}");
        }
    }
}

#[test]
fn a_query_that_leaves_no_room_is_refused() {
    let mut runner = runner(Pooling::Rank);
    let (kind, message) = runner.fails(Call::Rerank(Rerank {
        query: "why ".repeat(400),
        documents: vec!["sky".into()],
        truncate: true,
        context: None,
        adapters: Vec::new(),
    }));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.starts_with("the query has"), "{message}");
}

#[test]
fn a_cancelled_request_ends_and_the_others_go_on() {
    let mut runner = runner(Pooling::Mean);
    let long = "cat ".repeat(120);
    let target = runner.send(Call::Embed(texts(&[long.as_str(); MAX_INPUTS])));
    let other = runner.send(Call::Embed(texts(&["dog"])));
    runner.send(Call::Cancel { target });
    assert!(matches!(
        runner.end(target),
        Event::Failed(_) | Event::Embeddings(_)
    ));
    assert!(matches!(runner.end(other), Event::Embeddings(_)));
    assert!(matches!(
        runner.call(Call::Stats),
        Event::Stats(Stats {
            active: 0,
            waiting: 0,
            ..
        })
    ));
}

#[test]
fn a_request_that_has_its_answer_does_not_count_as_waiting() {
    let mut runner = runner(Pooling::Mean);
    let tokenize = Tokenize {
        text: "cat".into(),
        add_special: false,
        parse_special: false,
        literal: Vec::new(),
    };
    let Event::Tokens(tokens) = runner.call(Call::Tokenize(tokenize)) else {
        panic!("a text has tokens");
    };
    let detokenized = runner.call(Call::Detokenize(Detokenize { tokens }));
    assert!(matches!(detokenized, Event::Text(_)), "{detokenized:?}");
    runner.fails(Call::Embed(texts(&[])));
    let stats = runner.call(Call::Stats);
    assert!(
        matches!(stats, Event::Stats(Stats { waiting: 0, .. })),
        "{stats:?}"
    );
}

#[test]
fn a_vocabulary_without_a_beginning_is_refused() {
    let model = tiny_bert::without_special_tokens(3);
    let failure = Runner::start(&model).load(|_| ()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(
        failure.message.contains("no token for the beginning"),
        "{failure:?}"
    );
}

#[test]
fn a_file_that_pools_in_an_unknown_way_is_refused() {
    let mut runner = Runner::start(&tiny_bert::bert(3, Pooling::Unknown));
    let failure = runner.load(|_| ()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(failure.message.contains("pooling type 9"), "{failure:?}");
}
