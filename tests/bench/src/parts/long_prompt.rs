//! A long prompt beside four streams: the gaps of the streams during its prefill.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::Bench;
use crate::answer::{Answer, longest_silence};
use crate::duel::{Duel, Setup, in_turn, same_work};
use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

const STREAMS: usize = 4;
const PROMPT: usize = 32;
/// More than they can generate: they are cancelled once the long prompt has its answer.
const ANSWER: u32 = 600;
const LONG_PROMPT: usize = 2000;
const FEW: u32 = 4;
/// Pieces of text after which a stream counts as started.
const FLOWING: usize = 8;
/// slm's requests share one context; each slot of llama-server has a part, which must fit the long prompt.
const SETUP: Setup = Setup {
    llama_context: 12_800,
    ..Setup::many(8192, STREAMS as u32 + 1)
};

/// What one run saw.
struct RunFigures {
    /// Milliseconds.
    silence: f64,
    /// Seconds.
    first: f64,
    prompt: u32,
}

/// Starts four streams, sends the long prompt, and measures the silences of the four until its first token.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let duel = Duel::start(bench, subject, SETUP)?;
    let [mut slm, mut llama, mut slm_first, mut llama_first] = [(); 4].map(|()| Samples::default());
    duel.warm()?;
    for run in 0..runs {
        let short = duel.questions(STREAMS, PROMPT, ANSWER)?;
        let long = duel.question(LONG_PROMPT, FEW)?;
        let (ours, theirs) = in_turn(
            run,
            || sample(&duel.slm, &short, &long),
            || sample(&duel.llama, &short, &long),
        )?;
        same_work(ours.prompt, theirs.prompt)?;
        say::line(&format!(
            "silence of {:.0} and {:.0} ms; the prompt took {:.1} and {:.1} s",
            ours.silence, theirs.silence, ours.first, theirs.first
        ));
        slm.push(ours.silence);
        llama.push(theirs.silence);
        slm_first.push(ours.first);
        llama_first.push(theirs.first);
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("largest gap of the four streams, ms", 0, Better::Less, slm).beside(
                "llama-server",
                llama,
                Some(0.5),
            ),
            Row::new(
                "the long prompt's first token, s",
                1,
                Better::Less,
                slm_first,
            )
            .beside("llama-server", llama_first, None),
        ],
        notes: vec![format!(
            "a prompt of {LONG_PROMPT} tokens beside {STREAMS} answers; llama-server has `{}`, ours `parallel: {}` and a context of {} that all share.",
            SETUP.llama_options().join(" "),
            SETUP.slots,
            SETUP.context
        )],
    })
}

/// Starts the streams, sends the long prompt, and measures their silences until its first token.
fn sample(endpoint: &Endpoint, short: &[Question], long: &Question) -> Result<RunFigures> {
    let enough = AtomicBool::new(false);
    let (flowing, all_flow) = mpsc::channel();
    thread::scope(|scope| {
        let streams: Vec<_> = short
            .iter()
            .map(|question| {
                let (flowing, enough) = (flowing.clone(), &enough);
                scope.spawn(move || listen(endpoint, question, &flowing, enough))
            })
            .collect();
        // A failed stream drops its sender, and the wait ends when all have.
        drop(flowing);
        let answer = (0..short.len())
            .try_for_each(|_| all_flow.recv())
            .context("a stream ended before it flowed")
            .and_then(|()| endpoint.ask(long));
        enough.store(true, Ordering::Relaxed);
        let heard: Result<Vec<StreamRecord>> = streams
            .into_iter()
            .map(|stream| stream.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect();
        let (heard, answer) = (heard?, answer?);
        Ok(RunFigures {
            silence: silence(&heard, &answer)?,
            first: answer.first().as_secs_f64(),
            prompt: answer.counts.prompt,
        })
    })
}

/// The events of one stream.
struct StreamRecord {
    pieces: Vec<Instant>,
    /// When the answer was complete, if it was before the cancel.
    ended: Option<Instant>,
}

fn listen(
    endpoint: &Endpoint,
    question: &Question,
    flowing: &mpsc::Sender<()>,
    enough: &AtomicBool,
) -> Result<StreamRecord> {
    let mut stream = endpoint.open(question)?;
    let mut pieces = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let event = stream.next()?;
        if !event.text.is_empty() {
            pieces.push(Instant::now());
            if pieces.len() == FLOWING {
                // The receiver is gone if another stream has failed.
                let _ = flowing.send(());
            }
        }
        if event.counts.is_some() {
            let ended = Some(Instant::now());
            return Ok(StreamRecord { pieces, ended });
        }
    }
    Ok(StreamRecord {
        pieces,
        ended: None,
    })
}

/// Milliseconds of the longest silence during the long prompt's prefill.
fn silence(streams: &[StreamRecord], long: &Answer) -> Result<f64> {
    let until = |heard: &StreamRecord| {
        heard
            .ended
            .map_or(long.pieces[0], |end| end.min(long.pieces[0]))
    };
    ensure!(
        streams.iter().all(|heard| until(heard) > long.asked),
        "a stream ended before the long prompt was sent"
    );
    let longest = streams
        .iter()
        .map(|heard| longest_silence(&heard.pieces, long.asked, until(heard)))
        .max();
    Ok(longest.unwrap_or(Duration::ZERO).as_secs_f64() * 1000.0)
}
