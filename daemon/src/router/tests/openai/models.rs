//! `/v1/models`, and routes that slm does not serve.

use super::*;

#[tokio::test]
async fn a_model_has_the_context_that_it_is_loaded_with() {
    let service = able().await;
    let list = service.get("/v1/models?client_version=1").await.json();
    assert_eq!(
        (&list["object"], &list["models"]),
        (&json!("list"), &json!([]))
    );
    let model = &list["data"][0];
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!("m:latest"), &json!("model"))
    );
    assert!(model["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(model["owned_by"], "library");
    let trained = model["meta"]["n_ctx_train"].as_u64().unwrap();
    let expected = trained.min(1024);
    assert_eq!(
        (&model["context_length"], &model["max_model_len"]),
        (&json!(expected), &json!(expected))
    );
    let copy = json!({"source": "m", "destination": "copy"});
    service.post("/api/copy", copy).await;
    service.whole(body("x", json!({"num_ctx": 64}))).await;
    for model in [
        service.get("/v1/models").await.json()["data"][0].clone(),
        service.get("/v1/models").await.json()["data"][1].clone(),
        service.get("/v1/models/m").await.json(),
        service.get("/v1/models/copy").await.json(),
    ] {
        assert_eq!(model["context_length"], 64);
        assert_eq!(model["meta"]["n_ctx_train"], trained);
    }
}

#[tokio::test]
async fn a_model_that_shares_a_runner_has_no_larger_context_than_its_own() {
    let service = able().await;
    let small = json!({"model": "small", "from": "m", "parameters": {"num_ctx": 32}});
    service.post("/api/create", small).await;
    service.whole(body("x", json!({"num_ctx": 64}))).await;
    for (name, expected) in [("m", 64), ("small", 32)] {
        let model = service.get(&format!("/v1/models/{name}")).await.json();
        assert_eq!(model["context_length"], expected, "{name}");
    }
}

#[tokio::test]
async fn a_name_with_slashes_is_reachable() {
    let service = able().await;
    service
        .post(
            "/api/copy",
            json!({"source": "m", "destination": "hf.co/ann/small:q4"}),
        )
        .await;
    let model = service.get("/v1/models/hf.co/ann/small:q4").await.json();
    assert_eq!(model["id"], "hf.co/ann/small:q4");
    assert_eq!(model["owned_by"], "hf.co/ann");
    let answer = service
        .whole(body("x", json!({"model": "hf.co/ann/small:q4"})))
        .await;
    assert_eq!(answer["model"], "hf.co/ann/small:q4");
    service
        .get("/v1/models/nowhere")
        .await
        .fails(404, "model_not_found", Value::Null);
}

#[tokio::test]
async fn an_anthropic_client_gets_its_own_list() {
    let service = able().await;
    let get = async |path: &str| {
        let request = Service::request("GET", path).header("anthropic-version", "2023-06-01");
        let answer = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let copy = json!({"source": "m", "destination": "copy"});
    service.post("/api/copy", copy).await;
    service.whole(body("x", json!({"num_ctx": 64}))).await;
    let list = get("/v1/models?limit=1000").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    for model in [
        &list["data"][0],
        &list["data"][1],
        &get("/v1/models/m").await,
        &get("/v1/models/copy").await,
    ] {
        assert_eq!(model["type"], "model");
        assert_eq!(model["max_input_tokens"], 64, "{model}");
    }
}

#[tokio::test]
async fn a_route_that_is_not_served_says_so() {
    let service = service().await;
    for (method, path) in [
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/moderations"),
        ("GET", "/v1/files"),
        ("POST", "/v1/fine_tuning/jobs"),
        ("DELETE", "/v1/assistants/a"),
        ("GET", "/v1/vector_stores"),
        ("GET", "/v1/chat/completions/c1"),
    ] {
        let answer = service.call(method, path, json!({})).await;
        let message = answer.fails(404, "not_served", Value::Null);
        assert!(message.contains(path), "{message}");
    }
    service
        .get("/v1/nothing")
        .await
        .fails(404, "no_route", Value::Null);
    service
        .get(CHAT)
        .await
        .fails(405, "method_not_allowed", Value::Null);
}
