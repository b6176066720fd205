//! Two models that take turns where only one fits: fifty swaps, against llama-server's own router with one model at a time.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::Bench;
use crate::daemon::loaded;
use crate::duel::settle;
use crate::machine;
use crate::models::Model;
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::server::{Server, free_port};
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question, Settings};
use crate::subject::Subject;
use installer::{files, say};

/// Swaps in one run.
const SWAPS: usize = 50;
/// Swaps before the memory is measured the first time, so that every buffer has its size.
const WARM: usize = 10;
const CONTEXT: u32 = 2048;
const PROMPT: usize = 16;
const FEW: u32 = 4;

/// In each run: fifty requests for two models in turn to each server. Each request unloads the other model.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let other = Model::Qwen3Q8.provide(&bench.site, &bench.kept, &bench.peer)?;
    let pair = [subject.clone(), other];
    let [mut ours, mut theirs, mut growth] = [(); 3].map(|()| Samples::default());
    for _ in 0..runs {
        let (times, grown) = ours_in_turn(bench, &pair)?;
        settle();
        let router = router_in_turn(bench, &pair)?;
        settle();
        say::line(&format!(
            "median of {SWAPS} swaps: {:.3} s, llama-server's router {:.3} s, memory of the daemon grew by {grown:.1} MiB",
            times.median(),
            router.median()
        ));
        ours.push(times.median());
        theirs.push(router.median());
        growth.push(grown);
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("median first token after a swap, s", 3, Better::Less, ours).beside(
                "llama-server's router",
                theirs,
                Some(0.5),
            ),
            Row::new(
                "memory that 40 swaps add to slmd, MiB",
                1,
                Better::Less,
                growth,
            ),
        ],
        notes: vec![format!(
            "{SWAPS} requests for two models of Qwen3-0.6B's shape in turn (Q4_K_M, Q8_0), where one is loaded at a time (`SLM_MAX_LOADED_MODELS=1`, `--models-max 1`); context {CONTEXT}, prompts of {PROMPT} tokens; the page cache is warm."
        )],
    })
}

/// Seconds to the first token of each swap, and by how many MiB the daemon grew after the first ones.
fn ours_in_turn(bench: &Bench, pair: &[Subject; 2]) -> Result<(Samples, f64)> {
    let questions = questions(bench, pair)?;
    let daemon = bench.site.daemon(&[("SLM_MAX_LOADED_MODELS", "1")])?;
    let mut times = Samples::default();
    let mut before = 0.0;
    for (swap, question) in questions.iter().enumerate() {
        let slm = Endpoint::slm(daemon.base(), &pair[swap % 2].name);
        let answer = slm.ask(question)?;
        if swap == WARM {
            before = machine::memory(daemon.id())?.resident_mib();
        }
        if swap > 1 {
            times.push(answer.first().as_secs_f64());
        }
        let there = loaded(&daemon)?;
        ensure!(
            there.len() <= 2,
            "more models are loaded than fit: {there:?}"
        );
        settle();
    }
    Ok((times, machine::memory(daemon.id())?.resident_mib() - before))
}

/// The same through llama-server's router.
fn router_in_turn(bench: &Bench, pair: &[Subject; 2]) -> Result<Samples> {
    let questions = questions(bench, pair)?;
    let folder = tempfile::tempdir()?;
    for subject in pair {
        let name = format!("{}.gguf", subject.name);
        files::link(&subject.weights, &folder.path().join(name))?;
    }
    let server = router(bench, folder.path())?;
    let mut times = Samples::default();
    for (swap, question) in questions.iter().enumerate() {
        let endpoint = Endpoint::llama_router(server.base(), &pair[swap % 2].name);
        let answer = endpoint.ask(question)?;
        if swap > 1 {
            times.push(answer.first().as_secs_f64());
        }
        settle();
    }
    Ok(times)
}

fn router(bench: &Bench, models: &Path) -> Result<Server> {
    let port = free_port()?;
    let mut command = bench.peer.command("llama-server")?;
    command
        .arg("--models-dir")
        .arg(models)
        .args(["--models-max", "1"])
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["-t", &bench.threads.to_string()])
        .args(["-c", &CONTEXT.to_string(), "-np", "1"]);
    Server::start(&mut command, port, "/health")
}

/// A question for each swap, all different.
fn questions(bench: &Bench, pair: &[Subject; 2]) -> Result<Vec<Question>> {
    let counting = crate::duel::llama_server(bench, &pair[0], &["-c".into(), "512".into()])?;
    let ruler = Ruler::new(counting.base(), &bench.next_text);
    let question = |_| -> Result<Question> {
        Ok(Question {
            prompt: ruler.text(PROMPT)?,
            tokens: FEW,
            remember: false,
            settings: Some(Settings {
                threads: bench.threads,
                context: CONTEXT,
            }),
        })
    };
    (0..SWAPS + 2).map(question).collect()
}
