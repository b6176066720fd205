//! Requests as clients of Ollama's API write them, and requirements of models.

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
async fn an_empty_field_counts_as_absent() {
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
async fn null_counts_as_absent() {
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
async fn a_model_that_requires_a_later_version_is_refused() {
    let service = with_model(json!({"requires": "v0.1"})).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi"}))
        .await;
    assert_eq!(text, "hi");
    let recipe = json!({"model": "n", "from": "m", "requires": "99.0.0"});
    service.post("/api/create", recipe).await.refuses(
        400,
        "version_too_old",
        "requires Ollama 99.0.0",
    );
    // As in a model that was pulled.
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
            .refuses(400, "version_too_old", "requires Ollama 99.0.0");
    }
}

#[tokio::test]
async fn a_model_with_a_renderer_needs_a_template() {
    let service = service_with("no-chat-template").await;
    for field in ["renderer", "parser"] {
        service.create(json!({field: "special"})).await;
        let prompt = json!({"model": "m", "prompt": "hi"});
        let words = format!("has no template, and its {field} \\\"special\\\" is not known");
        service
            .post("/api/generate", prompt)
            .await
            .refuses(400, "unsupported", &words);
        let messages = json!([{"role": "user", "content": "hi"}]);
        service
            .post("/api/chat", json!({"model": "m", "messages": messages}))
            .await
            .refuses(400, "unsupported", &words);
        // A raw prompt needs no template.
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
async fn a_draft_model_is_used_and_drafts_are_counted() {
    let service = service().await;
    let drafted = |last: &Value| {
        (
            last["drafted_tokens"].as_u64(),
            last["accepted_tokens"].as_u64(),
        )
    };
    service.create(json!({})).await;
    let prompt = json!({"model": "m", "prompt": "one two three four five six"});
    let (_, last) = service.generate(prompt.clone()).await;
    // Without drafts the fields are absent.
    assert_eq!(drafted(&last), (None, None));

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
    assert_eq!(drafted(&last), (Some(4), Some(4)));

    let with = |most: i64| {
        let mut prompt = prompt.clone();
        prompt["options"] = json!({"draft_num_predict": most});
        prompt
    };
    assert_eq!(drafted(&service.generate(with(0)).await.1), (None, None));
    assert_eq!(
        drafted(&service.generate(with(1000)).await.1),
        (Some(32), Some(6))
    );
    service.post("/api/generate", with(1025)).await.refuses(
        400,
        "invalid_request",
        "draft_num_predict",
    );
}

#[tokio::test]
async fn an_unsupported_field_of_create_is_refused() {
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
    let answer = json!({"stream": true, "think": true, "truncate": true, "shift": true, "_debug_render_only": true, "logprobs": true, "top_logprobs": 1, "logit_bias": {}, "lora": []});
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
            "/slm/v1/rerank",
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
            let fields = json!({"from": "", "files": {}, "adapters": {}, "draft_files": {}, "template": "", "license": "", "system": "", "parameters": {}, "messages": [], "renderer": "", "parser": "", "requires": "", "quantize": "", "draft_quantize": "", "remote_host": "", "info": {}, "pull": true});
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
            "/slm/v1/store/verify",
            json!({"models": [], "quarantine": true}),
        ),
    ]
}

#[tokio::test]
async fn the_error_for_a_wrong_type_names_the_field() {
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
                    "untagged", "struct", "f32", "u32", "sequence", "a map", "boolean", "integer",
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
async fn null_counts_as_absent_in_every_field() {
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
async fn the_error_for_a_wrong_value_in_a_list_has_its_index() {
    let service = service().await;
    for (body, words) in [
        (
            json!({"messages": [{"role": "user", "content": ""}, {"role": "user", "content": 1}]}),
            "field `messages[1].content`: invalid type: number `1`, expected a text",
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
async fn a_lone_surrogate_becomes_the_replacement_character() {
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

/// The line of a table of limits in the reference.
fn limit(what: &str) -> &'static str {
    let page = include_str!("../../../../docs/api.md");
    let start = format!("| {what} |");
    let found = page.lines().find(|line| line.starts_with(&start));
    found.unwrap_or_else(|| panic!("docs/api.md has no limit of {what}"))
}

#[test]
fn the_reference_has_the_limits_of_the_code() {
    use crate::extract::{LARGE, SMALL};
    use crate::template::{MAX_ELSE_LINKS, MAX_OUTPUT, MAX_SOURCE, MAX_TIME};
    use runner_protocol::images::{MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES};
    use runner_protocol::{
        MAX_CONSTRAINT_BYTES, MAX_TOOL_CALLS, MAX_TOOL_NAME, MAX_TOOL_SCHEMA, MAX_TOOLS,
    };
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let kib = |bytes: usize| format!("{} KiB", bytes >> 10);
    for (what, values) in [
        ("JSON body", vec![mib(SMALL), mib(LARGE), "30 s".into()]),
        (
            "`images`",
            vec![
                format!(" {MAX_IMAGES},"),
                mib(MAX_IMAGE_BYTES) + " each",
                mib(MAX_IMAGES_BYTES) + " together",
            ],
        ),
        (
            "template",
            vec![
                kib(MAX_SOURCE),
                format!("{MAX_ELSE_LINKS} `else if`"),
                mib(MAX_OUTPUT),
                format!("{} s of", MAX_TIME.as_secs()),
            ],
        ),
        (
            "texts of create",
            vec![mib(modelfile::MAX_BYTES), kib(MAX_SOURCE)],
        ),
        ("`format`", vec![kib(MAX_CONSTRAINT_BYTES)]),
        ("tools", vec![format!(" {MAX_TOOLS},")]),
        ("schema of one tool", vec![kib(MAX_TOOL_SCHEMA)]),
        ("name of a tool", vec![format!("{MAX_TOOL_NAME} ASCII")]),
        ("calls in one message", vec![format!(" {MAX_TOOL_CALLS},")]),
    ] {
        for value in values {
            assert!(limit(what).contains(&value), "{value:?} in {}", limit(what));
        }
    }
}

#[tokio::test]
async fn bodies_have_the_limits_of_the_reference() {
    let service = service().await;
    for (method, path, _) in bodies() {
        let name = path.rsplit('/').next().unwrap();
        let is_large = name == "embeddings" || limit("JSON body").contains(&format!(" {name}"));
        let most = if is_large { 32 << 20 } else { 1 << 20 };
        for (bytes, fits) in [(most, true), (most + 1, false)] {
            // Not JSON, so that only the check of its length can pass.
            let body = Body::from(vec![b'x'; bytes]);
            let request = Service::request(method, path).body(body).unwrap();
            let status = service.send(request).await.status.as_u16();
            assert_eq!(status != 413, fits, "{path} {bytes}: {status}");
        }
    }
}

#[tokio::test]
async fn a_licence_as_long_as_a_modelfile_is_accepted() {
    let service = service().await;
    let license = "licence ".repeat((4 << 20) / 8);
    service.create(json!({"license": license})).await;
    let shown = service.post("/api/show", json!({"model": "m"})).await;
    assert_eq!(shown.json()["license"].as_str().unwrap().len(), 4 << 20);
    let longer = json!({"model": "n", "from": "m", "license": license + "x", "stream": false});
    let answer = service.post("/api/create", longer).await;
    answer.refuses(400, "invalid_request", "at most 4194304 are allowed");
}

#[tokio::test]
async fn a_base_in_a_catalog_is_pulled_first_unless_pull_is_false() {
    let service = service().await;
    let recipe =
        |pull: Value| json!({"model": "mine", "from": "smollm2", "pull": pull, "stream": false});
    // The pull fails for lack of a pip program, and the error shows that it was tried.
    let answer = service.post("/api/create", recipe(Value::Null)).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    let answer = service.post("/api/create", recipe(json!(false))).await;
    answer.refuses(404, "model_not_found", "smollm2");
}

#[tokio::test]
async fn create_ignores_retired_parameters_with_a_warning() {
    let service = service().await;
    let parameters = json!({"use_mlock": true, "top_k": 7});
    let lines = service.create(json!({"parameters": parameters})).await;
    let is_warning = |line: &Value| {
        let status = line["status"].as_str().unwrap();
        status.starts_with("warning: parameter `use_mlock` is retired")
    };
    assert!(lines.iter().any(is_warning), "{lines:?}");
    let shown = service
        .post("/api/show", json!({"model": "m"}))
        .await
        .json();
    assert_eq!(shown["parameters"], "top_k                          7");
}

#[tokio::test]
async fn create_warns_about_unknown_template_fields() {
    let service = service().await;
    let lines = service.create(json!({"template": "{{ .prompt }}"})).await;
    let warning = "warning: line 1 of the template: `.prompt` does not exist and prints nothing; did you mean `.Prompt`?";
    assert!(
        lines.iter().any(|line| line["status"] == warning),
        "{lines:?}"
    );
}
