//! Requests with images: their way to the encoder and back, and the steps that decode encoded images.

use std::{mem, ops::Range, time::Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    Bytes, Event, Generate, Image, Images, MAX_IMAGES, MAX_IMAGES_BYTES, MAX_MARK_BYTES,
};

use super::{Due, Engine, TAIL, sequence::unanswered};
use crate::{
    error::Error,
    images::{EncodedImages, Next, PlacedImages, cells::is_cell, compose, encoder::Encoded},
    schedule::{clock::Clock, pace::StepLoad, step},
    speculation::Draft,
    system::worker::Ticket,
};

/// A request whose images are encoded.
#[derive(Debug)]
pub(super) struct Encoding {
    generate: Box<Generate>,
    clock: Clock,
    ticket: Ticket,
}

/// The encoded images of a request.
#[derive(Debug)]
pub(super) struct RequestImages {
    pub(super) images: Images,
    pub(super) encoded_images: EncodedImages,
    pub(super) clock: Clock,
}

/// Cells of an image that are decoded in one step.
#[derive(Debug)]
pub(super) struct ImageChunk {
    /// What the other sequences do.
    step_load: StepLoad,
    /// Index of its sequence.
    index: usize,
    next: Next,
    cells: Range<usize>,
}

impl RequestImages {
    /// Tokens of a prompt with its images.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the prompt does not show each image once.
    pub(super) fn compose(
        &self,
        prompt: &str,
        tokenize: impl Fn(&str, bool) -> Vec<LlamaToken>,
    ) -> Result<(Vec<LlamaToken>, PlacedImages), Error> {
        compose(prompt, &self.images, &self.encoded_images, tokenize)
    }
}

/// The last tokens of a prompt that are text.
pub(super) fn tail(tokens: &[LlamaToken]) -> &[LlamaToken] {
    let tail = &tokens[tokens.len().saturating_sub(TAIL)..];
    let last_cell = tail.iter().rposition(|token| is_cell(*token));
    &tail[last_cell.map_or(0, |at| at + 1)..]
}

/// Checks the images of a request before a file is decoded.
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
    /// Has the encoder encode a request's images.
    pub(super) fn encode_images(&mut self, id: u64, mut generate: Box<Generate>) {
        let Some(encoder) = &self.encoder else {
            let error = "this model has no projector, so it cannot see images".into();
            return self.outbox.fail(id, Error::Invalid(error));
        };
        let images = generate.images.as_mut().expect("asked before");
        if let Err(error) = check(images) {
            return self.outbox.fail(id, error);
        }
        // The request keeps the places of its images, not the files.
        let files = images.images.iter_mut().map(|image| Image {
            number: image.number,
            file: Bytes(mem::take(&mut image.file.0)),
        });
        match encoder.encode(id, files.collect()) {
            Ok(ticket) => {
                let clock = Clock::start();
                let encoding = Encoding {
                    generate,
                    clock,
                    ticket,
                };
                self.encoding.insert(id, encoding);
            }
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Continues with a request whose images are encoded.
    pub(super) fn encoded(&mut self, Encoded { id, encoded_images }: Encoded) {
        // A cancelled request has its answer already.
        let Some(Encoding {
            mut generate,
            clock,
            ..
        }) = self.encoding.remove(&id)
        else {
            return;
        };
        let images = generate.images.take().expect("asked before");
        match encoded_images {
            Ok(encoded_images) => {
                let encoded = RequestImages {
                    images,
                    encoded_images,
                    clock,
                };
                self.render_or_prepare(id, generate, Some(encoded));
            }
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Cancels a request whose images are encoded. False when there is none.
    pub(super) fn stop_encoding(&mut self, id: u64) -> bool {
        let (Some(waiting), Some(encoder)) = (self.encoding.remove(&id), &self.encoder) else {
            return false;
        };
        encoder.give_up(&waiting.ticket);
        let done = unanswered(waiting.generate.sampling.seed, waiting.clock);
        self.outbox.send(id, Event::Done(Box::new(done)));
        true
    }

    /// Takes images out of the outstanding tokens, because they are decoded in steps without text.
    /// Returns the cells of this step, if it decodes an image; with text outstanding, every other step is for text.
    pub(super) fn next_image_chunk(&mut self, outstanding: &mut [usize]) -> Option<ImageChunk> {
        let mut due = None;
        for (index, outstanding) in outstanding.iter_mut().enumerate() {
            let slot = &self.slots.running()[index];
            let Some(next) = slot.tenant.placed_images.next(slot.computed()) else {
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
        self.image_step_last = !(self.image_step_last && text);
        if !self.image_step_last {
            return None;
        }
        let end = next.range().end;
        let mut step_load = step::load_of(outstanding);
        step_load.prefilling += 1;
        let most = match next.view.picture.whole {
            true => end,
            false => from + self.chunk(step_load).min(self.batch_tokens),
        };
        Some(ImageChunk {
            step_load,
            index,
            cells: from..end.min(most),
            next,
        })
    }

    /// Decodes cells of an image, and what follows from it.
    pub(super) fn decode_image_chunk(&mut self, next_image_chunk: ImageChunk) {
        let ImageChunk {
            step_load,
            index,
            next,
            cells,
        } = next_image_chunk;
        let slot = &self.slots.running()[index];
        let last = cells.end == slot.tenant.tokens.len();
        let count = cells.len();
        // Not to be stopped: the cache does not tell how much of an image it holds then.
        self.interrupt.watch(Vec::new());
        let began = Instant::now();
        if let Err(error) = self.memory.decode_image(slot.seq, &next, cells, last) {
            return self.recover(error);
        }
        self.pace.learn(count, step_load, began.elapsed());
        let mut shares = vec![0; self.slots.running().len()];
        shares[index] = count;
        // With more than one token outstanding it counts as prefill.
        let outstanding = vec![usize::MAX; shares.len()];
        self.computed(&outstanding, &shares);
        if last {
            // Only the last cell has logits.
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
