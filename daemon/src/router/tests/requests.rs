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
