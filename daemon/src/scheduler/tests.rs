use std::sync::Mutex;

use futures::StreamExt;
use futures::future::BoxFuture;
use runner::protocol::{Generate, Load, Overflow, Prompt, Sampling, Speculation};
use runner::supervisor::{self, Files, Program, Spawner, Step};

use super::*;

/// Loads the mock runner, without a store. The name of a model may hold directives of the mock for its process.
struct Mocks {
    spawner: Spawner,
    scripts: Mutex<Vec<(String, &'static str)>>,
    loads: Mutex<Vec<(String, u32)>>,
}

impl Loader for Arc<Mocks> {
    fn load(&self, plan: Plan) -> BoxFuture<'static, Result<Up, Error>> {
        let mocks = self.clone();
        Box::pin(async move {
            let name = plan.name.model().to_owned();
            mocks
                .loads
                .lock()
                .unwrap()
                .push((name.clone(), plan.context));
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
            let load = Load {
                weights_fd,
                adapters: Vec::new(),
                context: plan.context,
                sequences: 4,
                batch: 512,
                threads: 0,
                gpu_layers: 0,
                main_gpu: 0,
                mmap: true,
                chat_template: None,
                draft_fd: None,
                speculation: Speculation::Auto,
                projector: None,
            };
            let loaded = runner.load(load, |_| {}).await.map_err(failed)?;
            Ok(Up {
                runner,
                loaded,
                keeping: None,
                device_reason: String::new(),
            })
        })
    }
}

struct Bench {
    scheduler: Scheduler,
    mocks: Arc<Mocks>,
    tasks: TaskTracker,
}

const STAY: Duration = Duration::from_secs(300);

fn bench_with(max_loaded: usize, max_queue: usize) -> Bench {
    let mocks = Arc::new(Mocks {
        spawner: Spawner::mock(),
        scripts: Mutex::default(),
        loads: Mutex::default(),
    });
    let tasks = TaskTracker::new();
    let options = Options {
        max_loaded,
        max_queue,
        keep_alive: Stay::For(STAY),
        stop_grace: Duration::from_secs(1),
    };
    Bench {
        scheduler: Scheduler::start(options, Arc::new(mocks.clone()), &tasks),
        mocks,
        tasks,
    }
}

fn bench() -> Bench {
    bench_with(2, 8)
}

fn want(name: &str, context: u32) -> Want {
    Want {
        plan: Plan {
            name: ModelName::parse(name).unwrap(),
            key: Key::of([name]),
            context,
            batch: 512,
            threads: 0,
            gpu_layers: 0,
            main_gpu: 0,
            mmap: true,
        },
        digest: String::new(),
        details: ModelDetails::default(),
        keep_alive: None,
    }
}

fn keeping(name: &str, stay: Stay) -> Want {
    Want {
        keep_alive: Some(stay),
        ..want(name, 100)
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
        self.scheduler.acquire(want(name, 100)).await
    }

    /// Waits, in paused time, until the list of loaded models satisfies `is`.
    async fn until(&self, is: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
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
            .map(|seen| seen.name)
            .collect();
        names.sort();
        names
    }
}

fn generate(text: &str) -> Generate {
    Generate {
        prompt: Prompt::Text {
            text: text.into(),
            special: true,
        },
        sampling: Sampling::greedy(),
        max_tokens: None,
        stop: Vec::new(),
        overflow: Overflow::Refuse,
        adapter_scales: None,
        constraint: None,
        logprobs: None,
        draft: None,
        read_as: None,
        images: None,
    }
}

/// Runs one answer to its end; how it ended.
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
async fn one_load_serves_all_who_wait_for_it() {
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
async fn an_idle_model_goes_when_its_time_is_over_and_not_before() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY - Duration::from_secs(1)).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    // Being asked for starts the clock again.
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY - Duration::from_secs(1)).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.until(<[Seen]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_model_in_use_does_not_go() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    tokio::time::sleep(STAY * 10).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    answer(&lease, "hello").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keep_alive_of_a_request_goes_over_the_default() {
    let bench = bench();
    drop(
        bench
            .scheduler
            .acquire(keeping("a", Stay::Always))
            .await
            .unwrap(),
    );
    tokio::time::sleep(STAY * 100).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    // A request that says nothing leaves it as it is.
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(STAY * 100).await;
    assert_eq!(bench.names().await, ["a:latest"]);
    drop(
        bench
            .scheduler
            .acquire(keeping("a", Stay::For(Duration::ZERO)))
            .await
            .unwrap(),
    );
    bench.until(<[Seen]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn unloading_waits_for_those_who_use_it() {
    let bench = bench();
    assert!(!bench.scheduler.unload(Key::of(["a"])).await);
    let lease = bench.acquire("a").await.unwrap();
    assert!(bench.scheduler.unload(Key::of(["a"])).await);
    answer(&lease, "still here").await.unwrap();
    drop(lease);
    bench.until(<[Seen]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn an_unused_model_is_gone_when_unloading_returns() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    bench.until(|seen| seen[0].active == 0).await;
    assert!(bench.scheduler.unload(Key::of(["a"])).await);
    assert!(bench.scheduler.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_longest_unused_idle_model_makes_room() {
    let bench = bench();
    drop(bench.acquire("a").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("b").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("c").await.unwrap());
    assert_eq!(bench.names().await, ["b:latest", "c:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_dear_to_load_stays_over_a_cheap_one() {
    let bench = bench();
    bench.script("dear", "load-delay-ms 10000");
    drop(bench.acquire("dear").await.unwrap());
    drop(bench.acquire("cheap").await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(bench.acquire("new").await.unwrap());
    assert_eq!(bench.names().await, ["dear:latest", "new:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_to_stay_goes_last() {
    let bench = bench();
    drop(
        bench
            .scheduler
            .acquire(keeping("pinned", Stay::Always))
            .await
            .unwrap(),
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    drop(bench.acquire("b").await.unwrap());
    drop(bench.acquire("c").await.unwrap());
    assert_eq!(bench.names().await, ["c:latest", "pinned:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_is_waited_for() {
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
async fn a_model_that_is_never_idle_gives_its_place_after_a_while() {
    let bench = bench_with(1, 8);
    let first = bench.acquire("a").await.unwrap();
    let other = bench.acquire("b");
    tokio::pin!(other);
    tokio::select! {
        _ = &mut other => panic!("a is in use"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    // Soon after, newcomers still get the model that is loaded.
    let second = bench.acquire("a").await.unwrap();
    drop(first);
    tokio::select! {
        _ = &mut other => panic!("a is in use"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    // Later they stand behind the one who waits.
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
async fn a_promised_place_is_taken_back_when_nobody_wants_it() {
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
    // Whoever waited has left; the next event notices it.
    bench.until(|seen| seen[0].active == 2).await;
    drop((&mut newcomer).await.unwrap());
    drop(lease);
    assert_eq!(bench.loads().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_context_is_served_and_a_larger_one_loads_again_when_idle() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    drop(bench.scheduler.acquire(want("a", 50)).await.unwrap());
    assert_eq!(bench.loads().len(), 1);
    let larger = bench.scheduler.acquire(want("a", 200));
    tokio::pin!(larger);
    tokio::select! {
        _ = &mut larger => panic!("a is in use"),
        () = tokio::time::sleep(STAY) => {}
    }
    // Nobody overtakes: this one waits for the larger context too.
    let small = bench.acquire("a");
    tokio::pin!(small);
    tokio::select! {
        _ = &mut small => panic!("somebody waits for a larger context"),
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
async fn a_full_queue_is_an_answer() {
    let bench = bench_with(1, 2);
    let lease = bench.acquire("a").await.unwrap();
    let one = bench.acquire("b");
    let two = bench.acquire("c");
    let three = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refused = bench.acquire("d").await.unwrap_err();
        assert!(matches!(refused, Error::Busy { waiting: 2 }), "{refused}");
        // A model that is loaded needs no waiting.
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
async fn whoever_leaves_gives_up_the_place() {
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
async fn a_failed_load_is_told_to_all_who_wait() {
    let bench = bench();
    bench.script("a", "load-delay-ms 100; fail-in-load memory");
    let (one, two) = tokio::join!(bench.acquire("a"), bench.acquire("a"));
    for refused in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(refused.to_body().code.as_deref(), Some("out_of_memory"));
    }
    assert_eq!(bench.loads().len(), 1);
    assert!(bench.scheduler.list().await.is_empty());
    // That is no crash, so it may be tried as often as one likes.
    for _ in 0..5 {
        assert_eq!(
            bench
                .acquire("a")
                .await
                .unwrap_err()
                .to_body()
                .code
                .as_deref(),
            Some("out_of_memory")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_noticed_at_once_and_the_next_request_loads_again() {
    let bench = bench();
    let lease = bench.acquire("a").await.unwrap();
    let error = answer(
        &lease,
        "[[mock: say farewell; crash-at-token 1]] one two three",
    )
    .await
    .unwrap_err();
    assert!(matches!(error, supervisor::Error::Exited(_)), "{error}");
    let told = Error::runner(&"a", error).to_body();
    assert!(told.error.contains("farewell"), "{told:?}");
    // The old lease is still held, and is in nobody's way.
    bench.until(<[Seen]>::is_empty).await;
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
        assert_eq!(error.to_body().code.as_deref(), Some("runner_crashed"));
    }
    let error = bench.acquire("a").await.unwrap_err();
    assert_eq!(error.to_body().code.as_deref(), Some("crash_loop"));
    assert_eq!(bench.loads().len(), 3);
    // Other models are not concerned.
    drop(bench.acquire("b").await.unwrap());
    tokio::time::sleep(Duration::from_secs(61)).await;
    // One more crash, and it rests for longer.
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
async fn closing_stops_everything_and_tells_those_who_wait() {
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
