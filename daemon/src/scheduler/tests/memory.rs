//! Models in bytes: budgets, eviction, priorities, groups, and pressure by other programs.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::config::{DeviceBudget, Group, Share};
use crate::memory::{DeviceId, Usage};

const MB: u64 = 1_000_000;

/// A machine of 10 GB whose available memory the test sets, and how much of the time processes wait for memory.
#[derive(Clone, Default)]
struct Shared(Arc<SharedMemory>);

#[derive(Default)]
struct SharedMemory {
    available: AtomicU64,
    stalled: AtomicU64,
}

impl Shared {
    fn with(available: u64) -> Self {
        let shared = Self::default();
        shared.set(available, 0);
        shared
    }

    fn set(&self, available: u64, stalled: u64) {
        self.0.available.store(available, Ordering::Relaxed);
        self.0.stalled.store(stalled, Ordering::Relaxed);
    }
}

impl Machine for Shared {
    fn memory(&self) -> Option<HostMemory> {
        Some(HostMemory {
            total: 10_000 * MB,
            available: self.0.available.load(Ordering::Relaxed),
            stalled: self.0.stalled.load(Ordering::Relaxed) as f64,
        })
    }
}

/// A budget of so many megabytes of the host, of which none are kept for other programs.
pub(super) fn budget(megabytes: u64) -> MemoryBudget {
    MemoryBudget {
        host: Some(Share::Bytes(megabytes * MB)),
        reserve: Some(Share::Bytes(0)),
        devices: vec![DeviceBudget {
            device: "CUDA0".into(),
            budget: Share::Bytes(1000 * MB),
        }],
    }
}

fn bench_of_bytes(megabytes: u64) -> Bench {
    bench_of(usize::MAX, 64, budget(megabytes), Unlimited)
}

/// A request for a model of so many megabytes.
fn sized(name: &str, megabytes: u64) -> LoadRequest {
    LoadRequest {
        need: Need {
            usage: Usage::of_host(megabytes * MB),
            mapped: 0,
        },
        ..request(name, 100)
    }
}

fn prioritized_by(priority: i32) -> ModelSettings {
    ModelSettings {
        priority: Some(priority),
        ..ModelSettings::default()
    }
}

impl Bench {
    async fn take(&self, request: LoadRequest) -> Result<Lease, Error> {
        self.script(request.name.model(), "resident-bytes 0");
        self.scheduler.acquire(request).await
    }

    async fn use_once(&self, request: LoadRequest) {
        drop(self.take(request).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn models_share_a_budget_of_bytes() {
    let bench = bench_of_bytes(1000);
    for (name, size) in [("a", 400), ("b", 300), ("c", 300)] {
        bench.use_once(sized(name, size)).await;
    }
    assert_eq!(bench.names().await.len(), 3);
    // The model whose loss costs least for its bytes leaves, and it frees enough alone.
    bench.use_once(sized("d", 350)).await;
    assert_eq!(bench.names().await, ["b:latest", "c:latest", "d:latest"]);
    let why = kinds(&bench, "a").into_iter().map(|(_, text)| text);
    let why = why
        .filter(|text| text.contains("needs"))
        .collect::<Vec<_>>();
    assert!(
        why[0].starts_with(
            "is unloaded: 'd:latest' needs 350 MB of CPU memory and 0.0 MB of 1.0 GB are free: this one frees 400 MB, \
             was not used for "
        ),
        "{why:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_beyond_the_budget_is_refused_and_unloads_nothing() {
    let bench = bench_of_bytes(1000);
    bench.use_once(sized("a", 400)).await;
    let error = bench.take(sized("huge", 1001)).await.unwrap_err();
    assert_eq!(error.code(), "out_of_memory");
    assert_eq!(
        error.to_string(),
        "model 'huge:latest' cannot be loaded: it needs 1.0 GB of CPU memory, and 1.0 GB are the budget"
    );
    assert!(error.hint().unwrap().contains("memory_budget"));
    assert_eq!(bench.names().await, ["a:latest"]);
    // The same for a larger context of a loaded model: it stays.
    let larger = LoadRequest {
        settings: request("a", 1 << 20).settings,
        ..sized("a", 2000)
    };
    assert!(bench.take(larger).await.is_err());
    assert_eq!(bench.names().await, ["a:latest"]);
    assert_eq!(bench.loads().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_device_has_its_own_budget() {
    let bench = bench_of_bytes(1000);
    let on_device = |name: &str, megabytes: u64| LoadRequest {
        need: Need {
            usage: Usage::of_host(100 * MB).with(DeviceId::new("CUDA0"), megabytes * MB),
            mapped: 0,
        },
        ..request(name, 100)
    };
    bench.use_once(sized("host", 500)).await;
    bench.use_once(on_device("one", 600)).await;
    bench.use_once(on_device("two", 600)).await;
    assert_eq!(bench.names().await, ["host:latest", "two:latest"]);
    let error = bench.take(on_device("three", 1001)).await.unwrap_err();
    assert!(
        error.to_string().contains("1.0 GB of CUDA0 memory"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_measurement_above_the_prediction_counts() {
    let bench = bench_of_bytes(1000);
    bench.script("a", "resident-bytes 900000000");
    drop(bench.scheduler.acquire(sized("a", 100)).await.unwrap());
    bench.use_once(sized("b", 200)).await;
    assert_eq!(bench.names().await, ["b:latest"]);
}

#[tokio::test(start_paused = true)]
async fn loads_run_side_by_side_where_memory_allows() {
    let bench = bench_of_bytes(1000);
    for name in ["a", "b", "c"] {
        bench.script(name, "load-delay-ms 250; resident-bytes 0");
    }
    let began = tokio::time::Instant::now();
    let load = |name: &'static str| bench.scheduler.acquire(sized(name, 500));
    let (a, b) = tokio::join!(load("a"), load("b"));
    assert!(began.elapsed() < Duration::from_millis(1500));
    let waits = load("c");
    tokio::pin!(waits);
    tokio::select! {
        _ = &mut waits => panic!("both are in use"),
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    drop((a, b));
    drop(waits.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_small_model_passes_a_large_one_only_for_a_while() {
    let bench = bench_of_bytes(1000);
    let busy = bench.take(sized("busy", 600)).await.unwrap();
    let mut large = Box::pin(bench.take(sized("large", 900)));
    tokio::select! {
        _ = &mut large => panic!("the other one is in use"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    bench.use_once(sized("small", 100)).await;
    tokio::select! {
        _ = &mut large => panic!("the other one is in use"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    // Now what becomes free is kept for the large one.
    let mut next = Box::pin(bench.take(sized("next", 100)));
    tokio::select! {
        _ = &mut large => panic!("the other one is in use"),
        _ = &mut next => panic!("a large one waits"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    drop(busy);
    let large = large.await.unwrap();
    drop(next.await.unwrap());
    assert_eq!(bench.names().await, ["large:latest", "next:latest"]);
    drop(large);
}

#[tokio::test(start_paused = true)]
async fn a_lower_priority_leaves_first_and_waits_behind() {
    let bench = bench_of_bytes(1000);
    let prioritized = |name: &str, priority| LoadRequest {
        configured: prioritized_by(priority),
        ..sized(name, 500)
    };
    bench.use_once(prioritized("low", -1)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.use_once(prioritized("high", 1)).await;
    for _ in 0..5 {
        bench.use_once(prioritized("low", -1)).await;
    }
    let other = bench.take(sized("other", 500)).await.unwrap();
    assert_eq!(bench.names().await, ["high:latest", "other:latest"]);

    let high = bench.take(prioritized("high", 1)).await.unwrap();
    let order = Mutex::new(Vec::new());
    let wait = async |name: &'static str, priority, delay| {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let lease = bench
            .take(LoadRequest {
                configured: prioritized_by(priority),
                ..sized(name, 1000)
            })
            .await
            .unwrap();
        order.lock().unwrap().push(name);
        drop(lease);
    };
    tokio::join!(wait("first", 0, 0), wait("urgent", 5, 100), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop((other, high));
    });
    assert_eq!(order.into_inner().unwrap(), ["urgent", "first"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_model_at_a_time_or_leaves_together() {
    let bench = bench_of_bytes(1000);
    let grouped = |name: &str, group| LoadRequest {
        configured: ModelSettings {
            group: Some(group),
            ..ModelSettings::default()
        },
        ..sized(name, 100)
    };
    let one_of = || Group::OneOf("chat".into());
    bench.use_once(grouped("a", one_of())).await;
    bench.use_once(grouped("b", one_of())).await;
    bench
        .use_once(grouped("c", Group::OneOf("other".into())))
        .await;
    assert_eq!(bench.names().await, ["b:latest", "c:latest"]);
    let why = kinds(&bench, "a").into_iter().any(|(_, text)| {
        text == "is unloaded: 'b:latest' is loaded, and its group has one model at a time"
    });
    assert!(why);

    let together = || Group::Together("search".into());
    bench.use_once(grouped("embed", together())).await;
    bench.use_once(grouped("rerank", together())).await;
    let busy = bench.take(grouped("embed", together())).await.unwrap();
    bench.use_once(sized("large", 700)).await;
    assert_eq!(
        bench.names().await,
        ["c:latest", "embed:latest", "large:latest", "rerank:latest"]
    );
    drop(busy);
    for _ in 0..9 {
        bench.use_once(sized("large", 700)).await;
    }
    bench.use_once(sized("next", 250)).await;
    let names = bench.names().await;
    assert_eq!(
        names.contains(&"embed:latest".into()),
        names.contains(&"rerank:latest".into())
    );
}

#[tokio::test(start_paused = true)]
async fn memory_that_other_programs_hold_is_no_room() {
    let machine = Shared::with(1000 * MB);
    let budget = MemoryBudget {
        reserve: Some(Share::Bytes(300 * MB)),
        ..MemoryBudget::default()
    };
    let bench = bench_of(usize::MAX, 64, budget, machine.clone());
    bench.use_once(sized("a", 600)).await;
    machine.set(400 * MB, 0);
    let error = bench.take(sized("b", 800)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("and 700 MB are left by other programs"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("memory_reserve"));
    assert_eq!(bench.names().await, ["a:latest"]);
    // With the memory of the loaded one there is enough for a smaller one. This machine does not give it back.
    assert!(bench.take(sized("c", 650)).await.is_err());
    assert!(bench.names().await.is_empty());
    machine.set(1000 * MB, 0);
    bench.use_once(sized("c", 650)).await;
}

#[tokio::test(start_paused = true)]
async fn mapped_weights_need_no_memory_of_their_own_when_it_is_short() {
    let machine = Shared::with(1000 * MB);
    let budget = MemoryBudget {
        reserve: Some(Share::Bytes(300 * MB)),
        ..MemoryBudget::default()
    };
    let bench = bench_of(usize::MAX, 64, budget, machine);
    let mapped = LoadRequest {
        need: Need {
            usage: Usage::of_host(3000 * MB),
            mapped: 2500 * MB,
        },
        ..request("mapped", 100)
    };
    bench.use_once(mapped).await;
    let texts = kinds(&bench, "mapped");
    assert!(
        texts[0].1.contains("read from the disk again and again"),
        "{texts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_models_are_unloaded_when_other_programs_need_memory() {
    let machine = Shared::with(9000 * MB);
    let bench = bench_of(usize::MAX, 64, MemoryBudget::default(), machine.clone());
    let busy = bench.take(sized("busy", 100)).await.unwrap();
    bench.use_once(sized("old", 100)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.use_once(sized("new", 100)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.names().await.len(), 3);

    machine.set(200 * MB, 3);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.names().await, ["busy:latest", "new:latest"]);
    let texts = kinds(&bench, "old");
    let why = texts
        .iter()
        .find(|(_, text)| text.contains("other programs"));
    assert_eq!(
        why.unwrap().1,
        "is unloaded: other programs need memory: 200 MB of 10.0 GB are available, of which 625 MB are kept free, \
         and they wait for it 3 % of the time"
    );
    // Waiting processes count while little is available.
    machine.set(1000 * MB, 50);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(bench.names().await, ["busy:latest"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    answer(&busy, "undisturbed").await.unwrap();
}

/// A request whose smaller settings have half of the context.
fn reducible(name: &str, megabytes: u64, smaller: u64) -> LoadRequest {
    let request = sized(name, megabytes);
    let smaller = Smaller {
        drops_adapters: false,
        settings: LoadSettings {
            context: 50,
            ..request.settings
        },
        sequences: Some(4),
        need: sized(name, smaller).need,
        host_cache: None,
        text: "a context of 50 tokens instead of 100".into(),
    };
    LoadRequest {
        smaller: Arc::from([smaller]),
        ..request
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_does_not_fit_gets_smaller_settings() {
    let bench = bench_of_bytes(1000);
    bench.use_once(sized("other", 300)).await;
    let lease = bench.take(reducible("a", 1500, 900)).await.unwrap();
    assert_eq!(lease.loaded().context, 50);
    drop(lease);
    let texts = kinds(&bench, "a");
    assert!(
        texts[0].1.ends_with(
            "with a context of 50 tokens instead of 100, because 1.0 GB are all that models may take"
        ),
        "{texts:?}"
    );
    // It serves the next request for more too, because nothing larger fits.
    bench.use_once(reducible("a", 1500, 900)).await;
    assert_eq!(bench.loads().len(), 2);
    let error = bench.take(reducible("b", 1500, 1200)).await.unwrap_err();
    assert_eq!(error.code(), "out_of_memory");
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_shrinks_before_it_is_unloaded_where_the_setting_says_so() {
    let bench = bench_of_bytes(1000);
    bench.use_once(reducible("a", 600, 300)).await;
    let options = Options {
        max_loaded: 8,
        budget: budget(1000),
        max_queue: 8,
        keep_alive: KeepAlive::For(STAY),
        stop_grace: Duration::from_secs(1),
        shrink: true,
    };
    bench.scheduler.configure(options).await;
    bench.use_once(sized("b", 600)).await;
    let ready =
        |seen: &[ModelSummary]| seen.len() == 2 && seen.iter().all(|it| it.state == "ready");
    let seen = bench.until(ready).await;
    let a = seen.iter().find(|seen| seen.name.model() == "a").unwrap();
    assert_eq!((a.context, a.need.usage.host()), (50, 300 * MB));
    // Where shrinking makes no room, it is unloaded.
    bench.use_once(sized("c", 900)).await;
    assert_eq!(bench.names().await, ["c:latest"]);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_a_loaded_model_counts_for_its_reload_and_that_of_a_loading_one_for_the_next()
{
    let machine = Following::of(1000 * MB);
    let budget = MemoryBudget {
        reserve: Some(Share::Bytes(0)),
        ..MemoryBudget::default()
    };
    let bench = bench_of(usize::MAX, 64, budget, machine.clone());
    machine.follow(&bench.events);
    bench.use_once(sized("a", 800)).await;
    let larger = LoadRequest {
        settings: request("a", 200).settings,
        ..sized("a", 900)
    };
    bench.use_once(larger).await;
    bench.use_once(sized("b", 700)).await;

    bench.script("slow", "load-delay-ms 250; resident-bytes 0");
    let slow = bench.scheduler.acquire(sized("slow", 900));
    let next = async {
        bench
            .until(|seen| seen.iter().any(|it| it.state == "loading"))
            .await;
        bench.take(sized("next", 800)).await
    };
    let (slow, next) = tokio::join!(async { drop(slow.await.unwrap()) }, next);
    let ((), _next) = (slow, next.unwrap());
    assert_eq!(bench.names().await, ["next:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_beyond_the_budget_is_refused_although_its_weights_are_mapped() {
    let bench = bench_of(
        usize::MAX,
        64,
        MemoryBudget::default(),
        Shared::with(9000 * MB),
    );
    let huge = LoadRequest {
        need: Need {
            usage: Usage::of_host(40_000 * MB),
            mapped: 39_000 * MB,
        },
        ..request("huge", 100)
    };
    let error = bench.take(huge).await.unwrap_err();
    assert!(error.to_string().ends_with("are the budget"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_gave_up_context_answers_several_requests_at_once() {
    let bench = bench_of_bytes(1000);
    let first = bench.take(reducible("a", 1500, 900)).await.unwrap();
    let second = bench.take(reducible("a", 1500, 900)).await.unwrap();
    assert_eq!(bench.loads().len(), 1);
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_keeps_those_that_leave_with_it() {
    let bench = bench_of_bytes(1000);
    let together = |name: &str| LoadRequest {
        configured: ModelSettings {
            group: Some(Group::Together("rag".into())),
            ..ModelSettings::default()
        },
        ..sized(name, 400)
    };
    bench.use_once(together("embed")).await;
    bench.use_once(together("chat")).await;
    bench
        .scheduler
        .pin(ModelName::parse("embed").unwrap(), key("embed"))
        .await
        .unwrap();
    let error = bench.take(sized("other", 500)).await.unwrap_err();
    assert_eq!(error.code(), "all_pinned");
}

#[tokio::test(start_paused = true)]
async fn the_host_cache_counts_and_is_given_up_first() {
    // A sixteenth of what is available is 100 MB.
    let bench = bench_of(usize::MAX, 64, budget(1000), Shared::with(1600 * MB));
    let keeping_states = |name: &str, megabytes| LoadRequest {
        state_memory: None,
        ..sized(name, megabytes)
    };
    let host = async |name: &str| {
        let seen = bench.scheduler.list().await;
        let seen = seen.iter().find(|seen| seen.name.model() == name);
        seen.map(|seen| seen.need.usage.host() / MB)
    };
    bench.use_once(keeping_states("a", 400)).await;
    // No model is unloaded for it.
    bench.use_once(keeping_states("b", 420)).await;
    assert_eq!((host("a").await, host("b").await), (Some(500), Some(420)));
    bench.use_once(keeping_states("c", 950)).await;
    assert_eq!(host("c").await, Some(950));
    let texts = kinds(&bench, "c");
    assert!(
        texts[0]
            .1
            .ends_with("with no host cache, because 1.0 GB are all that models may take"),
        "{texts:?}"
    );
    // A configured size is kept.
    let configured = LoadRequest {
        state_memory: Some(100 * MB),
        ..sized("d", 950)
    };
    let error = bench.take(configured).await.unwrap_err();
    assert_eq!(error.code(), "out_of_memory");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_leaves_together_expires_with_its_last_model() {
    let bench = bench_of_bytes(1000);
    let member = |name: &str, stay: u64| LoadRequest {
        keep_alive: Some(KeepAlive::For(Duration::from_secs(stay))),
        configured: ModelSettings {
            group: Some(Group::Together("rag".into())),
            ..ModelSettings::default()
        },
        ..sized(name, 100)
    };
    bench.use_once(member("embed", 10)).await;
    bench.use_once(member("chat", 60)).await;
    bench.use_once(sized("other", 100)).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(bench.names().await.len(), 3);
    let seen = bench.scheduler.list().await;
    let expires = |name: &str| {
        let seen = seen.iter().find(|seen| seen.name.model() == name);
        seen.and_then(|seen| seen.expires)
    };
    assert_eq!(expires("embed"), expires("chat"));
    // A lease on one keeps all of them.
    let busy = bench.take(member("chat", 60)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(150)).await;
    drop(busy);
    assert_eq!(bench.names().await.len(), 3);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(bench.names().await, ["other:latest"]);
    let why = kinds(&bench, "embed");
    let text = "is unloaded: no model of its group 'rag' was used for a while".to_owned();
    assert!(why.contains(&(EventKind::Unloading, text)), "{why:?}");

    // What a client unloads leaves alone.
    bench.use_once(member("embed", 10)).await;
    bench.use_once(member("chat", 60)).await;
    let unloading = bench.scheduler.unload(Which::Key(key("chat")), false).await;
    assert_eq!(unloading, Unloading::Done);
    assert_eq!(bench.names().await, ["embed:latest", "other:latest"]);
}

/// A request for a model that fails on its accelerator, and takes so many megabytes on the CPU.
fn falling_back(name: &str, megabytes: u64) -> LoadRequest {
    let on_accelerator = Need {
        usage: Usage::of_host(10 * MB).with(DeviceId::new("CUDA0"), 500 * MB),
        mapped: 0,
    };
    let base = sized(name, megabytes);
    LoadRequest {
        settings: LoadSettings {
            gpu_layers: -1,
            ..base.settings
        },
        fallback: Some(Arc::new(OnCpu {
            settings: base.settings,
            need: base.need.clone(),
            smaller: Arc::from([]),
        })),
        need: on_accelerator,
        ..base
    }
}

#[tokio::test(start_paused = true)]
async fn the_cpu_in_place_of_an_accelerator_gets_room_in_main_memory() {
    let bench = bench_of_bytes(1000);
    bench.use_once(sized("a", 600)).await;
    bench.use_once(falling_back("b", 500)).await;
    assert_eq!(bench.names().await, ["b:latest"]);
    let why = kinds(&bench, "b");
    assert!(
        why.contains(&(
            EventKind::LoadFailed,
            "the load with vulkan failed: the runner program /vulkan is missing; the CPU is tried"
                .to_owned()
        )),
        "{why:?}"
    );
    // Its next request finds it there.
    bench.use_once(falling_back("b", 500)).await;
    let loads = bench.loads();
    assert_eq!(loads.iter().filter(|(name, _)| name == "b").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_request_has_its_own_context_on_the_cpu_in_place_of_an_accelerator() {
    let bench = bench_of_bytes(1000);
    let with_context = |context: u32| {
        let mut request = falling_back("b", 500);
        request.settings.context = context;
        let cpu = request.fallback.as_mut().map(Arc::make_mut).unwrap();
        cpu.settings.context = context;
        request
    };
    let take = |context| {
        let scheduler = bench.scheduler.clone();
        tokio::spawn(async move { scheduler.acquire(with_context(context)).await.unwrap() })
    };
    // Both wait for the memory of this one.
    let other = bench.take(sized("a", 995)).await.unwrap();
    let waiting = [take(100), take(300)];
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(other);
    for lease in waiting {
        assert_eq!(lease.await.unwrap().loaded().context, 300);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_accelerator_names_both_reasons() {
    let bench = bench_of_bytes(1000);
    bench.use_once(sized("a", 400)).await;
    let error = bench.take(falling_back("b", 1200)).await.unwrap_err();
    assert_eq!(error.code(), "out_of_memory");
    assert_eq!(
        error.message(),
        "model 'b:latest' cannot be loaded: it needs 1.2 GB of CPU memory, and 1.0 GB are the budget; \
         before that, the load with vulkan failed: the runner program /vulkan is missing"
    );
    assert!(error.hint().unwrap().contains("memory_budget"));
    assert_eq!(bench.names().await, ["a:latest"]);
}
