//! Printing is the exact inverse of parsing.

use modelfile::{Instruction, Message, Modelfile, Parameter, Role, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::fuzz_body::parse_anything;

/// Pieces with a meaning in the grammar, mixed with others.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => Just("\"".to_owned()),
        2 => Just("\"\"\"".to_owned()),
        3 => Just("\n".to_owned()),
        1 => Just("\r".to_owned()),
        1 => Just("\r\n".to_owned()),
        2 => Just(" ".to_owned()),
        1 => Just("\t".to_owned()),
        1 => Just("\u{a0}".to_owned()),
        1 => Just("\u{feff}".to_owned()),
        1 => Just("<<END".to_owned()),
        1 => Just("END".to_owned()),
        1 => Just("END2".to_owned()),
        1 => Just("#".to_owned()),
        1 => Just("'".to_owned()),
        1 => Just("SYSTEM x".to_owned()),
        1 => Just("FROM ".to_owned()),
        3 => "[a-z]{1,3}",
        2 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    text().prop_filter("not empty", |text| !text.is_empty())
}

fn parameter() -> impl Strategy<Value = Parameter> {
    let (name_of, good) = ("only good values are made", "it is in range");
    prop_oneof![
        (0.0..=100.0_f64).prop_map(|number| ("temperature", number.to_string())),
        (0.0..=1.0_f64).prop_map(|number| ("top_p", number.to_string())),
        (-1..=i64::from(u32::MAX)).prop_map(|number| ("seed", number.to_string())),
        any::<bool>().prop_map(|truth| ("use_mmap", truth.to_string())),
        name().prop_map(|text| ("stop", text)),
    ]
    .prop_map(move |(name, value)| {
        Parameter::parse(name, &value).unwrap_or_else(|error| panic!("{name_of}, {good}: {error}"))
    })
}

fn version() -> impl Strategy<Value = semver::Version> {
    (
        (any::<u64>(), any::<u64>(), any::<u64>()),
        option::of("[a-z]{1,5}"),
    )
        .prop_map(|((major, minor, patch), pre)| semver::Version {
            pre: pre.map_or(semver::Prerelease::EMPTY, |pre| {
                pre.parse().expect("letters only")
            }),
            ..semver::Version::new(major, minor, patch)
        })
}

fn instruction() -> impl Strategy<Value = Instruction> {
    prop_oneof![
        name().prop_map(Instruction::From),
        name().prop_map(Instruction::Adapter),
        parameter().prop_map(Instruction::Parameter),
        text().prop_map(Instruction::Template),
        text().prop_map(Instruction::System),
        (prop::sample::select(&Role::ALL), text())
            .prop_map(|(role, content)| Instruction::Message(Message { role, content })),
        text().prop_map(Instruction::License),
        version().prop_map(Instruction::Requires),
        name().prop_map(Instruction::Renderer),
        name().prop_map(Instruction::Parser),
    ]
}

fn modelfile() -> impl Strategy<Value = Modelfile> {
    (
        vec(instruction(), 0..8),
        0..8_usize,
        name(),
        option::of("[a-z]{4,6}"),
    )
        .prop_map(|(mut instructions, at, base, draft)| {
            instructions.insert(at.min(instructions.len()), Instruction::From(base));
            // Longer than any piece of a `FROM`, so never equal to one.
            let draft = draft.map(|name| Instruction::Draft(format!("./draft/{name}")));
            instructions.extend(draft);
            Modelfile { instructions }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_printed_modelfile_parses_to_the_same_value(modelfile in modelfile()) {
        let printed = modelfile.to_string();
        let parsed = parse(&printed).map_err(|findings| TestCaseError::fail(format!("{findings}\n{printed:?}")))?;
        prop_assert_eq!(&parsed.modelfile, &modelfile, "{:?}", printed);
        // The printer chooses a quoting that draws no warning.
        let surprised = parsed.warnings.iter().any(|warning| !warning.message.contains("no effect"));
        prop_assert!(!surprised, "{}", parsed.warnings);
    }

    #[test]
    fn any_text_is_parsed_without_panic(pieces in vec(text(), 0..6)) {
        parse_anything(pieces.concat().as_bytes());
        parse_anything(format!("FROM a\nSYSTEM {}", pieces.concat()).as_bytes());
        parse_anything(format!("FROM a\nSYSTEM{}", pieces.concat()).as_bytes());
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in vec(any::<u8>(), 0..200), mark in 0..4_usize) {
        let marks: [&[u8]; 4] = [b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"];
        parse_anything(&[marks[mark], &bytes].concat());
    }
}

#[test]
fn the_plainest_exact_form_is_printed() {
    let printed = |text: &str| Instruction::System(text.to_owned()).to_string();
    assert_eq!(printed("You are Mario."), "SYSTEM You are Mario.");
    assert_eq!(printed("Say \"hi\""), "SYSTEM Say \"hi\"");
    assert_eq!(printed(""), "SYSTEM \"\"");
    assert_eq!(printed(" x"), "SYSTEM \" x\"");
    assert_eq!(printed("'x'"), "SYSTEM \"'x'\"");
    assert_eq!(
        printed("\"Hi,\" she said."),
        "SYSTEM \"\"\"\"Hi,\" she said.\"\"\""
    );
    assert_eq!(printed("a\nb"), "SYSTEM \"\"\"a\nb\"\"\"");
    assert_eq!(
        printed("def f():\n\"\"\"Doc.\"\"\"\nEND"),
        "SYSTEM<<END2\ndef f():\n\"\"\"Doc.\"\"\"\nEND\nEND2"
    );
}

#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    // Quadratic parsing of this text would take minutes.
    let most = 1 << 17;
    for (start, piece) in [
        ("", "x\n"),
        ("FROM a\n", "SYSTEM 'x'\n"),
        ("FROM a\n", "SYSTEM \"\"\"a\"\"\" b\n"),
        ("FROM a\nSYSTEM \"\"\"", "\"\"\" b\n"),
        ("FROM a\nSYSTEM<<END\n", "END1\n"),
        ("FROM a\n", "DRAFT b\nFROM c\n"),
        ("FROM a\n", "MESSAGE user \"x\"\n"),
        ("FROM a\nSYSTEM ", "\""),
        ("", "\u{feff}"),
    ] {
        let text = format!(
            "{start}{}",
            piece.repeat((most - start.len()) / piece.len())
        );
        match parse(&text) {
            Ok(parsed) => drop(parsed.modelfile.to_string()),
            Err(findings) => assert!(findings.len() <= 110, "{}", findings.len()),
        }
    }
    // The word of a block must differ from every line of the value.
    let lines: String = (0..20_000).map(|number| format!("END{number}\n")).collect();
    let value = Instruction::System(format!("\"\"\"\nEND\n{lines}"));
    assert!(value.to_string().ends_with("\nEND20000"));
}
