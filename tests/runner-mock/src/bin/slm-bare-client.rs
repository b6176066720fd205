//! Answers of a mock runner without a daemon, for the bench that compares both.
//!
//! `slm-bare-client streams RUNNER STREAMS PROMPT` starts the runner, asks for as many concurrent answers, and prints the number of
//! tokens and the seconds from the first request to the end of the last answer, as JSON.
//!
//! `slm-bare-client rate RUNNER RATE COUNT` sends requests at this rate per second, each when it is due, and prints the milliseconds
//! of each from that moment to the end of its answer, as JSON.

#![expect(
    clippy::disallowed_methods,
    reason = "a program for the bench, whose only file is /dev/null"
)]

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::try_join_all;
use runner_protocol::{Generate, KvType, Load, LoadSettings, Prompt, Speculation};
use supervisor::{Files, Options, Program, Runner, Spawner, Step};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match arguments.as_slice() {
        ["streams", program, streams, prompt] => {
            concurrent(program, streams.parse()?, prompt).await?
        }
        ["rate", program, rate, count] => at_rate(program, rate.parse()?, count.parse()?).await?,
        _ => return Err("usage: slm-bare-client streams|rate RUNNER …".into()),
    };
    Ok(std::io::stdout().write_all(report.as_bytes())?)
}

/// Tokens and seconds of concurrent answers.
async fn concurrent(program: &str, streams: u32, prompt: &str) -> Result<String, Box<dyn Error>> {
    let runner = started(program, streams).await?;
    let began = Instant::now();
    let tokens = try_join_all((0..streams).map(|_| answer(&runner, prompt))).await?;
    Ok(format!(
        "{{\"tokens\": {}, \"seconds\": {}}}\n",
        tokens.iter().sum::<u32>(),
        began.elapsed().as_secs_f64()
    ))
}

/// Milliseconds of each request.
async fn at_rate(program: &str, rate: u32, count: u32) -> Result<String, Box<dyn Error>> {
    let runner = started(program, 4).await?;
    let runtime = tokio::runtime::Handle::current();
    // A thread, because the clock of the runtime has steps of a millisecond.
    let answers = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let answers = (0..count).map(|number| {
            let due = start + Duration::from_secs(1) * number / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let runner = runner.clone();
            runtime.spawn(async move {
                let tokens = answer(&runner, "word").await;
                let tokens = tokens.map_err(|error| error.to_string());
                tokens.map(|_| due.elapsed().as_secs_f64() * 1000.0)
            })
        });
        answers.collect::<Vec<_>>()
    });
    let mut times = Vec::new();
    for answer in answers.await? {
        times.push(answer.await??.to_string());
    }
    Ok(format!("{{\"milliseconds\": [{}]}}\n", times.join(", ")))
}

/// A runner with a model of this many slots that has answered once, which is not measured.
async fn started(program: &str, slots: u32) -> Result<Runner, Box<dyn Error>> {
    let mut files = Files::new();
    // The mock reads its weights only for directives.
    files.push(std::fs::File::open("/dev/null")?);
    let spawner = Spawner::start()?;
    let runner = spawner
        .spawn(&Program::new(program), files, Options::default())
        .await?;
    runner.load(load(slots), |_| {}).await?;
    answer(&runner, "word").await?;
    Ok(runner)
}

/// A model with the daemon's default settings, and this many slots.
fn load(streams: u32) -> Load {
    Load {
        weights_fd: Files::FIRST,
        shard_fds: Vec::new(),
        adapters: Vec::new(),
        sequences: streams,
        settings: LoadSettings {
            context: 4096,
            batch: 512,
            threads: 0,
            gpu_layers: 0,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        },
        chat_template: None,
        draft_fd: None,
        speculation: Speculation::Off,
        projector: None,
    }
}

/// Reads an answer to its end, and returns its tokens.
async fn answer(runner: &Runner, prompt: &str) -> Result<u32, Box<dyn Error>> {
    let text = Prompt::Text {
        text: prompt.to_owned(),
        special: false,
    };
    let mut steps = runner.generate(Generate::new(text)).await?;
    while let Some(step) = steps.next().await {
        if let Step::Done(done) = step? {
            return Ok(done.tokens);
        }
    }
    Err("the answer has no end".into())
}
