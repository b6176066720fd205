//! A model in an artifact of Docker Model Runner's layout, on the real runner.

use origin::{Origin, digest};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::harness::{Engine, Home};

#[test]
fn the_chat_template_beside_the_weights_renders_the_prompt() {
    let runtime = Runtime::new().expect("threads");
    let origin = runtime.block_on(Origin::start());
    let weights = gguf_writer::tiny::writer(1)
        .without("tokenizer.chat_template")
        .to_bytes();
    let layer = |kind: &str, bytes: &[u8]| {
        origin.blob(bytes);
        let kind = format!("application/vnd.docker.ai.{kind}");
        json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
    };
    // The template renders every conversation as one letter.
    let layers = [
        layer("gguf.v3", &weights),
        layer("chat.template.jinja", b"a"),
    ];
    let config = layer("model.config.v0.1+json", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    });
    origin.manifest("ai/deep/tiny:1", manifest.to_string());

    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    let name = format!("oci://{}/ai/deep/tiny:1", origin.host());
    home.slm(&["pull", &name]).ok();
    let body = json!({
        "model": name,
        "messages": [{"role": "user", "content": "a long question that would take many tokens"}],
        "stream": false,
        "options": {"num_predict": 1},
    });
    let answer = home.post("/api/chat", &body);
    let read = answer["prompt_eval_count"].as_u64().expect("a count");
    assert!(read <= 2, "the prompt has {read} tokens: {answer}");
    home.assert_clean();
}
