//! The table of parameters through the public API: text, JSON and layers agree.

use modelfile::parameter::{DefaultValue, Error, Kind, MAX_TEXTS, retired, specs};
use modelfile::{Parameter, Parameters};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

fn refusal(json: Json) -> String {
    Parameters::from_json(&object(json))
        .expect_err("something in it is wrong")
        .to_string()
}

/// Texts just below the range, at both of its ends, and just above it; `None` if the range has every number of its type.
fn around(kind: &Kind) -> Option<[String; 4]> {
    match kind {
        Kind::Int(range) if *range == (i64::MIN..=i64::MAX) => None,
        Kind::Int(range) => {
            let (low, high) = (*range.start(), *range.end());
            Some([low - 1, low, high, high + 1].map(|number| number.to_string()))
        }
        Kind::Float(range) => {
            let (low, high) = (*range.start(), *range.end());
            Some([low - 0.001, low, high, high + 0.001].map(|number| number.to_string()))
        }
        Kind::Bool | Kind::TextList => None,
    }
}

#[test]
fn every_range_has_the_ends_of_the_table() {
    for spec in specs() {
        let Some([below, low, high, above]) = around(&spec.kind) else {
            continue;
        };
        for good in [low, high] {
            let mut parameters = Parameters::default();
            parameters
                .set(spec.name, &good)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(Parameters::from_json(&parameters.to_json()), Ok(parameters));
        }
        for bad in [below, above] {
            let error = Parameters::default()
                .set(spec.name, &bad)
                .expect_err("it is outside");
            assert_eq!(
                error.to_string(),
                format!("`{}` must be {}, not `{bad}`", spec.name, spec.kind)
            );
            let number: Json = bad.parse().expect("a number is JSON");
            assert_eq!(
                refusal(json!({ spec.name: number })),
                format!("`{}` must be {}, not {number}", spec.name, spec.kind)
            );
        }
    }
}

#[test]
fn the_table_is_that_of_ollama_and_llama_cpp() {
    let defaults: Vec<_> = specs()
        .iter()
        .filter(|spec| !matches!(spec.default, DefaultValue::Chosen(_)))
        .map(|spec| format!("{} {}", spec.name, spec.default))
        .collect();
    let expected = [
        "adaptive_decay 0.9",
        "adaptive_target -1.0",
        "dry_allowed_length 2",
        "dry_base 1.75",
        "dry_multiplier 0.0",
        "dry_penalty_last_n 64",
        "dynatemp_exponent 1.0",
        "dynatemp_range 0.0",
        "frequency_penalty 0.0",
        "min_p 0.0",
        "mirostat 0",
        "mirostat_eta 0.1",
        "mirostat_tau 5.0",
        "num_batch 512",
        "num_gpu -1",
        "num_keep 4",
        "num_predict -1",
        "num_thread 0",
        "presence_penalty 0.0",
        "repeat_last_n 64",
        "repeat_penalty 1.0",
        "seed -1",
        "stop none",
        "temperature 0.8",
        "top_k 40",
        "top_n_sigma 0.0",
        "top_p 0.9",
        "typical_p 1.0",
        "xtc_probability 0.0",
        "xtc_threshold 0.1",
    ];
    assert_eq!(defaults, expected);
}

#[test]
fn numbers_are_finite_and_integers_are_whole() {
    for bad in [
        "NaN",
        "inf",
        "-inf",
        "1e999",
        "",
        "0,7",
        "0.7 # creative",
        "high",
    ] {
        assert!(
            Parameters::default().set("temperature", bad).is_err(),
            "{bad}"
        );
    }
    for bad in [
        "4096.0",
        "4096.5",
        "4k",
        "0x1000",
        "99999999999999999999",
        "",
    ] {
        assert!(Parameters::default().set("num_ctx", bad).is_err(), "{bad}");
    }
    assert!(Parameters::from_json(&object(json!({ "num_ctx": 4096.0 }))).is_ok());
    assert_eq!(
        refusal(json!({ "num_ctx": 4096.5 })),
        "`num_ctx` must be a whole number from 4 to 1048576, not 4096.5"
    );
}

#[test]
fn booleans_are_spelt_as_in_ollama() {
    for (text, truth) in [
        ("true", true),
        ("True", true),
        ("TRUE", true),
        ("t", true),
        ("T", true),
        ("1", true),
        ("false", false),
        ("False", false),
        ("FALSE", false),
        ("f", false),
        ("F", false),
        ("0", false),
    ] {
        let mut parameters = Parameters::default();
        parameters.set("use_mmap", text).expect("a known spelling");
        assert_eq!(parameters.use_mmap(), Some(truth));
    }
    let error = Parameters::default()
        .set("use_mmap", "yes")
        .expect_err("not a known spelling");
    assert_eq!(
        error.to_string(),
        "`use_mmap` must be `true` or `false`, not `yes`"
    );
    assert_eq!(
        refusal(json!({ "use_mmap": 1 })),
        "`use_mmap` must be `true` or `false`, not 1"
    );
}

#[test]
fn an_error_of_a_wrong_json_type_names_the_option_and_its_type() {
    assert_eq!(
        refusal(json!({ "num_ctx": "4096" })),
        r#"`num_ctx` must be a whole number from 4 to 1048576, not "4096""#
    );
    assert_eq!(
        refusal(json!({ "top_p": true })),
        "`top_p` must be a number from 0 to 1, not true"
    );
    assert_eq!(
        refusal(json!({ "stop": "x" })),
        r#"`stop` must be a list of texts, not "x""#
    );
    assert_eq!(
        refusal(json!({ "stop": ["x", 1] })),
        "`stop` must be a list of texts, not 1"
    );
    assert_eq!(
        refusal(json!({ "stop": ["x", ""] })),
        "a `stop` text must not be empty"
    );
}

#[test]
fn null_counts_as_absent() {
    let parameters = Parameters::from_json(&object(json!({ "seed": null, "stop": null })));
    assert_eq!(parameters, Ok(Parameters::default()));
}

#[test]
fn unknown_and_retired_names_can_be_ignored() {
    let options = object(json!({ "tfs_z": 1, "tempreature": 1, "seed": 7, "top_k": "x" }));
    let (parameters, problems) = Parameters::from_json_lenient(&options);
    assert_eq!(parameters.seed(), Some(7));
    let told: Vec<_> = problems
        .iter()
        .map(|e| (e.to_string(), e.hint(), e.is_ignorable()))
        .collect();
    let expected = [
        (
            "parameter `tfs_z` is retired and has no effect",
            Some("use `min_p`"),
            true,
        ),
        (
            "unknown parameter `tempreature`",
            Some("did you mean `temperature`?"),
            true,
        ),
        (
            "`top_k` must be a whole number from -1 to 1048576, not \"x\"",
            None,
            false,
        ),
    ]
    .map(|(message, hint, ignorable)| (message.to_owned(), hint.map(str::to_owned), ignorable));
    assert_eq!(told, expected);
}

#[test]
fn every_retired_name_is_refused_as_retired() {
    for entry in retired() {
        assert_eq!(
            Parameter::parse(entry.name, "1"),
            Err(Error::Retired(entry))
        );
    }
    for name in [
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
    ] {
        assert!(retired().iter().any(|entry| entry.name == name), "{name}");
    }
}

#[test]
fn stop_lines_add_up_to_a_limit() {
    let mut parameters = Parameters::default();
    for number in 0..MAX_TEXTS {
        parameters
            .set("stop", &number.to_string())
            .expect("there is room");
    }
    let before = parameters.clone();
    assert_eq!(
        parameters.set("stop", "one more"),
        Err(Error::ManyTexts("stop"))
    );
    assert_eq!(parameters, before);
    assert!(parameters.unset("stop"));
    assert!(!parameters.unset("stop"));
    assert!(parameters.is_empty());
    assert_eq!(
        parameters.set("stop", &"x".repeat(1025)),
        Err(Error::LongText {
            name: "stop",
            bytes: 1025
        })
    );
    let many: Vec<_> = (0..=MAX_TEXTS).map(|number| number.to_string()).collect();
    assert_eq!(
        refusal(json!({ "stop": many })),
        "there must not be more than 64 `stop` texts"
    );
}

#[test]
fn a_request_overrides_the_model() {
    let model = Parameters::from_json(&object(
        json!({ "seed": 1, "top_k": 5, "stop": ["a", "b"] }),
    ));
    let model = model.expect("it is right");
    let request =
        Parameters::from_json(&object(json!({ "seed": 2, "stop": [] }))).expect("it is right");
    let merged = request.merged_over(&model);
    assert_eq!(
        merged.to_json(),
        object(json!({ "seed": 2, "stop": [], "top_k": 5 }))
    );
    assert_eq!(Parameters::default().merged_over(&model), model);
}

#[test]
fn zero_and_minus_one_both_keep_all_tokens() {
    for text in ["0", "-1"] {
        let mut parameters = Parameters::default();
        parameters.set("top_k", text).expect("both are in range");
        assert_eq!(parameters.top_k(), Some(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_and_lines_are_equivalent(
        seed in proptest::option::of(-1..=i64::from(u32::MAX)),
        temperature in proptest::option::of(0.0..=100.0_f64),
        mmap in proptest::option::of(any::<bool>()),
        stop in proptest::collection::vec("\\PC{1,8}", 1..5),
    ) {
        let members = json!({ "seed": seed, "temperature": temperature, "use_mmap": mmap, "stop": stop });
        let parameters = Parameters::from_json(&object(members)).expect("it is right");
        prop_assert_eq!(Parameters::from_json(&parameters.to_json()), Ok(parameters.clone()));
        prop_assert_eq!(&parameters.iter().collect::<Parameters>(), &parameters);
        let text = serde_json::to_string(&parameters).expect("it is JSON");
        prop_assert_eq!(serde_json::from_str::<Parameters>(&text).expect("it is right"), parameters);
    }
}
