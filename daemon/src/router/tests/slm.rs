//! Routes of slm itself: tokens, prompts, loading and pins, events and reasons, garbage.

use super::*;

/// The frames of a stream of events that has these words in one of them, up to that frame.
async fn frames_until(body: Body, words: &str) -> String {
    let mut text = String::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        text.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
        if text.contains(words) {
            return text;
        }
    }
    panic!("{words:?} is not in {text}");
}

#[tokio::test]
async fn tokens_of_a_text_give_the_text_again() {
    let service = with_model(json!({})).await;
    let body = json!({"model": "m", "text": "a b a", "with_pieces": true});
    let answer = service.post("/slm/v1/tokenize", body).await.json();
    let tokens = answer["tokens"].as_array().unwrap();
    assert_eq!(answer["count"], tokens.len());
    let pieces = answer["pieces"].as_array().unwrap();
    let joined: String = pieces.iter().map(|piece| piece.as_str().unwrap()).collect();
    assert_eq!(joined, "a b a");
    let body = json!({"model": "m", "tokens": tokens});
    let text = service.post("/slm/v1/detokenize", body).await.json();
    assert_eq!(text, json!({"model": "m:latest", "text": "a b a"}));
    let body = json!({"model": "m", "text": "a b a", "add_special": true});
    let special = service.post("/slm/v1/tokenize", body).await.json();
    assert_eq!(special["count"], tokens.len() + 1);
    assert_eq!(special["pieces"], Value::Null);
}

#[tokio::test]
async fn a_token_that_the_vocabulary_lacks_and_a_missing_model_are_errors() {
    let service = with_model(json!({})).await;
    for (path, body, status, code) in [
        (
            "tokenize",
            json!({"model": "x", "text": "a"}),
            404,
            "model_not_found",
        ),
        ("tokenize", json!({"model": "m"}), 400, "invalid_request"),
        (
            "tokenize",
            json!({"model": "m", "text": 1}),
            400,
            "invalid_request",
        ),
        (
            "detokenize",
            json!({"model": "m", "tokens": ["a"]}),
            400,
            "invalid_request",
        ),
        (
            "apply-template",
            json!({"model": "m"}),
            400,
            "invalid_request",
        ),
        ("load", json!({"model": "x"}), 404, "model_not_found"),
        (
            "load",
            json!({"model": "m", "keep_alive": "soon"}),
            400,
            "invalid_request",
        ),
        ("pin", json!({"model": ""}), 400, "invalid_request"),
        ("unpin", json!({"model": "x"}), 404, "model_not_found"),
        ("unload", json!({"model": "x"}), 404, "model_not_found"),
    ] {
        let answer = service.post(&format!("/slm/v1/{path}"), body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert_eq!(answer.json()["code"], code, "{path} {body}");
    }
}

#[tokio::test]
async fn the_prompt_of_a_conversation_is_what_the_model_reads() {
    let service =
        with_model(json!({"template": "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}", "system": "S"})).await;
    let messages = json!([{"role": "user", "content": "hello [[mock: echo-prompt]]"}]);
    let body = json!({"model": "m", "messages": messages});
    let prompt = service
        .post("/slm/v1/apply-template", body.clone())
        .await
        .json();
    let text = prompt["prompt"].as_str().unwrap();
    assert!(text.contains("hello"), "{prompt}");
    assert_eq!(prompt["count"], prompt["tokens"].as_array().unwrap().len());
    let mut body = body;
    body["_debug_render_only"] = json!(true);
    let rendered = service.post("/api/chat", body).await.json();
    assert_eq!(rendered["_debug_info"]["rendered_template"], text);
}

#[tokio::test]
async fn a_model_is_loaded_pinned_and_unloaded() {
    let service = with_model(json!({})).await;
    let body = json!({"model": "m", "options": {"num_ctx": 128}, "keep_alive": "1h"});
    let loaded = service.post("/slm/v1/load", body).await.json();
    assert_eq!(loaded["model"], "m:latest");
    assert_eq!(loaded["loaded"]["context_length"], 128, "{loaded}");
    assert_eq!(loaded["loaded"]["pinned"], Value::Null);

    let pinned = service
        .post("/slm/v1/pin", json!({"model": "m"}))
        .await
        .json();
    assert_eq!(pinned["loaded"]["pinned"], true);
    // A client of Ollama's API cannot unload it.
    let body = json!({"model": "m", "keep_alive": 0, "stream": false});
    let stays = service.post("/api/generate", body).await.json();
    assert_eq!(
        (&stays["done_reason"], &stays["unload"]),
        (&json!("unload"), &json!("pinned"))
    );
    assert_eq!(service.loaded().await[0]["pinned"], true);

    let body = json!({"model": "m"});
    let unpinned = service.post("/slm/v1/unpin", body.clone()).await.json();
    assert_eq!(unpinned, json!({"model": "m:latest", "was_pinned": true}));
    let again = service.post("/slm/v1/unpin", body.clone()).await.json();
    assert_eq!(again["was_pinned"], false);
    service.post("/slm/v1/pin", body.clone()).await;
    let gone = service.post("/slm/v1/unload", body.clone()).await.json();
    assert_eq!(gone, json!({"model": "m:latest", "unload": "done"}));
    let gone = service.post("/slm/v1/unload", body).await.json();
    assert_eq!(gone["unload"], "not_loaded");
}

#[tokio::test]
async fn a_removed_name_is_not_pinned_any_more() {
    let service = with_model(json!({})).await;
    let copy = json!({"source": "m", "destination": "copy"});
    service.post("/api/copy", copy).await;
    service.post("/slm/v1/pin", json!({"model": "copy"})).await;
    let body = json!({"model": "copy"});
    let removed = service.call("DELETE", "/api/delete", body).await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    assert_eq!(service.loaded().await[0]["pinned"], Value::Null);
}

#[tokio::test]
async fn a_model_that_only_embeds_is_loaded_too() {
    let service = service().await;
    let weights = gguf_writer::tiny_bert::bert(1, gguf_writer::tiny_bert::Pooling::Mean);
    service.create_of(weights, json!({"model": "e"})).await;
    let loaded = service.post("/slm/v1/load", json!({"model": "e"})).await;
    assert_eq!(loaded.status, 200, "{}", loaded.text);
    let body = json!({"model": "e", "text": "a b"});
    let tokens = service.post("/slm/v1/tokenize", body).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
}

#[tokio::test]
async fn why_tells_the_last_decisions_about_a_model() {
    let service = with_model(json!({})).await;
    service.post("/slm/v1/load", json!({"model": "m"})).await;
    let why = service.get("/slm/v1/why?model=m").await.json();
    assert_eq!(why["loaded"][0]["name"], "m:latest");
    let events = why["events"].as_array().unwrap();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["loading", "loaded"]);
    assert_eq!(events[1]["context"], 64);
    assert!(
        events[1]["text"]
            .as_str()
            .unwrap()
            .starts_with("loaded in ")
    );
    // Another name of the same weights shares the runner.
    let copy = json!({"source": "m", "destination": "copy"});
    service.post("/api/copy", copy).await;
    let shared = service.get("/slm/v1/why?model=copy").await.json();
    assert_eq!(shared["events"], why["events"]);
    let pinned = service
        .post("/slm/v1/pin", json!({"model": "copy"}))
        .await
        .json();
    assert_eq!(pinned["loaded"]["name"], "m:latest");
    let other = service.get("/slm/v1/why?model=other").await.json();
    assert_eq!(other, json!({"loaded": [], "events": []}));
    let wrong = service.get("/slm/v1/why?modle=m").await;
    wrong.refuses(400, "invalid_request", "modle");
}

#[tokio::test]
async fn events_are_streamed_and_can_be_resumed() {
    let service = with_model(json!({})).await;
    let listen = async |path: &str, after: Option<&str>| {
        let mut request = Service::request("GET", path);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let request = request.body(Body::empty()).unwrap();
        service.router.clone().oneshot(request).await.unwrap()
    };
    let news = listen("/slm/v1/events", None).await;
    assert_eq!(news.headers()["content-type"], "text/event-stream");
    service.post("/slm/v1/load", json!({"model": "m"})).await;
    let frames = frames_until(news.into_body(), "event: loaded").await;
    assert!(frames.starts_with("event: loading\nid: "), "{frames}");

    let id = frames.lines().find_map(|line| line.strip_prefix("id: "));
    let resumed = listen("/slm/v1/events?model=m", id).await;
    let frames = frames_until(resumed.into_body(), "event: loaded").await;
    assert!(!frames.contains("event: loading"), "{frames}");
    assert_eq!(listen("/slm/v1/events", Some("x")).await.status(), 400);
    assert_eq!(listen("/slm/v1/events?model=", None).await.status(), 400);
}

#[tokio::test]
async fn garbage_is_collected_on_request() {
    let service = with_model(json!({})).await;
    let digest = Digest::of(b"left behind");
    let blob = service
        .home
        .path()
        .join("models/blobs")
        .join(digest.file_name());
    std::fs::write(&blob, b"left behind").unwrap();
    let report = service.post("/slm/v1/store/gc", json!({})).await.json();
    assert_eq!(
        report,
        json!({"removed": [digest.to_string()], "downloads": 0, "bytes": 11, "blocked_by": [], "unknown_files": 0})
    );
    assert!(!blob.exists());
}

#[tokio::test]
async fn a_plan_tells_the_parts_of_a_model_and_what_would_be_chosen() {
    let service = with_model(json!({})).await;
    let plan = service
        .post("/slm/v1/plan", json!({"model": "m", "context": 1024}))
        .await;
    let plan = plan.json();
    assert_eq!(plan["place"], "the store");
    assert_eq!(plan["asked"]["context"], 1024);
    assert_eq!(plan["asked"]["kv_type"], "f16");
    let parts = plan["asked"]["parts"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(plan["asked"]["total"].as_u64().unwrap(), sum);
    assert!(
        parts.iter().any(|part| part["part"] == "KV cache"),
        "{plan}"
    );
    assert_eq!(plan["devices"][0]["device"], "CPU");
    // Half a megabyte of weights fits any machine that runs this test.
    assert_eq!(plan["fits"], true, "{plan}");
    // The bandwidth of this machine is not measured.
    assert_eq!(plan["asked"]["tokens_per_second"], json!(null));
    let body = json!({"model": "m", "context": 1024, "device": ["cpu"]});
    let on_cpu = service.post("/slm/v1/plan", body).await.json();
    assert_eq!(on_cpu["asked"], plan["asked"]);
    for (body, field) in [
        (json!({"model": "m", "context": 1}), "context"),
        (json!({"model": "m", "slots": 0}), "slots"),
        (json!({"model": "m", "kv_type": "q1"}), "kv_type"),
        (
            json!({"model": "m", "device": ["CUDA7"]}),
            "there is no device CUDA7; the usable ones are CPU",
        ),
    ] {
        let refused = service.post("/slm/v1/plan", body).await;
        refused.refuses(400, "invalid_request", field);
    }
}
