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

#[tokio::test]
async fn a_model_is_pinned_as_long_as_the_configuration_says_so() {
    let service = configured_by("models: {m: {pin: true}, gone: {pin: true}}\n").await;
    let following = tokio::spawn(crate::pins::follow(service.app.clone()));
    let is_pinned = async |wanted: bool| {
        loop {
            let loaded = service.app.scheduler.list().await;
            if loaded.iter().any(|model| model.pinned) == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    is_pinned(true).await;
    service.reload("threads: 1\n").await;
    is_pinned(false).await;
    service.reload("models: {m: {pin: true}}\n").await;
    is_pinned(true).await;
    following.abort();
}

#[tokio::test]
async fn the_settings_are_shown_on_the_socket_only_and_read_again_on_request() {
    let service = configured_by("context_length: 40\n").await;
    service
        .get("/slm/v1/config")
        .await
        .refuses(403, "unix_socket_only", "Unix socket");
    let ask = async |method: &str, path: &str| {
        let mut request = Service::request(method, path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Unix);
        let answer = service.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let shown = ask("GET", "/slm/v1/config").await;
    let of = |shown: &Value, key: &str| {
        let settings = shown["settings"].as_array().unwrap().iter();
        settings
            .clone()
            .find(|one| one["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(
        of(&shown, "context_length"),
        json!({"key": "context_length", "value": "40", "default": "4096", "origin": "file", "line": 1, "applies": "now"})
    );
    let file = service.app.config.current().file();
    fs::replace(&file, "port: 1\nmodels: {m: {parallel: 2}}\n").unwrap();
    let shown = ask("POST", "/slm/v1/config/reload").await;
    assert_eq!(of(&shown, "context_length")["origin"], "default");
    assert_eq!(of(&shown, "port")["waiting"], "1");
    assert_eq!(
        shown["models"],
        json!([{"model": "m", "line": 2, "settings": {"parallel": "2"}}])
    );
    fs::replace(&file, "port: 1\nlog: loud\n").unwrap();
    let shown = ask("POST", "/slm/v1/config/reload").await;
    assert_eq!(shown["refused"]["line"], 2);
    assert_eq!(shown["refused"]["earlier_in_force"], true);
    let folder = service.home.path().join("catalogs");
    std::fs::create_dir(&folder).unwrap();
    fs::replace(&folder.join("a.yaml"), "version: 1\nmodel: []\n").unwrap();
    let shown = ask("GET", "/slm/v1/config").await;
    assert_eq!(shown["catalogs"][0]["line"], 2);
    assert_eq!(shown["catalogs"][0]["earlier_in_force"], false);
}
