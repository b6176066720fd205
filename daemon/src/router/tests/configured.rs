//! Settings of the configuration that reach requests and loads, also after a change.

use super::*;
use crate::config::Reloaded;
use crate::fs;

/// A service whose settings are in a file of its home.
async fn configured_by(text: &str) -> Service {
    let service = with_model(json!({})).await;
    let config = Config::from_text(service.home.path(), text).unwrap();
    let app = App {
        config: config.into(),
        ..service.app.clone()
    };
    Service {
        router: router(app.clone(), OriginCheck::default()),
        app,
        ..service
    }
}

impl Service {
    /// The context and the keep-alive in seconds that `m` is loaded with for a request with these options.
    async fn load_with(&self, options: Value) -> (u64, f64) {
        self.post("/api/generate", json!({"model": "m", "keep_alive": 0}))
            .await;
        self.until_loaded(0).await;
        self.generate(json!({"model": "m", "prompt": "1", "options": options}))
            .await;
        let [loaded] = &self.app.scheduler.list().await[..] else {
            panic!("one model is loaded")
        };
        let KeepAlive::For(stay) = loaded.keep_alive else {
            panic!("it stays for ever")
        };
        (loaded.context.into(), stay.as_secs_f64())
    }

    async fn reload(&self, text: &str) -> Reloaded {
        fs::replace(&self.app.config.current().file(), text).unwrap();
        self.app.config.reload().await
    }
}

#[tokio::test]
async fn request_overrides_modelfile_overrides_model_overrides_all() {
    let text = "context_length: 40\nmodels:\n  'm*': {context_length: 30, keep_alive: 7}\n";
    let service = configured_by(text).await;
    assert_eq!(service.load_with(json!({})).await, (30, 7.0));
    assert_eq!(service.load_with(json!({"num_ctx": 20})).await, (20, 7.0));
    service.create(json!({"parameters": {"num_ctx": 24}})).await;
    assert_eq!(service.load_with(json!({})).await, (24, 7.0));
    assert_eq!(service.load_with(json!({"num_ctx": 20})).await, (20, 7.0));
}

#[tokio::test]
async fn a_changed_file_counts_for_the_next_load() {
    let service = configured_by("context_length: 40\n").await;
    assert_eq!(service.load_with(json!({})).await.0, 40);
    service.reload("context_length: 32\n").await;
    assert_eq!(service.load_with(json!({})).await.0, 32);
    service.reload("models: {m: {context_length: 16}}\n").await;
    assert_eq!(service.load_with(json!({})).await.0, 16);
    let refused = service.reload("context_length: none\n").await;
    assert!(matches!(refused, Reloaded::Refused(_)), "{refused:?}");
    assert_eq!(service.load_with(json!({})).await.0, 16);
}
