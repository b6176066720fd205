//! Our daemon and llama.cpp's server on the same file, taking turns.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Bench;
use super::ruler::Ruler;
use super::server::{Server, free_port};
use super::stream::{Endpoint, Question, Settings};
use super::subject::Subject;

/// Tokens that warm a server.
const WARM_PROMPT: usize = 32;
const WARM_ANSWER: u32 = 4;

/// How the two are started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    /// Cells of our context, which all requests share.
    pub(super) context: u32,
    /// Cells of llama-server's context, divided among its slots.
    pub(super) llama_context: u32,
    /// Slots of llama-server.
    pub(super) slots: u32,
    /// Concurrent requests of slmd (`parallel`), if set.
    pub(super) parallel: Option<u32>,
    /// Whether requests to slmd set threads and context.
    pub(super) told: bool,
    /// Whether llama-server keeps prompts, and reuses them.
    pub(super) remember: bool,
}

/// Both servers, running.
#[derive(Debug)]
pub(super) struct Duel<'a> {
    bench: &'a Bench,
    setup: Setup,
    theirs: Server,
    ours: Server,
    /// Our daemon.
    pub(super) slm: Endpoint,
    /// llama.cpp's server.
    pub(super) llama: Endpoint,
}

impl Setup {
    /// One slot, the given threads and context, no cached prompts.
    pub(super) const fn one(context: u32) -> Self {
        Self {
            context,
            llama_context: context,
            slots: 1,
            parallel: None,
            told: true,
            remember: false,
        }
    }

    /// `slots` slots, and as many concurrent requests.
    pub(super) const fn many(context: u32, slots: u32) -> Self {
        Self {
            slots,
            parallel: Some(slots),
            ..Self::one(context)
        }
    }

    /// The options that llama-server is started with, besides model, address and threads.
    pub(super) fn llama_options(&self) -> [String; 4] {
        [
            "-c".to_owned(),
            self.llama_context.to_string(),
            "-np".to_owned(),
            self.slots.to_string(),
        ]
    }

    /// Our daemon in this setup.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn daemon(&self, bench: &Bench) -> Result<Server> {
        match self.parallel {
            Some(parallel) => bench
                .site
                .daemon(&[("SLM_PARALLEL", parallel.to_string().as_str())]),
            None => bench.site.daemon(&[]),
        }
    }

    /// A question in this setup.
    pub(super) fn question(&self, bench: &Bench, prompt: String, tokens: u32) -> Question {
        Question {
            prompt,
            tokens,
            remember: self.remember,
            settings: self.told.then_some(Settings {
                threads: bench.threads,
                context: self.context,
            }),
        }
    }
}

impl<'a> Duel<'a> {
    /// Starts both; our model is loaded by the first request.
    ///
    /// # Errors
    /// One of them does not start.
    pub(super) fn start(bench: &'a Bench, subject: &Subject, setup: Setup) -> Result<Self> {
        let ours = setup.daemon(bench)?;
        let theirs = llama_server(bench, subject, &setup.llama_options())?;
        Ok(Self {
            bench,
            setup,
            slm: Endpoint::slm(ours.base(), &subject.name),
            llama: Endpoint::llama_server(theirs.base()),
            theirs,
            ours,
        })
    }

    /// The same with slmd asked through OpenAI's dialect.
    pub(super) fn through_openai(self, subject: &Subject) -> Self {
        Self {
            slm: Endpoint::openai(self.ours.base(), &subject.name),
            ..self
        }
    }

    /// Warms both up; this is not measured.
    ///
    /// # Errors
    /// One of them fails.
    pub(super) fn warm(&self) -> Result<()> {
        let question = self.question(WARM_PROMPT, WARM_ANSWER)?;
        let (ours, theirs) = in_turn(0, || self.slm.ask(&question), || self.llama.ask(&question))?;
        same_work(ours.counts.prompt, theirs.counts.prompt)
    }

    /// Measures prompts for this model.
    pub(super) fn ruler(&self) -> Ruler<'a> {
        Ruler::new(self.theirs.base(), &self.bench.next_text)
    }

    /// A question with a new prompt of this length.
    ///
    /// # Errors
    /// The prompt cannot be measured.
    pub(super) fn question(&self, prompt: usize, answer: u32) -> Result<Question> {
        let prompt = self.ruler().text(prompt)?;
        Ok(self.setup.question(self.bench, prompt, answer))
    }

    /// Different questions of this length.
    ///
    /// # Errors
    /// As [`Duel::question`].
    pub(super) fn questions(
        &self,
        count: usize,
        prompt: usize,
        answer: u32,
    ) -> Result<Vec<Question>> {
        (0..count).map(|_| self.question(prompt, answer)).collect()
    }
}

/// Starts llama-server on a file with the threads of the measurement, and waits until it answers.
///
/// # Errors
/// It is not built, or does not start.
pub(super) fn llama_server(bench: &Bench, subject: &Subject, options: &[String]) -> Result<Server> {
    let port = free_port()?;
    let mut command = llama_command(bench, subject, port)?;
    command.args(options);
    let server = Server::start(&mut command, port, "/health")?;
    bench.peer.check(server.id())?;
    Ok(server)
}

fn llama_command(bench: &Bench, subject: &Subject, port: u16) -> Result<Command> {
    let mut command = bench.peer.command("llama-server")?;
    command
        .arg("-m")
        .arg(&subject.weights)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["-t", &bench.threads.to_string()]);
    Ok(command)
}

/// slm first in even runs and llama-server first in odd ones, with a pause until the other's threads sleep.
///
/// # Errors
/// Those of the two.
pub(super) fn in_turn<T, U>(
    run: usize,
    ours: impl FnOnce() -> Result<T>,
    theirs: impl FnOnce() -> Result<U>,
) -> Result<(T, U)> {
    if run.is_multiple_of(2) {
        let ours = ours()?;
        settle();
        let theirs = theirs()?;
        settle();
        Ok((ours, theirs))
    } else {
        let theirs = theirs()?;
        settle();
        let ours = ours()?;
        settle();
        Ok((ours, theirs))
    }
}

/// Waits until the threads of the last server sleep.
pub(super) fn settle() {
    thread::sleep(Duration::from_millis(300));
}

/// Checks that both prompts had the same number of tokens.
///
/// # Errors
/// They differ, so a comparison would be meaningless.
pub(super) fn same_work(slm: u32, llama: u32) -> Result<()> {
    ensure!(
        slm == llama,
        "the prompt is {slm} tokens here and {llama} there"
    );
    Ok(())
}
