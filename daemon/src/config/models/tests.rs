use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::Config;

fn config(text: &str) -> Result<Config, Error> {
    Config::from_text(Path::new("/home"), text)
}

fn settings(text: &str, name: &str) -> ModelSettings {
    let name = ModelName::parse(name).unwrap();
    config(text).unwrap().for_model(&name)
}

fn refused(text: &str, expected: &str) {
    let error = config(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn the_most_specific_pattern_with_a_key_counts_whatever_its_place() {
    let text = "models:\n  hf.co/unsloth/*:\n    parallel: 2\n    threads: 3\n  '*': {parallel: 8, priority: -5}\n  hf.co/unsloth/phi:\n    parallel: 1\n";
    let exact = settings(text, "hf.co/unsloth/phi");
    assert_eq!(
        (exact.parallel, exact.threads, exact.priority),
        (Some(1), Some(3), Some(-5))
    );
    assert_eq!(settings(text, "hf.co/unsloth/qwen").parallel, Some(2));
    assert_eq!(settings(text, "smollm2").parallel, Some(8));
    assert_eq!(settings("", "smollm2"), ModelSettings::default());
}

#[test]
fn of_equally_specific_patterns_the_later_one_counts() {
    let text = "models:\n  a*b: {threads: 1}\n  '*ab': {threads: 2}\n";
    assert_eq!(settings(text, "a-ab").threads, Some(2));
}

#[test]
fn every_key_is_read_by_the_rule_of_the_key_for_all_models() {
    let text = "models:\n  phi4-mini:\n    keep_alive: 1h\n    context_length: 8192\n    parallel: 4\n    threads: 2\n    gpu_layers: 0\n    kv_cache_type: q8_0\n    device: CUDA0\n    speculative: off\n    deterministic: true\n    priority: 10\n    pin: true\n    group: one-of:coders\n";
    let expected = ModelSettings {
        keep_alive: Some(KeepAlive::For(Duration::from_secs(3600))),
        context_length: Some(8192),
        parallel: Some(4),
        threads: Some(2),
        gpu_layers: Some(0),
        kv_cache_type: Some(KvType::Q8_0),
        device: Some("CUDA0".into()),
        speculative: Some(Speculation::Off),
        deterministic: Some(true),
        priority: Some(10),
        pin: Some(true),
        group: Some(Group::OneOf("coders".into())),
    };
    assert_eq!(settings(text, "phi4-mini:latest"), expected);
    let config = config(text).unwrap();
    let pinned: Vec<String> = config.models.pinned().map(ToString::to_string).collect();
    assert_eq!(pinned, ["phi4-mini:latest"]);
    for key in MODEL_KEYS {
        assert!(text.contains(&format!("    {}:", key.name)), "{}", key.name);
    }
}

#[test]
fn a_mistake_has_its_line_its_key_and_a_suggestion() {
    let models = "# m\nmodels:\n  a:\n    threads: 1\n\n  \"b:1b\":\n    # more\n";
    for (rest, expected) in [
        (
            "    keep_alive: soon\n",
            "line 8: models.b:1b.keep_alive: \"soon\" is no duration",
        ),
        (
            "    keepalive: 1h\n",
            "line 8: unknown key \"models.b:1b.keepalive\"; did you mean \"keep_alive\"?",
        ),
        (
            "    threads: [1, 2]\n",
            "line 8: models.b:1b.threads: \"1,2\" must be a whole number",
        ),
        (
            "    group: coders\n",
            "must be one-of:NAME or together:NAME",
        ),
        ("    priority: 101\n", "from -100 to 100"),
        ("    device: ''\n", "must be a word"),
        ("    threads: 1\n    threads: 2\n", "threads"),
        ("  c: 1\n", "line 6: models.b:1b: must be a mapping of keys"),
        ("    pin: false\n  d e: {}\n", "line 9: models.d e: "),
    ] {
        refused(&format!("{models}{rest}"), expected);
    }
    refused("models: 3\n", "line 1: models: must be a mapping of names");
    refused("threads: 1\nmodels: [a]\n", "line 2: models: must be");
    refused(
        "models:\n  'a*': {pin: true}\n",
        "line 2: models.a*.pin: needs the name of one model",
    );
    assert!(config("models:\n").is_ok());
}

#[test]
fn the_reference_lists_every_key() {
    let reference = include_str!("../../../../docs/configuration.md");
    let (_, part) = reference.split_once("\n## Settings per model\n").unwrap();
    let (part, _) = part.split_once("\n## ").unwrap();
    let rows: Vec<&str> = part
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected = MODEL_KEYS.iter();
    let expected: Vec<String> = expected
        .map(|key| format!("| `{}` | {} |", key.name, key.about))
        .collect();
    assert_eq!(rows, expected);
}
