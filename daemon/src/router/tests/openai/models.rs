//! The list of models: E1, E2, A11, and names with slashes.

use super::*;

#[tokio::test]
async fn the_list_has_the_context_in_use_and_the_trained_one() {
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
    assert_eq!(model["context_length"], 1024);
    assert_eq!(model["max_model_len"], 1024);
    assert_eq!(model["owned_by"], "library");
    assert!(model["trained_context_length"].is_u64() && model["created"].is_i64());
    service.whole(body("x", json!({"num_ctx": 512}))).await;
    let list = service.get("/v1/models").await.json();
    assert_eq!(list["data"][0]["context_length"], 512);
}

#[tokio::test]
async fn one_model_is_found_by_any_spelling_of_its_name() {
    let service = able().await;
    let copy = json!({"source": "m", "destination": "example.com/team/own:q4"});
    assert_eq!(service.post("/api/copy", copy).await.status, 200);
    for name in ["m", "m:latest", "example.com/team/own:q4"] {
        let answer = service.get(&format!("/v1/models/{name}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["id"], name);
    }
    let missing = service.get("/v1/models/nowhere").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_client_of_anthropic_gets_its_list() {
    let service = able().await;
    let request = |path: &str| {
        http::Request::get(path)
            .header("host", "localhost")
            .header("anthropic-version", "2023-06-01")
            .body(Body::empty())
            .unwrap()
    };
    let list = service.send(request("/v1/models?limit=1000")).await.json();
    assert_eq!(list["data"][0]["type"], "model");
    assert_eq!(
        (&list["has_more"], &list["first_id"]),
        (&json!(false), &json!("m:latest"))
    );
    let one = service.send(request("/v1/models/m")).await.json();
    assert_eq!((&one["type"], &one["id"]), (&json!("model"), &json!("m")));
    let missing = service.send(request("/v1/models/nowhere")).await;
    assert_eq!(missing.json()["error"]["type"], "not_found_error");
    let wrong = service.send(request("/v1/models?limit=many")).await;
    assert_eq!(wrong.status, 400);
}
