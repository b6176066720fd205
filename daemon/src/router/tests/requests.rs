//! Requests as clients of Ollama's API write them, and models that ask for what is not here.

use registry::{Base, Create, ModelName, ModelRef, Reporter};

use super::*;

const ECHO: &str = "[[mock: echo-prompt]]hi";

#[tokio::test]
async fn both_fields_of_the_name_may_be_sent() {
    let service = with_model(json!({"model": "", "name": "m"})).await;
    let body = json!({"model": "m", "name": ""});
    assert_eq!(service.post("/api/show", body.clone()).await.status, 200);
    let pull = json!({"model": "", "name": "no/such/model", "stream": false});
    let answer = service.post("/api/pull", pull).await;
    assert!(!answer.text.contains("duplicate field"), "{}", answer.text);
    assert!(!answer.text.contains("is required"), "{}", answer.text);
    let answer = service.call("DELETE", "/api/delete", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn an_empty_field_is_as_good_as_none() {
    let service =
        with_model(json!({"system": "S", "template": "<{{ .System }}>{{ .Prompt }}"})).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi", "system": "", "template": ""}))
        .await;
    assert_eq!(text, "<S>hi");
    for other in [
        json!({"raw": true}),
        json!({"template": "{{ .Prompt }}{{ .Suffix }}", "suffix": "!"}),
    ] {
        let mut body = json!({"model": "m", "prompt": "hi", "context": []});
        body.as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        let answer = service.post("/api/generate", body).await;
        assert_eq!(answer.status, 200, "{other}: {}", answer.text);
    }
}

#[tokio::test]
async fn null_is_as_good_as_none() {
    let service = with_model(json!({})).await;
    for (path, body) in [
        ("/api/generate", json!({"model": "m", "prompt": null})),
        ("/api/chat", json!({"model": "m", "messages": null})),
    ] {
        let answer = service.post(path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.lines()[0]["done_reason"], "load");
    }
    let messages =
        json!([{"role": "assistant", "content": null}, {"role": "user", "content": ECHO}]);
    let (text, _) = service
        .chat(json!({"model": "m", "messages": messages}))
        .await;
    assert!(text.starts_with("assistant: \nuser: hi"), "{text}");
}

#[tokio::test]
async fn a_model_for_a_later_version_is_neither_made_nor_run() {
    let service = with_model(json!({"requires": "v0.1"})).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi"}))
        .await;
    assert_eq!(text, "hi");
    let recipe = json!({"model": "n", "from": "m", "requires": "99.0.0"});
    service.post("/api/create", recipe).await.refuses(
        400,
        "version_too_old",
        "requires version 99.0.0",
    );
    // As one that was pulled.
    let name = |name: &str| ModelName::parse(name).unwrap();
    let from = Base::Model(ModelRef {
        name: name("m"),
        digest: None,
    });
    let create = Create {
        requires: Some("99.0.0".to_owned()),
        ..Create::new(name("n"), from)
    };
    let made = service.registry.create(create, &Reporter::silent()).await;
    made.unwrap();
    for (path, body) in [
        ("/api/generate", json!({"model": "n", "prompt": "hi"})),
        ("/api/chat", json!({"model": "n", "messages": []})),
    ] {
        service
            .post(path, body)
            .await
            .refuses(400, "version_too_old", "requires version 99.0.0");
    }
}

#[tokio::test]
async fn a_renderer_needs_a_template_that_stands_in_for_it() {
    let service = service_with("no-chat-template").await;
    for field in ["renderer", "parser"] {
        service.create(json!({field: "special"})).await;
        let prompt = json!({"model": "m", "prompt": "hi"});
        let words = format!("{field} \\\"special\\\" of a model without a template");
        service
            .post("/api/generate", prompt)
            .await
            .refuses(400, "unsupported", &words);
        let messages = json!([{"role": "user", "content": "hi"}]);
        service
            .post("/api/chat", json!({"model": "m", "messages": messages}))
            .await
            .refuses(400, "unsupported", &words);
        // Whoever brings the prompt as it has to be needs nothing else.
        for own in [
            json!({"model": "m", "prompt": "hi", "raw": true}),
            json!({"model": "m", "prompt": "hi", "template": "{{ .Prompt }}"}),
        ] {
            assert_eq!(service.generate(own).await.0, "hi");
        }
    }
    service
        .create(json!({"renderer": "special", "template": "<{{ .Prompt }}>"}))
        .await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi"}))
        .await;
    assert_eq!(text, "<hi>");
}

#[tokio::test]
async fn a_draft_model_is_used_and_what_it_was_good_for_is_told() {
    let service = service().await;
    let told = |last: &Value| {
        (
            last["drafted_tokens"].as_u64(),
            last["accepted_tokens"].as_u64(),
        )
    };
    service.create(json!({})).await;
    let prompt = json!({"model": "m", "prompt": "one two three four five six"});
    let (_, last) = service.generate(prompt.clone()).await;
    // Who has nothing to tell says nothing.
    assert_eq!(told(&last), (None, None));

    let bytes = gguf_writer::tiny::llama(2);
    let digest = Digest::of(&bytes).to_string();
    let upload = Service::request("POST", &api::routes::blob(&digest)).body(Body::from(bytes));
    assert_eq!(service.send(upload.unwrap()).await.status, 201);
    service
        .create(json!({"draft_files": {"draft.gguf": digest}}))
        .await;
    // The same weights with a draft model are another runner.
    let (text, last) = service.generate(prompt.clone()).await;
    assert_eq!(text, "one two three four five six");
    assert_eq!(told(&last), (Some(4), Some(4)));

    let with = |most: i64| {
        let mut prompt = prompt.clone();
        prompt["options"] = json!({"draft_num_predict": most});
        prompt
    };
    assert_eq!(told(&service.generate(with(0)).await.1), (None, None));
    assert_eq!(
        told(&service.generate(with(1000)).await.1),
        (Some(32), Some(6))
    );
    service.post("/api/generate", with(1025)).await.refuses(
        400,
        "invalid_request",
        "draft_num_predict",
    );
}

#[tokio::test]
async fn a_model_is_not_made_with_less_than_was_asked_for() {
    let service = service().await;
    let message = json!({"role": "user", "content": "hi", "images": ["aGk="]});
    for (field, value, name) in [
        ("messages", json!([message]), "images"),
        ("remote_host", json!("http://example.org"), "remote_host"),
        ("info", json!({"context_length": 1}), "info"),
        ("draft_quantize", json!("q4_0"), "draft_quantize"),
    ] {
        let mut recipe = json!({"model": "m", "from": "x"});
        recipe[field] = value;
        service
            .post("/api/create", recipe)
            .await
            .refuses(400, "unsupported", name);
    }
}

/// Bodies of every request, with a value of the right type for each field.
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    let message = json!({"role": "user", "content": "", "thinking": "", "images": [], "tool_calls": [], "tool_name": "", "tool_call_id": ""});
    let common = json!({"model": "m", "options": {}, "keep_alive": 0});
    let with = |fields: Value| {
        let mut body = common.clone();
        let members = body.as_object_mut().unwrap();
        members.extend(fields.as_object().unwrap().clone());
        body
    };
    let answer = json!({"stream": true, "think": true, "truncate": true, "shift": true, "logprobs": true, "top_logprobs": 1, "logit_bias": {}, "lora": []});
    let answered = |fields: Value| {
        let mut body = with(answer.clone());
        let members = body.as_object_mut().unwrap();
        members.extend(fields.as_object().unwrap().clone());
        body
    };
    let named = json!({"model": "m", "name": "m", "stream": true});
    vec![
        (
            "POST",
            "/api/generate",
            answered(
                json!({"prompt": "", "suffix": "", "system": "", "template": "", "context": [], "raw": true, "images": []}),
            ),
        ),
        (
            "POST",
            "/api/chat",
            answered(json!({"messages": [message], "tools": []})),
        ),
        (
            "POST",
            "/api/embed",
            with(json!({"input": [], "truncate": true, "dimensions": 1})),
        ),
        ("POST", "/api/embeddings", with(json!({"prompt": ""}))),
        (
            "POST",
            "/api/rerank",
            with(
                json!({"query": "", "documents": [], "top_n": 1, "return_documents": true, "truncate": true}),
            ),
        ),
        (
            "POST",
            "/api/show",
            json!({"model": "m", "name": "m", "verbose": true}),
        ),
        (
            "POST",
            "/api/pull",
            json!({"model": "m", "name": "m", "stream": true, "insecure": true}),
        ),
        ("POST", "/api/create", {
            let mut body = named;
            let fields = json!({"from": "", "files": {}, "adapters": {}, "draft_files": {}, "template": "", "license": "", "system": "", "parameters": {}, "messages": [], "renderer": "", "parser": "", "requires": "", "quantize": "", "draft_quantize": "", "remote_host": "", "info": {}});
            body.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            body
        }),
        (
            "POST",
            "/api/copy",
            json!({"source": "m", "destination": "n"}),
        ),
        ("DELETE", "/api/delete", json!({"model": "m", "name": "m"})),
        (
            "POST",
            "/api/verify",
            json!({"models": [], "quarantine": true}),
        ),
    ]
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_said_by_its_field() {
    let service = service().await;
    for (method, path, body) in bodies() {
        for (field, right) in body.as_object().unwrap() {
            for wrong in [
                json!({"a": 1}),
                json!([1]),
                json!(true),
                json!(1.5),
                json!("x"),
            ] {
                let same_kind = std::mem::discriminant(&wrong) == std::mem::discriminant(right);
                let takes_more = matches!(
                    (field.as_str(), &wrong),
                    (
                        "keep_alive" | "think" | "license" | "input",
                        Value::String(_) | Value::Bool(_) | Value::Number(_)
                    ) | ("tools" | "format", _)
                );
                if same_kind && !(wrong == json!([1]) || wrong == json!({"a": 1})) || takes_more {
                    continue;
                }
                if same_kind
                    && matches!(
                        field.as_str(),
                        "options"
                            | "parameters"
                            | "info"
                            | "logit_bias"
                            | "context"
                            | "files"
                            | "adapters"
                            | "draft_files"
                    )
                {
                    continue;
                }
                let mut body = body.clone();
                body[field] = wrong.clone();
                let answer = service.call(method, path, body).await;
                answer.refuses(400, "invalid_request", &format!("field `{field}"));
                for code in [
                    "untagged", "struct", "f32", "u32", "sequence", "a map", "boolean,",
                ] {
                    assert!(
                        !answer.text.contains(code),
                        "{path} {field} {wrong}: {}",
                        answer.text
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn null_is_as_good_as_absent_in_every_field() {
    let service = with_model(json!({})).await;
    for (method, path, body) in bodies() {
        for field in body.as_object().unwrap().keys() {
            let mut body = body.clone();
            body[field] = Value::Null;
            let answer = service.call(method, path, body).await;
            assert!(
                !answer.text.contains("field `"),
                "{path} {field}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_value_inside_a_list_is_said_by_its_place() {
    let service = service().await;
    for (body, words) in [
        (
            json!({"messages": [{"role": "user", "content": ""}, {"role": "user", "content": 1}]}),
            "field `messages[1].content`: invalid type: integer `1`, expected a text",
        ),
        (
            json!({"messages": [{"content": "x"}]}),
            "field `messages[0]",
        ),
        (
            json!({"keep_alive": true}),
            "field `keep_alive`: expected a number of seconds or a text such as",
        ),
        (
            json!({"think": 1}),
            "field `think`: expected true, false or a level",
        ),
        (
            json!({"lora": [{"id": -1, "scale": 1}]}),
            "field `lora[0].id`",
        ),
    ] {
        let mut body = body;
        body["model"] = json!("m");
        let answer = service.post("/api/chat", body).await;
        answer.refuses(400, "invalid_request", words);
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_the_replacement_character() {
    let service = with_model(json!({})).await;
    let body = r#"{"model": "m", "prompt": "hi \ud83d", "raw": true}"#;
    let request = Service::request("POST", "/api/generate").body(Body::from(body));
    let answer = service.send(request.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text: String = answer
        .lines()
        .iter()
        .filter_map(|event| event["response"].as_str())
        .collect();
    assert_eq!(text, "hi \u{fffd}");
}
