//! Resident memory of the process with the model, for slm and llama-server in turn.
//!
//! Both map the same file, and its pages count for every process that maps it.
//! So only one of the two runs at a time, and both figures are those of Linux for the process:
//! all resident pages (`VmRSS`), and the anonymous ones (`RssAnon`).

use anyhow::{Context, Result};

use crate::Bench;
use crate::daemon::loaded;
use crate::duel::{Setup, in_turn, llama_server};
use crate::machine::{self, Memory};
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::server::Server;
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

const CONTEXT: u32 = 2048;
const PROMPT: usize = 128;
const ANSWER: u32 = 32;

/// After the load and one token, and after a longer request.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let setup = Setup::one(CONTEXT);
    let questions = questions(bench, subject, setup)?;
    let mut figures = Figures::default();
    for run in 0..runs {
        let (ours, theirs) = in_turn(
            run,
            || ours(bench, subject, setup, &questions),
            || theirs(bench, subject, setup, &questions),
        )?;
        figures.push(&ours, &theirs);
    }
    Ok(Outcome::Measured {
        rows: figures.rows(),
        notes: vec![format!(
            "`VmRSS` and `RssAnon` of the process, context {CONTEXT}, llama-server with `{}`; the longer request reads {PROMPT} tokens and writes {ANSWER}.",
            setup.llama_options().join(" ")
        )],
    })
}

fn questions(bench: &Bench, subject: &Subject, setup: Setup) -> Result<[Question; 2]> {
    let counting = llama_server(bench, subject, &setup.llama_options())?;
    let ruler = Ruler::new(counting.base(), &bench.next_text);
    Ok([
        setup.question(bench, ruler.text(4)?, 1),
        setup.question(bench, ruler.text(PROMPT)?, ANSWER),
    ])
}

/// What one run saw.
struct RunFigures {
    loaded: Memory,
    used: Memory,
    /// Memory of slmd, besides its runner.
    daemon: Option<Memory>,
}

fn ours(
    bench: &Bench,
    subject: &Subject,
    setup: Setup,
    questions: &[Question; 2],
) -> Result<RunFigures> {
    let daemon = setup.daemon(bench)?;
    let slm = Endpoint::slm(daemon.base(), &subject.name);
    let mut seen = sample(&slm, questions, || runner(&daemon))?;
    seen.daemon = Some(machine::memory(daemon.id())?);
    Ok(seen)
}

fn theirs(
    bench: &Bench,
    subject: &Subject,
    setup: Setup,
    questions: &[Question; 2],
) -> Result<RunFigures> {
    let server = llama_server(bench, subject, &setup.llama_options())?;
    let llama = Endpoint::llama_server(server.base());
    sample(&llama, questions, || Ok(server.id()))
}

fn sample(
    endpoint: &Endpoint,
    [short, long]: &[Question; 2],
    process: impl FnOnce() -> Result<u32>,
) -> Result<RunFigures> {
    endpoint.ask(short)?;
    let process = process()?;
    let loaded = machine::memory(process)?;
    endpoint.ask(long)?;
    Ok(RunFigures {
        loaded,
        used: machine::memory(process)?,
        daemon: None,
    })
}

/// The runner's process, as the daemon names it.
fn runner(daemon: &Server) -> Result<u32> {
    let models = loaded(daemon)?;
    models
        .first()
        .and_then(|model| model["pid"].as_u64())
        .and_then(|pid| u32::try_from(pid).ok())
        .context("the daemon names no process that holds the model")
}

#[derive(Default)]
struct Figures {
    resident: [Samples; 2],
    anonymous: [Samples; 2],
    used: [Samples; 2],
    with_daemon: [Samples; 2],
}

impl Figures {
    fn push(&mut self, ours: &RunFigures, theirs: &RunFigures) {
        say::line(&format!(
            "{:.0} and {:.0} MiB",
            ours.loaded.resident_mib(),
            theirs.loaded.resident_mib()
        ));
        let daemon = ours.daemon.map_or(0.0, Memory::resident_mib);
        for (side, seen, daemon) in [(0, ours, daemon), (1, theirs, 0.0)] {
            self.resident[side].push(seen.loaded.resident_mib());
            self.anonymous[side].push(seen.loaded.anonymous_mib());
            self.used[side].push(seen.used.resident_mib());
            self.with_daemon[side].push(seen.loaded.resident_mib() + daemon);
        }
    }

    fn rows(self) -> Vec<Row> {
        let row = |what: &str, [slm, llama]: [Samples; 2], reach| {
            Row::new(what, 0, Better::Less, slm).beside("llama-server", llama, reach)
        };
        vec![
            row("resident after the load, MiB", self.resident, Some(1.0)),
            row("of it without a file behind it, MiB", self.anonymous, None),
            row("resident after a longer request, MiB", self.used, None),
            row(
                "the same after the load, our daemon added, MiB",
                self.with_daemon,
                None,
            ),
        ]
    }
}
