use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use registry::Reporter;
use tokio::sync::Notify;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::progress::success;

/// Work that ends at a notification, and records its starts.
#[derive(Debug, Default)]
struct Slow {
    begun: Mutex<Vec<Work>>,
    panics: AtomicBool,
    go: Arc<Notify>,
}

impl Worker for Slow {
    fn run(&self, work: &Work, reporter: Reporter) -> BoxFuture<'static, Result<Progress, Error>> {
        self.begun.lock().unwrap().push(work.clone());
        reporter.stage(registry::Stage::ReadingManifest);
        let (go, panics) = (self.go.clone(), self.panics.load(Ordering::Relaxed));
        async move {
            go.notified().await;
            assert!(!panics, "on purpose");
            Ok(success())
        }
        .boxed()
    }
}

struct World {
    registry: Registry,
    worker: Arc<Slow>,
    shutdown: Shutdown,
    transfers: Transfers,
    _home: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = registry::Options::new(home.path());
        let registry = Registry::open(options).await.unwrap();
        let (worker, shutdown) = (Arc::<Slow>::default(), Shutdown::new());
        Self {
            transfers: start(&registry, worker.clone(), &shutdown).await,
            registry,
            worker,
            shutdown,
            _home: home,
        }
    }

    /// Stops the task, and starts it again on the same home.
    async fn restart(&mut self) {
        self.shutdown.graceful.cancel();
        self.shutdown.tasks.close();
        self.shutdown.tasks.wait().await;
        self.shutdown = Shutdown::new();
        self.transfers = start(&self.registry, self.worker.clone(), &self.shutdown).await;
    }

    fn begun(&self) -> usize {
        self.worker.begun.lock().unwrap().len()
    }

    async fn job(&self, id: u64) -> Job {
        let jobs = self.transfers.list().await.unwrap();
        jobs.into_iter().find(|job| job.id == id).unwrap()
    }

    async fn until(&self, id: u64, state: api::JobState) {
        while self.job(id).await.state != state {
            tokio::task::yield_now().await;
        }
    }
}

async fn start(registry: &Registry, worker: Arc<Slow>, shutdown: &Shutdown) -> Transfers {
    let options = Options {
        max_running: 1,
        window: None,
        metered: false,
    };
    let clock = Arc::new(Zoned::now);
    let events = Events::new(CancellationToken::new());
    let transfers = Transfers::start(registry, worker, options, clock, events, shutdown);
    transfers.await.unwrap()
}

fn pull(model: &str) -> TransferRequest {
    TransferRequest {
        work: Work::Pull {
            model: model.to_owned(),
            insecure: false,
            variant: None,
        },
        key: model.to_owned(),
        model: model.to_owned(),
        background: true,
        priority: None,
        now: false,
    }
}

async fn collected(
    lines: impl Stream<Item = Result<Progress, Error>>,
) -> Vec<Result<String, String>> {
    let words = lines.map(|line| {
        line.map(|line| line.status)
            .map_err(|error| error.to_string())
    });
    words.collect().await
}

#[tokio::test]
async fn a_background_job_continues_after_a_restart_and_a_paused_one_stays_paused() {
    let mut world = World::new().await;
    drop(world.transfers.ask(pull("one")).await.unwrap());
    drop(world.transfers.ask(pull("two")).await.unwrap());
    drop(world.transfers.ask(pull("three")).await.unwrap());
    world.transfers.change(2, Change::Pause).await.unwrap();
    world.restart().await;
    let states = world.transfers.list().await.unwrap();
    let states: Vec<_> = states.iter().map(|job| job.state).collect();
    use api::JobState::{Paused, Queued, Running};
    assert_eq!(states, [Running, Paused, Queued]);
    assert_eq!(world.begun(), 2, "the first one, in each daemon");
    world.worker.go.notify_one();
    world.until(1, api::JobState::Done).await;
    world.until(3, Running).await;
    // A new job never gets the id of an earlier one, also when all are forgotten.
    drop(world.transfers.ask(pull("four")).await.unwrap());
    assert_eq!(world.job(4).await.state, Queued);
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_keeps_the_job() {
    let mut world = World::new().await;
    let lines = world.transfers.ask(pull("one")).await.unwrap();
    world.restart().await;
    assert_eq!(
        collected(lines).await,
        [
            Ok("retrieving manifest".to_owned()),
            Err("the server is stopping".to_owned())
        ]
    );
    world.until(1, api::JobState::Running).await;
}

#[tokio::test]
async fn joined_and_watched_streams_have_all_lines() {
    let world = World::new().await;
    let first = world.transfers.ask(pull("one")).await.unwrap();
    let second = world.transfers.ask(pull("one")).await.unwrap();
    let third = world.transfers.watch(1).await.unwrap();
    world.worker.go.notify_one();
    let expected = [
        Ok("retrieving manifest".to_owned()),
        Ok("success".to_owned()),
    ];
    let (first, second, third) =
        tokio::join!(collected(first), collected(second), collected(third));
    assert_eq!([&first, &second, &third], [&expected; 3]);
    assert_eq!(world.begun(), 1);
    let error = world.transfers.watch(1).await.err().unwrap();
    assert_eq!(error.to_string(), "job 1 is done and cannot be watched");
}

#[tokio::test]
async fn a_panic_of_the_work_is_an_error_for_its_clients_and_the_next_job_runs() {
    let world = World::new().await;
    world.worker.panics.store(true, Ordering::Relaxed);
    let lines = world.transfers.ask(pull("one")).await.unwrap();
    world.worker.go.notify_one();
    let said = collected(lines).await;
    assert_eq!(
        said.last().unwrap(),
        &Err("an internal task ended early".to_owned())
    );
    assert_eq!(world.job(1).await.state, api::JobState::Failed);
    drop(world.transfers.ask(pull("two")).await.unwrap());
    assert_eq!(world.job(2).await.state, api::JobState::Running);
}

#[tokio::test]
async fn a_saved_job_that_cannot_be_read_is_left_out() {
    let mut world = World::new().await;
    let garbage = registry::SavedJob {
        id: 41,
        record: "{\"state\":\"from a later version\"}".to_owned(),
    };
    world.registry.save_job(&garbage).await.unwrap();
    world.restart().await;
    assert!(world.transfers.list().await.unwrap().is_empty());
    drop(world.transfers.ask(pull("one")).await.unwrap());
    assert_eq!(world.job(42).await.model, "one");
}

fn push(model: &str) -> TransferRequest {
    TransferRequest {
        work: Work::Push {
            model: model.to_owned(),
            destination: "reg.example/me/m".to_owned(),
            format: api::PushFormat::Ollama,
            insecure: false,
        },
        key: format!("push {model}"),
        ..pull(model)
    }
}

#[tokio::test]
async fn removing_a_model_cancels_its_pulls_and_no_push() {
    let world = World::new().await;
    drop(world.transfers.ask(push("m:latest")).await.unwrap());
    drop(world.transfers.ask(pull("m:latest")).await.unwrap());
    let name = ModelName::parse("m").unwrap();
    assert_eq!(world.transfers.cancel_pulls(&name).await.unwrap(), 1);
    assert_eq!(world.job(1).await.state, api::JobState::Running);
    assert_eq!(world.job(2).await.state, api::JobState::Cancelled);
}

#[tokio::test]
async fn a_job_has_ended_when_its_cancel_returns() {
    let world = World::new().await;
    drop(world.transfers.ask(pull("one")).await.unwrap());
    world.until(1, api::JobState::Running).await;
    let held = Arc::downgrade(&world.worker.go);
    let before = held.strong_count();
    let job = world.transfers.change(1, Change::Cancel).await.unwrap();
    assert_eq!(job.state, api::JobState::Cancelled);
    assert_eq!(held.strong_count(), before - 1, "the work was dropped");
}

#[tokio::test]
async fn a_later_client_gets_only_the_current_state() {
    let world = World::new().await;
    drop(world.transfers.ask(pull("one")).await.unwrap());
    let mut two = Box::pin(world.transfers.ask(pull("two")).await.unwrap());
    let queued = two.next().await.unwrap().unwrap();
    assert_eq!(queued.state, Some(api::JobState::Queued));
    world.transfers.change(2, Change::Pause).await.unwrap();
    let mut watching = Box::pin(world.transfers.watch(2).await.unwrap());
    let first = watching.next().await.unwrap().unwrap();
    assert_eq!(first.state, Some(api::JobState::Paused), "{first:?}");
}
