//! One stream: the rates of decode and of prefill.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::answer::Answer;
use crate::duel::{Duel, Setup, in_turn, same_work, settle};
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use crate::tools::llama_bench;
use installer::say;

const CONTEXT: u32 = 2048;
/// Tokens of the prompt for prefill.
const PROMPT: usize = 256;
/// Tokens of the prompt for decode: few, because llama-bench has none.
const SHORT_PROMPT: usize = 32;
const ANSWER: u32 = 64;
/// Enough to see the end of prefill.
const FEW: u32 = 4;

/// Both servers and llama-bench take turns; a long answer to a short prompt, and a short answer to a long one.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let duel = Duel::start(bench, subject, Setup::one(CONTEXT))?;
    let [mut writing, mut reading] = [Figures::default(), Figures::default()];
    let (mut same_text, mut shortest) = (0, ANSWER);
    duel.warm()?;
    for run in 0..runs {
        let short = duel.question(SHORT_PROMPT, ANSWER)?;
        let long = duel.question(PROMPT, FEW)?;
        let (ours, theirs) = in_turn(
            run,
            || both(&duel.slm, &short, &long),
            || both(&duel.llama, &short, &long),
        )?;
        same_work(ours.1.counts.prompt, theirs.1.counts.prompt)?;
        let (read, wrote) = llama_bench(bench, subject, PROMPT, ANSWER)?;
        settle();
        writing.push(
            ours.0.tokens_per_second(),
            theirs.0.tokens_per_second(),
            wrote,
        );
        reading.push(
            ours.1.prompt_tokens_per_second(),
            theirs.1.prompt_tokens_per_second(),
            read,
        );
        same_text += usize::from(ours.0.text == theirs.0.text);
        shortest = shortest
            .min(ours.0.counts.answer)
            .min(theirs.0.counts.answer);
    }
    ensure!(
        shortest >= ANSWER / 2,
        "an answer of {shortest} tokens is too short to measure"
    );
    Ok(Outcome::Measured {
        rows: vec![
            writing.row("answer, tokens/s", 1, [Some(1.0), Some(0.97)]),
            reading.row("prompt, tokens/s", 0, [Some(1.05), None]),
        ],
        notes: vec![
            format!(
                "{} threads; answers of at least {shortest} tokens to prompts of {SHORT_PROMPT}, and prompts of {PROMPT} tokens.",
                bench.threads
            ),
            format!("of {runs} answers, {same_text} were the same text on both servers."),
        ],
    })
}

fn both(endpoint: &Endpoint, short: &Question, long: &Question) -> Result<(Answer, Answer)> {
    Ok((endpoint.ask(short)?, endpoint.ask(long)?))
}

/// One rate of all three programs.
#[derive(Default)]
struct Figures {
    slm: Samples,
    server: Samples,
    bench: Samples,
}

impl Figures {
    fn push(&mut self, slm: f64, server: f64, bench: f64) {
        say::line(&format!(
            "{slm:.1}, llama-server {server:.1}, llama-bench {bench:.1} tokens/s"
        ));
        self.slm.push(slm);
        self.server.push(server);
        self.bench.push(bench);
    }

    fn row(self, what: &str, decimals: usize, reach: [Option<f64>; 2]) -> Row {
        Row::new(what, decimals, Better::More, self.slm)
            .beside("llama-server", self.server, reach[0])
            .beside("llama-bench", self.bench, reach[1])
    }
}
