//! A second request with the prefix of the first, during its answer and after it.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::answer::{Answer, Counts};
use crate::duel::{Duel, Setup, in_turn, settle};
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

/// Tokens of the common prefix.
const PREFIX: usize = 1000;
/// Tokens after the prefix.
const OWN: usize = 24;
/// Long enough to run until the second request has its first token.
const LONG_ANSWER: u32 = 600;
const FEW: u32 = 4;
/// Pieces of text after which the first answer counts as running.
const BUSY: usize = 4;
const SETUP: Setup = Setup {
    remember: true,
    ..Setup::many(8192, 4)
};

/// Three requests with a common prefix.
struct Trio {
    first: Question,
    second: Question,
    third: Question,
}

/// The figures of the second and the third request.
struct RunFigures {
    beside: Answer,
    after: Answer,
}

/// Each run has a different prefix, so that no cache of an earlier run helps.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let duel = Duel::start(bench, subject, SETUP)?;
    let [mut slm, mut llama, mut slm_after, mut llama_after] = [(); 4].map(|()| Samples::default());
    let (mut slm_counts, mut llama_counts) = (Counts::default(), Counts::default());
    duel.warm()?;
    // A quick check before the measurement.
    let tried = sample(&duel.slm, &trio(bench, &duel)?)?
        .beside
        .counts
        .cached;
    if tried < PREFIX as u32 / 2 {
        return Ok(Outcome::NotThere(format!(
            "of the {PREFIX} tokens that a new request has in common with a running one, the daemon says that it reused {tried}."
        )));
    }
    for run in 0..runs {
        let trio = trio(bench, &duel)?;
        let (ours, theirs) = in_turn(
            run,
            || sample(&duel.slm, &trio),
            || sample(&duel.llama, &trio),
        )?;
        say::line(&format!(
            "beside {:.3} and {:.3} s, after {:.3} and {:.3} s",
            ours.beside.first().as_secs_f64(),
            theirs.beside.first().as_secs_f64(),
            ours.after.first().as_secs_f64(),
            theirs.after.first().as_secs_f64(),
        ));
        slm.push(ours.beside.first().as_secs_f64());
        llama.push(theirs.beside.first().as_secs_f64());
        slm_after.push(ours.after.first().as_secs_f64());
        llama_after.push(theirs.after.first().as_secs_f64());
        (slm_counts, llama_counts) = (ours.beside.counts, theirs.beside.counts);
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new(
                "first token, the first request still answers, s",
                3,
                Better::Less,
                slm,
            )
            .beside("llama-server", llama, Some(0.5)),
            Row::new(
                "first token, the first request has ended, s",
                3,
                Better::Less,
                slm_after,
            )
            .beside("llama-server", llama_after, None),
        ],
        notes: vec![
            format!(
                "{PREFIX} tokens in common and about {OWN} of its own; llama-server has `{}`, ours `parallel: {}` and the same context.",
                SETUP.llama_options().join(" "),
                SETUP.slots
            ),
            format!(
                "beside the first request, ours reused {} of {} tokens and llama-server {} of {}.",
                slm_counts.cached, slm_counts.prompt, llama_counts.cached, llama_counts.prompt
            ),
        ],
    })
}

fn trio(bench: &Bench, duel: &Duel<'_>) -> Result<Trio> {
    let ruler = duel.ruler();
    let common = ruler.text(PREFIX)?;
    let question = |answer| -> Result<Question> {
        let prompt = format!("{common}\n\n{}", ruler.text(OWN)?);
        Ok(SETUP.question(bench, prompt, answer))
    };
    Ok(Trio {
        first: question(LONG_ANSWER)?,
        second: question(FEW)?,
        third: question(FEW)?,
    })
}

fn sample(endpoint: &Endpoint, trio: &Trio) -> Result<RunFigures> {
    let mut first = endpoint.open(&trio.first)?;
    let mut pieces = 0;
    while pieces < BUSY {
        let event = first.next()?;
        pieces += usize::from(!event.text.is_empty());
        ensure!(event.counts.is_none(), "the first answer is too short");
    }
    let beside = endpoint.ask(&trio.second)?;
    // Disconnecting cancels the request.
    drop(first);
    settle();
    let after = endpoint.ask(&trio.third)?;
    Ok(RunFigures { beside, after })
}
