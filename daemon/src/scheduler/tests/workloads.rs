//! Random workloads: the budget is never exceeded, every request is answered, and no model that answers is unloaded.

use proptest::prelude::*;

use super::*;
use crate::config::Share;
use crate::memory::Usage;

/// One request of a workload.
#[derive(Debug, Clone)]
struct Step {
    /// When it comes, in milliseconds after the one before.
    after: u64,
    model: u8,
    context: u32,
    /// How long its answer takes, in milliseconds.
    holds: u64,
    /// When its client leaves, in milliseconds, whether it has its answer or not.
    leaves: Option<u64>,
    priority: i32,
    keep_alive: Option<u64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0_u64..400,
        0_u8..6,
        prop_oneof![4 => Just(100_u32), 1 => Just(200)],
        0_u64..3000,
        prop::option::weighted(0.2, 0_u64..2000),
        -1..2,
        prop::option::weighted(0.2, 0_u64..2000),
    );
    let step = step.prop_map(
        |(after, model, context, holds, leaves, priority, keep_alive)| Step {
            after,
            model,
            context,
            holds,
            leaves,
            priority,
            keep_alive,
        },
    );
    prop::collection::vec(step, 1..24)
}

/// Bytes of a model, which grow with its number and its context.
fn bytes(model: u8, context: u32) -> u64 {
    u64::from(model + 1) * 100 + u64::from(context)
}

/// All models together: none is larger, and hardly two fit.
const BUDGET: u64 = 1000;

fn bench_of_workload() -> Bench {
    let budget = MemoryBudget {
        reserve: Some(Share::Bytes(0)),
        ..MemoryBudget::default()
    };
    let machine = Following::of(BUDGET);
    let bench = bench_of(4, 64, budget, machine.clone());
    machine.follow(&bench.events);
    for model in 0..6 {
        let name = format!("m{model}");
        bench.script(&name, "load-delay-ms 300; resident-bytes 0");
    }
    bench
}

/// A request of the workload; true when it had its model.
async fn carry_out(bench: &Bench, step: Step, at: u64) -> bool {
    tokio::time::sleep(Duration::from_millis(at)).await;
    let name = format!("m{}", step.model);
    let keep_alive = step
        .keep_alive
        .map(|ms| KeepAlive::For(Duration::from_millis(ms)));
    let request = LoadRequest {
        need: Need {
            usage: Usage::of_host(bytes(step.model, step.context)),
            mapped: 0,
        },
        configured: ModelSettings {
            priority: Some(step.priority),
            ..ModelSettings::default()
        },
        keep_alive,
        ..request(&name, step.context)
    };
    let answer = async {
        let lease = bench
            .scheduler
            .acquire(request)
            .await
            .expect("no request is refused");
        assert!(lease.loaded().context >= step.context);
        tokio::time::sleep(Duration::from_millis(step.holds)).await;
        assert!(
            lease.runner().exit().is_none(),
            "{name} was unloaded while it answered"
        );
    };
    match step.leaves {
        None => {
            answer.await;
            true
        }
        Some(ms) => tokio::time::timeout(Duration::from_millis(ms), answer)
            .await
            .is_ok(),
    }
}

/// Checks the budget at every moment until it is dropped.
async fn watch(bench: &Bench) {
    loop {
        let loaded = bench.scheduler.list().await;
        let taken: u64 = loaded.iter().map(|model| model.need.usage.host()).sum();
        assert!(taken <= BUDGET, "{taken} bytes are taken: {loaded:?}");
        assert!(loaded.len() <= 4);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = bench_of_workload();
        let mut at = 0;
        let requests = steps.into_iter().map(|step| {
            at += step.after;
            carry_out(&bench, step, at)
        });
        let all = futures::future::join_all(requests.collect::<Vec<_>>());
        // No workload takes this long when every request is served in its turn.
        let limit = tokio::time::sleep(Duration::from_secs(600));
        tokio::select! {
            _ = all => {}
            () = watch(&bench) => {}
            () = limit => panic!("a request starves"),
        }
        bench.scheduler.close().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn workloads_keep_to_the_budget_and_every_request_is_served(steps in steps()) {
        run(steps);
    }
}
