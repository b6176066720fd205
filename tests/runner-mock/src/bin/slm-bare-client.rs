//! Answers of a mock runner without a daemon, for the bench that compares both.
//!
//! `slm-bare-client RUNNER STREAMS PROMPT` starts the runner, asks for as many concurrent answers, and prints the number of tokens
//! and the seconds from the first request to the end of the last answer, as JSON.

#![expect(
    clippy::disallowed_methods,
    reason = "a program for the bench, whose only file is /dev/null"
)]

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::try_join_all;
use runner_protocol::{Generate, Load, LoadSettings, Prompt, Speculation};
use supervisor::{Files, Options, Program, Runner, Spawner, Step};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, streams, prompt] = arguments.as_slice() else {
        return Err("usage: slm-bare-client RUNNER STREAMS PROMPT".into());
    };
    let streams: u32 = streams.parse()?;
    let mut files = Files::new();
    // The mock reads its weights only for directives.
    files.push(std::fs::File::open("/dev/null")?);
    let spawner = Spawner::start()?;
    let runner = spawner
        .spawn(&Program::new(program), files, Options::default())
        .await?;
    runner.load(load(streams), |_| {}).await?;
    // The first answer is not measured, as with the daemon.
    answer(&runner, "word").await?;
    let began = Instant::now();
    let tokens = try_join_all((0..streams).map(|_| answer(&runner, prompt))).await?;
    let report = format!(
        "{{\"tokens\": {}, \"seconds\": {}}}\n",
        tokens.iter().sum::<u32>(),
        began.elapsed().as_secs_f64()
    );
    Ok(std::io::stdout().write_all(report.as_bytes())?)
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
            main_gpu: 0,
            mmap: true,
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
