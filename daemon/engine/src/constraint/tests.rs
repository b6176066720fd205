//! Constraints on a vocabulary of single bytes, with choices by chance in place of a model.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use runner::protocol::{self, Shape};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::*;
use crate::sampler::tests::Letters;

thread_local! {
    static COMPILER: Compiler = Compiler::new(&Letters, &[]).unwrap();
}

fn constraint(shape: Shape, after: Option<&str>) -> Result<Constraint, Error> {
    let wanted = protocol::Constraint {
        shape,
        after: after.map(String::from),
    };
    COMPILER.with(|compiler| Constraint::new(compiler, &wanted))
}

fn schema(schema: &Value) -> Shape {
    Shape::Schema(schema.to_string())
}

/// Tokens that may come next.
fn allowed(constraint: &mut Constraint) -> Vec<i32> {
    let mut scores = [0.0f32; 256];
    constraint.mask().unwrap().apply(&mut scores);
    (0..256)
        .filter(|&token| scores[token as usize] == 0.0)
        .collect()
}

/// Writes by chance what is allowed. Says whether the answer is whole.
fn write(shape: Shape, seed: u64, most: usize) -> (String, bool) {
    let mut constraint = constraint(shape, None).unwrap();
    let mut state = seed;
    let mut chance = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = Vec::new();
    while text.len() < most {
        let all = allowed(&mut constraint);
        // Mostly what ends something, so that answers come to an end.
        let ends: Vec<i32> = all
            .iter()
            .copied()
            .filter(|&token| token == 0 || b"\"]}".contains(&(token as u8)))
            .collect();
        let from = if chance(3) > 0 && !ends.is_empty() {
            &ends
        } else {
            &all
        };
        let token = from[chance(from.len())];
        assert!(constraint.allows(token).unwrap());
        if token == 0 {
            return (String::from_utf8(text).unwrap(), true);
        }
        constraint.accept(token, &Letters).unwrap();
        text.push(token as u8);
        if constraint.is_over() {
            return (String::from_utf8(text).unwrap(), true);
        }
    }
    (String::from_utf8_lossy(&text).into_owned(), false)
}

/// How many bytes of the text are allowed, and whether it is whole after them.
fn follow(shape: Shape, text: &str) -> (usize, bool) {
    let mut constraint = constraint(shape, None).unwrap();
    for (place, byte) in text.bytes().enumerate() {
        if constraint.is_over() || !constraint.allows(byte.into()).unwrap() {
            return (place, false);
        }
        constraint.accept(byte.into(), &Letters).unwrap();
    }
    let whole = constraint.is_over() || constraint.allows(0).unwrap();
    (text.len(), whole)
}

fn accepts(shape: &Shape, text: &str) -> bool {
    follow(shape.clone(), text) == (text.len(), true)
}

#[track_caller]
fn refused(shape: Shape, why: &str) {
    let error = constraint(shape, None).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains(why), "{said}");
    assert!(said.len() < 600 && !said.contains('\n'), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn json_is_json(seed: u64) {
        let (text, whole) = write(Shape::Json, seed, 400);
        // Values are not read, because numbers may be larger than any type of ours.
        match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => prop_assert_eq!(text.chars().next(), Some('{')),
            // What was cut off is the beginning of JSON.
            Err(error) => prop_assert!(!whole && error.is_eof(), "{text}: {error}"),
        }
    }

    #[test]
    fn a_schema_is_kept(seed: u64) {
        let shape = schema(&json!({
            "type": "object",
            "properties": {
                "colour": {"enum": ["red", "green", "blue"]},
                "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
                "grid": {
                    "type": "array", "minItems": 1, "maxItems": 3,
                    "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
                },
                "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$"},
                "note": {"type": ["string", "null"], "maxLength": 5},
            },
            "required": ["colour", "year", "grid", "code"],
            "additionalProperties": false,
        }));
        let (text, whole) = write(shape, seed, 2000);
        prop_assert!(whole, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(["red", "green", "blue"].contains(&value["colour"].as_str().unwrap()));
        prop_assert!((1900..=2100).contains(&value["year"].as_i64().unwrap()));
        let grid = value["grid"].as_array().unwrap();
        prop_assert!((1..=3).contains(&grid.len()));
        for row in grid {
            let row = row.as_array().unwrap();
            prop_assert!(row.len() <= 2 && row.iter().all(Value::is_boolean));
        }
        let code = value["code"].as_str().unwrap();
        let (letters, digits) = code.split_at(2);
        prop_assert!(letters.chars().all(|it| it.is_ascii_uppercase()), "{code}");
        prop_assert!((1..=3).contains(&digits.len()) && digits.chars().all(|it| it.is_ascii_digit()), "{code}");
        if let Some(note) = value["note"].as_str() {
            prop_assert!(note.chars().count() <= 5, "{note}");
        }
        let known = ["colour", "year", "grid", "code", "note"];
        prop_assert!(value.as_object().unwrap().keys().all(|name| known.contains(&name.as_str())));
    }
}

#[test]
fn white_space_does_not_go_on_for_ever() {
    let shape = schema(
        &json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": false}),
    );
    assert!(accepts(&shape, "{\"a\":null}"));
    assert!(accepts(&shape, "{ \"a\" : null }"));
    assert!(accepts(&shape, "{\n    \"a\": null\n}"));
    assert!(accepts(&shape, "{\r\n\t\"a\": null\r\n}"));
    let (read, _) = follow(shape.clone(), &format!("{{\n{}", " ".repeat(1000)));
    assert!(read < 100, "{read}");
    let (read, _) = follow(shape, "{\n\n\n\n");
    assert!(read < 5, "{read}");
}

#[test]
fn references_may_lead_back() {
    let shape = schema(&json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": false,
        }},
    }));
    assert!(accepts(&shape, r#"{"next":{"next":{"next":null}}}"#));
    assert!(!accepts(&shape, r#"{"next":{"next":3}}"#));
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    refused(schema(&json!({"$ref": "#"})), "JSON schema");
    refused(
        schema(
            &json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        "JSON schema",
    );
    refused(
        schema(
            &json!({"$ref": "#/$defs/a", "type": "object", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}], "type": "object"}}}),
        ),
        "JSON schema",
    );
    refused(schema(&json!({"$ref": "#/$defs/missing"})), "missing");
}

#[test]
fn a_long_chain_of_references_does_no_harm() {
    let mut defs = serde_json::Map::new();
    for link in 0..1500 {
        defs.insert(
            format!("d{link}"),
            json!({"$ref": format!("#/$defs/d{}", link + 1)}),
        );
    }
    defs.insert("d1500".into(), json!({"type": "null"}));
    let shape = schema(&json!({"$ref": "#/$defs/d0", "$defs": defs}));
    assert!(accepts(&shape, "null"));
}

#[test]
fn what_cannot_be_enforced_is_refused_by_name() {
    refused(
        schema(&json!({"type": "array", "uniqueItems": true})),
        "uniqueItems",
    );
    refused(schema(&json!({"not": {"type": "null"}})), "not");
    refused(
        schema(&json!({"type": "string", "format": "colour"})),
        "colour",
    );
    refused(schema(&json!({"type": "colour"})), "colour");
    refused(schema(&json!({"enum": []})), "JSON schema");
    refused(
        schema(&json!({"type": "integer", "minimum": 3, "maximum": 2})),
        "JSON schema",
    );
}

#[test]
fn hostile_rules_are_refused_in_time() {
    refused(Shape::Schema("[".repeat(60_000)), "JSON");
    refused(
        Shape::Schema(format!("{{\"a\":{}", "[".repeat(60_000))),
        "JSON",
    );
    refused(Shape::Schema(" ".repeat(70_000)), "65536");
    refused(Shape::Grammar("(".repeat(70_000)), "65536");
    refused(
        Shape::Grammar(format!("root ::= {}", "(".repeat(60_000))),
        "deeper",
    );
    refused(Shape::Regex("((a{100}){100}){100}".into()), "repeats");
    refused(Shape::Regex("(".repeat(1000)), "pattern");
    refused(Shape::Grammar("root ::= root".into()), "grammar");
    refused(
        Shape::Grammar("root ::= a\na ::= b \"x\"\nb ::= a".into()),
        "grammar",
    );
}

#[test]
fn a_grammar_is_matched_exactly() {
    // Whoever reads "bc" as one word loses "bcd".
    let words = "\"b\" \"cd\" | \"bc\" \"x\" | [a-c]* \"b\"";
    for grammar in [
        format!("root ::= {words}"),
        format!("root ::= w | \"(\" root \")\"\nw ::= {words}"),
    ] {
        let shape = Shape::Grammar(grammar);
        for good in ["bcd", "bcx", "b", "abcab"] {
            assert!(accepts(&shape, good), "{shape:?} {good}");
        }
        for bad in ["bc", "x", "bcdx", "a", ""] {
            assert!(!accepts(&shape, bad), "{shape:?} {bad}");
        }
    }
    let nested = Shape::Grammar("root ::= \"(\" root \")\" | \"é\"".into());
    assert!(accepts(&nested, "((é))"));
    assert!(!accepts(&nested, "((é)"));
    let empty = Shape::Grammar("root ::= \"a\"* | \"(\" root \")\"".into());
    assert!(accepts(&empty, "") && accepts(&empty, "(aa)"));
    assert!(accepts(&Shape::Grammar("root ::= \"a\"*".into()), ""));
    assert!(accepts(&Shape::Grammar("root ::= \"\"".into()), ""));
}

#[test]
fn a_grammar_that_can_be_read_in_many_ways_costs_no_more() {
    let shape =
        Shape::Grammar("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root | \"a\"".into());
    let began = Instant::now();
    let mut constraint = constraint(shape, None).unwrap();
    let letter = i32::from(b'a');
    // Refusing to go on is as good as going on; filling the memory is not.
    let read = (0..2000)
        .take_while(|_| constraint.accept(letter, &Letters).is_ok())
        .count();
    assert!(read > 100, "{read}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn anchors_in_heaps_do_no_harm() {
    // A server of llama.cpp ended of these.
    for pattern in ["^+".repeat(400), "$*".repeat(400), "(^)+a($)+".into()] {
        let compiled = constraint(Shape::Regex(pattern.clone()), None);
        let nested = constraint(schema(&json!({"type": "string", "pattern": pattern})), None);
        for result in [compiled, nested] {
            assert!(!matches!(result, Err(Error::Internal(_))), "{result:?}");
        }
    }
}

#[test]
fn a_pattern_is_matched_as_a_whole() {
    let shape = Shape::Regex(r"\d{2}/[a-f]+".into());
    assert!(accepts(&shape, "42/abc"));
    assert!(!accepts(&shape, "42/"));
    assert!(!accepts(&shape, "x42/a"));
    assert_eq!(follow(shape, "42/ag").0, 4);
}

#[test]
fn what_must_come_is_the_only_choice() {
    let mut constraint = constraint(Shape::Regex("abc".into()), None).unwrap();
    for letter in *b"abc" {
        assert_eq!(constraint.mask().unwrap().only(), Some(letter.into()));
        assert!(!constraint.is_over());
        constraint.accept(letter.into(), &Letters).unwrap();
    }
    assert!(constraint.is_over());
}

#[test]
fn what_is_not_allowed_cannot_be_accepted() {
    let mut constraint = constraint(Shape::Regex("abc".into()), None).unwrap();
    assert!(!constraint.allows(i32::from(b'b')).unwrap());
    assert!(constraint.accept(i32::from(b'b'), &Letters).is_err());
    // And there is no way back to a free answer.
    assert!(constraint.mask().is_err());
}

#[test]
fn a_constraint_may_begin_after_a_text() {
    let mut constraint = constraint(Shape::Regex("[0-9]+".into()), Some("</think>")).unwrap();
    assert!(constraint.is_costly());
    for byte in *b"Hm, 1 < 2 </thi" {
        assert!(constraint.allows(byte.into()).unwrap());
        // It must not end before it has begun.
        assert!(!constraint.allows(0).unwrap());
        constraint.accept(byte.into(), &Letters).unwrap();
    }
    assert_eq!(allowed(&mut constraint), (1..256).collect::<Vec<_>>());
    for byte in *b"nk>" {
        constraint.accept(byte.into(), &Letters).unwrap();
    }
    assert_eq!(
        allowed(&mut constraint),
        (i32::from(b'0')..=i32::from(b'9')).collect::<Vec<_>>()
    );
    constraint.accept(i32::from(b'7'), &Letters).unwrap();
    assert!(constraint.allows(0).unwrap());
}

#[test]
fn a_marker_must_be_a_short_text() {
    for marker in ["", &"x".repeat(257)] {
        let error = constraint(Shape::Json, Some(marker)).unwrap_err();
        assert!(error.to_string().contains("256"), "{error}");
    }
}
