//! The cost of the sandbox: the same daemon with and without it, in turns.

use anyhow::Result;

use crate::Bench;
use crate::daemon::loaded;
use crate::duel::{Setup, in_turn, llama_server};
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

const SETUP: Setup = Setup::one(2048);
const PROMPT: usize = 256;
const ANSWER: u32 = 128;
const FEW: u32 = 4;

/// The figures of one daemon.
struct RunFigures {
    /// Seconds from the request that loads the model to its first token.
    load: f64,
    /// Tokens per second of an answer.
    answer: f64,
    /// Tokens per second of a prompt.
    prompt: f64,
    /// The sandbox level that the daemon reports.
    level: Option<String>,
}

/// In each run a daemon with `sandbox: auto` and one with `sandbox: off`.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    if !bench.site.daemon_help()?.contains("--sandbox") {
        return Ok(Outcome::NotThere(
            "the daemon has no setting `sandbox`.".to_owned(),
        ));
    }
    let [mut with, mut without] = [(); 2].map(|()| [(); 3].map(|()| Samples::default()));
    let mut level = None;
    for (run, pair) in questions(bench, subject, runs)?.iter().enumerate() {
        let (confined, free) = in_turn(
            run,
            || sample(bench, subject, "auto", pair),
            || sample(bench, subject, "off", pair),
        )?;
        say::line(&format!(
            "{:.1} and {:.1} tokens/s",
            confined.answer, free.answer
        ));
        for (samples, seen) in [(&mut with, &confined), (&mut without, &free)] {
            samples[0].push(seen.answer);
            samples[1].push(seen.prompt);
            samples[2].push(seen.load);
        }
        level = confined.level;
    }
    let level = level.map_or(String::new(), |level| format!(" with the level `{level}`"));
    let [answer, prompt, load] = with;
    let [free_answer, free_prompt, free_load] = without;
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("answer with the sandbox, tokens/s", 1, Better::More, answer).beside(
                "without",
                free_answer,
                Some(0.99),
            ),
            Row::new("prompt with the sandbox, tokens/s", 0, Better::More, prompt).beside(
                "without",
                free_prompt,
                Some(0.99),
            ),
            Row::new(
                "load and first token with the sandbox, s",
                3,
                Better::Less,
                load,
            )
            .beside("without", free_load, None),
        ],
        notes: vec![format!(
            "`sandbox: auto`{level} beside `sandbox: off`; a prompt of {PROMPT} tokens and an answer of {ANSWER}."
        )],
    })
}

/// For each run a short question that loads the model, and the measured one.
/// Counting their tokens also fills the page cache.
fn questions(bench: &Bench, subject: &Subject, runs: usize) -> Result<Vec<[Question; 2]>> {
    let counting = llama_server(bench, subject, &SETUP.llama_options())?;
    let ruler = Ruler::new(counting.base(), &bench.next_text);
    (0..runs)
        .map(|_| {
            Ok([
                SETUP.question(bench, ruler.text(FEW as usize)?, FEW),
                SETUP.question(bench, ruler.text(PROMPT)?, ANSWER),
            ])
        })
        .collect()
}

fn sample(
    bench: &Bench,
    subject: &Subject,
    sandbox: &str,
    [short, long]: &[Question; 2],
) -> Result<RunFigures> {
    // Both get the same prompt, and the second must not find a saved state of the first.
    let settings = [("SLM_SANDBOX", sandbox), ("SLM_STATE_DISK", "off")];
    let daemon = bench.site.daemon(&settings)?;
    let slm = Endpoint::slm(daemon.base(), &subject.name);
    let load = slm.ask(short)?.first().as_secs_f64();
    let answer = slm.ask(long)?;
    let level = loaded(&daemon)?
        .first()
        .and_then(|model| model["sandbox"].as_str())
        .map(str::to_owned);
    Ok(RunFigures {
        load,
        answer: answer.tokens_per_second(),
        prompt: answer.prompt_tokens_per_second(),
        level,
    })
}
