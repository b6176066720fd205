//! Models with other adapters on the same base.

use super::memory::budget;
use super::*;

/// A request for a model with these adapters on the base `base`, whose load takes the adapters of `others` too.
fn adapted(name: &str, own: &[&str], others: &[&str]) -> LoadRequest {
    let adapter = |is_needed| {
        move |name: &&str| LoadAdapter {
            digest: Digest::of(name.as_bytes()),
            model: ModelName::parse(name).unwrap(),
            bytes: 10_000_000,
            is_needed,
        }
    };
    let own = own.iter().map(adapter(true));
    let adapters = own.chain(others.iter().map(adapter(false))).collect();
    let request = LoadRequest {
        key: key("base"),
        ..request(name, 100)
    };
    request.with_adapters(adapters)
}

impl Bench {
    async fn lease(&self, request: LoadRequest) -> Lease {
        self.scheduler.acquire(request).await.unwrap()
    }

    /// The loads so far, with the number of their adapters.
    fn adapter_loads(&self) -> Vec<(String, usize)> {
        let loads = self.mocks.adapters.lock().unwrap();
        let counted = loads.iter().map(|(name, all)| (name.clone(), all.len()));
        counted.collect()
    }
}

fn loads(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    let loads = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    loads.collect()
}

#[tokio::test(start_paused = true)]
async fn models_with_other_adapters_share_a_runner_without_a_reload() {
    let bench = bench();
    let a = bench.lease(adapted("a", &["a"], &["b"])).await;
    let b = bench.lease(adapted("b", &["b"], &["a"])).await;
    let base = bench.lease(adapted("base", &[], &["b", "a"])).await;
    assert_eq!(bench.adapter_loads(), loads(&[("a", 2)]));
    assert_eq!(a.entry, b.entry);
    assert_eq!(a.entry, base.entry);
    let seen = bench.scheduler.list().await;
    assert_eq!((seen.len(), seen[0].active), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_is_new_reloads_once_after_the_running_requests() {
    let bench = bench();
    let a = bench.lease(adapted("a", &["a"], &[])).await;
    let scheduler = bench.scheduler.clone();
    let mut waits =
        tokio::spawn(async move { scheduler.acquire(adapted("b", &["b"], &["a"])).await });
    let waited = tokio::time::timeout(Duration::from_secs(60), &mut waits).await;
    assert!(waited.is_err(), "the model is in use");
    drop(a);
    let b = waits.await.unwrap().unwrap();
    let a = bench.lease(adapted("a", &["a"], &["b"])).await;
    assert_eq!(a.entry, b.entry);
    assert_eq!(bench.adapter_loads(), loads(&[("a", 1), ("b", 2)]));
    let told = kinds(&bench, "a").into_iter();
    let told: Vec<String> = told.map(|(_, text)| text).collect();
    assert!(
        told.iter().any(|text| text.contains("needs an adapter")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_one_load_have_all_their_adapters_in_it() {
    let bench = bench();
    bench.script("other", "load-delay-ms 100");
    let other = bench.lease(request("other", 100)).await;
    let more = bench.lease(request("more", 100)).await;
    // There is room for two models, so both wait.
    let take = |request| {
        let scheduler = bench.scheduler.clone();
        tokio::spawn(async move { scheduler.acquire(request).await.unwrap() })
    };
    let waiting = [
        take(adapted("a", &["a"], &[])),
        take(adapted("b", &["b"], &[])),
    ];
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop((other, more));
    let mut entries = Vec::new();
    for lease in waiting {
        entries.push(lease.await.unwrap());
    }
    assert_eq!(entries[0].entry, entries[1].entry);
    let loads_of_base = bench.adapter_loads().split_off(2);
    assert_eq!(loads_of_base, loads(&[("a", 2)]));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_does_not_fit_is_refused_and_the_others_go_on() {
    let bench = bench();
    let script = format!("refuse-adapter {}", Digest::of(b"bad").hex());
    bench.script("a", script.leak());
    let a = bench.lease(adapted("a", &["a"], &["bad"])).await;
    let bad = adapted("bad", &["bad"], &["a"]);
    let error = bench.scheduler.acquire(bad).await.unwrap_err();
    assert!(error.to_string().contains("bad"), "{error}");
    assert!(
        error.message().contains("does not fit"),
        "{}",
        error.message()
    );
    drop(a);
    drop(bench.lease(adapted("a", &["a"], &["bad"])).await);
    assert_eq!(bench.adapter_loads(), loads(&[("a", 2)]));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_crashes_its_runner_closes_its_own_model_alone() {
    let bench = bench();
    bench.script("bad", "crash-in-load");
    for _ in 0..3 {
        let bad = adapted("bad", &["bad"], &[]);
        assert!(bench.scheduler.acquire(bad).await.is_err());
    }
    let closed = bench.scheduler.acquire(adapted("bad", &["bad"], &[])).await;
    assert!(matches!(closed, Err(Error::CrashLoop { .. })), "{closed:?}");
    drop(bench.lease(adapted("base", &[], &[])).await);
}

/// Requests that wait together, as both model slots are taken, and what becomes of each.
async fn together(bench: &Bench, requests: Vec<LoadRequest>) -> Vec<Result<Lease, Error>> {
    let first = bench.lease(request("other", 100)).await;
    let second = bench.lease(request("more", 100)).await;
    let waiting = requests.into_iter().map(|request| {
        let scheduler = bench.scheduler.clone();
        tokio::spawn(async move { scheduler.acquire(request).await })
    });
    let waiting: Vec<_> = waiting.collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop((first, second));
    let mut results = Vec::new();
    for each in waiting {
        results.push(each.await.unwrap());
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_a_load_for_several_models_is_the_error_of_one_of_them() {
    let bench = bench();
    bench.script("bad", "crash-in-load");
    for _ in 0..3 {
        let requests = vec![
            adapted("bad", &["bad"], &[]),
            adapted("a", &["a"], &["bad"]),
        ];
        let results = together(&bench, requests).await;
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.code(), "runner_crashed");
        assert!(results[1].is_ok(), "{results:?}");
        drop(results);
        let unloading = bench.scheduler.unload(Which::Key(key("base")), false).await;
        assert_eq!(unloading, Unloading::Done);
    }
    // Only its own model is closed.
    let closed = bench.scheduler.acquire(adapted("bad", &["bad"], &[])).await;
    assert!(matches!(closed, Err(Error::CrashLoop { .. })), "{closed:?}");
    drop(bench.lease(adapted("a", &["a"], &[])).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_counts_against_the_model_that_used_the_runner() {
    let bench = bench();
    for _ in 0..3 {
        drop(bench.lease(adapted("a", &["a"], &["b"])).await);
        let b = bench.lease(adapted("b", &["b"], &["a"])).await;
        let crashed = answer(&b, "[[mock: crash-at-token 1]] one two").await;
        assert!(crashed.is_err(), "{crashed:?}");
    }
    let closed = bench.scheduler.acquire(adapted("b", &["b"], &[])).await;
    assert!(matches!(closed, Err(Error::CrashLoop { .. })), "{closed:?}");
    drop(bench.lease(adapted("a", &["a"], &[])).await);
}

#[tokio::test(start_paused = true)]
async fn adapters_count_and_those_of_other_models_are_given_up_first() {
    let memory = |megabytes: u64| bench_of(2, 8, budget(megabytes), Unlimited);
    let sized = |name: &str, own: &[&str], others: &[&str]| {
        let plain = LoadRequest {
            need: Need {
                usage: crate::memory::Usage::of_host(100_000_000),
                mapped: 0,
            },
            ..adapted(name, &[], &[])
        };
        plain.with_adapters(adapted(name, own, others).adapters)
    };
    let bench = memory(120);
    drop(bench.lease(sized("a", &["a"], &["b"])).await);
    let need = bench.scheduler.list().await[0].need.usage.host();
    assert_eq!(need, 120_000_000);
    let bench = memory(115);
    drop(bench.lease(sized("a", &["a"], &["b"])).await);
    assert_eq!(bench.adapter_loads(), loads(&[("a", 1)]));
    let text = &kinds(&bench, "a")[0].1;
    assert!(
        text.contains("without the adapters of other models"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_of_a_shared_runner_unloads_it() {
    let bench = bench();
    drop(bench.lease(adapted("a", &["a"], &["b"])).await);
    drop(bench.lease(adapted("b", &["b"], &["a"])).await);
    let unloading = bench.scheduler.unload(Which::Key(key("base")), false).await;
    assert_eq!(unloading, Unloading::Done);
    assert!(bench.names().await.is_empty());
}
