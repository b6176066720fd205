//! Tests of constraints with a vocabulary of single bytes, and random choices in place of a model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use runner_protocol::{self as protocol, Shape, Tool};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
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

/// The allowed tokens.
fn allowed(constraint: &mut Constraint) -> Vec<i32> {
    tokens(&constraint.mask().unwrap())
}

fn tokens(mask: &Mask) -> Vec<i32> {
    let mut scores = [0.0f32; 256];
    mask.apply(&mut scores);
    (0..256)
        .filter(|&token| scores[token as usize] == 0.0)
        .collect()
}

/// Writes a random allowed answer. Returns whether it is complete.
fn write(shape: Shape, seed: u64, most: usize) -> (String, bool) {
    write_in(constraint(shape, None).unwrap(), seed, most)
}

fn write_in(constraint: Constraint, seed: u64, most: usize) -> (String, bool) {
    // Prefers bytes that close something, so that answers end.
    write_liking(constraint, b"\0\"]}", seed, most)
}

/// Writes a random allowed answer, mostly of the preferred bytes.
fn write_liking(
    mut constraint: Constraint,
    liked: &[u8],
    seed: u64,
    most: usize,
) -> (String, bool) {
    let mut state = seed;
    let mut chance = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = Vec::new();
    while text.len() < most {
        let mut mask = constraint.mask().unwrap();
        let token = loop {
            let all = tokens(&mask);
            let dear = all.iter().copied();
            let dear: Vec<i32> = dear.filter(|it| liked.contains(&(*it as u8))).collect();
            let from = if chance(3) > 0 && !dear.is_empty() {
                &dear
            } else {
                &all
            };
            let token = from[chance(from.len())];
            if constraint.allows(token).unwrap() {
                break token;
            }
            assert!(!constraint.leads_on(token).unwrap());
            let narrowed = constraint.narrow(&mut mask, token);
            narrowed.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&text)));
        };
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

/// The number of allowed bytes of the text, and whether the answer is complete after them.
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

/// The number of allowed bytes of the text.
fn followed(mut constraint: Constraint, text: &str) -> usize {
    let mut bytes = text.bytes();
    let stop = bytes.position(|byte| {
        let allowed = constraint.allows(byte.into()).unwrap();
        if allowed {
            constraint.accept(byte.into(), &Letters).unwrap();
        }
        !allowed
    });
    stop.unwrap_or(text.len())
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
            // A truncated answer is the start of JSON.
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
fn white_space_is_bounded() {
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

/// Bounds of numbers, and numbers outside of them.
fn ranges() -> Vec<Value> {
    vec![
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.9}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 0}),
        json!({"type": "number", "exclusiveMinimum": 2.5, "maximum": 2.75}),
        json!({"type": "number", "minimum": -2.5, "exclusiveMaximum": -2}),
        json!({"type": "number", "exclusiveMinimum": 3}),
        json!({"type": "number", "exclusiveMaximum": 0}),
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 2, "multipleOf": 0.5}),
        json!({"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1.5, "multipleOf": 0.25}),
        json!({"type": "number", "minimum": 0, "exclusiveMinimum": true, "maximum": 1}),
        json!({"exclusiveMinimum": 0, "maximum": 0.5, "type": ["number", "integer"]}),
        json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3}),
        json!({"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 0}),
        json!({"type": "integer", "exclusiveMinimum": -0.5, "maximum": 1.5}),
        json!({"type": "integer", "exclusiveMinimum": 3, "maximum": 30, "multipleOf": 3}),
        json!({"type": "integer", "minimum": -9, "exclusiveMaximum": -3, "multipleOf": 3}),
        json!({"type": "number"}),
        json!({"type": "integer"}),
    ]
}

/// Whether a number is within the bounds of its schema.
fn is_within(schema: &Value, number: f64) -> bool {
    let bound = |word: &str| schema[word].as_f64();
    let old = schema["exclusiveMinimum"] == true;
    let step = bound("multipleOf").map_or(0.0, |step| (number / step).fract());
    bound("minimum").is_none_or(|it| number > it || (number == it && !old))
        && bound("maximum").is_none_or(|it| number <= it)
        && bound("exclusiveMinimum").is_none_or(|it| number > it)
        && bound("exclusiveMaximum").is_none_or(|it| number < it)
        && step == 0.0
        && (schema["type"] != "integer" || number.fract() == 0.0)
}

proptest! {
    #[test]
    fn bounds_of_numbers_are_kept(which in 0..ranges().len(), seed: u64) {
        let range = &ranges()[which];
        let (text, whole) = write(schema(range), seed, 100);
        prop_assert!(whole, "{range}: {text} does not end");
        let number: f64 = serde_json::from_str(&text).unwrap();
        prop_assert!(is_within(range, number), "{range}: {text}");
    }
}

#[test]
fn an_exclusive_bound_is_not_written() {
    let above = schema(&json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.9}));
    for bad in ["0", "0.0", "-0", "0.90000001", "1"] {
        assert!(!accepts(&above, bad), "{bad}");
    }
    for good in ["0.5", "0.9", "0.00001"] {
        assert!(accepts(&above, good), "{good}");
    }
}

#[test]
fn digits_are_bounded() {
    let number = || schema(&json!({"type": "number"}));
    assert!(accepts(&number(), "-1234567.25"));
    assert!(follow(number(), &format!("0.{}", "3".repeat(100))).0 < 20);
    assert!(follow(number(), &"3".repeat(100)).0 < 25);
    let integer = || schema(&json!({"type": "integer"}));
    assert!(accepts(&integer(), "-1234567890123456789"));
    assert!(follow(integer(), &"3".repeat(100)).0 < 25);
    assert!(follow(Shape::Json, &format!("{{\"a\": 0.{}", "3".repeat(100))).0 < 30);
    let time = schema(&json!({"type": "string", "format": "date-time"}));
    assert!(accepts(&time, "\"2020-02-03T04:05:06.123456789+01:00\""));
    let endless = format!("\"2020-02-03T04:05:06.{}", "3".repeat(100));
    assert!(follow(time, &endless).0 < 40);
}

#[test]
fn a_format_that_only_describes_is_any_text() {
    for format in [
        "password",
        "binary",
        "byte",
        "uri-reference",
        "regex",
        "colour",
    ] {
        let text = schema(&json!({"type": "string", "format": format, "maxLength": 3}));
        assert!(accepts(&text, "\"?a \""), "{format}");
        assert!(!accepts(&text, "\"?a b\""), "{format}");
    }
    assert!(accepts(
        &schema(&json!({"type": "integer", "format": "int32"})),
        "7"
    ));
}

#[test]
fn an_object_has_only_named_members() {
    let person = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    });
    let wanted = r#"{"name": "A", "age": 25}"#;
    assert!(accepts(&schema(&person), wanted));
    let (read, _) = follow(schema(&person), r#"{"name": "A", "age": 25, "gender": 1}"#);
    assert_eq!(read, r#"{"name": "A", "age": 25"#.len());
    // The schema of a pydantic class.
    let pydantic = json!({
        "$defs": {"Pet": {
            "properties": {"kind": {"enum": ["cat", "dog"], "title": "Kind", "type": "string"}},
            "required": ["kind"], "title": "Pet", "type": "object",
        }},
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "pet": {"anyOf": [{"$ref": "#/$defs/Pet"}, {"type": "null"}], "default": null},
            "pets": {"items": {"$ref": "#/$defs/Pet"}, "title": "Pets", "type": "array"},
        },
        "required": ["name", "pets"], "title": "Person", "type": "object",
    });
    let pydantic = schema(&pydantic);
    assert!(accepts(
        &pydantic,
        r#"{"name": "A", "pet": null, "pets": [{"kind": "cat"}]}"#
    ));
    assert!(!accepts(
        &pydantic,
        r#"{"name": "A", "pets": [{"kind": "cat", "age": 3}]}"#
    ));
    assert!(!accepts(
        &pydantic,
        r#"{"name": "A", "name": "B", "pets": []}"#
    ));
}

#[test]
fn the_parts_of_an_object_are_closed_together() {
    let parts = schema(&json!({
        "$defs": {"base": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        ],
    }));
    assert!(accepts(&parts, r#"{"id": 1, "name": "A"}"#));
    assert!(!accepts(&parts, r#"{"id": 1, "name": "A", "more": 1}"#));
    let branches = schema(&json!({
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}},
        "required": ["kind"],
        "anyOf": [
            {"properties": {"one": {"type": "null"}}, "required": ["one"]},
            {"properties": {"two": {"type": "null"}}, "required": ["two"]},
        ],
    }));
    assert!(accepts(&branches, r#"{"kind": "a", "one": null}"#));
    assert!(accepts(&branches, r#"{"kind": "b", "two": null}"#));
    assert!(!accepts(
        &branches,
        r#"{"kind": "b", "two": null, "three": null}"#
    ));
    assert!(!accepts(
        &branches,
        r#"{"kind": "b", "one": null, "two": null}"#
    ));
}

#[test]
fn an_object_without_properties_is_open_and_bounded() {
    let open = || schema(&json!({"type": "object"}));
    assert!(accepts(
        &open(),
        r#"{"a": [1, {"b": "c"}], "d": {"e": null}}"#
    ));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|it| format!("\"{it}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(accepts(&open(), &members(64)));
    assert!(!accepts(&open(), &members(65)));
    assert!(!accepts(&open(), &format!("{{\"a\":{}", "[".repeat(40))));
    let said = schema(
        &json!({"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "boolean"}, "type": "object"}),
    );
    assert!(accepts(&said, r#"{"a": null, "b": true}"#));
}

/// Asserts that no object has a member twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Unique)) = members.next_entry::<String, _>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name:?} comes twice")));
            }
        }
        Ok(Unique)
    }
}

/// A schema of nested objects with open names.
fn open_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "object"})),
        Just(json!({"additionalProperties": {"type": "null"}})),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        let patterns = prop::sample::select(vec!["^[ab]$", "^a{1,3}$", "^[a-c]{2}$", "^(a|ab|abc)$", "a"]);
        prop_oneof![
            (patterns, inner.clone(), 0..3).prop_map(|(pattern, value, least)| json!({
                "type": "object", "patternProperties": {pattern: value},
                "additionalProperties": false, "minProperties": least,
            })),
            (inner.clone(), 0..3).prop_map(|(value, least)| json!({
                "type": "object", "additionalProperties": value, "minProperties": least, "maxProperties": 5,
            })),
            inner.clone().prop_map(|value| json!({
                "type": "object", "properties": {"a": {"type": "null"}, "b": value},
                "additionalProperties": value, "required": ["b"],
            })),
            inner.prop_map(|value| json!({"type": "array", "items": value, "maxItems": 3})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_member_comes_twice(object in open_object(), seed: u64) {
        let constraint = constraint(schema(&object), None).unwrap();
        let (text, whole) = write_liking(constraint, b"\0\"a,:{}", seed, 600);
        match serde_json::from_str::<Unique>(&text) {
            Ok(_) => {}
            Err(error) => prop_assert!(!whole && error.is_eof(), "{object}: {text}: {error}"),
        }
    }
}

#[test]
fn an_object_with_all_members_ends() {
    let shape = schema(&json!({
        "type": "object", "patternProperties": {"^[ab]$": {"type": "boolean"}},
        "additionalProperties": false, "minProperties": 2,
    }));
    assert!(accepts(&shape, r#"{"b":false,"a":true}"#));
    let (read, _) = follow(shape.clone(), r#"{"b":false,"b":true}"#);
    assert_eq!(read, r#"{"b":false,""#.len());
    // A comma would demand a third.
    let (read, _) = follow(shape, r#"{"b":false,"a":true,"#);
    assert_eq!(read, r#"{"b":false,"a":true"#.len());
}

#[test]
fn a_name_may_begin_as_another() {
    let open = schema(&json!({"type": "object"}));
    assert!(accepts(
        &open,
        r#"{"a": 1, "ab": {"a": 1}, "": {}, "b": [{"a": 1}, {"a": 2}]}"#
    ));
    for again in [r#"{"a": 1, "a""#, r#"{"a": {"b": 1, "b""#] {
        assert_eq!(follow(open.clone(), again).0, again.len() - 1);
    }
}

#[test]
fn a_schema_that_demands_more_members_than_there_are_is_an_error() {
    let shape = schema(&json!({
        "type": "object", "patternProperties": {"^[ab]$": {"type": "null"}},
        "additionalProperties": false, "minProperties": 3,
    }));
    let mut constraint = constraint(shape, None).unwrap();
    for byte in br#"{"a":null,"b":null"# {
        constraint.accept(i32::from(*byte), &Letters).unwrap();
    }
    assert!(!constraint.allows(i32::from(b',')).unwrap());
    let mut mask = constraint.mask().unwrap();
    mask.retain(|token| token == u32::from(b','));
    let error = constraint.narrow(&mut mask, i32::from(b',')).unwrap_err();
    assert!(error.to_string().contains("a name that the object has"));
}

#[test]
fn references_may_be_recursive() {
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
fn references_without_a_target_are_refused() {
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
fn keywords_that_cannot_be_enforced_are_refused_by_name() {
    refused(
        schema(&json!({"type": "array", "uniqueItems": true, "contains": {}})),
        "the JSON schema uses `contains` and `uniqueItems`, which cannot be held; leave it out",
    );
    for schema_of in [
        json!({"not": {"type": "null"}}),
        json!({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"not": {}}}}),
    ] {
        let said = "the JSON schema uses `not`, which cannot be held; leave it out";
        refused(schema(&schema_of), said);
    }
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
    // A reader that takes "bc" as one word misses "bcd".
    let vocabulary = "\"b\" \"cd\" | \"bc\" \"x\" | [a-c]* \"b\"";
    for grammar in [
        format!("root ::= {vocabulary}"),
        format!("root ::= w | \"(\" root \")\"\nw ::= {vocabulary}"),
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
fn an_ambiguous_grammar_costs_no_more() {
    let shape =
        Shape::Grammar("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root | \"a\"".into());
    let mut constraint = constraint(shape, None).unwrap();
    let letter = i32::from(b'a');
    // An error is as good as a continuation; filling the memory is not.
    let read = (0..500)
        .take_while(|_| constraint.accept(letter, &Letters).is_ok())
        .count();
    assert!(read > 100, "{read}");
}

#[test]
fn many_anchors_do_no_harm() {
    // These crashed a server of llama.cpp.
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
fn a_required_token_is_the_only_choice() {
    let mut constraint = constraint(Shape::Regex("abc".into()), None).unwrap();
    for letter in *b"abc" {
        assert_eq!(constraint.mask().unwrap().only(), Some(letter.into()));
        assert!(!constraint.is_over());
        constraint.accept(letter.into(), &Letters).unwrap();
    }
    assert!(constraint.is_over());
}

#[test]
fn a_token_that_is_not_allowed_is_not_accepted() {
    let mut constraint = constraint(Shape::Regex("abc".into()), None).unwrap();
    assert!(!constraint.allows(i32::from(b'b')).unwrap());
    assert!(constraint.accept(i32::from(b'b'), &Letters).is_err());
    // And the answer stays constrained.
    assert!(constraint.mask().is_err());
}

#[test]
fn a_constraint_may_start_after_a_text() {
    let mut constraint = constraint(Shape::Regex("[0-9]+".into()), Some("</think>")).unwrap();
    assert!(constraint.is_costly());
    for byte in *b"Hm, 1 < 2 </thi" {
        assert!(constraint.allows(byte.into()).unwrap());
        // The answer must not end before the constraint starts.
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

/// llama.cpp's parser of a template in the Hermes format: text, and calls between tags.
fn hermes(tools: &[Tool], thinks: bool) -> Value {
    let mut nodes = vec![
        json!({"type": "literal", "literal": "<|im_start|>assistant\n"}),
        json!({"type": "until", "delimiters": ["<tool_call>"]}),
        json!({"type": "tag", "tag": "content", "child": 1}),
        json!({"type": "repetition", "child": 2, "min_count": 0, "max_count": 1}),
        json!({"type": "literal", "literal": "<tool_call>"}),
        json!({"type": "space"}),
        json!({"type": "literal", "literal": "</tool_call>"}),
        json!({"type": "end"}),
        json!({"type": "literal", "literal": "<think>"}),
        json!({"type": "until", "delimiters": ["</think>"]}),
        json!({"type": "tag", "tag": "reasoning", "child": 9}),
        json!({"type": "literal", "literal": "</think>"}),
        json!({"type": "sequence", "children": [8, 10, 11, 5]}),
        json!({"type": "repetition", "child": 12, "min_count": 0, "max_count": 1}),
    ];
    let mut choices = Vec::new();
    for tool in tools {
        let at = nodes.len();
        let name = format!("{{\"name\": \"{}\", \"arguments\": ", tool.name);
        nodes.extend([
            json!({"type": "literal", "literal": name}),
            json!({"type": "schema", "name": format!("tool-{}-schema", tool.name), "child": 1, "raw": false}),
            json!({"type": "literal", "literal": "}"}),
            json!({"type": "sequence", "children": [at, at + 1, 5, at + 2]}),
            json!({"type": "rule", "name": tool.name, "child": at + 3, "trigger": false}),
        ]);
        choices.push(at + 4);
    }
    let at = nodes.len();
    let before = if thinks { 13 } else { 3 };
    nodes.extend([
        json!({"type": "choice", "children": choices}),
        json!({"type": "sequence", "children": [4, 5, at, 5, 6]}),
        json!({"type": "repetition", "child": at + 1, "min_count": 1, "max_count": -1}),
        json!({"type": "rule", "name": "tool-call", "child": at + 2, "trigger": true}),
        json!({"type": "sequence", "children": [0, before, 3, at + 3, 7]}),
    ]);
    json!({"parsers": nodes, "rules": {}, "root": at + 4})
}

fn tools(count: usize, parameters: &Value) -> Vec<Tool> {
    let tool = |number| Tool {
        name: format!("tool_{number}"),
        description: String::new(),
        parameters: parameters.to_string(),
    };
    (0..count).map(tool).collect()
}

/// The constraint on calls of these tools in the Hermes format. llama.cpp's own grammar never helps.
fn of_calls(tools: &[Tool], lazy: bool, thinks: bool) -> Constraint {
    let calls = Calls::of(&hermes(tools, thinks), tools, lazy);
    assert!(calls.is_some());
    let word = Trigger::Word("<tool_call>".into());
    let grammar = Grammar {
        gbnf: "root ::= none".into(),
        calls,
        triggers: if lazy { vec![word] } else { Vec::new() },
    };
    let begun = "<|im_start|>assistant\n";
    let made = COMPILER.with(|compiler| {
        Constraint::of_calls(compiler, &grammar, &Thinking::default(), begun, false)
    });
    made.unwrap().unwrap()
}

fn ordinary() -> Value {
    json!({
        "type": "object",
        "properties": {
            "town": {"type": "string", "description": "Where @schema it is."},
            "days": {"type": "integer", "minimum": 1, "maximum": 16},
            "unit": {"enum": ["C", "F"]},
            "exact": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["town", "days", "unit", "exact", "tags"],
    })
}

#[test]
fn a_required_call_comes_at_once() {
    for count in [1, 58, 256] {
        let tools = tools(count, &ordinary());
        for seed in 1..=14 {
            let (text, whole) = write_in(of_calls(&tools, false, false), seed, 4000);
            assert!(whole, "{text}");
            let call = text.trim_start().strip_prefix("<tool_call>").unwrap();
            let (call, _) = call.split_once("</tool_call>").unwrap();
            let call: Value = serde_json::from_str(call).unwrap();
            let days = call["arguments"]["days"].as_i64().unwrap();
            assert!((1..=16).contains(&days), "{text}");
        }
    }
}

#[test]
fn thinking_may_precede_a_required_call() {
    let tools = tools(2, &ordinary());
    let call = r#"<tool_call>{"name": "tool_1", "arguments": {"town": "Rom", "days": 3, "unit": "C", "exact": true, "tags": []}}</tool_call>"#;
    let long = "Hm, <b>? ".repeat(2000);
    for text in [call.into(), format!("<think>{long}</think>\n{call}")] {
        assert_eq!(followed(of_calls(&tools, false, true), &text), text.len());
    }
    assert!(followed(of_calls(&tools, false, true), "Sure, ") < 2);
    assert!(followed(of_calls(&tools, false, false), "<think>") < 3);
}

#[test]
fn an_optional_call_is_constrained() {
    let tools = tools(58, &ordinary());
    let text =
        "Well. <tool_call>{\"name\": \"tool_57\", \"arguments\": {\"town\": \"Rom\", \"days\": ";
    let allowed = format!("{text}16");
    assert_eq!(
        followed(of_calls(&tools, true, false), &allowed),
        allowed.len()
    );
    assert_eq!(
        followed(of_calls(&tools, true, false), &format!("{text}17")),
        text.len() + 1
    );
}

#[test]
fn arguments_have_no_member_twice() {
    let open = json!({"type": "object", "properties": {"more": {"type": "object"}}});
    let call = "<tool_call>{\"name\": \"tool_0\", \"arguments\": {\"more\": {\"a\": 1, \"a\"";
    for lazy in [false, true] {
        let held = of_calls(&tools(1, &open), lazy, true);
        assert_eq!(followed(held, call), call.len() - 1);
    }
    let second =
        "<tool_call>{\"name\": \"tool_0\", \"arguments\": {\"more\": {\"a\": 1}}}</tool_call>";
    let twice = format!("<think>So {{\"a\": 1}}, {{ \"</think>{second}{second}");
    assert_eq!(
        followed(of_calls(&tools(1, &open), false, true), &twice),
        twice.len()
    );
}

#[test]
fn a_schema_that_cannot_be_enforced_does_not_affect_the_others() {
    let mut tools = tools(2, &ordinary());
    for odd in [
        json!({"type": "object", "properties": {"a": {"type": "colour"}}}),
        json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}, "required": ["a"]}),
        json!({"$ref": "https://example.org/schema"}),
    ] {
        tools[0].parameters = odd.to_string();
        let any = "<tool_call>{\"name\": \"tool_0\", \"arguments\": {\"b\": [1]}}</tool_call>";
        assert_eq!(
            followed(of_calls(&tools, false, false), any),
            any.len(),
            "{odd}"
        );
        let held = "<tool_call>{\"name\": \"tool_1\", \"arguments\": {\"b\"";
        assert_eq!(
            followed(of_calls(&tools, false, false), held),
            held.len() - 2,
            "{odd}"
        );
    }
}
