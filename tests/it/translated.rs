//! Weights in Ollama's own layouts compute what the same weights in llama.cpp's layout compute.

use serde_json::{Value, json};

use crate::harness::{Engine, Home};

/// The tokens of an answer with their logprobs, and with those of the best alternatives.
fn answer(home: &Home, name: &str) -> Value {
    let answer = home.post(
        "/api/generate",
        &json!({
            "model": name,
            "prompt": "the sky is",
            "raw": true,
            "stream": false,
            "logprobs": true,
            "top_logprobs": 5,
            "options": { "temperature": 0, "num_predict": 6, "num_ctx": 256 },
        }),
    );
    assert!(answer["logprobs"].is_array(), "{name}: {answer}");
    answer["logprobs"].clone()
}

#[test]
fn both_layouts_give_the_same_logits() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    let mut tried = 0;
    for pair in gguf_writer::foreign::pairs(3) {
        let (true, Some(weights)) = (pair.runs, pair.weights) else {
            continue;
        };
        home.file("ollama.gguf", pair.ollama.to_bytes());
        home.file("native.gguf", weights.to_bytes());
        home.create("ollama", "FROM ./ollama.gguf\n").ok();
        home.create("native", "FROM ./native.gguf\n").ok();
        let embeds = home
            .slm(&["show", "native", "--json"])
            .ok()
            .contains("\"embedding\"");
        if embeds {
            let vector = |name: &str| {
                home.post("/api/embed", &json!({"model": name, "input": "the sky"}))["embeddings"]
                    .clone()
            };
            assert_eq!(vector("ollama"), vector("native"), "{}", pair.name);
        } else {
            assert_eq!(
                answer(&home, "ollama"),
                answer(&home, "native"),
                "{}",
                pair.name
            );
        }
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} families were tried");
    home.assert_clean();
}
