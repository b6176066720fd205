//! Sixteen concurrent streams on slmd with default settings, and on a llama-server with eight slots.

use anyhow::Result;

use crate::Bench;
use crate::crowd::Crowd;
use crate::duel::{Duel, Setup, in_turn};
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::subject::Subject;
use installer::say;

const STREAMS: usize = 16;
const PROMPT: usize = 64;
const ANSWER: u32 = 48;
/// slmd has no settings; llama-server has the threads of the machine and the context that it needs.
const SETUP: Setup = Setup {
    parallel: None,
    told: false,
    ..Setup::many(8192, 8)
};

/// Sixteen concurrent requests.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    compare(&Duel::start(bench, subject, SETUP)?, runs)
}

/// Sixteen concurrent requests, those to slmd through OpenAI's dialect.
pub(super) fn measure_through_openai(
    bench: &Bench,
    subject: &Subject,
    runs: usize,
) -> Result<Outcome> {
    let duel = Duel::start(bench, subject, SETUP)?;
    compare(&duel.through_openai(subject), runs)
}

fn compare(duel: &Duel<'_>, runs: usize) -> Result<Outcome> {
    let [mut slm, mut llama] = [(); 2].map(|()| Samples::default());
    let [mut slm_firsts, mut llama_firsts] = [(); 2].map(|()| Samples::default());
    let (mut fewest, mut most) = (u32::MAX, 0);
    duel.warm()?;
    for run in 0..runs {
        let questions = duel.questions(STREAMS, PROMPT, ANSWER)?;
        let (ours, theirs) = in_turn(
            run,
            || Crowd::ask(&duel.slm, &questions),
            || Crowd::ask(&duel.llama, &questions),
        )?;
        say::line(&format!(
            "{:.1} and {:.1} tokens/s; first after {:.2} and {:.2} s",
            ours.tokens_per_second(),
            theirs.tokens_per_second(),
            ours.firsts().median(),
            theirs.firsts().median(),
        ));
        slm.push(ours.tokens_per_second());
        llama.push(theirs.tokens_per_second());
        slm_firsts.push(ours.firsts().median());
        llama_firsts.push(theirs.firsts().median());
        fewest = fewest.min(ours.tokens()).min(theirs.tokens());
        most = most.max(ours.tokens()).max(theirs.tokens());
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("all answers, tokens/s", 1, Better::More, slm).beside(
                "llama-server",
                llama,
                Some(1.5),
            ),
            Row::new(
                "median time to the first token, s",
                2,
                Better::Less,
                slm_firsts,
            )
            .beside("llama-server", llama_firsts, Some(0.5)),
        ],
        notes: vec![format!(
            "prompts of {PROMPT} tokens, {} tokens of answers in all; llama-server has `{}`, ours nothing.",
            super::range(fewest, most),
            SETUP.llama_options().join(" ")
        )],
    })
}
