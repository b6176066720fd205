//! What clients of Ollama rely on.

use super::*;

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn tool(parameters: Value) -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}])
}

#[tokio::test]
async fn an_editor_finds_a_new_enough_version_and_a_described_model() {
    let service = with_able_model(json!({})).await;
    let version = service.get("/api/version").await.json();
    let numbers: Vec<u32> = version["version"]
        .as_str()
        .unwrap()
        .split('.')
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(numbers >= vec![0, 6, 4], "{version}");
    let name = service.get("/api/tags").await.json()["models"][0]["name"].clone();
    for field in ["model", "name"] {
        let shown = service.post("/api/show", json!({field: name})).await.json();
        let info = &shown["model_info"];
        let architecture = info["general.architecture"].as_str().unwrap();
        assert!(
            info[format!("{architecture}.context_length")].is_u64(),
            "{shown}"
        );
        let capabilities = shown["capabilities"].as_array().unwrap();
        for capability in ["completion", "tools", "thinking"] {
            assert!(capabilities.contains(&json!(capability)), "{shown}");
        }
        assert!(shown["details"].is_object() && shown["modified_at"].is_string());
        assert!(shown["template"].is_string(), "{shown}");
    }
}

#[tokio::test]
async fn an_editor_chats_by_the_openai_route_of_the_same_address() {
    let service = able().await;
    let name = service.get("/api/tags").await.json()["models"][0]["name"].clone();
    let parameters = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "read_file", "description": "Reads.", "parameters": parameters}});
    let answer = service
        .post(
            "/v1/chat/completions",
            json!({
                "model": name, "stream": true, "stream_options": {"include_usage": true}, "n": 1, "temperature": 0.1, "top_p": 1,
                "max_tokens": 200, "tools": [tool], "tool_choice": "auto",
                "messages": [
                    {"role": "system", "content": "You are an editor."},
                    {"role": "user", "content": [{"type": "text", "text": "[[mock: call read_file {\"path\": \"a\"}]]x"}]},
                ],
            }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.headers.contains_key("slm-ignored-fields"));
    assert!(
        answer.text.contains(r#""name":"read_file""#),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains(r#""finish_reason":"tool_calls""#),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains(r#""choices":[],"usage":{"#),
        "{}",
        answer.text
    );
    assert!(answer.text.ends_with("data: [DONE]\n\n"), "{}", answer.text);
}

#[tokio::test]
async fn a_listed_model_has_every_field_and_no_null() {
    let service = with_model(json!({})).await;
    let list = service.get("/api/tags").await;
    assert!(!list.text.contains("null"), "{}", list.text);
    let model = &list.json()["models"][0];
    assert_eq!(model["name"], "m:latest");
    assert_eq!(model["model"], model["name"]);
    let digest = model["digest"].as_str().unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let modified: jiff::Timestamp = model["modified_at"].as_str().unwrap().parse().unwrap();
    assert!(modified <= jiff::Timestamp::now());
    assert!(model["size"].as_u64().unwrap() > 0);
    let details = &model["details"];
    for field in [
        "parent_model",
        "format",
        "family",
        "parameter_size",
        "quantization_level",
    ] {
        assert!(details[field].is_string(), "{field}: {details}");
    }
    assert!(details["families"].is_array(), "{details}");
}

#[tokio::test]
async fn every_spelling_of_calls_and_parameters_is_accepted() {
    let service = with_able_model(json!({})).await;
    for arguments in [json!({"town": "Oslo"}), json!("{\"town\": \"Oslo\"}")] {
        let history = json!([
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": arguments}}]},
            {"role": "tool", "tool_name": "weather", "content": "warm"},
        ]);
        let body = json!({"model": "m", "messages": history, "stream": false});
        let answer = service.post("/api/chat", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for parameters in [
        json!({"type": "object", "properties": []}),
        json!({"type": "object", "properties": {"town": {"type": ["string", "null"]}}}),
        json!({}),
        json!(null),
    ] {
        let body = json!({"model": "m", "messages": user("x"), "tools": tool(parameters.clone()), "stream": false});
        let answer = service.post("/api/chat", body).await;
        assert_eq!(answer.status, 200, "{parameters}: {}", answer.text);
        assert_eq!(
            answer.json()["warnings"],
            Value::Null,
            "{parameters}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn text_streams_with_tools_and_a_call_has_an_event_before_the_last() {
    let service = with_able_model(json!({})).await;
    let script = "[[mock: think is it warm; answer I look.; call weather {}]]x";
    let body =
        json!({"model": "m", "messages": user(script), "tools": tool(json!({"type": "object"}))});
    let events = service.post("/api/chat", body).await.lines();
    let (last, others) = events.split_last().unwrap();
    assert_eq!(last["done"], true);
    assert_eq!(last["done_reason"], "stop");
    assert_eq!(
        last["message"],
        json!({"role": "assistant", "content": ""}),
        "{last}"
    );
    let with = |field: &'static str| {
        others
            .iter()
            .position(move |event| {
                let message = &event["message"];
                message[field].is_array()
                    || message[field].as_str().is_some_and(|text| !text.is_empty())
            })
            .unwrap()
    };
    assert!(
        with("thinking") < with("content") && with("content") < with("tool_calls"),
        "{events:?}"
    );
    let call = &others[with("tool_calls")];
    assert_eq!(call["done"], false);
    assert_eq!(call["message"]["content"], "");
    assert!(call["message"]["thinking"].is_null(), "{call}");
}

#[tokio::test]
async fn every_spelling_of_keep_alive_is_honoured() {
    let service = with_model(json!({})).await;
    for (value, seconds) in [
        (json!(300), Some(300.0)),
        (json!("300"), Some(300.0)),
        (json!("5m"), Some(300.0)),
        (json!("1h30m"), Some(5400.0)),
        (json!(90.5), Some(90.5)),
        (json!(-1), None),
        (json!("-1"), None),
        (json!("-1m"), None),
    ] {
        let body =
            json!({"model": "m", "messages": user("x"), "keep_alive": value, "stream": false});
        let answer = service.post("/api/chat", body).await;
        assert_eq!(answer.status, 200, "{value}: {}", answer.text);
        let loaded = service.get("/api/ps").await.json()["models"][0].clone();
        let expires: jiff::Timestamp = loaded["expires_at"].as_str().unwrap().parse().unwrap();
        let rest = expires.duration_since(jiff::Timestamp::now()).as_secs_f64();
        match seconds {
            Some(seconds) => {
                assert!(rest <= seconds && rest > seconds - 60.0, "{value}: {rest}");
            }
            // For ever is a time so far away that clients can compute with it.
            None => assert!(rest > 365.0 * 24.0 * 3600.0, "{value}: {rest}"),
        }
    }
    for value in [json!(0), json!("0"), json!("0s")] {
        let load = service.post("/api/generate", json!({"model": "m"})).await;
        assert_eq!(load.status, 200);
        let unload = json!({"model": "m", "keep_alive": value, "stream": false});
        let answer = service.post("/api/generate", unload).await.json();
        assert_eq!(answer["done_reason"], "unload", "{value}");
        let loaded = service.get("/api/ps").await.json();
        assert_eq!(loaded["models"], json!([]), "{value}");
    }
}

#[tokio::test]
async fn a_model_that_cannot_think_or_call_says_so_in_the_words_that_clients_know() {
    let plain = with_model(json!({})).await;
    let able = with_able_model(json!({})).await;
    let chat = async |service: &Service, field: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": user("x"), "stream": false});
        body[field] = value;
        service.post("/api/chat", body).await
    };
    for think in [json!(true), json!("low"), json!("medium"), json!("high")] {
        chat(&plain, "think", think.clone()).await.refuses(
            400,
            "invalid_request",
            "does not support thinking",
        );
        assert_eq!(chat(&able, "think", think).await.status, 200);
    }
    for service in [&plain, &able] {
        assert_eq!(chat(service, "think", json!(false)).await.status, 200);
        assert_eq!(chat(service, "tools", json!([])).await.status, 200);
    }
    chat(&plain, "tools", tool(json!({"type": "object"})))
        .await
        .refuses(400, "invalid_request", "does not support tools");
}

#[tokio::test]
async fn an_option_of_the_wrong_type_is_named_with_the_right_one() {
    let service = with_model(json!({})).await;
    for (name, value, kind) in [
        ("top_k", json!("many"), "integer"),
        ("top_k", json!(1.5), "integer"),
        ("temperature", json!("hot"), "float32"),
        ("use_mmap", json!(3), "boolean"),
        ("stop", json!(3), "array"),
    ] {
        let body = json!({"model": "m", "prompt": "x", "options": {name: value}});
        let answer = service.post("/api/generate", body).await;
        answer.refuses(400, "invalid_request", "option");
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        let words = format!("option \"{name}\" must be of type {kind}: ");
        assert!(text.starts_with(&words), "{text}");
    }
    let null = json!({"model": "m", "prompt": "x", "options": {"top_k": null, "of_another": 1}, "stream": false});
    assert_eq!(service.post("/api/generate", null).await.status, 200);
}

#[tokio::test]
async fn the_prompt_can_be_shown_without_an_answer() {
    let service = with_model(json!({"template": "<{{ .System }}|{{ .Prompt }}>"})).await;
    let messages =
        json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]);
    for (path, body) in [
        (
            "/api/generate",
            json!({"model": "m", "system": "be kind", "prompt": "hi"}),
        ),
        ("/api/chat", json!({"model": "m", "messages": messages})),
    ] {
        let mut body = body;
        body["_debug_render_only"] = json!(true);
        let answer = service.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let answer = answer.json();
        assert_eq!(
            answer["_debug_info"],
            json!({"rendered_template": "<be kind|hi>"}),
            "{path}"
        );
        assert!(answer["done"].is_null(), "{answer}");
    }
}

#[tokio::test]
async fn a_prompt_that_must_not_shift_is_refused_if_it_does_not_fit() {
    let service = with_model(json!({})).await;
    let body = |shift: bool| json!({"model": "m", "prompt": "a b c d ".repeat(100), "raw": true, "shift": shift, "stream": false});
    service
        .post("/api/generate", body(false))
        .await
        .refuses(400, "context_overflow", "context");
    let cut = service.post("/api/generate", body(true)).await.json();
    assert!(cut["truncated_tokens"].as_u64().unwrap() > 0, "{cut}");
}

#[tokio::test]
async fn routes_of_the_cloud_say_that_there_is_none() {
    let service = service().await;
    assert_eq!(
        service.get("/api/status").await.json(),
        json!({"cloud": {"disabled": true, "source": "config"}})
    );
    for (method, path) in [
        ("POST", "/api/me"),
        ("POST", "/api/signout"),
        ("DELETE", "/api/user/keys/AAAAC3"),
    ] {
        service
            .call(method, path, json!({}))
            .await
            .refuses(401, "no_account", "unauthorized");
    }
    for name in ["web_search", "web_fetch"] {
        service
            .post(&format!("/api/experimental/{name}"), json!({"query": "x"}))
            .await
            .refuses(403, "cloud_disabled", name);
    }
    assert_eq!(
        service
            .get("/api/experimental/model-recommendations")
            .await
            .json(),
        json!({"recommendations": []})
    );
}
