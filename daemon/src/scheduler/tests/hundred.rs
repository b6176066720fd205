//! A hundred loaded models, and requests that need the memory of some of them: what a decision takes.
//!
//! `cargo test -p daemon --lib -- hundred --nocapture` prints the times of docs/benchmarks.md. The reading of the machine's memory, some
//! 50 µs, is not in them.

use super::*;
use crate::config::Share;
use crate::memory::Usage;

const MODELS: usize = 100;
const ROUNDS: usize = 200;

/// A request for a model of so many bytes, whose runner reports none beside them.
fn of(bench: &Bench, name: &str, bytes: u64) -> LoadRequest {
    bench.script(name, "resident-bytes 0");
    LoadRequest {
        need: Need {
            usage: Usage::of_host(bytes),
            mapped: 0,
        },
        ..request(name, 100)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_decision_among_a_hundred_models_evicts_what_is_needed() {
    let budget = MemoryBudget {
        host: Some(Share::Bytes(MODELS as u64)),
        reserve: Some(Share::Bytes(0)),
        ..MemoryBudget::default()
    };
    let bench = bench_of(usize::MAX, 8, budget, Unlimited);
    for model in 0..MODELS {
        let lease = bench.scheduler.acquire(of(&bench, &format!("m{model}"), 1));
        drop(lease.await.unwrap());
    }
    let (mut leases, mut evictions) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let request = of(&bench, "m7", 1);
        let began = std::time::Instant::now();
        let lease = bench.scheduler.acquire(request).await.unwrap();
        leases.push(began.elapsed());
        drop(lease);
        let request = of(&bench, &format!("x{round}"), 3);
        let mut news = Box::pin(bench.events.listen(None));
        let began = std::time::Instant::now();
        let load = tokio::spawn({
            let scheduler = bench.scheduler.clone();
            async move { scheduler.acquire(request).await.map(drop) }
        });
        while news.next().await.unwrap().kind != EventKind::Unloading {}
        evictions.push(began.elapsed());
        load.await.unwrap().unwrap();
    }
    println!(
        "among {MODELS} models: a lease {:?}, the choice of models to unload {:?}",
        median(leases),
        median(evictions)
    );
    // The model of each round's first request is never loaded anew.
    assert_eq!(bench.loads().len(), MODELS + ROUNDS);
}
