//! Twenty models, memory for about three, and requests whose popularity follows Zipf's law: the scheduler against the policies
//! "least recently used" and "least frequently used", over the same requests.
//!
//! `cargo test -p daemon --lib -- zipf --nocapture` prints the table of docs/benchmarks.md. All times are those of the paused clock.

use super::*;
use crate::config::Share;
use crate::memory::Usage;

const MODELS: usize = 20;
const REQUESTS: usize = 500;
const SEEDS: u64 = 10;
const GB: u64 = 1_000_000_000;

/// Numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A model: its bytes, and the time of its load at 2 GB/s.
#[derive(Clone, Copy)]
struct Shape {
    bytes: u64,
    load: Duration,
}

/// A workload: its models, most popular first, and which one each request is for, with the time since the one before.
struct Workload {
    shapes: Vec<Shape>,
    requests: Vec<(usize, Duration)>,
    budget: u64,
}

impl Workload {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let shapes: Vec<Shape> = (0..MODELS)
            .map(|_| {
                // From 0.3 to 12 GB, small ones more often.
                let bytes = (0.3e9 * 40_f64.powf(numbers.share())) as u64;
                let load = Duration::from_millis(300 + bytes / (2 * GB / 1000));
                Shape { bytes, load }
            })
            .collect();
        let weights: Vec<f64> = (1..=MODELS).map(|rank| 1.0 / rank as f64).collect();
        let whole: f64 = weights.iter().sum();
        let requests = (0..REQUESTS)
            .map(|_| {
                let mut rest = numbers.share() * whole;
                let model = weights.iter().position(|weight| {
                    rest -= weight;
                    rest <= 0.0
                });
                let pause = -60.0 * numbers.share().max(1e-9).ln();
                (model.unwrap_or(MODELS - 1), Duration::from_secs_f64(pause))
            })
            .collect();
        let largest = shapes.iter().map(|shape| shape.bytes).max().unwrap_or(0);
        let all: u64 = shapes.iter().map(|shape| shape.bytes).sum();
        Self {
            requests,
            budget: (all / MODELS as u64 * 3).max(largest),
            shapes,
        }
    }
}

/// What a policy reached.
#[derive(Debug, Clone, Copy)]
struct Reached {
    /// Share of the requests whose model was loaded.
    hits: f64,
    /// Mean wait for a load, in seconds.
    wait: f64,
}

/// Unloads the model with the lowest rank until the new one fits.
fn simulate(workload: &Workload, rank: impl Fn(usize, &[usize], &[usize]) -> usize) -> Reached {
    let (mut last, mut count) = (vec![0; MODELS], vec![0; MODELS]);
    let mut loaded: Vec<usize> = Vec::new();
    let (mut hits, mut wait) = (0, 0.0);
    for (at, (model, _)) in workload.requests.iter().enumerate() {
        last[*model] = at + 1;
        count[*model] += 1;
        if loaded.contains(model) {
            hits += 1;
            continue;
        }
        wait += workload.shapes[*model].load.as_secs_f64();
        let bytes =
            |loaded: &[usize]| -> u64 { loaded.iter().map(|at| workload.shapes[*at].bytes).sum() };
        while bytes(&loaded) + workload.shapes[*model].bytes > workload.budget {
            let least = (0..loaded.len()).min_by_key(|at| rank(loaded[*at], &last, &count));
            loaded.swap_remove(least.expect("no model is larger than the budget"));
        }
        loaded.push(*model);
    }
    Reached {
        hits: f64::from(hits) / REQUESTS as f64,
        wait: wait / REQUESTS as f64,
    }
}

/// The same requests to the scheduler.
async fn schedule(workload: &Workload) -> Reached {
    let budget = MemoryBudget {
        host: Some(Share::Bytes(workload.budget)),
        ..MemoryBudget::default()
    };
    let bench = bench_of(usize::MAX, 8, budget, Unlimited);
    for (model, shape) in workload.shapes.iter().enumerate() {
        // The mock waits this long before each quarter.
        let quarter = shape.load.as_millis() / 4;
        let script = format!("load-delay-ms {quarter}; resident-bytes 0");
        bench.script(&format!("m{model}"), script.leak());
    }
    let (mut hits, mut wait) = (0, Duration::ZERO);
    for (model, pause) in &workload.requests {
        tokio::time::sleep(*pause).await;
        let before = bench.loads().len();
        let began = Instant::now();
        let request = LoadRequest {
            need: Need {
                usage: Usage::of_host(workload.shapes[*model].bytes),
                mapped: 0,
            },
            keep_alive: Some(KeepAlive::For(Duration::from_secs(1 << 30))),
            ..request(&format!("m{model}"), 100)
        };
        let lease = bench.scheduler.acquire(request).await.unwrap();
        wait += began.elapsed();
        hits += usize::from(bench.loads().len() == before);
        drop(lease);
    }
    Reached {
        hits: hits as f64 / REQUESTS as f64,
        wait: wait.as_secs_f64() / REQUESTS as f64,
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    (numbers[numbers.len() / 2] + numbers[(numbers.len() - 1) / 2]) / 2.0
}

#[tokio::test(start_paused = true)]
async fn eviction_beats_recency_and_frequency_under_zipf() {
    println!(
        "| seed | hits: slm | LRU | LFU | wait, s: slm | LRU | LFU |\n|---|---|---|---|---|---|---|"
    );
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let workload = Workload::new(seed);
        let ours = schedule(&workload).await;
        let recent = simulate(&workload, |model, last, _| last[model]);
        let frequent = simulate(&workload, |model, last, count| {
            count[model] * (REQUESTS + 1) + last[model]
        });
        println!(
            "| {seed} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} |",
            ours.hits, recent.hits, frequent.hits, ours.wait, recent.wait, frequent.wait
        );
        all.push([ours, recent, frequent]);
    }
    let of = |policy: usize, number: fn(&Reached) -> f64| {
        median(all.iter().map(|each| number(&each[policy])).collect())
    };
    println!(
        "| median | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} |",
        of(0, |r| r.hits),
        of(1, |r| r.hits),
        of(2, |r| r.hits),
        of(0, |r| r.wait),
        of(1, |r| r.wait),
        of(2, |r| r.wait)
    );
    for [ours, recent, frequent] in &all {
        assert!(ours.hits >= recent.hits.max(frequent.hits));
        assert!(ours.wait <= recent.wait.min(frequent.wait));
    }
    assert!(of(0, |r| r.hits) > of(1, |r| r.hits).max(of(2, |r| r.hits)));
    assert!(of(0, |r| r.wait) < of(1, |r| r.wait).min(of(2, |r| r.wait)));
}
