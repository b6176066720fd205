//! Saved states, from one runner to the next.

use std::path::{Path, PathBuf};

use axum::body::Body;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Service, service_in};

/// Long enough to be saved.
fn conversation(words: usize) -> String {
    let words: Vec<String> = (0..words).map(|word| format!("word{word}")).collect();
    words.join(" ")
}

impl Service {
    /// Cached tokens of the prompt.
    async fn cached(&self, prompt: &str) -> u64 {
        let body = json!({
            "model": "m", "prompt": prompt, "raw": true, "stream": false,
            "options": {"num_ctx": 2048, "num_predict": 4},
        });
        let answer = self.post("/api/generate", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let last: Value = answer.json();
        last["cached_tokens"].as_u64().unwrap()
    }

    async fn unload(&self) {
        let body = json!({"model": "m", "keep_alive": 0, "stream": false});
        assert_eq!(self.post("/api/generate", body).await.status, 200);
        self.until_loaded(0).await;
        // Waits for states that are being written.
        self.states().await;
    }

    async fn states(&self) -> Vec<PathBuf> {
        let name = registry::ModelName::parse("m").unwrap();
        if let Ok(model) = self.registry.model(&name).await {
            let owner = model.manifest.state_key();
            self.registry.states(owner, 64).await.unwrap();
        }
        files(&self.home.path().join("kv"))
    }
}

/// All files in a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

async fn with_model(disk: u64) -> Service {
    let home = tempfile::tempdir().unwrap();
    let service = service_in(home, "", disk).await;
    service.create(json!({})).await;
    service
}

#[tokio::test]
async fn a_reloaded_model_continues_from_its_saved_state() {
    let service = with_model(1 << 30).await;
    let prompt = conversation(300);
    assert_eq!(service.cached(&prompt).await, 0);
    service.unload().await;
    assert_eq!(service.states().await.len(), 1);
    assert_eq!(service.cached(&prompt).await, 300);
    assert_eq!(service.cached(&format!("{prompt} and more")).await, 300);
    service.unload().await;
    // The longer state replaces its prefix.
    assert!(service.states().await.len() <= 2);
    assert!(service.cached(&format!("{prompt} and more")).await >= 301);
}

#[tokio::test]
async fn short_conversations_are_not_saved() {
    let service = with_model(1 << 30).await;
    service.cached(&conversation(20)).await;
    service.unload().await;
    assert!(service.states().await.is_empty());
}

#[tokio::test]
async fn states_are_not_saved_with_a_budget_of_zero() {
    let service = with_model(0).await;
    let prompt = conversation(300);
    service.cached(&prompt).await;
    service.unload().await;
    assert!(!service.home.path().join("kv").exists());
    assert_eq!(service.cached(&prompt).await, 0);
}

#[tokio::test]
async fn the_oldest_states_are_removed_when_the_budget_is_used_up() {
    // A state of the mock has 16 bytes for each token; three of these do not fit.
    let service = with_model(20_000).await;
    for start in 0..3 {
        let prompt = format!("talk{start} {}", conversation(400));
        service.cached(&prompt).await;
        service.unload().await;
    }
    let sizes = service.states().await;
    let sizes = sizes.iter().map(|path| path.metadata().unwrap().len());
    let total: u64 = sizes.clone().sum();
    assert!(total <= 20_000 && sizes.count() >= 1, "{total}");
    let latest = format!("talk2 {}", conversation(400));
    assert_eq!(service.cached(&latest).await, 401);
}

#[tokio::test]
async fn a_damaged_state_is_refused_and_removed() {
    let service = with_model(1 << 30).await;
    let prompt = conversation(300);
    service.cached(&prompt).await;
    service.unload().await;
    let [path] = service.states().await.try_into().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() - 100;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(service.cached(&prompt).await, 0);
    while path.exists() {
        tokio::task::yield_now().await;
    }
    service.unload().await;
    assert_eq!(service.cached(&prompt).await, 300);
}

#[tokio::test]
async fn a_file_that_is_no_state_is_removed() {
    let service = with_model(1 << 30).await;
    let prompt = conversation(300);
    service.cached(&prompt).await;
    service.unload().await;
    let [path] = service.states().await.try_into().unwrap();
    std::fs::write(&path, "GGUF").unwrap();
    assert_eq!(service.cached(&prompt).await, 0);
    while path.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn states_are_removed_with_their_model() {
    let service = with_model(1 << 30).await;
    service.cached(&conversation(300)).await;
    service.unload().await;
    // Another state is still in the runner.
    service
        .cached(&format!("other {}", conversation(300)))
        .await;
    assert_eq!(service.states().await.len(), 1);
    let answer = service.call("DELETE", "/api/delete", json!({"model": "m"}));
    assert_eq!(answer.await.status, 200);
    service.until_loaded(0).await;
    assert!(service.states().await.is_empty());
}

#[tokio::test]
async fn a_runner_that_exports_nothing_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let service = service_in(home, "", 1 << 30).await;
    service.create(json!({})).await;
    let body = json!({
        "model": "m", "prompt": "[[mock: deaf-at-token 1]] a b c", "raw": true, "stream": true,
    });
    let request = Service::request("POST", "/api/generate").body(Body::from(body.to_string()));
    let stream = service.router.clone().oneshot(request.unwrap()).await;
    tokio::time::pause();
    drop(stream.unwrap());
    service.unload().await;
    assert!(service.states().await.is_empty());
}
