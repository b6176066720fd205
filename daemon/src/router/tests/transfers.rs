//! Jobs that pull from a server of models in this process.

use origin::{Lie, Origin, layer, manifest};

use super::*;

/// Bytes of the large layer.
const LARGE: usize = 1 << 20;

/// A service with `mine` in its library, whose large layer stops in the middle.
struct World {
    service: Service,
    origin: Origin,
}

impl World {
    async fn new() -> Self {
        Self::with(false).await
    }

    async fn with(metered: bool) -> Self {
        let origin = Origin::start().await;
        let weights = gguf_writer::tiny::llama(1);
        let large = vec![7; LARGE];
        let config = br#"{"model_format":"gguf"}"#;
        let large_digest = origin.blob(large.as_slice());
        origin.blob(weights.as_slice());
        origin.blob(config.as_slice());
        let layers = [layer("model", &weights), layer("tensor", &large)];
        origin.manifest("library/mine:latest", manifest(config, &layers));
        origin.lie(&large_digest, usize::MAX, Lie::Silence(LARGE / 2));
        let transfer_options = TransferOptions {
            max_running: 2,
            window: None,
            metered,
        };
        let home = tempfile::tempdir().unwrap();
        let library = origin.url();
        Self {
            service: service_of(home, "", 1 << 30, transfer_options, &library).await,
            origin,
        }
    }

    /// Starts a pull, and reads lines until one has this status. The connection stays open.
    async fn pull_until(&self, body: Value, says: &str) -> axum::body::BodyDataStream {
        let request = Service::request("POST", "/api/pull").body(Body::from(body.to_string()));
        let response = self.service.router.clone().oneshot(request.unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        let mut lines = response.into_body().into_data_stream();
        loop {
            let piece = lines.next().await.expect("a line more").unwrap();
            let text = String::from_utf8(piece.to_vec()).unwrap();
            if text.contains(says) {
                return lines;
            }
        }
    }

    /// The only job.
    async fn job(&self) -> Value {
        let mut jobs = self.service.get("/slm/v1/jobs?all=true").await.json();
        let jobs = jobs["jobs"].as_array_mut().unwrap();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    async fn until(&self, state: &str) -> Value {
        loop {
            let job = self.job().await;
            if job["state"] == state {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn change(&self, path: &str) -> Value {
        let path = format!("/slm/v1/jobs/1/{path}");
        let answer = self.service.post(&path, json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    fn partial_files(&self) -> usize {
        let files = std::fs::read_dir(self.service.home.path().join("ingest"));
        files.unwrap().count()
    }

    /// Waits until no partial blob is left. A blob that was complete when its pull was dropped is stored first.
    async fn until_no_partial_files(&self) {
        let none = async {
            while self.partial_files() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), none);
        waited.await.expect("the bytes go");
    }
}

fn half() -> String {
    format!("\"completed\":{}", LARGE / 2)
}

#[tokio::test]
async fn a_foreground_pull_ends_with_its_client_and_a_background_pull_does_not() {
    let world = World::new().await;
    let lines = world
        .pull_until(json!({"model": "mine"}), "\"completed\":0")
        .await;
    assert_eq!(world.job().await["background"], false);
    drop(lines);
    let job = world.until("cancelled").await;
    assert_eq!((&job["id"], &job["kind"]), (&json!(1), &json!("pull")));
    let under_way = world.service.get("/slm/v1/jobs").await.json();
    assert_eq!(under_way, json!({"jobs": []}));

    let world = World::new().await;
    let body = json!({"model": "mine", "background": true});
    drop(world.pull_until(body, "\"job\":1").await);
    // A second client joins and leaves; fields that it leaves out change nothing.
    drop(
        world
            .pull_until(json!({"model": "mine"}), "\"job\":1")
            .await,
    );
    world.origin.be_honest();
    world.change("pause").await;
    world.change("resume").await;
    let job = world.until("done").await;
    assert_eq!(job["completed"], job["total"]);
    assert!(job["total"].as_u64().unwrap() > LARGE as u64);
    let tags = world.service.get("/api/tags").await.json();
    assert_eq!(tags["models"][0]["name"], "mine:latest");
}

#[tokio::test]
async fn a_paused_pull_informs_its_clients_and_continues_its_partial_blobs() {
    let world = World::new().await;
    let body = json!({"model": "mine", "background": true});
    let mut lines = world.pull_until(body, &half()).await;
    assert_eq!(world.change("pause").await["state"], "paused");
    let status = loop {
        let piece = lines.next().await.expect("a line more").unwrap();
        let text = String::from_utf8(piece.to_vec()).unwrap();
        if text.contains("\"state\":\"paused\"") {
            break text;
        }
    };
    assert!(status.contains("`slm jobs resume 1`"), "{status}");
    world.origin.be_honest();
    world.change("resume").await;
    let rest: Vec<_> = lines.collect().await;
    let last = rest.last().expect("a last line").as_ref().unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!(last["status"], "success");
    assert_eq!(
        (&last["model"], &last["job"]),
        (&json!("mine:latest"), &json!(1))
    );
    let whole = world.job().await["total"].as_u64().unwrap();
    assert!(whole > LARGE as u64, "also what the first run brought");
    // Manifests are fetched again, layers are not.
    assert!(world.origin.sent() < whole + (16 << 10));
}

#[tokio::test]
async fn on_a_metered_network_each_client_gets_the_reason_of_the_wait() {
    let world = World::with(true).await;
    world.origin.be_honest();
    let lines = world
        .pull_until(json!({"model": "mine"}), "while the network is metered")
        .await;
    let job = world.job().await;
    assert_eq!(job["state"], "waiting");
    assert!(job["reason"].as_str().unwrap().contains("metered"));
    assert_eq!(world.origin.sent(), 0);
    assert_eq!(world.change("resume").await["state"], "waiting");
    assert_eq!(world.change("resume?now=true").await["state"], "running");
    let rest: Vec<_> = lines.collect().await;
    let last = rest.last().expect("a last line").as_ref().unwrap();
    assert!(String::from_utf8_lossy(last).contains("success"));

    let world = World::with(true).await;
    let body = json!({"model": "mine", "background": true});
    drop(world.pull_until(body, "waiting").await);
    world.origin.be_honest();
    let body = json!({"model": "mine", "now": true});
    let answer = world.service.post("/api/pull", body).await;
    assert!(!answer.text.contains("waiting"), "{}", answer.text);
    ends_well(&answer.lines());
}

#[tokio::test]
async fn a_cancelled_pull_keeps_its_bytes_without_remove() {
    let world = World::new().await;
    let body = json!({"model": "mine", "background": true});
    let mut lines = world.pull_until(body, &half()).await;
    assert_eq!(world.change("cancel").await["state"], "cancelled");
    let mut last = String::new();
    while let Some(piece) = lines.next().await {
        last = String::from_utf8(piece.unwrap().to_vec()).unwrap();
    }
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["code"], "job_cancelled");
    assert_eq!(last["error"], "job 1 was cancelled");
    assert!(world.partial_files() > 0);
    let again = world.service.post("/slm/v1/jobs/1/cancel", json!({})).await;
    again.refuses(
        409,
        "job_state",
        "job 1 is cancelled and cannot be cancelled",
    );

    let body = json!({"model": "mine", "background": true});
    drop(world.pull_until(body, "\"job\":2").await);
    let cancel = world
        .service
        .post("/slm/v1/jobs/2/cancel?remove=true", json!({}));
    assert_eq!(cancel.await.status, 200);
    world.until_no_partial_files().await;
}

#[tokio::test]
async fn the_bytes_of_a_cancelled_pull_are_found_by_the_doctor_and_removed_by_gc() {
    let world = World::new().await;
    let left_over = async || {
        let found = world.service.get("/slm/v1/doctor").await.json();
        let findings = found["findings"].as_array().unwrap().iter();
        let store = findings.clone().find(|finding| finding["area"] == "store");
        store.unwrap()["text"].as_str().unwrap().to_owned()
    };
    let gc = async || {
        world
            .service
            .post("/slm/v1/store/gc", json!({}))
            .await
            .json()
    };
    let body = json!({"model": "mine", "background": true});
    let lines = world.pull_until(body, &half()).await;
    assert_eq!(gc().await["downloads"], 0, "a job continues it");
    assert_eq!(left_over().await, "nothing is left over in the store");
    assert_eq!(world.change("cancel").await["state"], "cancelled");
    drop(lines);
    assert_eq!(
        left_over().await,
        "0.5 MB of unfinished downloads that no job continues"
    );
    let report = gc().await;
    assert_eq!(report["downloads"], 1, "{report}");
    assert_eq!(report["bytes"], LARGE / 2, "{report}");
    world.until_no_partial_files().await;
    assert_eq!(left_over().await, "nothing is left over in the store");
}

#[tokio::test]
async fn a_model_that_is_being_pulled_can_be_removed() {
    let world = World::new().await;
    let body = json!({"model": "mine", "background": true});
    drop(world.pull_until(body, "\"total\":1048576").await);
    let answer = world
        .service
        .call("DELETE", "/api/delete", json!({"model": "mine"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(world.job().await["state"], "cancelled");
    world.until_no_partial_files().await;
    let answer = world
        .service
        .call("DELETE", "/api/delete", json!({"model": "mine"}))
        .await;
    answer.refuses(404, "model_not_found", "mine");
}

#[tokio::test]
async fn unknown_jobs_and_parameters_are_refused() {
    let service = service().await;
    for path in ["pause", "resume", "cancel", "priority?priority=low"] {
        let answer = service
            .post(&format!("/slm/v1/jobs/7/{path}"), json!({}))
            .await;
        answer.refuses(404, "job_not_found", "there is no job 7");
    }
    let progress = service.get("/slm/v1/jobs/7/progress").await;
    progress.refuses(404, "job_not_found", "there is no job 7");
    for (path, words) in [
        ("seven/pause", "number"),
        ("-1/pause", "number"),
        ("7/priority", "priority is required"),
        ("7/priority?priority=huge", "huge"),
        ("7/cancel?remove=perhaps", "remove"),
        ("7/cancel?keep=true", "keep"),
    ] {
        let answer = service
            .post(&format!("/slm/v1/jobs/{path}"), json!({}))
            .await;
        answer.refuses(400, "invalid_request", words);
    }
}
