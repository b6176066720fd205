//! Constraints of answers, and logprobs.

use serde_json::{Value, json};

use super::with_model;

/// The request in the form of both routes.
fn bodies(extra: &Value) -> [(&'static str, Value); 2] {
    let mut generate = json!({"model": "m", "prompt": "one two"});
    let mut chat = json!({"model": "m", "messages": [{"role": "user", "content": "one two"}]});
    for (name, value) in extra.as_object().unwrap() {
        generate[name] = value.clone();
        chat[name] = value.clone();
    }
    [("/api/generate", generate), ("/api/chat", chat)]
}

fn text(event: &Value) -> &str {
    event["response"]
        .as_str()
        .or_else(|| event["message"]["content"].as_str())
        .unwrap()
}

#[tokio::test]
async fn an_answer_meets_its_constraint() {
    let service = with_model(json!({})).await;
    for (format, expected) in [
        (json!("json"), "{}"),
        (json!({"type": "object"}), "{}"),
        (json!(null), "one two"),
        (json!(""), "one two"),
    ] {
        for (path, body) in bodies(&json!({"format": format, "stream": false})) {
            let answer = service.post(path, body).await;
            assert_eq!(text(&answer.json()), expected, "{path} {format}");
        }
    }
}

#[tokio::test]
async fn a_constraint_that_cannot_be_enforced_is_refused() {
    let service = with_model(json!({})).await;
    for (format, words) in [
        (json!("xml"), "JSON Schema"),
        (json!(7), "JSON Schema"),
        // The mock does not support this keyword.
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"description": "x".repeat(70_000)}), "65536"),
    ] {
        for (path, body) in bodies(&json!({"format": format})) {
            service
                .post(path, body)
                .await
                .refuses(400, "invalid_request", words);
        }
    }
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused() {
    let service = with_model(json!({})).await;
    let body = format!(
        r#"{{"model":"m","prompt":"x","format":{}{}}}"#,
        r#"{"items":"#.repeat(60_000),
        "}".repeat(60_000)
    );
    let request = super::Service::request("POST", "/api/generate")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body))
        .unwrap();
    assert_eq!(service.send(request).await.status, 400);
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "still here"}))
        .await;
    assert_eq!(text, "still here");
}

#[tokio::test]
async fn logprobs_come_with_their_tokens() {
    let service = with_model(json!({})).await;
    for (path, body) in bodies(&json!({"logprobs": true, "top_logprobs": 2})) {
        let lines = service.post(path, body).await.lines();
        assert_eq!(lines.len(), 3);
        for (line, (word, logprob)) in lines.iter().zip([("one", -0.125), (" two", -0.25)]) {
            assert_eq!(text(line), word);
            let logprob_entry = &line["logprobs"][0];
            assert_eq!(logprob_entry["token"], word);
            assert_eq!(logprob_entry["bytes"], json!(word.as_bytes()));
            assert_eq!(logprob_entry["logprob"], logprob);
            assert_eq!(logprob_entry["top_logprobs"][0]["token"], word);
            assert_eq!(logprob_entry["top_logprobs"][1]["logprob"], logprob - 1.0);
            assert_eq!(logprob_entry["top_logprobs"].as_array().unwrap().len(), 2);
        }
        assert!(lines[2].get("logprobs").is_none());
    }
    for (path, body) in bodies(&json!({"logprobs": true, "stream": false})) {
        let answer = service.post(path, body).await.json();
        let entries = answer["logprobs"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries[0].get("top_logprobs").is_none());
    }
    for (path, body) in bodies(&json!({"stream": false})) {
        let answer = service.post(path, body).await.json();
        assert!(answer.get("logprobs").is_none());
    }
}

#[tokio::test]
async fn the_number_of_top_logprobs_is_bounded() {
    let service = with_model(json!({})).await;
    for (extra, words) in [
        (
            json!({"logprobs": true, "top_logprobs": 21}),
            "between 0 and 20",
        ),
        (json!({"top_logprobs": 3}), "goes with logprobs"),
    ] {
        for (path, body) in bodies(&extra) {
            service
                .post(path, body)
                .await
                .refuses(400, "invalid_request", words);
        }
    }
}
