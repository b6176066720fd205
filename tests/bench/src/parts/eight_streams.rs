//! Eight concurrent streams: total rate, and gaps between tokens.

use anyhow::Result;

use crate::Bench;
use crate::crowd::Crowd;
use crate::duel::{Duel, Setup, in_turn, settle};
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::tools::batched_bench;
use installer::say;

const STREAMS: u32 = 8;
/// Of all streams together.
const CONTEXT: u32 = 8192;
const PROMPT: usize = 64;
const ANSWER: u32 = 64;

/// Eight concurrent requests; both servers and llama-batched-bench take turns.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let setup = Setup::many(CONTEXT, STREAMS);
    let duel = Duel::start(bench, subject, setup)?;
    let streams = STREAMS as usize;
    let [mut slm, mut llama, mut batched] = [(); 3].map(|()| Samples::default());
    let [mut slm_gaps, mut llama_gaps] = [(); 2].map(|()| Samples::default());
    let (mut fewest, mut most) = (u32::MAX, 0);
    duel.warm()?;
    for run in 0..runs {
        let questions = duel.questions(streams, PROMPT, ANSWER)?;
        let (ours, theirs) = in_turn(
            run,
            || Crowd::ask(&duel.slm, &questions),
            || Crowd::ask(&duel.llama, &questions),
        )?;
        let alone = batched_bench(bench, subject, streams, PROMPT, ANSWER)?;
        settle();
        say::line(&format!(
            "{:.1}, llama-server {:.1}, llama-batched-bench {:.1} tokens/s; p95 gap {:.0} and {:.0} ms",
            ours.tokens_per_second(),
            theirs.tokens_per_second(),
            alone.median(),
            ours.gaps().percentile(95),
            theirs.gaps().percentile(95),
        ));
        slm.push(ours.tokens_per_second());
        llama.push(theirs.tokens_per_second());
        batched.extend(alone);
        slm_gaps.push(ours.gaps().percentile(95));
        llama_gaps.push(theirs.gaps().percentile(95));
        fewest = fewest.min(ours.tokens()).min(theirs.tokens());
        most = most.max(ours.tokens()).max(theirs.tokens());
    }
    let mut notes = vec![format!(
        "prompts of {PROMPT} tokens, {} tokens of answers in all; llama-server has `{}`, ours `parallel: {STREAMS}` and the same context.",
        super::range(fewest, most),
        setup.llama_options().join(" ")
    )];
    if batched.is_empty() {
        notes.push("llama-batched-bench is not built; `cargo xtask peer` builds it.".to_owned());
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("all answers, tokens/s", 1, Better::More, slm)
                .beside("llama-server", llama, Some(1.15))
                .beside("llama-batched-bench", batched, Some(0.95)),
            Row::new(
                "95 of 100 gaps between tokens are at most, ms",
                0,
                Better::Less,
                slm_gaps,
            )
            .beside("llama-server", llama_gaps, Some(1.0)),
        ],
        notes,
    })
}
