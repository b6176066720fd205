//! Requests whose prompts show images: their way to the eyes and back, and the steps that compute what was seen.

use std::{mem, ops::Range, time::Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    Bytes, Event, Generate, Image, Images, MAX_IMAGES, MAX_IMAGES_BYTES, MAX_MARK_BYTES,
};

use super::{Due, Engine, TAIL, sequence::unanswered};
use crate::{
    error::Error,
    images::{
        Album, Next, Sights,
        cells::is_cell,
        compose,
        eyes::{Looked, MAX_LOOKING, Ticket},
    },
    schedule::{clock::Clock, pace::Company, step},
    speculation::Draft,
};
/// Most bytes of files that wait to be looked at.
const MAX_LOOKING_BYTES: usize = 256 << 20;

/// A request whose images are looked at.
#[derive(Debug)]
pub(super) struct Waiting {
    generate: Box<Generate>,
    /// Of its files.
    bytes: usize,
    clock: Clock,
    ticket: Ticket,
}

/// The images of a request, looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) images: Images,
    pub(super) sights: Sights,
    pub(super) clock: Clock,
}

/// Cells of a picture that are computed in one step.
#[derive(Debug)]
pub(super) struct Glance {
    /// Who else there is to compute for.
    company: Company,
    /// Which sequence.
    index: usize,
    next: Next,
    cells: Range<usize>,
}

impl Seen {
    /// Tokens of a prompt with its images.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the prompt does not show each image once.
    pub(super) fn compose(
        &self,
        prompt: &str,
        tokenize: impl Fn(&str, bool) -> Vec<LlamaToken>,
    ) -> Result<(Vec<LlamaToken>, Album), Error> {
        compose(prompt, &self.images, &self.sights, tokenize)
    }
}

/// The last tokens of a prompt that are text.
pub(super) fn tail(tokens: &[LlamaToken]) -> &[LlamaToken] {
    let tail = &tokens[tokens.len().saturating_sub(TAIL)..];
    let seen = tail.iter().rposition(|token| is_cell(*token));
    &tail[seen.map_or(0, |at| at + 1)..]
}

/// Checks what a request says of its images before a file of them is read.
fn check(images: &Images) -> Result<(), Error> {
    let good = (1..=MAX_MARK_BYTES).contains(&images.mark.len())
        && (1..=MAX_IMAGES).contains(&images.images.len())
        && images.bytes() <= MAX_IMAGES_BYTES;
    good.then_some(()).ok_or_else(|| {
        Error::Invalid(format!(
            "a prompt shows 1 to {MAX_IMAGES} images, with {} MiB together at most",
            MAX_IMAGES_BYTES >> 20
        ))
    })
}

impl Engine<'_> {
    /// Hands the images of a request to the eyes.
    pub(super) fn look(&mut self, id: u64, mut generate: Box<Generate>) {
        let Some(eyes) = &self.eyes else {
            let error = "this model has no projector, so it cannot see images".into();
            return self.outbox.fail(id, Error::Invalid(error));
        };
        let images = generate.images.as_mut().expect("asked before");
        if let Err(error) = check(images) {
            return self.outbox.fail(id, error);
        }
        let bytes = images.bytes();
        let lying: usize = self.looking.values().map(|waiting| waiting.bytes).sum();
        if self.looking.len() >= MAX_LOOKING || lying + bytes > MAX_LOOKING_BYTES {
            return self.outbox.fail(id, Error::TooManyImages);
        }
        // What stays has the places of the images, and no files any more.
        let files = images.images.iter_mut().map(|image| Image {
            number: image.number,
            file: Bytes(mem::take(&mut image.file.0)),
        });
        let ticket = eyes.look(id, files.collect());
        self.looking.insert(
            id,
            Waiting {
                generate,
                bytes,
                clock: Clock::start(),
                ticket,
            },
        );
    }

    /// Goes on with a request whose images were looked at.
    pub(super) fn looked(&mut self, Looked { id, sights }: Looked) {
        // One that was cancelled has its answer already.
        let Some(Waiting {
            mut generate,
            clock,
            ..
        }) = self.looking.remove(&id)
        else {
            return;
        };
        let images = generate.images.take().expect("asked before");
        match sights {
            Ok(sights) => {
                let seen = Seen {
                    images,
                    sights,
                    clock,
                };
                self.render_or_prepare(id, generate, Some(seen));
            }
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Cancels a request whose images are looked at. False when there is none.
    pub(super) fn look_away(&mut self, id: u64) -> bool {
        let (Some(waiting), Some(eyes)) = (self.looking.remove(&id), &self.eyes) else {
            return false;
        };
        eyes.give_up(&waiting.ticket);
        let done = unanswered(waiting.generate.sampling.seed, waiting.clock);
        self.outbox.send(id, Event::Done(Box::new(done)));
        true
    }

    /// Leaves what is seen out of what sequences have outstanding, because it is computed in steps of its own.
    /// Says what of it is computed in this step; every other one is for text, where there is text to compute.
    pub(super) fn glance(&mut self, outstanding: &mut [usize]) -> Option<Glance> {
        let mut due = None;
        for (index, outstanding) in outstanding.iter_mut().enumerate() {
            let slot = &self.slots.running()[index];
            let Some(next) = slot.tenant.album.next(slot.computed()) else {
                continue;
            };
            match next.start.checked_sub(slot.computed()) {
                Some(before) if before > 0 => *outstanding = (*outstanding).min(before),
                _ if *outstanding == 0 => {}
                _ => {
                    *outstanding = 0;
                    due.get_or_insert((index, next, slot.computed()));
                }
            }
        }
        let (index, next, from) = due?;
        let text = outstanding.iter().any(|outstanding| *outstanding > 0);
        self.looked_last = !(self.looked_last && text);
        if !self.looked_last {
            return None;
        }
        let end = next.range().end;
        let mut company = step::company(outstanding);
        company.readers += 1;
        let most = match next.view.picture.whole {
            true => end,
            false => from + self.chunk(company).min(self.batch_tokens),
        };
        Some(Glance {
            company,
            index,
            cells: from..end.min(most),
            next,
        })
    }

    /// Computes cells of a picture, and what follows from it.
    pub(super) fn see(&mut self, glance: Glance) {
        let Glance {
            company,
            index,
            next,
            cells,
        } = glance;
        let slot = &self.slots.running()[index];
        let last = cells.end == slot.tenant.tokens.len();
        let count = cells.len();
        // What is computed here is not stopped: a cache does not tell how much of a picture is left then.
        self.interrupt.watch(Vec::new());
        let began = Instant::now();
        if let Err(error) = self.memory.see(slot.seq, &next, cells, last) {
            return self.recover(error);
        }
        self.pace.learn(count, company, began.elapsed());
        let mut shares = vec![0; self.slots.running().len()];
        shares[index] = count;
        // With more than one outstanding, it counts as one that reads.
        let outstanding = vec![usize::MAX; shares.len()];
        self.computed(&outstanding, &shares);
        if last {
            // The last of the cells is the only output.
            let place = i32::try_from(count - 1).expect("a batch has at most 2^16 tokens");
            let draft = Draft::default();
            self.follow(&Due {
                index,
                place,
                draft,
            });
        }
    }
}
