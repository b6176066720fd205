//! Models with adapters on one base.

use api::EventKind;
use gguf_writer::{Tensor, Writer};

use super::*;

/// An adapter with other bytes for each mark.
fn lora(mark: &str) -> Vec<u8> {
    Writer::new()
        .kv("general.architecture", "llama")
        .kv("general.type", "adapter")
        .kv("general.name", mark)
        .tensor(Tensor::f32("a", &[32], &[0.0; 32]))
        .to_bytes()
}

impl Service {
    /// Makes a model of `m` with an adapter, and returns the adapter as the mock names it.
    async fn adapt(&self, name: &str) -> String {
        let bytes = lora(name);
        let digest = Digest::of(&bytes);
        let path = api::routes::blob(&digest.to_string());
        let upload = Self::request("POST", &path).body(Body::from(bytes));
        assert!(self.send(upload.unwrap()).await.status.is_success());
        let recipe =
            json!({"model": name, "from": "m", "adapters": {"a.gguf": digest.to_string()}});
        let answer = self.post("/api/create", recipe).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        digest.hex().chars().take(8).collect()
    }

    /// The adapters that a request of this model has, with their scales.
    async fn scales(&self, model: &str) -> String {
        let body = json!({"model": model, "prompt": "[[mock: echo-adapters]]x"});
        self.generate(body).await.0
    }

    /// Texts of the loads.
    fn loads(&self) -> Vec<String> {
        let events = self.app.events.decisions(|_| true).into_iter();
        let loads = events.filter(|event| event.kind == EventKind::Loading);
        loads.map(|event| event.text).collect()
    }
}

#[tokio::test]
async fn models_on_one_base_share_a_runner_and_have_their_own_adapters() {
    let service = with_model(json!({})).await;
    let (a, b) = (service.adapt("a").await, service.adapt("b").await);
    assert_eq!(service.scales("a").await, format!("{a}=1"));
    assert_eq!(service.scales("b").await, format!("{b}=1"));
    assert_eq!(service.scales("m").await, "");
    let half = json!({
        "model": "b", "prompt": "[[mock: echo-adapters]]x", "lora": [{"id": 0, "scale": 0.5}],
    });
    assert_eq!(service.generate(half).await.0, format!("{b}=0.5"));
    let absent = json!({"model": "b", "prompt": "x", "lora": [{"id": 1, "scale": 0.5}]});
    let refused = service.post("/api/generate", absent).await;
    refused.refuses(400, "invalid_request", "the adapter 1");
    let loads = service.loads();
    assert_eq!(loads.len(), 1, "{loads:?}");
    assert!(loads[0].contains("with 2 adapters"), "{loads:?}");
    let ps = service.loaded().await;
    assert_eq!((ps.len(), &ps[0]["name"]), (1, &json!("a:latest")));
}

#[tokio::test]
async fn a_model_that_is_made_later_is_loaded_with_the_others() {
    let service = with_model(json!({})).await;
    let a = service.adapt("a").await;
    service.scales("a").await;
    let b = service.adapt("b").await;
    // The base needs no adapter.
    service.scales("m").await;
    assert_eq!(service.loads().len(), 1);
    assert_eq!(service.scales("b").await, format!("{b}=1"));
    assert_eq!(service.scales("a").await, format!("{a}=1"));
    assert_eq!(service.loads().len(), 2);
}

#[tokio::test]
async fn an_adapter_that_is_gone_or_damaged_costs_no_other_model() {
    let service = with_model(json!({})).await;
    let a = service.adapt("a").await;
    for name in ["gone", "damaged"] {
        service.adapt(name).await;
    }
    let gone = json!({"model": "gone"});
    service.call("DELETE", "/api/delete", gone).await;
    let blob = format!("sha256-{}", Digest::of(&lora("damaged")).hex());
    let path = service.home.path().join("models/blobs").join(blob);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "damage").unwrap();
    assert_eq!(service.scales("a").await, format!("{a}=1"));
    assert_eq!(service.scales("m").await, "");
    let damaged = json!({"model": "damaged", "prompt": "x", "stream": false});
    let answer = service.post("/api/generate", damaged).await;
    assert!(!answer.status.is_success(), "{}", answer.text);
    assert_eq!(service.scales("a").await, format!("{a}=1"));
}
