//! Streams whose model loads or reads a long prompt for a minute.

use super::*;

impl Service {
    /// Waits until this many requests have the model.
    async fn until_active(&self, count: usize) {
        while self.app.scheduler.list().await[0].active != count {
            tokio::task::yield_now().await;
        }
    }
}

/// The body of a stream that begins after a minute.
async fn slow_stream(service: &Service, path: &str, mut body: Value) -> String {
    body["model"] = json!("m");
    body["stream"] = json!(true);
    body["keep_alive"] = json!(-1);
    let request = Service::request("POST", path).body(Body::from(body.to_string()));
    service.until_active(0).await;
    let response = tokio::spawn(service.router.clone().oneshot(request.unwrap()));
    service.until_active(1).await;
    // From here on only the runner works, and time passes while it waits.
    tokio::time::pause();
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    tokio::time::resume();
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn no_stream_is_silent_for_more_than_fifteen_seconds() {
    let service = able().await;
    let load = json!({"model": "m", "prompt": "x", "keep_alive": -1});
    service.generate(load).await;
    let text = "[[mock: prefill-delay-ms 60000; answer yes]]x";
    let messages = json!([{"role": "user", "content": text}]);
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    for (path, body, pause) in [
        (
            "/v1/chat/completions",
            json!({"messages": messages}),
            ":\n\n",
        ),
        ("/v1/completions", json!({"prompt": text}), ":\n\n"),
        ("/v1/responses", json!({"input": text}), ":\n\n"),
        (
            "/v1/messages",
            json!({"messages": messages, "max_tokens": 9}),
            ping,
        ),
    ] {
        let stream = slow_stream(&service, path, body).await;
        let answer = stream.trim_start_matches(pause);
        let pauses = (stream.len() - answer.len()) / pause.len();
        assert_eq!(pauses, 3, "{path}: {stream}");
        assert!(answer.contains("yes"), "{path}: {stream}");
    }
}

#[tokio::test]
async fn a_stream_that_repeats_tokens_begins_before_its_model_is_loaded() {
    let service = service_with("load-delay-ms 60000").await;
    service.create(json!({})).await;
    let body = json!({"model": "m", "prompt": [1, 2], "echo": true, "stream": true});
    let request = Service::request("POST", "/v1/completions").body(Body::from(body.to_string()));
    // From here on, time passes while all tasks wait.
    tokio::time::pause();
    let response = service.router.clone().oneshot(request.unwrap()).await;
    assert_eq!(response.unwrap().status(), 200);
    let models = service.app.scheduler.list().await;
    let is_ready = models.iter().any(|model| model.state != "loading");
    assert!(!is_ready, "{models:?}");
}
