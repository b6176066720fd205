//! Tests of the service without sockets and processes: the router in memory, a store in a temporary folder, and the mock runner
//! as a task.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::Progress;
use axum::body::Body;
use futures::StreamExt;
use http::StatusCode;
use registry::source::{Pip, Settings};
use registry::{Digest, Registry};
use runner_protocol::Speculation;
use serde_json::{Value, json};
use supervisor::Program;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accelerators::Accelerators;
use crate::adapters::Adapters;
use crate::blocking;
use crate::config::{Backend, Config, LiveConfig, Sandbox};
use crate::cpu::CpuModules;
use crate::devices::Devices;
use crate::duration::KeepAlive;
use crate::events::Events;
use crate::listen::Peer;
use crate::needs::Needs;
use crate::operations::Operations;
use crate::origin_check::OriginCheck;
use crate::responses::{Limits, Responses};
use crate::scheduler::{MemoryBudget, Options, Scheduler, Spares, States, StoreLoader, Unlimited};
use crate::shutdown::Shutdown;
use crate::sources::Sources;
use crate::template;
use crate::transfers::{Options as TransferOptions, StoreWorker, Transfers};
use crate::variants::{VariantChooser, VariantParts};

mod adapters;
mod anthropic;
mod browser;
mod budget;
mod configured;
mod constraints;
mod devices;
mod dialect;
mod health;
mod hostile;
mod images;
mod ollama;
mod openai;
mod openapi;
mod pages;
mod requests;
mod responses;
mod schema;
mod silence;
mod slm;
mod states;
mod table;
mod tools;
mod transfers;
mod vectors;

/// A chat template with the words by which the registry detects tools and thinking.
const ABLE: &str = "{% if tools %}{{ tools }}{% endif %}{% for m in messages %}{{ m.tool_calls }}{% endfor %}<think>";

/// A service with a model `m` of this recipe that has tools and thinking.
async fn with_able_model(recipe: Value) -> Service {
    let service = service().await;
    let weights = gguf_writer::tiny::writer(1).replace("tokenizer.chat_template", ABLE);
    service.create_of(weights.to_bytes(), recipe).await;
    service
}

/// The same with a context of 1024 tokens.
async fn able() -> Service {
    with_able_model(json!({"parameters": {"num_ctx": 1024}})).await
}

struct Service {
    app: App,
    router: Router,
    registry: Registry,
    home: tempfile::TempDir,
    tasks: TaskTracker,
}

/// A service whose runners follow a script of the mock.
async fn service_with(script: &str) -> Service {
    let home = tempfile::tempdir().unwrap();
    service_in(home, script, 1 << 30).await
}

/// A service in this home, with this budget for saved states.
async fn service_in(home: tempfile::TempDir, script: &str, disk: u64) -> Service {
    let transfer_options = TransferOptions {
        max_running: 2,
        window: None,
        metered: false,
    };
    // No server listens there, so no test leaves this machine.
    service_of(home, script, disk, transfer_options, "http://127.0.0.1:9").await
}

/// The same with these options for transfers, and with this server in place of the Ollama library.
async fn service_of(
    home: tempfile::TempDir,
    script: &str,
    disk: u64,
    transfer_options: TransferOptions,
    library: &str,
) -> Service {
    let registry = Registry::open(registry::Options::new(home.path()))
        .await
        .unwrap();
    let mut program = Program::new(std::env::current_exe().unwrap());
    if !script.is_empty() {
        program.env.push(("SLM_MOCK".into(), script.into()));
    }
    let tasks = TaskTracker::new();
    let events = Events::new(CancellationToken::new());
    // Its probe fails, so that the system's files are all that is known.
    let absent = Program::new("/absent");
    let derived = |name: &str| home.path().join("derived").join(name);
    let cpu = CpuModules::new(absent.clone(), derived("cpu-module.json"), tasks.clone());
    let devices = Devices::new(absent, derived("devices.json"), cpu, tasks.clone());
    let accelerators = Accelerators::new(devices.clone(), Vec::new(), tasks.clone());
    let loader = StoreLoader {
        states: States::new(registry.clone(), disk, tasks.clone()),
        registry: registry.clone(),
        spares: Spares::new(runner_mock::spawner(), 1, tasks.clone()),
        program,
        cpu: None,
        accelerators: accelerators.clone(),
        backend: Backend::Auto,
        device_budget: Vec::new(),
        options: supervisor::Options::default(),
        sequences: 4,
        speculation: Speculation::Auto,
        sandbox: Sandbox::Auto,
        needs: Needs::default(),
        tasks: tasks.clone(),
    };
    let options = Options {
        max_loaded: 2,
        budget: MemoryBudget::default(),
        max_queue: 8,
        keep_alive: KeepAlive::For(Duration::from_secs(300)),
        stop_grace: Duration::from_secs(1),
        shrink: false,
    };
    let sources = Sources::from(Settings {
        pip: Pip {
            program: Some("/no/such/pip".into()),
            ..Pip::default()
        },
        library: Some(library.to_owned()),
        hub: Some("http://127.0.0.1:9".to_owned()),
        ..Settings::default()
    });
    // Its probe fails, so that the system's files are all that is known.
    let absent = Program::new("/absent");
    let derived = |name: &str| home.path().join("derived").join(name);
    let cpu = CpuModules::new(absent.clone(), derived("cpu-module.json"), tasks.clone());
    let devices = Devices::new(absent, derived("devices.json"), cpu, tasks.clone());
    let live = configured("context_length: 64\ngpu_layers: 0\n");
    let variants = VariantChooser::new(VariantParts {
        registry: registry.clone(),
        sources: sources.clone(),
        needs: Needs::default(),
        accelerators: accelerators.clone(),
        devices: devices.clone(),
        config: live.clone(),
        events: events.clone(),
    });
    let worker = Arc::new(StoreWorker {
        registry: registry.clone(),
        sources: sources.clone(),
        variants: variants.clone(),
    });
    let clock = Arc::new(jiff::Zoned::now);
    let transfers = Transfers::start(
        &registry,
        worker,
        transfer_options,
        clock,
        events.clone(),
        &Shutdown::new(),
    )
    .await
    .unwrap();
    let limits = Limits {
        budget: 1 << 20,
        lifetime: Duration::from_secs(3600),
    };
    let responses = Responses::open(registry.clone(), limits, Shutdown::new());
    let app = App {
        needs: Needs::default(),
        adapters: Adapters::default(),
        accelerators,
        devices,
        responses: responses.await.unwrap(),
        transfers,
        registry: registry.clone(),
        scheduler: Scheduler::start(
            options,
            Arc::new(loader),
            Arc::new(Unlimited),
            events.clone(),
            &tasks,
        ),
        events,
        operations: Operations::new(Shutdown::new()),
        config: live,
        sources,
        variants,
        templates: template::Cache::default(),
    };
    Service {
        router: router(app.clone(), OriginCheck::default()),
        app,
        registry,
        home,
        tasks,
    }
}

/// The settings of a home at a path that only the answer about the version shows.
fn configured(text: &str) -> LiveConfig {
    let config = Config::from_text(Path::new("/home/ann/slm"), text);
    config.unwrap().into()
}

async fn service() -> Service {
    service_with("").await
}

/// Checks that only the last line of progress is `success`.
fn ends_well(lines: &[Value]) {
    let ends = lines.iter().map(|line| line["status"] == "success");
    let ends: Vec<usize> = ends
        .enumerate()
        .filter(|(_, it)| *it)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(ends, [lines.len() - 1], "{lines:?}");
}

/// A service with a tiny model `m` of this recipe.
async fn with_model(recipe: Value) -> Service {
    let service = service().await;
    service.create(recipe).await;
    service
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn lines(&self) -> Vec<Value> {
        assert_eq!(self.headers["content-type"], "application/x-ndjson");
        self.text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Checks an error.
    fn refuses(&self, status: u16, code: &str, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.json()["code"], code, "{}", self.text);
        assert!(self.text.contains(words), "{words:?} in {}", self.text);
    }
}

impl Service {
    async fn send(&self, request: http::Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    fn request(method: &str, path: &str) -> http::request::Builder {
        http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Self::request("GET", path).body(Body::empty()).unwrap())
            .await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = Self::request(method, path).body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body).await
    }

    /// Uploads the tiny weights and creates a model with this recipe.
    async fn create(&self, recipe: Value) -> Vec<Value> {
        self.create_of(gguf_writer::tiny::llama(1), recipe).await
    }

    /// The same with other weights.
    async fn create_of(&self, bytes: Vec<u8>, mut recipe: Value) -> Vec<Value> {
        let digest = Digest::of(&bytes).to_string();
        let upload = Self::request("POST", &api::routes::blob(&digest)).body(Body::from(bytes));
        let status = self.send(upload.unwrap()).await.status;
        assert!(status.is_success(), "{status}");
        recipe["files"] = json!({"tiny.gguf": digest});
        if recipe.get("model").is_none() {
            recipe["model"] = json!("m");
        }
        let answer = self.post("/api/create", recipe).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let lines = answer.lines();
        ends_well(&lines);
        lines
    }

    /// The text of an answer of `generate`, with its last event.
    async fn generate(&self, body: Value) -> (String, Value) {
        self.stream("/api/generate", body, |event| event["response"].clone())
            .await
    }

    async fn chat(&self, body: Value) -> (String, Value) {
        self.stream("/api/chat", body, |event| {
            event["message"]["content"].clone()
        })
        .await
    }

    async fn stream(&self, path: &str, body: Value, text: fn(&Value) -> Value) -> (String, Value) {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut events = answer.lines();
        let whole = events
            .iter()
            .map(|event| text(event).as_str().unwrap().to_owned())
            .collect();
        let last = events.pop().unwrap();
        assert_eq!(last["done"], true);
        assert!(events.iter().all(|event| event["done"] == false));
        (whole, last)
    }

    async fn loaded(&self) -> Vec<Value> {
        self.get("/api/ps").await.json()["models"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits until this many models are loaded.
    async fn until_loaded(&self, count: usize) {
        while self.loaded().await.len() != count {
            tokio::task::yield_now().await;
        }
    }
}

// ===== small routes =====

#[tokio::test]
async fn the_root_and_the_version_respond() {
    let service = service().await;
    assert_eq!(service.get("/").await.text, "Ollama is running");
    assert_eq!(
        service.get("/api/version").await.json(),
        json!({"version": api::OLLAMA, "slm": crate::VERSION, "home": "/home/ann/slm"})
    );
    for path in ["/", "/api/version", "/api/tags"] {
        let head = service
            .send(Service::request("HEAD", path).body(Body::empty()).unwrap())
            .await;
        assert_eq!(
            (head.status.as_u16(), head.text.as_str()),
            (200, ""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_errors_in_json() {
    let service = service().await;
    service
        .get("/api/nothing")
        .await
        .refuses(404, "no_route", "/api/nothing");
    service
        .get("/api/generate")
        .await
        .refuses(405, "method_not_allowed", "GET");
    service
        .post("/api/tags", json!({}))
        .await
        .refuses(405, "method_not_allowed", "POST");
}

#[tokio::test]
async fn a_path_that_is_no_utf_8_is_an_error_in_json() {
    let service = service().await;
    for path in [
        "/v1/models/%FF",
        "/v1/responses/%FF",
        "/v1/conversations/%FF",
        "/v1/conversations/c/items/%FF",
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "invalid_request", "{path}");
    }
    let answer = service.get("/slm/v1/jobs/%FF/progress").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (400, &json!("invalid_request"))
    );
    let upload = service.call("POST", "/api/blobs/%FF", json!({})).await;
    assert_eq!(
        (upload.status.as_u16(), &upload.json()["code"]),
        (400, &json!("invalid_request"))
    );
}

// ===== models =====

#[tokio::test]
async fn a_model_is_created_listed_shown_copied_and_removed() {
    let service = service().await;
    assert_eq!(service.get("/api/tags").await.json()["models"], json!([]));
    service
        .create(json!({
            "system": "Be brief.",
            "parameters": {"temperature": 0, "stop": ["<|im_end|>"]},
            "messages": [{"role": "user", "content": "Hi"}],
            "license": "Do what you like.",
        }))
        .await;

    let tags = service.get("/api/tags").await.json();
    let model = &tags["models"][0];
    assert_eq!(model["name"], "m:latest");
    assert_eq!(model["model"], "m:latest");
    assert_eq!(model["details"]["family"], "llama");
    assert_eq!(model["details"]["format"], "gguf");
    assert_eq!(model["digest"].as_str().unwrap().len(), 64);

    let shown = service
        .post("/api/show", json!({"model": "m"}))
        .await
        .json();
    assert_eq!(shown["system"], "Be brief.");
    assert_eq!(shown["license"], "Do what you like.");
    assert_eq!(shown["messages"][0]["content"], "Hi");
    assert_eq!(shown["model_info"]["general.architecture"], "llama");
    assert_eq!(shown["digest"], model["digest"]);
    assert_eq!(shown["template"], gguf_writer::tiny::CHAT_TEMPLATE);
    let parameters = shown["parameters"].as_str().unwrap();
    assert!(
        parameters.contains("stop                           \"<|im_end|>\""),
        "{parameters}"
    );
    assert!(shown.get("tensors").is_none());
    let verbose = service
        .post("/api/show", json!({"name": "m", "verbose": true}))
        .await
        .json();
    assert!(!verbose["tensors"].as_array().unwrap().is_empty());

    let copied = service
        .post("/api/copy", json!({"source": "m", "destination": "n"}))
        .await;
    assert_eq!((copied.status.as_u16(), copied.text.as_str()), (200, ""));
    let removed = service
        .call("DELETE", "/api/delete", json!({"model": "m"}))
        .await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (200, ""));
    let tags = service.get("/api/tags").await.json();
    assert_eq!(tags["models"].as_array().unwrap().len(), 1);
    assert_eq!(tags["models"][0]["name"], "n:latest");
}

#[tokio::test]
async fn a_missing_model_has_a_hint_to_pull_it() {
    let service = service().await;
    for (method, path, body) in [
        ("POST", "/api/show", json!({"model": "x"})),
        (
            "POST",
            "/api/copy",
            json!({"source": "x", "destination": "y"}),
        ),
        ("DELETE", "/api/delete", json!({"model": "x"})),
        (
            "POST",
            "/api/generate",
            json!({"model": "x", "prompt": "hi"}),
        ),
        (
            "POST",
            "/api/generate",
            json!({"model": "x", "keep_alive": 0}),
        ),
        ("POST", "/api/chat", json!({"model": "x", "messages": []})),
        (
            "POST",
            "/api/create",
            json!({"model": "y", "from": "x", "stream": false}),
        ),
    ] {
        let answer = service.call(method, path, body).await;
        answer.refuses(404, "model_not_found", "model 'x:latest' not found");
        assert_eq!(
            answer.json()["hint"],
            "`slm list` shows the models that are here",
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_invalid_request_is_an_error_with_the_reason() {
    let service = service().await;
    for (path, body, words) in [
        ("/api/show", json!({}), "model is required"),
        ("/api/show", json!({"model": "../x"}), "not a model name"),
        ("/api/show", json!({"model": 3}), "expected a text"),
        (
            "/api/generate",
            json!({"model": "x", "options": 3}),
            "expected an object",
        ),
        (
            "/api/generate",
            json!({"model": "x", "options": {"temperature": "hot"}}),
            "temperature",
        ),
        (
            "/api/generate",
            json!({"model": "x", "keep_alive": "soon"}),
            "no duration",
        ),
        (
            "/api/generate",
            json!({"model": "x", "prompt": "p", "raw": true, "system": "s"}),
            "raw goes without system",
        ),
        (
            "/api/chat",
            json!({"model": "x", "messages": [{"role": "robot", "content": ""}]}),
            "robot",
        ),
        ("/api/create", json!({"model": "x"}), "neither"),
    ] {
        service
            .post(path, body)
            .await
            .refuses(400, "invalid_request", words);
    }
    let empty = service
        .send(
            Service::request("POST", "/api/show")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    empty.refuses(400, "invalid_request", "missing request body");
    let large = service
        .send(
            Service::request("POST", "/api/show")
                .body(Body::from(vec![b' '; (1 << 20) + 1]))
                .unwrap(),
        )
        .await;
    large.refuses(413, "body_too_large", "1048576");
}

#[tokio::test]
async fn a_blob_is_stored_only_under_its_digest() {
    let service = service().await;
    let path = api::routes::blob(&Digest::of(b"hello").to_string());
    let head = async || {
        service
            .send(Service::request("HEAD", &path).body(Body::empty()).unwrap())
            .await
            .status
    };
    let upload = async |bytes: &'static [u8]| {
        service
            .send(
                Service::request("POST", &path)
                    .body(Body::from(bytes))
                    .unwrap(),
            )
            .await
    };
    assert_eq!(head().await, 404);
    upload(b"hullo")
        .await
        .refuses(400, "digest_mismatch", "digest mismatch");
    assert_eq!(head().await, 404);
    assert_eq!(upload(b"hello").await.status, 201);
    assert_eq!(upload(b"hello").await.status, 200);
    assert_eq!(head().await, 200);
    let bad = service
        .send(
            Service::request("POST", "/api/blobs/sha256:12")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    bad.refuses(400, "invalid_digest", "12");
}

#[test]
fn stalled_uploads_leave_threads_for_other_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(blocking::THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = service().await;
        let started = Arc::new(tokio::sync::Semaphore::new(0));
        let uploads = (0..2 * blocking::THREADS).map(|number| {
            let digest = Digest::of(number.to_string().as_bytes()).to_string();
            let started = started.clone();
            // One piece, then a stall.
            let pieces = futures::stream::once(async move {
                started.add_permits(1);
                Ok::<_, std::io::Error>("x")
            });
            let body = Body::from_stream(pieces.chain(futures::stream::pending()));
            let request = Service::request("POST", &api::routes::blob(&digest)).body(body);
            tokio::spawn(service.router.clone().oneshot(request.unwrap()))
        });
        let uploads: Vec<_> = uploads.collect();
        drop(started.acquire_many(8).await);
        // Often enough for each upload to reach its stall.
        for _ in 0..200 {
            assert_eq!(service.get("/api/tags").await.status, 200);
        }
        for upload in &uploads {
            upload.abort();
        }
    });
    runtime.shutdown_background();
}

#[tokio::test]
async fn adopt_is_open_on_the_unix_socket_only() {
    let service = service().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, gguf_writer::tiny::llama(2)).unwrap();
    let body = json!({"path": path}).to_string();
    service
        .post("/slm/v1/store/adopt", json!({"path": path}))
        .await
        .refuses(403, "unix_socket_only", "Unix socket");

    let adopt = async |body: String| {
        let mut request = Service::request("POST", "/slm/v1/store/adopt")
            .body(Body::from(body))
            .unwrap();
        request.extensions_mut().insert(Peer::Unix);
        service.send(request).await
    };
    adopt(json!({"path": "relative"}).to_string())
        .await
        .refuses(400, "invalid_request", "absolute");
    let lines = adopt(body.clone()).await.lines();
    ends_well(&lines);
    let last: Progress = serde_json::from_value(lines.last().unwrap().clone()).unwrap();
    let adopted = last.adopted.unwrap();
    assert_eq!(
        adopted.digest,
        Digest::of(&gguf_writer::tiny::llama(2)).to_string()
    );
    assert_ne!(adopted.method, api::AdoptMethod::Present);
    assert_eq!(adopted.size, gguf_writer::tiny::llama(2).len() as u64);
    let again = adopt(body).await.lines();
    assert_eq!(again.last().unwrap()["adopted"]["digest"], adopted.digest);
}

#[tokio::test]
async fn logins_are_open_on_the_unix_socket_only_and_no_response_has_a_secret() {
    let service = service().await;
    for (path, body) in [
        (
            "/slm/v1/login",
            json!({"host": "127.0.0.1:9", "user": "me", "password": "hush"}),
        ),
        ("/slm/v1/logout", json!({"host": "127.0.0.1:9"})),
        ("/slm/v1/logins", json!({})),
    ] {
        service
            .post(path, body)
            .await
            .refuses(403, "unix_socket_only", "Unix socket");
    }
    let ask = async |path: &str, body: Value| {
        let mut request = Service::request("POST", path)
            .body(Body::from(body.to_string()))
            .unwrap();
        request.extensions_mut().insert(Peer::Unix);
        service.send(request).await
    };
    // No server listens there.
    let body = json!({"host": "127.0.0.1:9", "user": "me", "password": "hush"});
    let answer = ask("/slm/v1/login", body).await;
    answer.refuses(502, "source_failed", "127.0.0.1:9");
    assert!(!answer.text.contains("hush"));
    ask(
        "/slm/v1/login",
        json!({"host": "a b", "user": "me", "password": "hush"}),
    )
    .await
    .refuses(400, "invalid_login", "is not a host name");
    ask(
        "/slm/v1/login",
        json!({"host": "reg.example", "password": "hush"}),
    )
    .await
    .refuses(400, "invalid_login", "the name of a user");
    let removed = ask("/slm/v1/logout", json!({"host": "127.0.0.1:9"})).await;
    assert_eq!(removed.json(), json!({"removed": false}));
    let known = ask("/slm/v1/logins", json!({"key": true})).await.json();
    assert_eq!(known["logins"], json!([]));
    let key = known["key"].as_str().unwrap();
    assert!(key.starts_with("ssh-ed25519 AAAA"), "{key}");
    assert_eq!(
        ask("/slm/v1/logins", json!({"key": true})).await.json()["key"],
        key
    );
}

#[tokio::test]
async fn a_push_with_an_invalid_name_is_an_error() {
    let service = with_model(json!({})).await;
    for (body, status, code, words) in [
        (
            json!({"model": "nothing"}),
            404,
            "model_not_found",
            "nothing",
        ),
        (json!({}), 400, "invalid_request", "model is required"),
        (
            json!({"model": "m", "destination": "127.0.0.1:9/me/Notes"}),
            400,
            "invalid_name",
            "'N'",
        ),
        (
            json!({"model": "m", "destination": "hf.co/me/notes"}),
            400,
            "invalid_name",
            "no registry",
        ),
        (
            json!({"model": "m", "destination": "http://reg.example/me/notes"}),
            400,
            "insecure",
            "without TLS",
        ),
        (
            json!({"model": "m", "format": "zip"}),
            400,
            "invalid_request",
            "format",
        ),
        (
            json!({"model": "m", "destination": "127.0.0.1:9/me/notes", "stream": false}),
            502,
            "push_failed",
            "127.0.0.1:9",
        ),
    ] {
        service
            .post("/api/push", body)
            .await
            .refuses(status, code, words);
    }
}

#[tokio::test]
async fn verify_ends_with_a_report() {
    let service = with_model(json!({})).await;
    let lines = service
        .post("/slm/v1/store/verify", json!({}))
        .await
        .lines();
    ends_well(&lines);
    let last = lines.last().unwrap();
    assert_eq!(last["report"]["models"], 1);
    assert_eq!(last["report"]["damage"], json!([]));
    service
        .post("/slm/v1/store/verify", json!({"models": ["nothing"]}))
        .await
        .refuses(404, "model_not_found", "nothing");
}

#[tokio::test]
async fn a_damaged_manifest_is_mended_and_reported_once() {
    let service = with_model(json!({"system": "Be brief."})).await;
    let path = service
        .registry
        .home()
        .join("models/manifests/registry.ollama.ai/library/m/latest");
    let text = std::fs::read_to_string(&path).unwrap();
    let rotten = text.replacen("image.system", "image.sistem", 1);
    assert_ne!(rotten, text);
    std::fs::write(&path, &rotten).unwrap();
    let lines = service
        .post("/slm/v1/store/verify", json!({}))
        .await
        .lines();
    let damage = &lines.last().unwrap()["report"]["damage"][0];
    assert_eq!(
        (&damage["model"], &damage["mended"]),
        (&json!("m:latest"), &json!(true))
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let aside = service.registry.home().join("quarantine").join(format!(
        "{}.manifest",
        Digest::of(rotten.as_bytes()).file_name()
    ));
    assert_eq!(std::fs::read_to_string(aside).unwrap(), rotten);
    let lines = service
        .post("/slm/v1/store/verify", json!({}))
        .await
        .lines();
    assert_eq!(lines.last().unwrap()["report"]["damage"], json!([]));
}

#[tokio::test]
async fn a_damaged_blob_is_reported_and_never_loaded() {
    let service = with_model(json!({})).await;
    let digest = Digest::of(&gguf_writer::tiny::llama(1));
    let path = service
        .registry
        .home()
        .join("models/blobs")
        .join(digest.file_name());
    std::fs::remove_file(&path).unwrap();
    let lines = service
        .post("/slm/v1/store/verify", json!({}))
        .await
        .lines();
    let damage = &lines.last().unwrap()["report"]["damage"][0];
    assert_eq!(damage["model"], "m:latest");
    assert!(
        damage["remedy"].as_str().unwrap().contains("slm pull"),
        "{damage}"
    );
    let answer = service
        .post("/api/generate", json!({"model": "m", "prompt": "hi"}))
        .await;
    answer.refuses(500, "model_damaged", "missing");
    assert!(service.loaded().await.is_empty());
}

#[tokio::test]
async fn a_pull_of_an_unknown_name_is_an_error() {
    let service = service().await;
    let answer = service
        .post(
            "/api/pull",
            json!({"model": "no-such-model-at-all", "stream": false}),
        )
        .await;
    answer.refuses(502, "source_failed", "no catalog has it");
}

// ===== answers =====

#[tokio::test]
async fn generate_streams_an_answer_with_its_counts() {
    let service = with_model(json!({"parameters": {"seed": 7}})).await;
    let (text, last) = service
        .generate(json!({"model": "m", "prompt": "one two three"}))
        .await;
    // The mock repeats the last message of a conversation.
    assert_eq!(text, "one two three");
    assert_eq!(last["model"], "m");
    assert_eq!(last["done_reason"], "stop");
    assert_eq!(last["eval_count"], 3);
    assert_eq!(last["seed"], 7);
    assert!(last["prompt_eval_count"].as_u64().unwrap() > 3);
    assert!(last["total_duration"].as_u64() >= last["load_duration"].as_u64());
    assert!(!last["context"].as_array().unwrap().is_empty());
    assert!(last.get("truncated_tokens").is_none());
}

#[tokio::test]
async fn without_a_stream_the_response_is_one_object() {
    let service = with_model(json!({})).await;
    let answer = service
        .post(
            "/api/generate",
            json!({"model": "m", "prompt": "a b", "stream": false}),
        )
        .await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json()["response"], "a b");
    assert_eq!(answer.json()["done"], true);
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "c d"}], "stream": false});
    let answer = service.post("/api/chat", body).await.json();
    assert_eq!(
        answer["message"],
        json!({"role": "assistant", "content": "c d"})
    );
    assert_eq!(answer["done_reason"], "stop");
}

#[tokio::test]
async fn the_system_prompt_and_messages_of_the_model_come_first() {
    let recipe = json!({
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
    });
    let service = with_model(recipe).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "[[mock: echo-prompt]]hi"}))
        .await;
    assert_eq!(
        text,
        "system: Be brief.\nuser: Q\nassistant: A\nuser: hi\nassistant:"
    );
    let (text, _) = service
        .generate(json!({"model": "m", "system": "Other.", "prompt": "[[mock: echo-prompt]]hi"}))
        .await;
    assert!(text.starts_with("system: Other.\n"), "{text}");
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let user = message("user", "[[mock: echo-prompt]]hi");
    let (text, _) = service
        .chat(json!({"model": "m", "messages": [user]}))
        .await;
    assert_eq!(
        text,
        "system: Be brief.\nuser: Q\nassistant: A\nuser: hi\nassistant:"
    );
    let (text, _) = service
        .chat(json!({"model": "m", "messages": [message("System", "Mine."), user]}))
        .await;
    assert_eq!(
        text,
        "system: Mine.\nuser: Q\nassistant: A\nuser: hi\nassistant:"
    );
}

#[tokio::test]
async fn a_template_renders_the_prompt_unless_it_is_raw() {
    let recipe = json!({"template": "{{ if .System }}<s>{{ .System }}{{ end }}<u>{{ .Prompt }}<a>{{ .Response }}<e>", "system": "S"});
    let service = with_model(recipe).await;
    // The mock repeats a text prompt whole.
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi"}))
        .await;
    assert_eq!(text, "<s>S<u>hi<a>");
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi", "template": "[{{ .Prompt }}]"}))
        .await;
    assert_eq!(text, "[hi]");
    let (text, last) = service
        .generate(json!({"model": "m", "prompt": "hi", "raw": true}))
        .await;
    assert_eq!(text, "hi");
    assert!(last.get("context").is_none());
    let messages = json!([
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
        {"role": "assistant", "content": "4"},
    ]);
    let (text, _) = service
        .chat(json!({"model": "m", "messages": messages}))
        .await;
    assert_eq!(text, "<s>S<u>1<a>2<e><u>3<a>4");
}

#[tokio::test]
async fn a_malformed_template_is_an_error() {
    let service = with_model(json!({})).await;
    let generate = async |template: &str| {
        service
            .post(
                "/api/generate",
                json!({"model": "m", "prompt": "x", "template": template}),
            )
            .await
    };
    generate("{{ if }}")
        .await
        .refuses(400, "template_error", "the template of the request");
    generate("{{ range 100000000000 }}{{ end }}").await.refuses(
        400,
        "template_error",
        "too many steps",
    );
}

#[tokio::test]
async fn a_suffix_needs_a_template_with_its_field() {
    let service = with_model(json!({})).await;
    let body = json!({"model": "m", "prompt": "a", "suffix": "b"});
    service.post("/api/generate", body).await.refuses(
        400,
        "invalid_request",
        "does not support insert",
    );
    let body = json!({"model": "m", "prompt": "a", "suffix": "b", "template": "<{{ .Prompt }}|{{ .Suffix }}>"});
    let (text, _) = service.generate(body).await;
    assert_eq!(text, "<a|b>");
}

#[tokio::test]
async fn a_model_without_any_template_continues_plain_text() {
    let service = service_with("no-chat-template").await;
    service.create(json!({"system": "S"})).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hi"}))
        .await;
    assert_eq!(text, "S\n\nhi");
}

#[tokio::test]
async fn generate_continues_the_tokens_of_an_earlier_answer() {
    let service = with_model(json!({"system": "S"})).await;
    let (_, first) = service
        .generate(json!({"model": "m", "prompt": "one"}))
        .await;
    let body = json!({"model": "m", "prompt": "two", "context": first["context"]});
    let (text, last) = service.generate(body).await;
    // The mock repeats a prompt of tokens whole: the earlier tokens and the new turn, without the system prompt.
    assert!(
        text.contains("system: S\nuser: one\nassistant:one"),
        "{text}"
    );
    assert!(text.ends_with("user: two\nassistant:"), "{text}");
    assert_eq!(text.matches("system:").count(), 1);
    assert!(last["context"].as_array().unwrap().len() > first["context"].as_array().unwrap().len());
}

#[tokio::test]
async fn options_and_stop_texts_reach_the_runner() {
    let service = with_model(json!({"parameters": {"stop": ["three"]}})).await;
    let (text, last) = service
        .generate(json!({"model": "m", "prompt": "one two three four"}))
        .await;
    assert_eq!(
        (text.trim(), &last["done_reason"]),
        ("one two", &json!("stop"))
    );
    let body = json!({"model": "m", "prompt": "one two three four", "options": {"num_predict": 1, "nonsense": 1}});
    let (text, last) = service.generate(body).await;
    assert_eq!(
        (text.as_str(), &last["done_reason"]),
        ("one", &json!("length"))
    );
}

// ===== prompts that are too long =====

#[tokio::test]
async fn a_long_conversation_drops_its_oldest_messages_and_counts_them() {
    let service = with_model(json!({"system": "S"})).await;
    let words = "w ".repeat(10);
    let mut messages: Vec<Value> = (0..8)
        .map(|index| json!({"role": if index % 2 == 0 { "user" } else { "assistant" }, "content": words}))
        .collect();
    messages.push(json!({"role": "user", "content": "[[mock: echo-prompt]]last"}));
    let body = |truncate| json!({"model": "m", "messages": messages, "truncate": truncate});
    let (text, last) = service.chat(body(json!(null))).await;
    // The rest begins with the system prompt and a turn of the user; the answer fills the context.
    assert!(text.starts_with("system: S\nuser: w"), "{text}");
    let dropped = last["truncated_messages"].as_u64().unwrap();
    assert!(dropped > 0 && dropped % 2 == 0, "{last}");
    assert!(last.get("truncated_tokens").is_none());
    assert!(last["prompt_eval_count"].as_u64().unwrap() <= 56, "{last}");
    let refused = service.post("/api/chat", body(json!(false))).await;
    refused.refuses(400, "context_overflow", "64");
    let mut keep_all = body(json!(true));
    keep_all["options"] = json!({"num_keep": -1});
    let refused = service.post("/api/chat", keep_all).await;
    refused.refuses(400, "context_overflow", "64");
}

#[tokio::test]
async fn a_conversation_that_overflows_during_prefill_drops_messages_too() {
    let template = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}";
    let service = with_model(json!({"template": template})).await;
    let (text, last) = service
        .chat(json!({"model": "m", "messages": [
            {"role": "user", "content": "[[mock: fail-in-prefill context]]old"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "[[mock: answer fine]]new"},
        ]}))
        .await;
    assert_eq!(
        (text.as_str(), &last["truncated_messages"]),
        ("fine", &json!(2))
    );
}

#[tokio::test]
async fn a_request_that_only_loads_or_unloads_may_have_any_other_fields() {
    let service = with_model(json!({})).await;
    let other = json!({"think": "hard", "logit_bias": {"the": 1}, "stream": false});
    for (path, keep_alive, reason) in [
        ("/api/chat", json!(null), "load"),
        ("/api/chat", json!(0), "unload"),
        ("/api/generate", json!(null), "load"),
        ("/api/generate", json!(0), "unload"),
    ] {
        let mut body = other.clone();
        body["model"] = json!("m");
        body["keep_alive"] = keep_alive;
        let answer = service.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.json()["done_reason"], reason, "{path}");
    }
}

#[tokio::test]
async fn a_long_prompt_is_truncated_and_the_cut_tokens_are_counted() {
    let service = with_model(json!({})).await;
    let long = "w ".repeat(200);
    let (_, last) = service
        .chat(json!({"model": "m", "messages": [{"role": "user", "content": long}]}))
        .await;
    assert!(last["truncated_tokens"].as_u64().unwrap() > 100, "{last}");
    let (_, last) = service
        .generate(json!({"model": "m", "prompt": long}))
        .await;
    assert!(last["truncated_tokens"].as_u64().unwrap() > 100, "{last}");
    let refused = service
        .post(
            "/api/generate",
            json!({"model": "m", "prompt": long, "truncate": false}),
        )
        .await;
    refused.refuses(400, "context_overflow", "64");
    assert!(refused.json()["hint"].as_str().unwrap().contains("num_ctx"));
    let keep_all = json!({"model": "m", "prompt": long, "options": {"num_keep": -1}});
    service
        .post("/api/generate", keep_all)
        .await
        .refuses(400, "context_overflow", "64");
}

#[tokio::test]
async fn the_context_of_a_request_limits_it_in_a_model_with_a_larger_one() {
    let service = with_model(json!({"parameters": {"num_ctx": 32}})).await;
    let long = "w ".repeat(60);
    let generate = json!({"model": "m", "prompt": long, "raw": true});
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": long}]});
    let listed = async || {
        let (_, generated) = service.generate(generate.clone()).await;
        let (_, answered) = service.chat(chat.clone()).await;
        let cut = |last: &Value| last["truncated_tokens"].clone();
        (cut(&generated), cut(&answered))
    };
    let before = listed().await;
    assert_eq!(before.0, 30, "61 tokens, and one of 32 is left to answer");
    let larger = json!({"model": "m", "prompt": "x", "options": {"num_ctx": 1024}});
    service.generate(larger).await;
    assert_eq!(service.loaded().await[0]["context_length"], 1024);
    assert_eq!(listed().await, before);

    let mut refused = generate.clone();
    refused["truncate"] = json!(false);
    let refused = service.post("/api/generate", refused).await;
    refused.refuses(400, "context_overflow", "32");
    // It ends when the context of the request is full.
    let count = json!({"model": "m", "prompt": "[[mock: count 100]]x", "raw": true});
    let (_, last) = service.generate(count).await;
    assert_eq!(last["done_reason"], "length");
    assert_eq!(last["eval_count"], 31);
}

#[tokio::test]
async fn conversations_are_shortened_to_the_context_of_the_request() {
    let service = with_model(json!({})).await;
    let turn = |role: &str, at: usize| json!({"role": role, "content": format!("{at} word word")});
    let turns = (0..9).map(|at| turn(["user", "assistant"][at % 2], at));
    let messages: Vec<Value> = turns.collect();
    let ask = async |context: u32| {
        let options = json!({"num_ctx": context});
        let body = json!({"model": "m", "messages": messages, "options": options});
        let (_, last) = service.chat(body).await;
        last["truncated_messages"].clone()
    };
    let small = ask(32).await;
    assert!(small.as_u64().unwrap() > 0, "{small}");
    assert_eq!(ask(512).await, Value::Null);
    assert_eq!(ask(32).await, small);
}

#[tokio::test]
async fn seeds_of_any_width_are_used_and_reported() {
    let service = with_model(json!({})).await;
    for seed in [0, 7, 4_294_967_295_u64] {
        let body = json!({"model": "m", "prompt": "x", "options": {"seed": seed}});
        assert_eq!(service.generate(body).await.1["seed"], seed);
    }
}

// ===== loading and unloading =====

#[tokio::test]
async fn an_empty_request_loads_and_keep_alive_zero_unloads() {
    let service = with_model(json!({})).await;
    for (path, empty) in [
        ("/api/generate", json!({"model": "m"})),
        ("/api/chat", json!({"model": "m", "messages": []})),
    ] {
        let loaded = service.post(path, empty.clone()).await;
        let events = loaded.lines();
        assert_eq!(events.len(), 1);
        assert_eq!(
            (&events[0]["done"], &events[0]["done_reason"]),
            (&json!(true), &json!("load"))
        );
        let ps = service.loaded().await;
        assert_eq!(ps[0]["name"], "m:latest");
        assert_eq!(ps[0]["context_length"], 64);
        assert!(ps[0]["size"].as_u64().unwrap() > 0);
        assert_eq!(ps[0]["details"]["family"], "llama");

        let mut body = empty.clone();
        body["keep_alive"] = json!(0);
        body["stream"] = json!(false);
        let unloaded = service.post(path, body).await.json();
        assert_eq!(
            (&unloaded["done"], &unloaded["done_reason"]),
            (&json!(true), &json!("unload"))
        );
        assert!(service.loaded().await.is_empty());
    }
}

#[tokio::test]
async fn keep_alive_is_read_in_every_form() {
    let service = with_model(json!({})).await;
    for (keep_alive, expected) in [
        (json!("-1"), json!(-1.0)),
        (json!(-1), json!(-1.0)),
        (json!("1h30m"), json!(5400.0)),
        (json!(2.5), json!(2.5)),
    ] {
        service
            .post(
                "/api/generate",
                json!({"model": "m", "keep_alive": keep_alive}),
            )
            .await;
        assert_eq!(service.loaded().await[0]["keep_alive"], expected);
    }
}

#[tokio::test]
async fn a_removed_model_is_unloaded() {
    let service = with_model(json!({})).await;
    service.post("/api/generate", json!({"model": "m"})).await;
    service
        .call("DELETE", "/api/delete", json!({"model": "m"}))
        .await;
    service.until_loaded(0).await;
}

#[tokio::test]
async fn a_model_whose_name_is_removed_is_shown_as_such_and_can_be_unloaded() {
    let service = with_model(json!({})).await;
    for (path, mut empty) in [
        ("/api/generate", json!({"model": "n"})),
        ("/api/chat", json!({"model": "n", "messages": []})),
    ] {
        let copy = json!({"source": "m", "destination": "n"});
        service.post("/api/copy", copy).await;
        service.post(path, empty.clone()).await;
        assert_eq!(service.loaded().await[0].get("removed"), None);
        let name = json!({"model": "n"});
        service.call("DELETE", "/api/delete", name).await;
        let ps = service.loaded().await;
        assert_eq!(
            (&ps[0]["name"], &ps[0]["removed"]),
            (&json!("n:latest"), &json!(true))
        );
        empty["keep_alive"] = json!(0);
        let event = service.post(path, empty.clone()).await.lines();
        assert_eq!(event[0]["unload"], "done");
        assert!(service.loaded().await.is_empty());
        let again = service.post(path, empty).await;
        again.refuses(404, "model_not_found", "'n:latest' not found");
    }
}

#[tokio::test]
async fn an_unload_reports_its_result() {
    let service = with_model(json!({})).await;
    let unload = json!({"model": "m", "keep_alive": 0, "stream": false});
    let event = service.post("/api/generate", unload.clone()).await.json();
    assert_eq!(event["unload"], "not_loaded");
    let body = json!({"model": "m", "prompt": "[[mock: count 50; delay-ms 200]]x"});
    let request = Service::request("POST", "/api/generate").body(Body::from(body.to_string()));
    let response = service.router.clone().oneshot(request.unwrap()).await;
    let mut answer = response.unwrap().into_body().into_data_stream();
    assert!(answer.next().await.is_some());
    let event = service.post("/api/generate", unload).await.json();
    assert_eq!(
        (&event["done_reason"], &event["unload"]),
        (&json!("unload"), &json!("when_idle"))
    );
    let ps = service.loaded().await;
    assert_eq!(
        (&ps[0]["state"], &ps[0]["keep_alive"]),
        (&json!("busy"), &json!(0.0))
    );
    drop(answer);
    service.until_loaded(0).await;
}

#[tokio::test]
async fn removing_one_of_two_names_keeps_the_shared_weights_loaded() {
    let service = with_model(json!({})).await;
    service
        .post("/api/copy", json!({"source": "m", "destination": "n"}))
        .await;
    service.post("/api/generate", json!({"model": "m"})).await;
    service
        .call("DELETE", "/api/delete", json!({"model": "n"}))
        .await;
    assert_eq!(service.loaded().await.len(), 1);
}

#[tokio::test]
async fn two_names_of_the_same_weights_share_a_runner() {
    let service = with_model(json!({"system": "one"})).await;
    service.create(json!({"model": "n", "system": "two"})).await;
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "[[mock: echo-prompt]]x"}))
        .await;
    assert!(text.contains("one"), "{text}");
    let (text, _) = service
        .generate(json!({"model": "n", "prompt": "[[mock: echo-prompt]]x"}))
        .await;
    assert!(text.contains("two"), "{text}");
    assert_eq!(service.loaded().await.len(), 1);
}

// ===== failures of the runner =====

#[tokio::test]
async fn a_failure_before_the_first_token_has_a_status() {
    let service = with_model(json!({})).await;
    for (fault, status, code) in [
        ("fail busy", 503, "busy"),
        ("fail internal", 500, "runner_failed"),
        ("say oh dear; crash-in-prefill", 500, "runner_crashed"),
    ] {
        let body = json!({"model": "m", "prompt": format!("[[mock: {fault}]]x")});
        service
            .post("/api/generate", body)
            .await
            .refuses(status, code, "m");
    }
    // The next request succeeds.
    let (text, _) = service
        .generate(json!({"model": "m", "prompt": "hello"}))
        .await;
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn a_failure_after_the_first_token_is_the_last_line() {
    let service = with_model(json!({})).await;
    let body =
        json!({"model": "m", "prompt": "[[mock: say oh dear; crash-at-token 2]]one two three"});
    let events = service.post("/api/generate", body).await.lines();
    assert_eq!(events[0]["response"], "one");
    let last = events.last().unwrap();
    assert_eq!(last["code"], "runner_crashed");
    assert!(
        last["error"].as_str().unwrap().contains("oh dear"),
        "{last}"
    );
    assert!(last.get("done").is_none());
}

#[tokio::test]
async fn a_load_that_fails_is_an_error_with_a_remedy() {
    let service = service_with("fail-in-load memory").await;
    service.create(json!({})).await;
    let answer = service
        .post("/api/generate", json!({"model": "m", "prompt": "x"}))
        .await;
    answer.refuses(500, "out_of_memory", "num_ctx");
    assert!(service.loaded().await.is_empty());
}

#[tokio::test]
async fn a_client_that_disconnects_frees_its_slot() {
    let service = with_model(json!({})).await;
    let body = json!({"model": "m", "prompt": "[[mock: count 10000; delay-ms 1]]", "options": {"num_ctx": 2048}});
    let request = Service::request("POST", "/api/generate")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = service.router.clone().oneshot(request).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    stream.next().await.unwrap().unwrap();
    assert_eq!(service.loaded().await[0]["active"], 1);
    drop(stream);
    while service.loaded().await[0]["active"] != 0 {
        tokio::task::yield_now().await;
    }
    assert!(!service.tasks.is_empty());
}

/// During prefill, before the first token, and in the runner's queue, where the fifth request waits.
#[tokio::test]
async fn clients_that_disconnect_before_their_answers_free_their_slots() {
    let service = with_model(json!({})).await;
    let active = async |expected: u32| {
        while service.loaded().await.first().map(|model| &model["active"]) != Some(&json!(expected))
        {
            tokio::task::yield_now().await;
        }
    };
    for stream in [true, false] {
        for wait in ["prefill-delay-ms 3600000", "delay-ms 3600000"] {
            let prompt = format!("[[mock: {wait}]] one two");
            let body = json!({"model": "m", "prompt": prompt, "stream": stream}).to_string();
            let asked = [(); 5].map(|()| {
                let request = Service::request("POST", "/api/generate")
                    .body(Body::from(body.clone()))
                    .unwrap();
                tokio::spawn(service.router.clone().oneshot(request))
            });
            active(5).await;
            asked.iter().for_each(tokio::task::JoinHandle::abort);
            active(0).await;
            let next = json!({"model": "m", "prompt": "hello", "stream": false});
            let answer = service.post("/api/generate", next);
            let answer = tokio::time::timeout(Duration::from_secs(60), answer).await;
            let answer = answer.expect("a place is free");
            assert_eq!(
                answer.json()["response"],
                "hello",
                "{wait}, stream {stream}"
            );
        }
    }
}
