//! Our daemon and llama.cpp's server on the same file, taking turns.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::server::{Server, free_port};
use super::site::Site;
use super::statistics::Samples;
use super::stream::{Answer, Endpoint, Question};
use crate::peer::Peer;
use crate::{process, say};

const CONTEXT: u32 = 2048;
const ANSWER_TOKENS: u32 = 128;
/// Repeated until the prompt is several hundred tokens long.
const SENTENCE: &str = "The light of the sun meets the air, and the short waves are scattered more than the long ones. ";
const SENTENCES: usize = 24;

/// The same measured on both.
#[derive(Debug, Default)]
pub(super) struct Versus {
    /// Tokens per second of one stream.
    pub(super) stream: Pair,
    /// Prompt tokens per second until the first token.
    pub(super) prompt: Pair,
    /// Tokens in the prompt.
    pub(super) prompt_tokens: u32,
    /// Fewest tokens in an answer.
    pub(super) answer_tokens: u32,
    /// How many of the answers were the same text on both.
    pub(super) same_text: usize,
    /// CPU threads of each.
    pub(super) threads: usize,
}

/// One figure of both servers.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// Ours.
    pub(super) slm: Samples,
    /// llama.cpp's.
    pub(super) llama: Samples,
}

impl Pair {
    /// Ours by theirs, of the medians.
    pub(super) fn ratio(&self) -> f64 {
        self.slm.median() / self.llama.median()
    }

    fn push(&mut self, slm: &Answer, llama: &Answer, figure: fn(&Answer) -> f64) {
        self.slm.push(figure(slm));
        self.llama.push(figure(llama));
    }
}

/// Starts both, warms both, and lets them take turns.
///
/// # Errors
/// A server failed, or the two did not do the same work.
pub(super) fn measure(site: &Site, peer: &Peer, runs: usize) -> Result<Versus> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let daemon = site.daemon()?;
    let llama = llama_server(site, peer, threads)?;
    let ours = Endpoint::Slm {
        base: daemon.base().to_owned(),
        model: site.model().to_owned(),
    };
    let theirs = Endpoint::LlamaServer {
        base: llama.base().to_owned(),
    };
    let mut versus = Versus {
        threads,
        answer_tokens: u32::MAX,
        ..Versus::default()
    };
    for run in 0..=runs {
        let question = question(run, threads);
        let (slm, llama) = in_turn(run, || ours.ask(&question), || theirs.ask(&question))?;
        ensure!(
            slm.prompt_tokens == llama.prompt_tokens,
            "the prompt is {} tokens here and {} there",
            slm.prompt_tokens,
            llama.prompt_tokens
        );
        if run == 0 {
            continue; // The first request loads, maps and warms; it is part of no figure.
        }
        say::line(&format!(
            "{:.1} and {:.1} tokens/s; prompt {:.0} and {:.0} tokens/s",
            slm.tokens_per_second(),
            llama.tokens_per_second(),
            slm.prompt_tokens_per_second(),
            llama.prompt_tokens_per_second()
        ));
        versus.stream.push(&slm, &llama, Answer::tokens_per_second);
        versus
            .prompt
            .push(&slm, &llama, Answer::prompt_tokens_per_second);
        versus.prompt_tokens = slm.prompt_tokens;
        versus.answer_tokens = versus
            .answer_tokens
            .min(slm.answer_tokens)
            .min(llama.answer_tokens);
        versus.same_text += usize::from(slm.text == llama.text);
    }
    ensure!(
        versus.answer_tokens >= ANSWER_TOKENS / 2,
        "an answer of {} tokens is too short",
        versus.answer_tokens
    );
    Ok(versus)
}

fn llama_server(site: &Site, peer: &Peer, threads: usize) -> Result<Server> {
    let port = free_port()?;
    let mut command = process::command(peer.program("llama-server"));
    command
        .arg("-m")
        .arg(site.weights()?)
        .args(["--host", "127.0.0.1", "-np", "1"])
        .args([
            "--port",
            &port.to_string(),
            "-c",
            &CONTEXT.to_string(),
            "-t",
            &threads.to_string(),
        ]);
    Server::start(&mut command, port, "/health")
}

/// Each prompt begins differently, so that no server remembers any of it.
fn question(run: usize, threads: usize) -> Question {
    let prompt = format!("Chapter {run}. {}", SENTENCE.repeat(SENTENCES));
    Question {
        prompt,
        tokens: ANSWER_TOKENS,
        threads,
        context: CONTEXT,
    }
}

/// Ours first in even runs and theirs first in odd ones, with a pause for the threads of the other to go to sleep.
fn in_turn<T>(
    run: usize,
    ours: impl FnOnce() -> Result<T>,
    theirs: impl FnOnce() -> Result<T>,
) -> Result<(T, T)> {
    let pause = || std::thread::sleep(Duration::from_millis(300));
    if run.is_multiple_of(2) {
        let ours = ours()?;
        pause();
        let theirs = theirs()?;
        pause();
        Ok((ours, theirs))
    } else {
        let theirs = theirs()?;
        pause();
        let ours = ours()?;
        pause();
        Ok((ours, theirs))
    }
}
