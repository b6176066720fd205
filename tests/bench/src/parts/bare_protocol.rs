//! Concurrent streams of a mock runner through the daemon, and through the runner protocol alone.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Bench;
use crate::crowd::Crowd;
use crate::duel::in_turn;
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::{process, say};

const STREAMS: usize = 16;
/// The tokens of an answer.
const ANSWER: u32 = 400;
/// Milliseconds from one token to the next: a fast model with this many streams on a small machine.
const PACE: u32 = 5;
/// The least share of the tokens per second that the daemon passes on.
const REACH: f64 = 0.98;

/// Tokens per second of both.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let daemon = bench.site.daemon_with_mock(&[])?;
    let endpoints = [
        ("/api/generate", Endpoint::slm(daemon.base(), &subject.name)),
        (
            "/v1/completions",
            Endpoint::openai(daemon.base(), &subject.name),
        ),
    ];
    let prompt = format!("[[mock: count {ANSWER}; delay-ms {PACE}]]");
    let mut rows = Vec::new();
    for (path, endpoint) in endpoints {
        let questions = vec![question(&prompt, ANSWER); STREAMS];
        // This loads the model and is not measured.
        endpoint.ask(&question("word", 1))?;
        let (mut whole, mut bare) = (Samples::default(), Samples::default());
        for run in 0..runs {
            let (ours, alone) = in_turn(
                run,
                || Crowd::ask(&endpoint, &questions),
                || without_daemon(bench, &prompt),
            )?;
            whole.push(ours.tokens_per_second());
            bare.push(alone);
        }
        say::line(&format!(
            "{path}: {:.1} of {:.1} tokens/s",
            whole.median(),
            bare.median()
        ));
        let what = format!("{path}, all answers, tokens/s");
        rows.push(Row::new(what, 1, Better::More, whole).beside(
            "runner protocol",
            bare,
            Some(REACH),
        ));
    }
    Ok(Outcome::Measured {
        rows,
        notes: vec![format!(
            "{STREAMS} streams of {ANSWER} tokens, one each {PACE} ms, of the mock runner."
        )],
    })
}

fn question(prompt: &str, tokens: u32) -> Question {
    Question {
        prompt: prompt.to_owned(),
        tokens,
        remember: false,
        settings: None,
    }
}

/// Tokens per second of a client that speaks the runner protocol itself.
fn without_daemon(bench: &Bench, prompt: &str) -> Result<f64> {
    let report = process::output(
        process::command(bench.site.executable("slm-bare-client"))
            .arg("streams")
            .arg(bench.site.executable("slm-mock-runner"))
            .arg(STREAMS.to_string())
            .arg(prompt),
    )?;
    let report: Value = serde_json::from_str(&report)?;
    let number = |name: &str| {
        let number = report[name].as_f64();
        number.with_context(|| format!("the bare client reports no {name}"))
    };
    Ok(number("tokens")? / number("seconds")?)
}
