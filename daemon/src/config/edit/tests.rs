use super::*;

const FILE: &str = "\
# Our machine.
port: 8080   # behind a proxy

allowed_hosts:
- box.example
- other.example
# How long models stay.
keep_alive: 1h
models:
  # Small.
  phi4-mini:
    threads: 2
    parallel: 4

  \"qwen3:0.6b\":
    threads: 1

# The end.
";

fn with(key: &[&str], value: &str) -> String {
    set(FILE, key, value).unwrap()
}

#[test]
fn a_changed_value_keeps_comments_and_order() {
    assert_eq!(
        with(&["port"], "9090"),
        FILE.replace("port: 8080", "port: 9090")
    );
    assert_eq!(
        with(&["keep_alive"], "-1"),
        FILE.replace("keep_alive: 1h", "keep_alive: -1")
    );
    assert_eq!(
        with(&["models", "phi4-mini", "threads"], "3"),
        FILE.replace("threads: 2", "threads: 3")
    );
}

#[test]
fn a_list_becomes_a_text_in_the_place_of_its_lines() {
    assert_eq!(
        with(&["allowed_hosts"], "a.example,b.example"),
        FILE.replace(
            "allowed_hosts:\n- box.example\n- other.example\n",
            "allowed_hosts: \"a.example,b.example\"\n"
        )
    );
}

#[test]
fn a_new_key_stands_after_its_neighbours_and_before_the_last_comments() {
    let end = "    threads: 1\n";
    assert_eq!(
        with(&["max_queue"], "3"),
        FILE.replace(end, &format!("{end}max_queue: 3\n"))
    );
    assert_eq!(
        with(&["models", "qwen3:0.6b", "pin"], "true"),
        FILE.replace(end, &format!("{end}    pin: true\n"))
    );
    assert_eq!(
        with(&["models", "phi4-mini", "pin"], "true"),
        FILE.replace("    parallel: 4\n", "    parallel: 4\n    pin: true\n")
    );
    assert_eq!(
        with(&["models", "hf.co/*", "group"], "one-of:big"),
        FILE.replace(end, &format!("{end}  hf.co/*:\n    group: one-of:big\n"))
    );
    assert_eq!(set("", &["port"], "1").unwrap(), "port: 1\n");
    assert_eq!(
        set("log: info", &["port"], "1").unwrap(),
        "log: info\nport: 1\n"
    );
    assert_eq!(
        set("", &["models", "*", "pin"], "false").unwrap(),
        "models:\n  \"*\":\n    pin: false\n"
    );
}

#[test]
fn a_removed_key_takes_its_lines_and_empty_keys_above_it_along() {
    let without = |path: &[&str]| unset(FILE, path).unwrap().unwrap();
    assert_eq!(
        without(&["allowed_hosts"]),
        FILE.replace("allowed_hosts:\n- box.example\n- other.example\n", "")
    );
    assert_eq!(
        without(&["models", "phi4-mini", "parallel"]),
        FILE.replace("    parallel: 4\n", "")
    );
    assert_eq!(
        without(&["models", "qwen3:0.6b", "threads"]),
        FILE.replace("  \"qwen3:0.6b\":\n    threads: 1\n", "")
    );
    assert_eq!(unset(FILE, &["threads"]).unwrap(), None);
    let one = "port: 1\nmodels:\n  a:\n    pin: true\n";
    let none = unset(one, &["models", "a", "pin"]).unwrap();
    assert_eq!(none.as_deref(), Some("port: 1\n"));
}

#[test]
fn values_are_quoted_where_yaml_needs_it() {
    for (value, line) in [
        ("off", "log: off"),
        ("info", "log: info"),
        ("1.50", "log: \"1.50\""),
        ("a: b", "log: \"a: b\""),
        ("a #b", "log: \"a #b\""),
        ("- x", "log: \"- x\""),
        ("", "log: \"\""),
        ("~", "log: \"~\""),
        ("[x", "log: \"[x\""),
        ("\"", "log: \"\\\"\""),
        ("80%", "log: 80%"),
        ("http://a:1/b", "log: http://a:1/b"),
    ] {
        let text = set("port: 1\n", &["log"], value).unwrap();
        assert_eq!(text, format!("port: 1\n{line}\n"));
    }
}

#[test]
fn a_file_in_an_unusual_form_is_refused() {
    for text in [
        "{port: 1}\n",
        "models: {a: {pin: true}}\n",
        "models:\n  a: {pin: true}\n",
        "port: 1\n...\n",
    ] {
        let error = set(text, &["models", "a", "threads"], "1").unwrap_err();
        assert_eq!(error, UNUSUAL, "{text}");
    }
    let error = set("port: [\n", &["log"], "x").unwrap_err();
    assert!(error.starts_with("line "), "{error}");
    let text = "note: &a 1\nport: *a\n";
    let error = unset(text, &["note"]).unwrap_err();
    assert_eq!(error, UNUSUAL);
}

#[test]
fn ends_of_lines_stay() {
    let text = "port: 1\r\nlog: info\r\n";
    assert_eq!(
        set(text, &["port"], "2").unwrap(),
        "port: 2\r\nlog: info\r\n"
    );
    assert_eq!(
        set(text, &["threads"], "2").unwrap(),
        "port: 1\r\nlog: info\r\nthreads: 2\r\n"
    );
}
