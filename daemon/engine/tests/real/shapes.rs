//! Answers that must look like something, of a model that would say anything.

use runner_protocol::{Call, Constraint, FailureKind, Generate, Sampling, Shape, StopReason};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::harness::{Runner, greedy};

/// An answer by chance, long enough for what is asked.
fn shaped(shape: Shape, seed: u64) -> Generate {
    Generate {
        sampling: Sampling {
            seed: Some(seed),
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            ..Sampling::default()
        },
        constraint: Some(Constraint { shape, after: None }),
        ..greedy("hello the sky", 400)
    }
}

fn schema(schema: &Value) -> Shape {
    Shape::Schema(schema.to_string())
}

#[test]
fn json_mode_gives_json_whatever_the_model_would_say() {
    let mut runner = Runner::loaded(|_| ());
    let mut whole = 0;
    for seed in 0..12 {
        let (text, done) = runner.generate(shaped(Shape::Json, seed));
        // Values are not read, because numbers may be larger than any type of ours.
        match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => {
                assert!(text.starts_with('{'), "{text}");
                assert_eq!(done.reason, StopReason::Stop);
                whole += 1;
            }
            // What was cut off is the beginning of JSON.
            Err(error) => {
                assert_eq!(done.reason, StopReason::Length, "{text}: {error}");
                assert!(error.is_eof(), "{text}: {error}");
            }
        }
    }
    assert!(whole > 0);
}

#[test]
fn a_schema_is_kept_whatever_the_model_would_say() {
    let shape = schema(&json!({
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "green", "blue"]},
            "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
            "grid": {
                "type": "array", "minItems": 1, "maxItems": 3,
                "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
            },
        },
        "required": ["colour", "year", "grid"],
        "additionalProperties": false,
    }));
    let mut runner = Runner::loaded(|_| ());
    let mut years = Vec::new();
    for seed in 0..12 {
        let (text, done) = runner.generate(shaped(shape.clone(), seed));
        assert_eq!(done.reason, StopReason::Stop, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(names, ["colour", "year", "grid"]);
        assert!(["red", "green", "blue"].contains(&value["colour"].as_str().unwrap()));
        let year = value["year"].as_i64().unwrap();
        assert!((1900..=2100).contains(&year));
        years.push(year);
        let grid = value["grid"].as_array().unwrap();
        assert!((1..=3).contains(&grid.len()));
        assert!(
            grid.iter()
                .flat_map(|row| row.as_array().unwrap())
                .all(Value::is_boolean)
        );
        // The same seed says the same.
        assert_eq!(runner.generate(shaped(shape.clone(), seed)).0, text);
    }
    years.dedup();
    assert!(years.len() > 1, "{years:?}");
}

#[test]
fn a_greedy_answer_keeps_its_shape_too() {
    let mut runner = Runner::loaded(|_| ());
    let shape = schema(
        &json!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 99, "minimum": 0}}, "required": ["a"], "additionalProperties": false}),
    );
    let constraint = Some(Constraint { shape, after: None });
    let (text, done) = runner.generate(Generate {
        constraint,
        ..greedy("hello", 100)
    });
    assert_eq!(done.reason, StopReason::Stop);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!((0..=99).contains(&value["a"].as_i64().unwrap()));
}

#[test]
fn grammars_and_patterns_are_kept() {
    let mut runner = Runner::loaded(|_| ());
    for seed in 0..6 {
        let dates = Shape::Regex("[12][0-9]{3}-(0[1-9]|1[0-2])".into());
        let (text, done) = runner.generate(shaped(dates, seed));
        assert_eq!((text.len(), done.reason), (7, StopReason::Stop), "{text}");

        let words = Shape::Grammar("root ::= (\"yes\" | \"no\") \"!\"{2}".into());
        let (text, _) = runner.generate(shaped(words, seed));
        assert!(["yes!!", "no!!"].contains(&text.as_str()), "{text}");

        let nested = Shape::Grammar("root ::= \"(\" root \")\" | [a-c]{2,4}".into());
        let (text, done) = runner.generate(shaped(nested, seed));
        if done.reason == StopReason::Stop {
            let letters = text.trim_matches(['(', ')']);
            assert!((2..=4).contains(&letters.len()), "{text}");
            assert!(
                letters.chars().all(|it| ('a'..='c').contains(&it)),
                "{text}"
            );
            assert_eq!(
                text.matches('(').count(),
                text.matches(')').count(),
                "{text}"
            );
        } else {
            assert!(text.starts_with('('), "{text}");
        }
    }
}

#[test]
fn a_shape_may_begin_after_a_text() {
    let mut runner = Runner::loaded(|_| ());
    for seed in 0..4 {
        // Any of the model's own words will come some time.
        let constraint = Some(Constraint {
            shape: Shape::Regex("[0-9]{3}".into()),
            after: Some("e".into()),
        });
        let (text, done) = runner.generate(Generate {
            constraint,
            ..shaped(Shape::Json, seed)
        });
        assert_eq!(done.reason, StopReason::Stop, "{text}");
        let (_, answer) = text.split_once('e').unwrap();
        assert_eq!(answer.trim_start().len(), 3, "{text}");
        assert!(
            answer.trim_start().bytes().all(|it| it.is_ascii_digit()),
            "{text}"
        );
    }
}

#[test]
fn a_stop_text_ends_a_shaped_answer() {
    let mut runner = Runner::loaded(|_| ());
    let shape =
        schema(&json!({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 3}));
    let (text, done) = runner.generate(Generate {
        stop: vec!["null".into()],
        ..shaped(shape, 1)
    });
    assert_eq!((text.trim(), done.reason), ("[", StopReason::Stop));
}

#[test]
fn bad_shapes_are_told_and_disturb_nobody() {
    let mut runner = Runner::loaded(|_| ());
    let (alone, _) = runner.generate(greedy("the sky is", 300));
    let other = runner.send(Call::Generate(Box::new(greedy("the sky is", 300))));
    for (shape, why) in [
        (Shape::Schema("[".repeat(60_000)), "JSON"),
        (Shape::Schema(r#"{"a":"#.repeat(13_000)), "JSON"),
        (schema(&json!({"$ref": "#"})), "JSON schema"),
        (
            schema(&json!({"type": "array", "uniqueItems": true})),
            "uniqueItems",
        ),
        (
            schema(&json!({"type": "string", "pattern": "((a{100}){100}){100}"})),
            "repeats",
        ),
        (Shape::Grammar("(".repeat(60_000)), "grammar"),
        (
            Shape::Grammar(format!("root ::= {}", "(".repeat(60_000))),
            "deeper",
        ),
        (Shape::Grammar("root ::= root".into()), "grammar"),
        (Shape::Grammar("root ::= x".into()), "'x'"),
        (Shape::Regex("(a+)+(".into()), "pattern"),
    ] {
        let (kind, message) = runner.fails(Call::Generate(Box::new(shaped(shape, 1))));
        assert_eq!(kind, FailureKind::Invalid, "{message}");
        assert!(message.contains(why), "{message}");
        assert!(message.len() < 600, "{message}");
    }
    assert_eq!(runner.answer(other).0, alone);
}

#[test]
fn a_shape_that_costs_too_much_ends_its_own_answer_only() {
    let mut runner = Runner::loaded(|_| ());
    let (alone, _) = runner.generate(greedy("the sky is", 48));
    let ambiguous =
        "root ::= a{2000}\na ::= b | b a | a b\nb ::= [a-z ] | [a-z ]* | c\nc ::= b b | [a-z ]?"
            .into();
    let costly = runner.send(Call::Generate(Box::new(shaped(
        Shape::Grammar(ambiguous),
        1,
    ))));
    let other = runner.send(Call::Generate(Box::new(greedy("the sky is", 48))));
    assert_eq!(runner.answer(other).0, alone);
    // However it ends, it ends.
    assert!(runner.end(costly).is_terminal());
    assert_eq!(runner.generate(greedy("the sky is", 48)).0, alone);
}
