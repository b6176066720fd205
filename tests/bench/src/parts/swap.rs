//! A conversation that continues after its model was unloaded and loaded again, compared with one without the interruption.

use std::time::Instant;

use anyhow::Result;

use crate::Bench;
use crate::answer::Answer;
use crate::daemon::unload;
use crate::duel::{Setup, llama_server, settle};
use crate::row::{Better, Outcome, Row};
use crate::ruler::Ruler;
use crate::server::Server;
use crate::statistics::Samples;
use crate::stream::{Endpoint, Question};
use crate::subject::Subject;
use installer::say;

/// Tokens of the conversation.
const CONVERSATION: usize = 4000;
/// Tokens of the next question.
const NEXT: usize = 48;
const FEW: u32 = 4;
const SETUP: Setup = Setup {
    remember: true,
    ..Setup::one(8192)
};

/// The questions of all runs continue the same conversation, which is prefilled once.
struct Conversation<'a> {
    bench: &'a Bench,
    text: String,
    /// The next questions, all different.
    next: std::vec::IntoIter<String>,
}

/// In each run: a question while the model is loaded; one after it was unloaded; one to a llama-server that was just started.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let mut conversation = Conversation::new(bench, subject, 3 * runs + 2)?;
    let daemon = SETUP.daemon(bench)?;
    let slm = Endpoint::slm(daemon.base(), &subject.name);
    slm.ask(&conversation.question())?;
    // A quick check before the measurement.
    let back = swapped(&slm, &daemon, subject, &conversation.question())?;
    if back.counts.cached < CONVERSATION as u32 / 2 {
        return Ok(Outcome::NotThere(format!(
            "of a conversation of {CONVERSATION} tokens, the daemon says that it reused {} after a swap.",
            back.counts.cached
        )));
    }
    let [mut never, mut ours, mut theirs] = [(); 3].map(|()| Samples::default());
    for _ in 0..runs {
        let stayed = slm.ask(&conversation.question())?;
        let back = swapped(&slm, &daemon, subject, &conversation.question())?;
        settle();
        let recomputed = restarted(bench, subject, &conversation.question())?;
        settle();
        say::line(&format!(
            "never swapped {:.3} s, swapped {:.3} s, llama-server {recomputed:.3} s",
            stayed.first().as_secs_f64(),
            back.first().as_secs_f64()
        ));
        never.push(stayed.first().as_secs_f64());
        ours.push(back.first().as_secs_f64());
        theirs.push(recomputed);
    }
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("first token after a swap, s", 3, Better::Less, ours)
                .beside("never swapped", never, Some(1.5))
                .beside("llama-server, started again", theirs, None),
        ],
        notes: vec![format!(
            "a conversation of {CONVERSATION} tokens and a question of about {NEXT}; the clock of a swapped one begins with the request that loads the model again, that of llama-server (`{}`) with the start of its process.",
            SETUP.llama_options().join(" ")
        )],
    })
}

impl<'a> Conversation<'a> {
    fn new(bench: &'a Bench, subject: &Subject, questions: usize) -> Result<Self> {
        let counting = llama_server(bench, subject, &SETUP.llama_options())?;
        let ruler = Ruler::new(counting.base(), &bench.next_text);
        let next: Result<Vec<String>> = (0..questions).map(|_| ruler.text(NEXT)).collect();
        Ok(Self {
            bench,
            text: ruler.text(CONVERSATION)?,
            next: next?.into_iter(),
        })
    }

    fn question(&mut self) -> Question {
        let next = self.next.next().unwrap_or_default();
        let prompt = format!("{}\n\n{next}", self.text);
        SETUP.question(self.bench, prompt, FEW)
    }
}

/// The answer after the model was unloaded.
fn swapped(
    slm: &Endpoint,
    daemon: &Server,
    subject: &Subject,
    question: &Question,
) -> Result<Answer> {
    unload(daemon, &subject.name)?;
    settle();
    slm.ask(question)
}

/// Seconds from the start of a llama-server to the first token of the whole conversation.
fn restarted(bench: &Bench, subject: &Subject, question: &Question) -> Result<f64> {
    let began = Instant::now();
    let server = llama_server(bench, subject, &SETUP.llama_options())?;
    let answer = Endpoint::llama_server(server.base()).ask(question)?;
    Ok((answer.pieces[0] - began).as_secs_f64())
}
