//! From the start of the process to the first token, with the file in the page cache.

use std::time::Instant;

use anyhow::Result;

use crate::Bench;
use crate::daemon::unload;
use crate::duel::{Setup, in_turn, llama_server, settle};
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

const SETUP: Setup = Setup::one(2048);
const PROMPT: usize = 16;
const FEW: u32 = 4;

/// Three clocks, in turns.
///
/// 1. slmd runs without the model: from the request, which takes a spare runner, to the first token.
/// 2. No process of slm runs: from the start of slmd to the first token of a request sent as soon as it answers.
/// 3. llama-server, the same.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let prompts = prompts(bench, subject, runs + 1)?;
    let [mut runner, mut whole, mut llama] = [(); 3].map(|()| Samples::default());
    for (run, [first, second]) in prompts.iter().enumerate() {
        let ((with_daemon, alone), theirs) = in_turn(
            run,
            || ours(bench, subject, first, second),
            || theirs(bench, subject, first),
        )?;
        // The first run fills the page cache and is not measured.
        if run == 0 {
            continue;
        }
        say::line(&format!(
            "{alone:.3} s, with the daemon {with_daemon:.3} s, llama-server {theirs:.3} s"
        ));
        runner.push(alone);
        whole.push(with_daemon);
        llama.push(theirs);
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new(
                "spare runner of a running daemon, s",
                3,
                Better::Less,
                runner,
            )
            .beside("llama-server", llama.clone(), Some(0.4)),
            Row::new("daemon and runner, s", 3, Better::Less, whole).beside(
                "llama-server",
                llama,
                Some(0.8),
            ),
        ],
        notes: vec![format!(
            "page cache warm, context {}, a prompt of {PROMPT} tokens; llama-server has `{}` and warms itself up, as it does by default.",
            SETUP.context,
            SETUP.llama_options().join(" ")
        )],
    })
}

/// Two for each run, because a repeated prompt could come from a cache.
fn prompts(bench: &Bench, subject: &Subject, runs: usize) -> Result<Vec<[Question; 2]>> {
    let counting = llama_server(bench, subject, &SETUP.llama_options())?;
    let ruler = Ruler::new(counting.base(), &bench.next_text);
    let question = || -> Result<Question> { Ok(SETUP.question(bench, ruler.text(PROMPT)?, FEW)) };
    (0..runs).map(|_| Ok([question()?, question()?])).collect()
}

/// Seconds from the start of the daemon, and then from a request to a running daemon, to the first token.
fn ours(
    bench: &Bench,
    subject: &Subject,
    first: &Question,
    second: &Question,
) -> Result<(f64, f64)> {
    let began = Instant::now();
    let daemon = SETUP.daemon(bench)?;
    let slm = Endpoint::slm(daemon.base(), &subject.name);
    let answer = slm.ask(first)?;
    let whole = answer.pieces[0] - began;
    unload(&daemon, &subject.name)?;
    settle();
    let answer = slm.ask(second)?;
    Ok((whole.as_secs_f64(), answer.first().as_secs_f64()))
}

/// Seconds from the start of llama-server to the first token.
fn theirs(bench: &Bench, subject: &Subject, question: &Question) -> Result<f64> {
    let began = Instant::now();
    let server = llama_server(bench, subject, &SETUP.llama_options())?;
    let answer = Endpoint::llama_server(server.base()).ask(question)?;
    Ok((answer.pieces[0] - began).as_secs_f64())
}
