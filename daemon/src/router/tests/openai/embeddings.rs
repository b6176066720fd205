//! `/v1/embeddings`.

use base64::Engine as _;
use gguf_writer::tiny_bert::{self, Pooling};

use super::*;

const EMBEDDINGS: &str = "/v1/embeddings";

/// A service with an embedding model `m`.
async fn embedder() -> Service {
    let service = service().await;
    service
        .create_of(tiny_bert::bert(1, Pooling::Mean), json!({}))
        .await;
    service
}

impl Service {
    async fn vectors(&self, fields: Value) -> Value {
        let answer = self
            .post(EMBEDDINGS, with(json!({"model": "m"}), fields))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

#[tokio::test]
async fn each_form_of_input_has_vectors_in_order() {
    let service = embedder().await;
    let one = service.vectors(json!({"input": "a b"})).await;
    assert_eq!(
        (&one["object"], &one["model"]),
        (&json!("list"), &json!("m"))
    );
    assert_eq!(one["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    assert_eq!(one["data"][0]["object"], "embedding");
    let many: Vec<String> = (0..300).map(|number| format!("text {number}")).collect();
    let answer = service.vectors(json!({"input": many})).await;
    let indexes: Vec<usize> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["index"].as_u64().unwrap() as usize)
        .collect();
    assert_eq!(indexes, (0..300).collect::<Vec<_>>());
    for (input, count) in [
        (json!([100, 101]), 1),
        (json!([[100], [101, 102]]), 2),
        (json!(["a b"]), 1),
    ] {
        let answer = service.vectors(json!({"input": input})).await;
        assert_eq!(answer["data"].as_array().unwrap().len(), count, "{input}");
    }
}

#[tokio::test]
async fn base64_has_the_same_numbers() {
    let service = embedder().await;
    let numbers = service.vectors(json!({"input": "a b c"})).await;
    let numbers: Vec<f32> =
        serde_json::from_value(numbers["data"][0]["embedding"].clone()).unwrap();
    let encoded = service
        .vectors(json!({"input": "a b c", "encoding_format": "base64"}))
        .await;
    let text = encoded["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    let decoded: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|it| f32::from_le_bytes(it.try_into().unwrap()))
        .collect();
    assert_eq!(numbers, decoded);
    let length: f32 = numbers.iter().map(|it| it * it).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    let short = service
        .vectors(json!({"input": "a b c", "dimensions": 4}))
        .await;
    assert_eq!(short["data"][0]["embedding"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn inputs_that_are_empty_foreign_or_too_long_are_refused() {
    let service = embedder().await;
    for (fields, field) in [
        (json!({}), json!("input")),
        (json!({"input": ""}), json!("input")),
        (json!({"input": []}), json!("input")),
        (json!({"input": ["a", ""]}), json!("input[1]")),
        (json!({"input": [[]]}), json!("input")),
        (json!({"input": 1}), json!("input")),
        (
            json!({"input": "a", "encoding_format": "int8"}),
            json!("encoding_format"),
        ),
        (json!({"input": "a", "dimensions": 0}), json!("dimensions")),
    ] {
        let answer = service
            .post(EMBEDDINGS, with(json!({"model": "m"}), fields))
            .await;
        answer.fails(400, "invalid_request", field);
    }
    let foreign = service
        .post(EMBEDDINGS, json!({"model": "m", "input": [2_000_000_000]}))
        .await;
    let message = foreign.fails(400, "invalid_request", json!("input"));
    assert!(
        message.contains("check_embedding_ctx_length=False"),
        "{message}"
    );
    let long = service
        .post(
            EMBEDDINGS,
            json!({"model": "m", "input": "word ".repeat(200)}),
        )
        .await;
    long.fails(400, "context_length_exceeded", Value::Null);
    let chat = able()
        .await
        .post(EMBEDDINGS, json!({"model": "m", "input": "a"}))
        .await;
    chat.fails(400, "invalid_request", Value::Null);
}

#[tokio::test]
async fn every_field_takes_null_and_refuses_wrong_values() {
    let base = json!({"model": "m", "input": "x"});
    fields::check_fields(
        &embedder().await,
        EMBEDDINGS,
        "openai.EmbeddingsRequest",
        base,
    )
    .await;
}

#[tokio::test]
async fn a_long_text_is_cut_only_if_the_request_allows_it() {
    let service = embedder().await;
    let fields = json!({"model": "m", "input": "word ".repeat(200)});
    let cut = service
        .post(EMBEDDINGS, with(fields, json!({"truncate": true})))
        .await;
    assert_eq!(cut.status, 200, "{}", cut.text);
}
