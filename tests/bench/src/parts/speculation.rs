//! The gain and the cost of speculation: the same daemon with and without it, in turns.

use anyhow::Result;

use crate::Bench;
use crate::answer::Answer;
use crate::duel::{Setup, in_turn, llama_server};
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

const SETUP: Setup = Setup::one(2048);
/// Tokens of the text to repeat; the prompt contains it twice, so that even a small model continues it.
const TEXT: usize = 120;
const ANSWER: u32 = 120;
const FEW: u32 = 4;

/// Beginnings of texts whose continuation does not repeat them.
const PROSE: [&str; 4] = [
    "When the ship left the harbour that morning, nobody on board had slept.",
    "My grandmother kept a small shop at the corner of two streets,",
    "The history of glass begins long before anybody made a window of it.",
    "To repair an old clock, you first have to understand why it stopped.",
];

/// The answers of one daemon.
struct RunFigures {
    repeated: Answer,
    prose: Answer,
}

/// In each run a daemon with `speculative: auto` and one with `speculative: off`.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    if !bench.site.daemon_help()?.contains("--speculative") {
        return Ok(Outcome::NotThere(
            "the daemon has no setting `speculative`.".to_owned(),
        ));
    }
    let [mut with, mut without] = [(); 2].map(|()| [(); 2].map(|()| Samples::default()));
    let mut same = 0;
    for (run, questions) in questions(bench, subject, runs)?.iter().enumerate() {
        let (guessing, plain) = in_turn(
            run,
            || sample(bench, subject, "auto", questions),
            || sample(bench, subject, "off", questions),
        )?;
        for (samples, seen) in [(&mut with, &guessing), (&mut without, &plain)] {
            samples[0].push(seen.repeated.tokens_per_second());
            samples[1].push(seen.prose.tokens_per_second());
        }
        same += usize::from(guessing.repeated.text == plain.repeated.text);
        same += usize::from(guessing.prose.text == plain.prose.text);
        say::line(&format!(
            "{:.1} and {:.1} tokens/s repeating, {:.1} and {:.1} in prose",
            guessing.repeated.tokens_per_second(),
            plain.repeated.tokens_per_second(),
            guessing.prose.tokens_per_second(),
            plain.prose.tokens_per_second(),
        ));
    }
    let [repeated, prose] = with;
    let [plain_repeated, plain_prose] = without;
    Ok(Outcome::Measured {
        rows: vec![
            Row::new(
                "a text that is repeated, tokens/s",
                1,
                Better::More,
                repeated,
            )
            .beside("without", plain_repeated, Some(1.0)),
            Row::new("plain prose, tokens/s", 1, Better::More, prose).beside(
                "without",
                plain_prose,
                Some(0.97),
            ),
        ],
        notes: vec![
            format!(
                "`speculative: auto` beside `speculative: off`, without a draft model; answers of at most {ANSWER} tokens, greedy."
            ),
            format!(
                "of {} answers, {same} were the same text on both sides.",
                2 * runs
            ),
        ],
    })
}

/// For each run a short question that loads the model, one whose answer repeats the prompt, and one of plain prose.
fn questions(bench: &Bench, subject: &Subject, runs: usize) -> Result<Vec<[Question; 3]>> {
    let counting = llama_server(bench, subject, &SETUP.llama_options())?;
    let ruler = Ruler::new(counting.base(), &bench.next_text);
    let question = |prompt: String, tokens| SETUP.question(bench, prompt, tokens);
    (0..runs)
        .zip(PROSE.iter().cycle())
        .map(|(_, prose)| {
            let text = ruler.text(TEXT)?;
            Ok([
                question(ruler.text(FEW as usize)?, FEW),
                question(format!("{text}\n\n{text}\n\n"), ANSWER),
                question((*prose).to_owned(), ANSWER),
            ])
        })
        .collect()
}

fn sample(
    bench: &Bench,
    subject: &Subject,
    speculative: &str,
    [short, repeated, prose]: &[Question; 3],
) -> Result<RunFigures> {
    let daemon = bench.site.daemon(&[("SLM_SPECULATIVE", speculative)])?;
    let slm = Endpoint::slm(daemon.base(), &subject.name);
    slm.ask(short)?;
    Ok(RunFigures {
        repeated: slm.ask(repeated)?,
        prose: slm.ask(prose)?,
    })
}
