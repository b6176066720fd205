use std::sync::Mutex;

use api::EventKind;
use futures::StreamExt;
use futures::future::BoxFuture;
use registry::Digest;
use runner_protocol::{
    Adapter, Generate, KvType, Load, LoadSettings, Prompt, Sampling, Speculation,
};
use supervisor::{Files, Program, Spawner, Step};

use super::*;

mod adapters;
mod hundred;
mod memory;
mod workloads;
mod zipf;

/// Loads the mock runner without a store. The name of a model can have directives for the mock process.
struct Mocks {
    spawner: Spawner,
    scripts: Mutex<Vec<(String, &'static str)>>,
    loads: Mutex<Vec<(String, u32)>>,
    settings: Mutex<Vec<(String, LoadSettings)>>,
    adapters: Mutex<Vec<(String, Vec<Digest>)>>,
}

impl Loader for Arc<Mocks> {
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>> {
        let mocks = self.clone();
        Box::pin(async move {
            let name = request.name.model().to_owned();
            mocks
                .loads
                .lock()
                .unwrap()
                .push((name.clone(), request.settings.context));
            mocks
                .settings
                .lock()
                .unwrap()
                .push((name.clone(), request.settings));
            if request.fallback.is_some() {
                return Err(Error::Accelerator {
                    backend: "vulkan".to_owned(),
                    source: Box::new(Error::NoRunner("/vulkan".to_owned())),
                });
            }
            let mut program = Program::new("/mock");
            let scripts = mocks.scripts.lock().unwrap().clone();
            if let Some((_, script)) = scripts.iter().rev().find(|(model, _)| *model == name) {
                program.env.push(("SLM_MOCK".into(), (*script).into()));
            }
            let mut files = Files::new();
            let weights_fd = files.push(tempfile::tempfile().unwrap());
            let failed = |source| Error::runner(&name, source);
            let runner = mocks
                .spawner
                .spawn(&program, files, supervisor::Options::default())
                .await
                .map_err(failed)?;
            let adapters: Vec<Digest> = request.adapters.iter().map(|it| it.digest).collect();
            mocks
                .adapters
                .lock()
                .unwrap()
                .push((name.clone(), adapters.clone()));
            let listed = adapters.iter().map(|digest| Adapter {
                fd: weights_fd,
                digest: digest.hex(),
            });
            let load = Load {
                weights_fd,
                shard_fds: Vec::new(),
                adapters: listed.collect(),
                sequences: 4,
                settings: LoadSettings {
                    gpu_layers: 0,
                    host_experts: 0,
                    main_gpu: 0,
                    mmap: true,
                    ..request.settings
                },
                chat_template: None,
                draft_fd: None,
                speculation: Speculation::Auto,
                projector: None,
            };
            let loaded = runner.load(load, |_| {}).await.map_err(failed)?;
            Ok(LoadedRunner {
                runner,
                loaded,
                adapters,
                saver: None,
                device_reason: String::new(),
            })
        })
    }
}

/// A machine whose models hold their bytes from the start of their load to the end of their runner.
#[derive(Clone)]
struct Following {
    total: u64,
    events: Arc<std::sync::OnceLock<Events>>,
}

impl Following {
    fn of(total: u64) -> Self {
        Self {
            total,
            events: Arc::default(),
        }
    }

    /// Follows the models of this scheduler.
    fn follow(&self, events: &Events) {
        let _ = self.events.set(events.clone());
    }
}

impl Machine for Following {
    fn memory(&self) -> Option<HostMemory> {
        let mut held = std::collections::BTreeMap::new();
        for event in self.events.get()?.decisions(|_| true) {
            match event.kind {
                EventKind::Loading => {
                    held.insert(event.model, event.facts.bytes.unwrap_or(0));
                }
                EventKind::Unloaded
                | EventKind::Crashed
                | EventKind::LoadFailed
                | EventKind::LoadCancelled => {
                    held.remove(&event.model);
                }
                _ => {}
            }
        }
        let held: u64 = held.values().sum();
        Some(HostMemory {
            total: self.total,
            available: self
                .total
                .checked_sub(held)
                .expect("no more is loaded than fits"),
            stalled: 0.0,
        })
    }
}

struct Bench {
    scheduler: Scheduler,
    events: Events,
    mocks: Arc<Mocks>,
    tasks: TaskTracker,
}

const STAY: Duration = Duration::from_secs(300);

fn bench_with(max_loaded: usize, max_queue: usize) -> Bench {
    bench_of(max_loaded, max_queue, MemoryBudget::default(), Unlimited)
}

/// A scheduler on a machine with this budget.
fn bench_of(
    max_loaded: usize,
    max_queue: usize,
    budget: MemoryBudget,
    machine: impl Machine,
) -> Bench {
    let mocks = Arc::new(Mocks {
        spawner: runner_mock::spawner(),
        scripts: Mutex::default(),
        loads: Mutex::default(),
        settings: Mutex::default(),
        adapters: Mutex::default(),
    });
    let tasks = TaskTracker::new();
    let options = Options {
        max_loaded,
        budget,
        max_queue,
        keep_alive: KeepAlive::For(STAY),
        stop_grace: Duration::from_secs(1),
        shrink: false,
    };
    let events = Events::new(CancellationToken::new());
    Bench {
        scheduler: Scheduler::start(
            options,
            Arc::new(mocks.clone()),
            Arc::new(machine),
            events.clone(),
            &tasks,
        ),
        events,
        mocks,
        tasks,
    }
}

fn bench() -> Bench {
    bench_with(2, 8)
}

pub(super) fn key(name: &str) -> ModelKey {
    [Digest::of(name.as_bytes())].into_iter().collect()
}

fn request(name: &str, context: u32) -> LoadRequest {
    LoadRequest {
        name: ModelName::parse(name).unwrap(),
        key: key(name),
        settings: LoadSettings {
            context,
            batch: 512,
            threads: 0,
            gpu_layers: 0,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        },
        required: SettingOverrides::default(),
        digest: String::new(),
        details: Details::default(),
        keep_alive: None,
        states_layers: false,
        layers_reason: String::new(),
        adapters: Vec::new(),
        need: Need::default(),
        smaller: Arc::from([]),
        state_memory: Some(0),
        host_cache: None,
        fallback: None,
        fell_back: false,
        apart: false,
        configured: ModelSettings::default(),
    }
}

fn keeping(name: &str, stay: KeepAlive) -> LoadRequest {
    LoadRequest {
        keep_alive: Some(stay),
        ..request(name, 100)
    }
}

impl Bench {
    fn script(&self, name: &str, script: &'static str) {
        self.mocks
            .scripts
            .lock()
            .unwrap()
            .push((name.into(), script));
    }

    fn loads(&self) -> Vec<(String, u32)> {
        self.mocks.loads.lock().unwrap().clone()
    }

    async fn acquire(&self, name: &str) -> Result<Lease, Error> {
        self.scheduler.acquire(request(name, 100)).await
    }

    /// Waits, in paused time, until the list of loaded models satisfies `is`.
    async fn until(&self, is: impl Fn(&[ModelSummary]) -> bool) -> Vec<ModelSummary> {
        loop {
            let seen = self.scheduler.list().await;
            if is(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn names(&self) -> Vec<String> {
        let seen = self.scheduler.list().await;
        let mut names: Vec<String> = seen
            .into_iter()
            .filter(|seen| seen.state != "stopping")
            .map(|seen| seen.name.to_string())
            .collect();
        names.sort();
        names
    }
}

fn kinds(bench: &Bench, name: &str) -> Vec<(EventKind, String)> {
    let name = ModelName::parse(name).unwrap().to_string();
    let events = bench.events.decisions(|model| model == name).into_iter();
    events.map(|event| (event.kind, event.text)).collect()
}

/// Pins a model as a route does, while it holds a lease.
async fn pin(bench: &Bench, name: &str) {
    let lease = bench.acquire(name).await.unwrap();
    let key = key(name);
    bench
        .scheduler
        .pin(ModelName::parse(name).unwrap(), key)
        .await
        .unwrap();
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_stays_until_it_is_unpinned() {
    let bench = bench();
    pin(&bench, "a").await;
    // Neither an idle hour nor a client's wish nor other models unload it.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let by_key = || Which::Key(key("a"));
    let unloading = bench.scheduler.unload(by_key(), false).await;
    assert_eq!(unloading, Unloading::Pinned);
    drop(
        bench
            .scheduler
            .acquire(keeping("a", KeepAlive::For(Duration::ZERO)))
            .await
            .unwrap(),
    );
    for other in ["b", "c", "d"] {
        drop(bench.acquire(other).await.unwrap());
    }
    let seen = bench.scheduler.list().await;
    let pinned = seen.iter().find(|seen| seen.pinned).unwrap();
    assert_eq!((pinned.name.model(), pinned.expires), ("a", None));
    assert_eq!(bench.loads().iter().filter(|load| load.0 == "a").count(), 1);

    assert!(bench.scheduler.unpin(by_key()).await);
    assert!(!bench.scheduler.unpin(by_key()).await);
    // Its keep-alive is 0 by now.
    bench
        .until(|seen| seen.iter().all(|seen| seen.name.model() != "a"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn weights_stay_pinned_until_each_of_their_names_is_unpinned() {
    let bench = bench();
    let key = key("a");
    pin(&bench, "a").await;
    let other = ModelName::parse("b").unwrap();
    bench.scheduler.pin(other, key.clone()).await.unwrap();
    let unpin = |name: &str| {
        bench
            .scheduler
            .unpin(Which::Name(ModelName::parse(name).unwrap()))
    };
    assert!(unpin("a").await);
    assert!(!unpin("a").await);
    let unloading = bench.scheduler.unload(Which::Key(key.clone()), false).await;
    assert_eq!(unloading, Unloading::Pinned);
    assert!(unpin("b").await);
    let unloading = bench.scheduler.unload(Which::Key(key), false).await;
    assert_eq!(unloading, Unloading::Done);
}

#[tokio::test(start_paused = true)]
async fn a_pin_outlives_a_reload_and_a_crash_and_ends_with_an_unload() {
    let bench = bench();
    bench.script("a", "crash-at-token 1");
    pin(&bench, "a").await;
    let larger = bench.scheduler.acquire(request("a", 200)).await.unwrap();
    assert!(bench.scheduler.list().await[0].pinned);
    assert!(answer(&larger, "hello").await.is_err());
    drop(larger);
    bench.until(<[ModelSummary]>::is_empty).await;
    drop(bench.acquire("a").await.unwrap());
    assert!(bench.scheduler.list().await[0].pinned);
    let unloading = bench.scheduler.unload(Which::Key(key("a")), true).await;
    assert_eq!(unloading, Unloading::Done);
    drop(bench.acquire("a").await.unwrap());
    assert!(!bench.scheduler.list().await[0].pinned);
}

#[tokio::test(start_paused = true)]
async fn a_pin_moves_to_the_new_weights_of_its_name() {
    let bench = bench_with(1, 8);
    pin(&bench, "a").await;
    let replaced = LoadRequest {
        key: key("new weights"),
        ..request("a", 100)
    };
    drop(bench.scheduler.acquire(replaced).await.unwrap());
    let seen = bench
        .until(|seen| seen.len() == 1 && seen[0].state == "ready")
        .await;
    assert_eq!((&seen[0].key, seen[0].pinned), (&key("new weights"), true));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_that_is_loaded_anew_keeps_its_slot() {
    let bench = bench();
    pin(&bench, "a").await;
    let busy = bench.acquire("b").await.unwrap();
    let waits = tokio::spawn({
        let scheduler = bench.scheduler.clone();
        async move { scheduler.acquire(request("c", 100)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(bench.scheduler.acquire(request("a", 200)).await.unwrap());
    assert!(!waits.is_finished());
    assert_eq!(bench.names().await, ["a:latest", "b:latest"]);
    drop(busy);
    assert!(waits.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_slot_can_become_free_for_is_refused() {
    let bench = bench();
    for name in ["a", "b"] {
        pin(&bench, name).await;
    }
    let error = bench.acquire("c").await.unwrap_err();
    assert_eq!(error.code(), "all_pinned");
    assert!(error.message().contains("a:latest, b:latest"), "{error}");
    assert!(error.hint().unwrap().contains("slm unpin"));
    // A busy model that is not pinned becomes idle, so a request waits for it.
    assert!(bench.scheduler.unpin(Which::Key(key("b"))).await);
    let busy = bench.acquire("b").await.unwrap();
    let (waits, _) = tokio::join!(bench.acquire("c"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(busy);
    });
    assert!(waits.is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_decision_is_an_event_with_its_numbers() {
    let bench = bench_with(1, 8);
    drop(bench.acquire("a").await.unwrap());
    drop(bench.scheduler.acquire(request("a", 200)).await.unwrap());
    tokio::time::sleep(Duration::from_secs(12)).await;
    drop(bench.acquire("b").await.unwrap());
    let seen = kinds(&bench, "a");
    let kinds_of_a: Vec<EventKind> = seen.iter().map(|(kind, _)| *kind).collect();
    use EventKind::*;
    let once = [Loading, Loaded, Unloading, Unloaded];
    assert_eq!(kinds_of_a, [once, once].concat());
    let texts: Vec<&str> = seen.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts[0],
        "loads with a context of 100 tokens, beside 0 other models"
    );
    assert!(
        texts[1].contains("with a context of 100 tokens and "),
        "{}",
        texts[1]
    );
    assert_eq!(
        texts[2],
        "is unloaded: a request needs a context of 200 tokens, and it is loaded with 100"
    );
    assert!(
        texts[6].starts_with(
            "is unloaded: 'b:latest' needs a slot and 1 of 1 are taken: this one frees "
        ),
        "{}",
        texts[6]
    );
    tokio::time::sleep(STAY + Duration::from_secs(1)).await;
    let seen = kinds(&bench, "b");
    assert!(
        seen.iter()
            .any(|(_, text)| text == "is unloaded: it was not used for 300 s")
    );
}

#[tokio::test(start_paused = true)]
async fn failures_crashes_and_refusals_are_events() {
    let bench = bench();
    bench.script("a", "fail-in-load");
    bench.script("c", "crash-at-token 1");
    for _ in 0..2 {
        assert!(bench.acquire("a").await.is_err());
    }
    let seen = kinds(&bench, "a");
    assert_eq!(seen[1].0, EventKind::LoadFailed);
    assert!(seen[1].1.starts_with("cannot be loaded: "), "{}", seen[1].1);
    for _ in 0..3 {
        let lease = bench.acquire("c").await.unwrap();
        assert!(answer(&lease, "hello").await.is_err());
        drop(lease);
        bench
            .until(|seen| seen.iter().all(|seen| seen.name.model() != "c"))
            .await;
    }
    for _ in 0..3 {
        assert!(bench.acquire("c").await.is_err());
    }
    let seen = kinds(&bench, "c");
    let count = |kind| seen.iter().filter(|(this, _)| *this == kind).count();
    assert_eq!(count(EventKind::Crashed), 3);
    assert_eq!(count(EventKind::Refused), 1, "{seen:?}");
}

fn generate(text: &str) -> Generate {
    Generate {
        sampling: Sampling::greedy(),
        ..Generate::new(Prompt::Text {
            text: text.into(),
            special: true,
        })
    }
}

/// Runs one answer to its end, and returns how it ended.
async fn answer(lease: &Lease, text: &str) -> Result<(), supervisor::Error> {
    let mut generation = lease.runner().generate(generate(text)).await?;
    while let Some(step) = generation.next().await {
        if matches!(step?, Step::Done(_)) {
            return Ok(());
        }
    }
    panic!("an answer ends with its end");
}

#[tokio::test(start_paused = true)]
async fn one_load_serves_all_waiting_requests() {
    let bench = bench();
    bench.script("a", "load-delay-ms 1000");
    let (one, two, three) =
        tokio::join!(bench.acquire("a"), bench.acquire("a"), bench.acquire("a"));
    let leases = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(bench.loads(), [("a".to_owned(), 100)]);
    let seen = bench.scheduler.list().await;
    assert_eq!((seen[0].state, seen[0].active), ("busy", 3));
    drop(leases);
    let seen = bench.until(|seen| seen[0].active == 0).await;
    assert_eq!(seen[0].state, "ready");
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_is_unloaded_after_its_keep_alive() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY - Duration::from_secs(1)).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    // A request starts the clock again.
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY - Duration::from_secs(1)).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.until(<[ModelSummary]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_model_in_use_stays_loaded() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    tokio::time::sleep(STAY * 10).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    answer(&lease, "hello").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_keep_alive_of_a_request_overrides_the_default() {
    let bench = bench();
    drop(
        bench
            .scheduler
            .acquire(keeping("a", KeepAlive::Always))
            .await
            .unwrap(),
    );
    tokio::time::sleep(STAY * 100).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    // A request without it changes nothing.
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY * 100).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    drop(
        bench
            .scheduler
            .acquire(keeping("a", KeepAlive::For(Duration::ZERO)))
            .await
            .unwrap(),
    );
    bench.until(<[ModelSummary]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn an_unload_waits_for_the_leases() {
    let bench = bench();
    let unload = || bench.scheduler.unload(Which::Key(key("a")), false);
    assert_eq!(unload().await, Unloading::NotLoaded);
    let lease = bench.acquire("a").await.unwrap();
    assert_eq!(unload().await, Unloading::WhenIdle);
    answer(&lease, "still here").await.unwrap();
    drop(lease);
    bench.until(<[ModelSummary]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_is_gone_when_unload_returns() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    bench.until(|seen| seen[0].active == 0).await;
    let unloading = bench.scheduler.unload(Which::Key(key("a")), false).await;
    assert_eq!(unloading, Unloading::Done);
    assert!(bench.scheduler.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_longest_unused_idle_model_is_evicted() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("b").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("c").await.unwrap());
    assert_eq!(bench.names().await, ["b:latest", "c:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_slow_to_load_outlasts_a_fast_one() {
    let bench = bench();
    bench.script("dear", "load-delay-ms 10000");
    drop(bench.acquire("dear").await.unwrap());
    drop(bench.acquire("cheap").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("new").await.unwrap());
    assert_eq!(bench.names().await, ["dear:latest", "new:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_with_unlimited_keep_alive_is_evicted_last() {
    let bench = bench();
    drop(
        bench
            .scheduler
            .acquire(keeping("pinned", KeepAlive::Always))
            .await
            .unwrap(),
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    drop(bench.acquire("b").await.unwrap());
    drop(bench.acquire("c").await.unwrap());
    assert_eq!(bench.names().await, ["c:latest", "pinned:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_busy_model() {
    let bench = bench_with(1, 8);
    let lease = bench.acquire("a").await.unwrap();
    let waiting = bench.acquire("b");
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("a is in use"),
        () = tokio::time::sleep(STAY) => {}
    }
    answer(&lease, "undisturbed").await.unwrap();
    drop(lease);
    let lease = waiting.await.unwrap();
    assert_eq!(bench.names().await, ["b:latest"]);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_never_idle_is_drained_after_a_while() {
    let bench = bench_with(1, 8);
    let first = bench.acquire("a").await.unwrap();
    let other = bench.acquire("b");
    tokio::pin!(other);
    tokio::select! {
        _ = &mut other => panic!("a is in use"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    // Soon after, new requests still get the loaded model.
    let second = bench.acquire("a").await.unwrap();
    drop(first);
    tokio::select! {
        _ = &mut other => panic!("a is in use"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    // Later they wait behind the first one.
    drop(bench.acquire("a").await.unwrap());
    let newcomer = bench.acquire("a");
    tokio::pin!(newcomer);
    tokio::select! {
        _ = &mut newcomer => panic!("b waits for this place"),
        _ = &mut other => panic!("a is in use"),
        () = tokio::time::sleep(STAY) => {}
    }
    answer(&second, "undisturbed").await.unwrap();
    drop(second);
    drop(other.await.unwrap());
    drop(newcomer.await.unwrap());
    let loaded: Vec<String> = bench.loads().into_iter().map(|(name, _)| name).collect();
    assert_eq!(loaded, ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_no_request_waits_for_the_slot() {
    let bench = bench_with(1, 8);
    let lease = bench.acquire("a").await.unwrap();
    let mut newcomer = {
        let other = bench.acquire("b");
        tokio::pin!(other);
        tokio::select! {
            _ = &mut other => panic!("a is in use"),
            () = tokio::time::sleep(Duration::from_secs(6)) => {}
        }
        drop(bench.acquire("a").await.unwrap());
        let mut newcomer = Box::pin(bench.acquire("a"));
        tokio::select! {
            _ = &mut newcomer => panic!("b waits for this place"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        newcomer
    };
    // The waiting request was dropped; the next event notices it.
    bench.until(|seen| seen[0].active == 2).await;
    drop((&mut newcomer).await.unwrap());
    drop(lease);
    assert_eq!(bench.loads().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_context_is_served_and_a_larger_one_reloads_when_idle() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    drop(bench.scheduler.acquire(request("a", 50)).await.unwrap());
    assert_eq!(bench.loads().len(), 1);
    let larger = bench.scheduler.acquire(request("a", 200));
    tokio::pin!(larger);
    tokio::select! {
        _ = &mut larger => panic!("a is in use"),
        () = tokio::time::sleep(STAY) => {}
    }
    // No request overtakes: this one waits behind the larger context.
    let small = bench.acquire("a");
    tokio::pin!(small);
    tokio::select! {
        _ = &mut small => panic!("a request waits for a larger context"),
        () = tokio::time::sleep(STAY) => {}
    }
    drop(lease);
    let (larger, small) = tokio::join!(larger, small);
    assert_eq!(larger.unwrap().loaded().context, 200);
    assert_eq!(small.unwrap().loaded().context, 200);
    assert_eq!(
        bench.loads(),
        [("a".to_owned(), 100), ("a".to_owned(), 200)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_an_error() {
    let bench = bench_with(1, 2);
    let lease = bench.acquire("a").await.unwrap();
    let one = bench.acquire("b");
    let two = bench.acquire("c");
    let three = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refused = bench.acquire("d").await.unwrap_err();
        assert!(matches!(refused, Error::Busy { waiting: 2 }), "{refused}");
        // A loaded model needs no queue.
        drop(bench.acquire("a").await.unwrap());
        drop(lease);
    };
    let (one, two, ()) = tokio::join!(
        async { drop(one.await.unwrap()) },
        async { drop(two.await.unwrap()) },
        three
    );
    let ((), ()) = (one, two);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_leaves_the_queue() {
    let bench = bench_with(1, 1);
    let lease = bench.acquire("a").await.unwrap();
    {
        let leaving = bench.acquire("b");
        tokio::pin!(leaving);
        tokio::select! {
            _ = &mut leaving => panic!("a is in use"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    let next = bench.acquire("c");
    tokio::pin!(next);
    tokio::select! {
        _ = &mut next => panic!("a is in use"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    drop(lease);
    drop(next.await.unwrap());
    let loaded: Vec<String> = bench.loads().into_iter().map(|(name, _)| name).collect();
    assert_eq!(loaded, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_fails_all_waiting_requests() {
    let bench = bench();
    bench.script("a", "load-delay-ms 100; fail-in-load memory");
    let (one, two) = tokio::join!(bench.acquire("a"), bench.acquire("a"));
    for refused in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(refused.code(), "out_of_memory");
    }
    assert_eq!(bench.loads().len(), 1);
    assert!(bench.scheduler.list().await.is_empty());
    // A refused load is no crash, so the breaker stays closed.
    for _ in 0..5 {
        assert_eq!(
            bench.acquire("a").await.unwrap_err().code(),
            "out_of_memory"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_noticed_at_once_and_the_next_request_reloads() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    let error = answer(
        &lease,
        "[[mock: say farewell; crash-at-token 1]] one two three",
    )
    .await
    .unwrap_err();
    assert!(matches!(error, supervisor::Error::Exited(_)), "{error}");
    let message = Error::runner(&"a", error).message();
    assert!(message.contains("farewell"), "{message}");
    // The old lease is still held, and delays no request.
    bench.until(<[ModelSummary]>::is_empty).await;
    let fresh = bench.acquire("a").await.unwrap();
    answer(&fresh, "well").await.unwrap();
    drop(lease);
    assert_eq!(bench.scheduler.list().await[0].active, 1);
    assert_eq!(bench.loads().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn three_crashes_open_the_breaker_for_a_while() {
    let bench = bench();
    bench.script("a", "crash-in-load");
    for _ in 0..3 {
        let error = bench.acquire("a").await.unwrap_err();
        assert_eq!(error.code(), "runner_crashed");
    }
    let error = bench.acquire("a").await.unwrap_err();
    assert_eq!(error.code(), "crash_loop");
    assert_eq!(bench.loads().len(), 3);
    // Other models still load.
    drop(bench.acquire("b").await.unwrap());
    tokio::time::sleep(Duration::from_secs(61)).await;
    // One more crash opens the breaker for longer.
    bench.acquire("a").await.unwrap_err();
    let error = bench.acquire("a").await.unwrap_err();
    assert!(
        matches!(error, Error::CrashLoop { times: 4, rest, .. } if rest.as_secs() == 120),
        "{error}"
    );
    tokio::time::sleep(Duration::from_secs(121)).await;
    bench.script("a", "answer well");
    drop(bench.acquire("a").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn close_stops_all_runners_and_fails_waiting_requests() {
    let bench = bench_with(2, 8);
    bench.script("slow", "load-delay-ms 100000");
    let lease = bench.acquire("a").await.unwrap();
    let mut generation = lease
        .runner()
        .generate(generate("[[mock: count 50; delay-ms 60000]]"))
        .await
        .unwrap();
    let loading = bench.acquire("slow");
    let pending = bench.acquire("c");
    let close = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.scheduler.close().await;
    };
    let (loading, pending, ()) = tokio::join!(loading, pending, close);
    assert!(matches!(loading, Err(Error::Stopping)));
    assert!(matches!(pending, Err(Error::Stopping)));
    loop {
        match generation
            .next()
            .await
            .expect("an answer ends with its end")
        {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, supervisor::Error::Stopped), "{error}");
                break;
            }
        }
    }
    assert!(matches!(bench.acquire("a").await, Err(Error::Stopping)));
    bench.mocks.spawner.drained().await;
    bench.tasks.close();
    bench.tasks.wait().await;
}

// ===== settings of a load =====

fn requiring(name: &str, required: SettingOverrides) -> LoadRequest {
    let mut request = request(name, 100);
    request.settings = required.over(request.settings);
    request.required = required;
    request
}

fn batch(batch: u32) -> SettingOverrides {
    SettingOverrides {
        batch: Some(batch),
        ..SettingOverrides::default()
    }
}

fn threads(threads: u32) -> SettingOverrides {
    SettingOverrides {
        threads: Some(threads),
        ..SettingOverrides::default()
    }
}

impl Bench {
    /// Batch and threads of all loads so far.
    fn settings(&self) -> Vec<(u32, u32)> {
        let settings = self.mocks.settings.lock().unwrap();
        let each = settings.iter().map(|(_, set)| (set.batch, set.threads));
        each.collect()
    }

    async fn acquire_requiring(&self, required: SettingOverrides) -> Lease {
        self.scheduler
            .acquire(requiring("a", required))
            .await
            .unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_is_reloaded_for_other_settings_and_keeps_the_rest() {
    let bench = bench();
    drop(bench.acquire_requiring(SettingOverrides::default()).await);
    drop(bench.acquire_requiring(batch(512)).await);
    assert_eq!(bench.settings(), [(512, 0)]);
    drop(bench.acquire_requiring(batch(64)).await);
    drop(bench.acquire_requiring(SettingOverrides::default()).await);
    drop(bench.acquire_requiring(threads(2)).await);
    drop(bench.acquire_requiring(batch(64)).await);
    assert_eq!(bench.settings(), [(512, 0), (64, 0), (64, 2)]);
    // It keeps the larger context too.
    drop(bench.scheduler.acquire(request("a", 200)).await.unwrap());
    drop(bench.acquire_requiring(threads(1)).await);
    assert_eq!(bench.loads().last().unwrap().1, 200);
    assert_eq!(bench.names().await, ["a:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_is_reloaded_for_other_settings_in_order_of_arrival() {
    let bench = bench();
    let first = bench.acquire_requiring(batch(64)).await;
    let mut other = Box::pin(bench.acquire_requiring(batch(128)));
    let mut same = Box::pin(bench.acquire_requiring(batch(64)));
    let mut any = Box::pin(bench.acquire_requiring(SettingOverrides::default()));
    // One request after the other.
    for waiting in [&mut other, &mut same, &mut any] {
        tokio::select! {
            _ = waiting => panic!("the model is in use with other settings"),
            () = tokio::time::sleep(STAY) => {}
        }
    }
    answer(&first, "undisturbed").await.unwrap();
    drop(first);
    let (other, any) = tokio::join!(other, any);
    assert_eq!(bench.settings(), [(64, 0), (128, 0)]);
    drop(other);
    tokio::select! {
        _ = &mut same => panic!("the model is in use with other settings"),
        () = tokio::time::sleep(STAY) => {}
    }
    drop(any);
    drop(same.await);
    assert_eq!(bench.settings(), [(64, 0), (128, 0), (64, 0)]);
}

#[tokio::test(start_paused = true)]
async fn requests_with_different_settings_are_all_served() {
    let bench = &bench();
    let asking = (0..8).map(|n| async move {
        let size = if n % 2 == 0 { 64 } else { 128 };
        for _ in 0..3 {
            let lease = bench.acquire_requiring(batch(size)).await;
            answer(&lease, "one two three").await.unwrap();
        }
    });
    futures::future::join_all(asking.collect::<Vec<_>>()).await;
    // Requests with the same settings share a load.
    assert!(bench.settings().len() <= 24, "{:?}", bench.settings());
}

// ===== loads that go wrong =====

#[tokio::test(start_paused = true)]
async fn a_load_without_waiting_requests_is_cancelled() {
    let bench = bench();
    bench.script("a", "load-delay-ms 100000");
    let mut one = Box::pin(bench.acquire("a"));
    let mut two = Box::pin(bench.acquire("a"));
    for waiting in [&mut one, &mut two] {
        tokio::select! {
            _ = waiting => panic!("it takes longer to load"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    drop(one);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.scheduler.list().await[0].state, "loading");
    drop(two);
    // No other event is needed: the drop is noticed, and the runner ends.
    bench.mocks.spawner.drained().await;
    assert!(bench.scheduler.list().await.is_empty());
    bench.script("a", "answer well");
    drop(bench.acquire("a").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn idle_models_are_unloaded_for_a_load_without_memory() {
    let bench = bench_with(3, 8);
    drop(bench.acquire("idle").await.unwrap());
    let busy = bench.acquire("busy").await.unwrap();
    for script in ["fail-in-load memory", "crash-in-load kill"] {
        drop(bench.acquire("idle").await.unwrap());
        let before = bench.loads().len();
        bench.script("big", script);
        let asking = bench.acquire("big");
        let (refused, ()) = tokio::join!(asking, async {
            // The second try finds more memory.
            bench.until(|_| bench.loads().len() > before).await;
            bench.script("big", "answer well");
        });
        drop(refused.unwrap());
        assert_eq!(bench.loads().len(), before + 2);
        assert_eq!(bench.names().await, ["big:latest", "busy:latest"]);
        bench.scheduler.unload(Which::Key(key("big")), false).await;
    }
    answer(&busy, "undisturbed").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_lack_of_memory_is_an_error() {
    let bench = bench();
    drop(bench.acquire("idle").await.unwrap());
    bench.script("big", "fail-in-load memory");
    let error = bench.acquire("big").await.unwrap_err();
    assert_eq!(error.code(), "out_of_memory");
    assert!(error.hint().is_some_and(|hint| hint.contains("num_ctx")));
    let loaded: Vec<String> = bench.loads().into_iter().map(|(name, _)| name).collect();
    assert_eq!(loaded, ["idle", "big", "big"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_also_refuses_requests_that_wait_already() {
    let bench = bench();
    bench.script("a", "crash-in-load");
    for _ in 0..2 {
        bench.acquire("a").await.unwrap_err();
    }
    bench.script("a", "answer well");
    let lease = bench.acquire("a").await.unwrap();
    let waiting = bench.scheduler.acquire(request("a", 200));
    let crash = async {
        bench.until(|seen| seen[0].active == 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(&lease, "[[mock: crash-at-token 1]] one two")
            .await
            .unwrap_err();
    };
    let (refused, ()) = tokio::join!(waiting, crash);
    let error = refused.unwrap_err();
    assert!(
        matches!(error, Error::CrashLoop { times: 3, .. }),
        "{error}"
    );
    assert_eq!(bench.loads().len(), 3);
}

/// A loader that panics.
struct Broken {
    /// Whether it panics before it returns a future.
    at_once: bool,
}

impl Loader for Broken {
    fn load(&self, _: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>> {
        assert!(!self.at_once, "on purpose");
        Box::pin(async { panic!("on purpose") })
    }
}

fn broken(at_once: bool) -> Scheduler {
    let options = Options {
        max_loaded: 1,
        budget: MemoryBudget::default(),
        max_queue: 1,
        keep_alive: KeepAlive::Always,
        stop_grace: Duration::from_secs(1),
        shrink: false,
    };
    let events = Events::new(CancellationToken::new());
    Scheduler::start(
        options,
        Arc::new(Broken { at_once }),
        Arc::new(Unlimited),
        events,
        &TaskTracker::new(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_task_is_reported_and_is_no_stop() {
    let scheduler = broken(true);
    let error = scheduler.acquire(request("a", 100)).await.unwrap_err();
    assert!(matches!(error, Error::Internal), "{error}");
    scheduler.died().await;
    let error = scheduler.acquire(request("a", 100)).await.unwrap_err();
    assert!(matches!(error, Error::Internal), "{error}");
    scheduler.close().await;
    let error = scheduler.acquire(request("a", 100)).await.unwrap_err();
    assert!(matches!(error, Error::Stopping), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_load_fails_its_waiting_requests() {
    let scheduler = broken(false);
    for _ in 0..2 {
        let error = scheduler.acquire(request("a", 100)).await.unwrap_err();
        assert!(matches!(error, Error::Internal), "{error}");
    }
    assert!(scheduler.list().await.is_empty());
}
