use std::collections::BTreeMap;

use super::*;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn load(
    yaml: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, Error> {
    let home = home();
    fs::replace(&home.path().join("config.yaml"), yaml).unwrap();
    let environment: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let flags = Flags {
        home: Some(home.path().to_owned()),
        values: flags
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    };
    Config::load(&flags, &environment)
}

fn refused(yaml: &str, expected: &str) {
    let text = load(yaml, &[], &[]).unwrap_err().to_string();
    assert!(text.contains(expected), "{yaml:?}: {text}");
}

#[test]
fn without_a_file_all_settings_are_defaults() {
    let home = home();
    let flags = Flags {
        home: Some(home.path().to_owned()),
        ..Flags::default()
    };
    let config = Config::load(&flags, &BTreeMap::new()).unwrap();
    assert_eq!(config.address.to_string(), "127.0.0.1:11435");
    assert_eq!(config.socket, home.path().join("run/slmd.sock"));
    assert_eq!(config.keep_alive, KeepAlive::For(Duration::from_secs(300)));
    assert_eq!(config.origins, []);
}

#[test]
fn a_later_origin_overrides_an_earlier_one() {
    let yaml = "keep_alive: 1m\nmax_queue: 7\nthreads: 3\n";
    let config = load(
        yaml,
        &[("SLM_KEEP_ALIVE", "2m"), ("SLM_MAX_QUEUE", "8")],
        &[("keep_alive", "3m")],
    )
    .unwrap();
    assert_eq!(config.keep_alive, KeepAlive::For(Duration::from_secs(180)));
    assert_eq!(config.max_queue, 8);
    assert_eq!(config.threads, 3);
    assert_eq!(
        config
            .origins
            .iter()
            .map(|(name, ..)| *name)
            .collect::<Vec<_>>(),
        ["keep_alive", "max_queue", "threads"]
    );
}

#[test]
fn the_port_of_the_later_origin_counts() {
    let port = |variables: &[(&str, &str)], flags: &[(&'static str, &str)]| {
        load("host: localhost:1\nport: 2\n", variables, flags)
            .unwrap()
            .address
            .port()
    };
    assert_eq!(port(&[("SLM_HOST", "127.0.0.1:3")], &[]), 3);
    assert_eq!(port(&[("SLM_HOST", "127.0.0.1:3")], &[("port", "4")]), 4);
    assert_eq!(port(&[("SLM_HOST", "127.0.0.1")], &[]), 2);
    assert_eq!(load("port: 0", &[], &[]).unwrap().address.port(), 0);
}

#[test]
fn a_configured_port_differs_from_the_default() {
    let is_set = |yaml: &str| load(yaml, &[], &[]).unwrap().port_is_set();
    assert!(is_set("port: 11435") && is_set("host: localhost:11435"));
    assert!(!is_set("") && !is_set("host: localhost") && !is_set("port:"));
}

#[test]
fn an_unknown_key_is_refused_with_line_and_suggestion() {
    let error = load("# a comment\nkeep_alive: 1m\nmax_que: 3\n", &[], &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 3"), "{text}");
    assert!(text.contains("did you mean \"max_queue\"?"), "{text}");
    refused("something_else_entirely: 1", "unknown key");
}

#[test]
fn a_wrong_value_is_an_error_with_origin_key_and_range() {
    refused(
        "\nthreads: many",
        "line 2: threads: \"many\" must be a whole number from 0 to 512",
    );
    refused("threads: -1", "0 to 512");
    refused("max_loaded_models: -1", "1 to 64, or auto");
    refused("max_loaded_models: 9999999999", "1 to 64, or auto");
    refused("memory_budget: 120%", "a percentage such as 80%, or auto");
    refused("memory_reserve: 4GB", "a size such as 24GiB");
    refused("device_budget: [CUDA0]", "such as CUDA0=20GiB");
    refused("spare_runners: 9", "0 to 8");
    refused("shrink: 1", "true or false");
    refused("keep_alive: soon", "no duration");
    refused("grace: -1", "must not be negative");
    refused("load_timeout: 0", "more than 0");
    refused("host: 0.0.0.0", "loopback");
    for port in ["abc", "65536", "99999", "-1", "1.5", "false"] {
        let range = "must be a whole number from 0 to 65535";
        refused(&format!("port: {port}"), range);
        refused(&format!("host: 'localhost:{port}'"), range);
    }
    for log in ["loud", "info,", "=info", "daemon=loud", "3"] {
        refused(&format!("log: \"{log}\""), "must be a level");
    }
    assert!(load("log: warn,daemon=debug", &[], &[]).is_ok());
    refused("log_json: perhaps", "true or false");
    refused("speculative: sometimes", "must be auto or off");
    refused("threads: {a: 1}", "must be one value");
    refused("allowed_origins: '*'", "whole origin");
    refused("allowed_origins: http://a.example/path", "whole origin");
    for origin in [
        "null",
        "file://",
        "file://*",
        "http://*",
        "https://*",
        "*://a",
        "app://a*",
    ] {
        refused(&format!("allowed_origins: '{origin}'"), "whole origin");
    }
    assert!(
        load(
            "allowed_origins: [app://obsidian.md, vscode-webview://*]",
            &[],
            &[]
        )
        .is_ok()
    );
    let error = load("", &[("SLM_THREADS", "x")], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("environment variable SLM_THREADS"),
        "{error}"
    );
    let error = load("", &[], &[("threads", "x")]).unwrap_err().to_string();
    assert!(error.contains("option --threads"), "{error}");
}

#[test]
fn a_yaml_boolean_is_refused_where_a_word_is_needed() {
    for value in ["false", "no", "true", "False"] {
        let refused = |key: &str, words: &str| refused(&format!("{key}: {value}"), words);
        refused("sandbox", "must be auto, require or off");
        refused("speculative", "must be auto or off");
        refused("kernels", "must be auto or off");
        refused("backend", "must be auto, cpu, or one of cuda, rocm, ");
        refused("state_disk", "TiB, or off");
        refused("state_memory", "TiB, or off, or auto");
        refused("keep_alive", "is no duration");
        refused("log", "must be a level");
    }
    for key in ["socket", "runner", "pip", "allowed_hosts"] {
        refused(&format!("{key}: false"), "must be a text");
        assert!(load(&format!("{key}: 'false'"), &[], &[]).is_ok(), "{key}");
    }
    for off in [
        "sandbox: off",
        "state_disk: off",
        "speculative: off",
        "kernels: off",
    ] {
        assert!(load(off, &[], &[]).is_ok(), "{off}");
    }
}

#[test]
fn a_mistake_of_yaml_names_its_line() {
    refused("port: 1\nthreads 2\n", "config.yaml line 2: must be");
    refused("port: 1\nport: 2\n", "config.yaml line 2: the key \"port\"");
    refused(
        "port: 1\n\tlog: info\n",
        "config.yaml line 2: begins with a tab",
    );
    refused("port: 1\n3: x\n", "config.yaml line 2: \"3\" is no name");
}

#[test]
fn a_file_without_a_mapping_is_refused() {
    refused("- a\n- b\n", "key: value");
    refused("just text", "line 1: must be `key: value`");
    refused("a: [", "config.yaml");
    refused("threads: 1\nthreads: 2\n", "config.yaml");
    assert!(load("", &[], &[]).is_ok());
    assert!(load("# nothing\n", &[], &[]).is_ok());
}

#[test]
fn a_list_is_a_yaml_list_or_a_text_with_commas() {
    let config = load("allowed_hosts: [Box.local, other]\nallowed_origins: http://a.example, http://b.example:3\n", &[], &[]).unwrap();
    assert_eq!(config.allowed_hosts, ["box.local", "other"]);
    assert_eq!(
        config.allowed_origins,
        ["http://a.example", "http://b.example:3"]
    );
}

#[test]
fn budgets_are_sizes_or_percentages() {
    let none = load("", &[], &[]).unwrap();
    assert_eq!((none.max_loaded_models, none.memory_budget), (None, None));
    assert_eq!((none.spare_runners, none.shrink), (1, false));
    let yaml = "memory_budget: 24GiB\nmemory_reserve: 10%\nmax_loaded_models: 0\n\
                device_budget: [CUDA0=20GiB, Vulkan0=80%]\n";
    let config = load(yaml, &[("SLM_SPARE_RUNNERS", "0")], &[]).unwrap();
    assert_eq!(config.memory_budget, Some(Share::Bytes(24 << 30)));
    assert_eq!(config.memory_reserve, Some(Share::Percent(10)));
    assert_eq!((config.max_loaded_models, config.spare_runners), (None, 0));
    let devices: Vec<_> = config
        .device_budget
        .iter()
        .map(|one| &*one.device)
        .collect();
    assert_eq!(devices, ["CUDA0", "Vulkan0"]);
    assert_eq!(
        load("max_loaded_models: 2", &[], &[])
            .unwrap()
            .max_loaded_models,
        Some(2)
    );
}

#[test]
fn an_unknown_variable_is_a_warning_with_a_suggestion() {
    let said = |name| load("", &[(name, "1")], &[]).unwrap().warnings;
    assert_eq!(
        said("SLM_KEEPALIVE"),
        ["environment variable SLM_KEEPALIVE is not known; did you mean \"SLM_KEEP_ALIVE\"?"]
    );
    assert_eq!(
        said("SLM_SOMETHING_ELSE_ENTIRELY"),
        ["environment variable SLM_SOMETHING_ELSE_ENTIRELY is not known"]
    );
    for fine in [
        "PATH",
        "SLM",
        "SLM_TEST_OFFLINE",
        "SLM_RUNNER_LOG",
        "SLM_PEER",
    ] {
        assert_eq!(said(fine), [""; 0], "{fine}");
    }
    let empty = load("", &[("SLM_KEEPALIVE", "")], &[]).unwrap();
    assert_eq!(empty.warnings, [""; 0]);
    // The file belongs to slm alone, so an unknown key in it is a mistake.
    refused("keepalive: 1", "did you mean \"keep_alive\"?");
}

#[test]
fn a_variable_of_ollama_counts_for_a_key_that_nothing_else_sets() {
    let variables = [
        ("OLLAMA_HOST", " \"127.0.0.1\" "),
        ("OLLAMA_ORIGINS", "http://a.example,app://*"),
        ("OLLAMA_KEEP_ALIVE", "-1"),
        ("OLLAMA_CONTEXT_LENGTH", "8192"),
        ("OLLAMA_MAX_LOADED_MODELS", "0"),
        ("OLLAMA_MAX_QUEUE", "7"),
        ("OLLAMA_NUM_PARALLEL", "2"),
        ("OLLAMA_KV_CACHE_TYPE", "q8_0"),
        ("OLLAMA_LOAD_TIMEOUT", "600"),
        ("SLM_PARALLEL", "3"),
    ];
    let config = load("max_queue: 9", &variables, &[("load_timeout", "1m")]).unwrap();
    let defaults = load("", &[], &[]).unwrap();
    assert_eq!(config.address, defaults.address);
    assert_eq!(config.also_listen, [([127, 0, 0, 1], 11434).into()]);
    assert_eq!(config.allowed_origins, ["http://a.example", "app://*"]);
    assert_eq!(config.keep_alive, KeepAlive::Always);
    assert_eq!(config.context_length, 8192);
    assert_eq!(config.max_loaded_models, defaults.max_loaded_models);
    assert_eq!((config.max_queue, config.parallel), (9, 3));
    assert_eq!(config.kv_cache_type, KvType::Q8_0);
    assert_eq!(config.load_timeout, Duration::from_secs(60));
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(
        config.taken_from_ollama().unwrap(),
        "OLLAMA_ORIGINS as allowed_origins, OLLAMA_HOST as also_listen, \
         OLLAMA_CONTEXT_LENGTH as context_length, OLLAMA_KEEP_ALIVE as keep_alive, OLLAMA_KV_CACHE_TYPE as kv_cache_type"
    );
    assert_eq!(defaults.taken_from_ollama(), None);
}

#[test]
fn a_value_of_ollama_that_its_key_cannot_have_is_a_warning() {
    let variables = [
        ("OLLAMA_HOST", "0.0.0.0"),
        ("OLLAMA_KEEP_ALIVE", "soon"),
        ("OLLAMA_ORIGINS", "*"),
    ];
    let config = load("keep_alive: 1m", &variables, &[]).unwrap();
    let [host, origins] = &config.warnings[..] else {
        panic!("{:?}", config.warnings)
    };
    assert!(
        host.starts_with(
            "environment variable OLLAMA_HOST: also_listen: \"0.0.0.0\" is not a loopback"
        ),
        "{host}"
    );
    assert!(host.ends_with("; the default is used"), "{host}");
    assert!(origins.contains("OLLAMA_ORIGINS"), "{origins}");
    assert_eq!(config.also_listen, []);
    assert_eq!(config.taken_from_ollama(), None);
}

#[test]
fn a_byte_order_mark_is_ignored() {
    let config = load("\u{feff}threads: 1\nmax_queue: 2\n", &[], &[]).unwrap();
    assert_eq!((config.threads, config.max_queue), (1, 2));
}

#[test]
fn values_that_no_runner_accepts_are_refused() {
    for (fits, larger, words) in [
        ("threads: 512", "threads: 513", "0 to 512"),
        (
            "context_length: 1048576",
            "context_length: 1048577",
            "4 to 1048576",
        ),
    ] {
        assert!(load(fits, &[], &[]).is_ok(), "{fits}");
        refused(larger, words);
    }
}

#[test]
fn the_reference_lists_every_key_with_its_variable_default_and_meaning() {
    let reference = include_str!("../../../docs/configuration.md");
    for key in KEYS {
        assert_eq!(key.flag, key.name.replace('_', "-"));
        let default = if key.default.is_empty() {
            "(empty)".to_owned()
        } else {
            format!("`{}`", key.default)
        };
        let row = format!(
            "| `{}` | `{}` | `--{}` | {default} | {} | {} |",
            key.name,
            key.env,
            key.flag,
            key.applies.name(),
            key.about
        );
        assert!(
            reference.contains(&row),
            "docs/configuration.md lacks:\n{row}"
        );
    }
    let (settings, _) = reference.split_once("\n## Settings per model\n").unwrap();
    let rows = settings
        .lines()
        .filter(|line| line.starts_with("| `"))
        .count();
    assert_eq!(
        rows,
        KEYS.len(),
        "docs/configuration.md lists a key that is gone"
    );
}
