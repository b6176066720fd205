//! Embeddings and reranking. The mock's vectors have 8 numbers, which depend on the words of a text.

use gguf_writer::tiny_bert::{self, Pooling};
use gguf_writer::tiny_folder;

use super::*;

/// A service with an embedding model `e`, a reranker `r` and a completion model `m`.
async fn with_models() -> Service {
    let service = with_model(json!({})).await;
    for (name, pooling) in [("e", Pooling::Mean), ("r", Pooling::Rank)] {
        let digest = upload(&service, tiny_bert::bert(1, pooling)).await;
        let recipe = json!({"model": name, "files": {"bert.gguf": digest}, "stream": false});
        let answer = service.post("/api/create", recipe).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    service
}

async fn upload(service: &Service, bytes: Vec<u8>) -> String {
    let digest = Digest::of(&bytes).to_string();
    let upload = Service::request("POST", &api::routes::blob(&digest)).body(Body::from(bytes));
    assert!(service.send(upload.unwrap()).await.status.is_success());
    digest
}

async fn embed(service: &Service, body: Value) -> Value {
    let answer = service.post("/api/embed", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn models_list_their_capabilities() {
    let service = with_models().await;
    for (model, expected) in [("e", json!(["embedding"])), ("r", json!(["rerank"]))] {
        let shown = service.post("/api/show", json!({"model": model})).await;
        assert_eq!(shown.json()["capabilities"], expected);
    }
}

#[tokio::test]
async fn one_text_or_several_become_vectors() {
    let service = with_models().await;
    let one = embed(&service, json!({"model": "e", "input": "the sky"})).await;
    assert_eq!(one["model"], "e");
    assert_eq!(one["embeddings"].as_array().unwrap().len(), 1);
    assert_eq!(one["prompt_eval_count"], 2);
    assert!(one["total_duration"].as_u64() >= one["load_duration"].as_u64());
    assert!(one.get("truncated_inputs").is_none());
    let vector = &one["embeddings"][0];
    assert_eq!(vector.as_array().unwrap().len(), 8);

    let inputs: Vec<String> = (0..600).map(|number| format!("the sky {number}")).collect();
    let several = embed(&service, json!({"model": "e", "input": inputs})).await;
    let vectors = several["embeddings"].as_array().unwrap();
    assert_eq!(vectors.len(), 600);
    let last = embed(&service, json!({"model": "e", "input": "the sky 599"})).await;
    assert_eq!(
        vectors[599], last["embeddings"][0],
        "in the order of the inputs"
    );
}

#[tokio::test]
async fn dimensions_cut_vectors_and_truncate_cuts_texts() {
    let service = with_models().await;
    let short = embed(
        &service,
        json!({"model": "e", "input": "a b c", "dimensions": 3}),
    )
    .await;
    assert_eq!(short["embeddings"][0].as_array().unwrap().len(), 3);
    let long = "word ".repeat(100);
    let cut = embed(&service, json!({"model": "e", "input": ["a", long]})).await;
    assert_eq!(cut["truncated_inputs"], 1);
    let body = json!({"model": "e", "input": long, "truncate": false});
    let refused = service.post("/api/embed", body).await;
    refused.refuses(400, "context_overflow", "reads 64");
    let body = json!({"model": "e", "input": "x", "dimensions": 9});
    let refused = service.post("/api/embed", body).await;
    refused.refuses(400, "invalid_request", "dimensions");
}

#[tokio::test]
async fn a_vector_does_not_depend_on_earlier_requests() {
    let service = with_models().await;
    let long = "a b c d e f g h ".repeat(5);
    let ask = async |context: Option<u32>| {
        let options = context.map_or(json!({}), |context| json!({"num_ctx": context}));
        let body = json!({"model": "e", "input": long, "options": options});
        let answer = embed(&service, body).await;
        (
            answer["prompt_eval_count"].clone(),
            answer["embeddings"].clone(),
        )
    };
    let small = ask(Some(16)).await;
    assert_eq!(small.0, 16);
    let usual = ask(None).await;
    assert_eq!(usual.0, 41, "forty words, and what is behind the last");
    assert_ne!(small.1, usual.1);
    assert_eq!(ask(Some(16)).await, small);
    let body = json!({"model": "e", "input": long, "truncate": false, "options": {"num_ctx": 16}});
    let refused = service.post("/api/embed", body).await;
    refused.refuses(400, "context_overflow", "reads 16");
    let body = json!({"model": "r", "query": "a", "documents": [long], "truncate": false, "options": {"num_ctx": 16}});
    let refused = service.post("/slm/v1/rerank", body).await;
    refused.refuses(400, "context_overflow", "reads 16");
}

#[tokio::test]
async fn without_input_the_model_is_loaded() {
    let service = with_models().await;
    for body in [
        json!({"model": "e"}),
        json!({"model": "e", "input": null}),
        json!({"model": "e", "input": []}),
    ] {
        assert_eq!(embed(&service, body).await["embeddings"], json!([]));
    }
    assert_eq!(service.loaded().await[0]["name"], "e:latest");
    let older = service.post("/api/embeddings", json!({"model": "e"})).await;
    assert_eq!(older.json(), json!({"embedding": []}));
}

#[tokio::test]
async fn the_older_route_gives_one_vector_without_normalization() {
    let service = with_models().await;
    let body = json!({"model": "e", "prompt": "hello hello"});
    let older = service.post("/api/embeddings", body).await;
    let vector = older.json()["embedding"].clone();
    let numbers: Vec<f64> = vector
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect();
    assert_eq!(numbers.len(), 8);
    assert_eq!(
        numbers.iter().sum::<f64>(),
        2.0,
        "two words, not made shorter"
    );
}

#[tokio::test]
async fn documents_are_ranked() {
    let service = with_models().await;
    let body = json!({
        "model": "r",
        "query": "why is the sky blue",
        "documents": ["grass", {"text": "the sky is blue"}, "the grass"],
        "return_documents": true,
    });
    for path in ["/v1/rerank", "/slm/v1/rerank"] {
        let answer = service.post(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let order: Vec<_> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["index"].as_u64().unwrap())
            .collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(answer["results"][0]["document"]["text"], "the sky is blue");
        assert_eq!(
            answer["usage"]["prompt_tokens"],
            answer["usage"]["total_tokens"]
        );
    }
    let best = json!({"model": "r", "query": "sky", "documents": ["a", "sky"], "top_n": 1});
    let best = service.post("/v1/rerank", best).await.json();
    assert_eq!(best["results"].as_array().unwrap().len(), 1);
    assert_eq!(best["results"][0]["index"], 1);
    assert!(best["results"][0].get("document").is_none());
    let none = json!({"model": "r", "query": "sky", "documents": []});
    assert_eq!(
        service.post("/v1/rerank", none).await.json()["results"],
        json!([])
    );
}

#[tokio::test]
async fn a_model_without_the_capability_is_named() {
    let service = with_models().await;
    let documents = json!(["x"]);
    for (path, body, words) in [
        (
            "/api/embed",
            json!({"model": "m", "input": "x"}),
            "does not turn text into vectors",
        ),
        (
            "/api/embed",
            json!({"model": "r", "input": "x"}),
            "does not turn text into vectors",
        ),
        (
            "/api/embeddings",
            json!({"model": "m", "prompt": "x"}),
            "does not turn text into vectors",
        ),
        (
            "/v1/rerank",
            json!({"model": "e", "query": "x", "documents": documents}),
            "does not rank documents",
        ),
        (
            "/api/generate",
            json!({"model": "e", "prompt": "x"}),
            "does not generate text",
        ),
        (
            "/api/chat",
            json!({"model": "r", "messages": []}),
            "does not generate text",
        ),
    ] {
        service
            .post(path, body)
            .await
            .refuses(400, "invalid_request", words);
    }
}

#[tokio::test]
async fn an_invalid_request_is_an_error_with_the_reason() {
    let service = with_models().await;
    let many = vec!["x"; 5000];
    for (path, body, words) in [
        ("/api/embed", json!({"input": "x"}), "model is required"),
        (
            "/api/embed",
            json!({"model": "e", "input": 7}),
            "a text or a list of texts",
        ),
        (
            "/api/embed",
            json!({"model": "e", "input": [7]}),
            "a text or a list of texts",
        ),
        ("/api/embed", json!({"model": "e", "input": many}), "4096"),
        (
            "/api/embed",
            json!({"model": "e", "dimensions": -1}),
            "number `-1`, expected a whole number from 0",
        ),
        (
            "/v1/rerank",
            json!({"model": "r", "documents": ["x"]}),
            "query is required",
        ),
        (
            "/v1/rerank",
            json!({"model": "r", "query": "x", "documents": [7]}),
            "member `text`",
        ),
        (
            "/v1/rerank",
            json!({"model": "r", "query": "x", "documents": many}),
            "4096",
        ),
    ] {
        service
            .post(path, body)
            .await
            .refuses(400, "invalid_request", words);
    }
    let missing = service
        .post("/api/embed", json!({"model": "no", "input": "x"}))
        .await;
    missing.refuses(404, "model_not_found", "no");
}

#[tokio::test]
async fn a_folder_of_safetensors_is_converted() {
    let service = with_model(json!({})).await;
    let mut files = serde_json::Map::new();
    for (name, bytes) in tiny_folder::bert(1) {
        files.insert(name.into(), upload(&service, bytes).await.into());
    }
    let recipe = |files: &serde_json::Map<_, _>, quantize: &str| json!({"model": "f", "files": files, "quantize": quantize, "stream": false});
    let answer = service.post("/api/create", recipe(&files, "f32")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = service
        .post("/api/show", json!({"model": "f"}))
        .await
        .json();
    assert_eq!(shown["capabilities"], json!(["embedding"]));
    assert_eq!(shown["details"]["quantization_level"], "F32");
    let vectors = embed(&service, json!({"model": "f", "input": "the sky"})).await;
    assert_eq!(vectors["embeddings"].as_array().unwrap().len(), 1);

    files["config.json"] = upload(&service, b"{}".to_vec()).await.into();
    service
        .post("/api/create", recipe(&files, ""))
        .await
        .refuses(
            400,
            "not_convertible",
            "`config.json` does not describe a model that can be converted: missing field",
        );
}
