//! The thread that encodes images, while the engine computes others.
//!
//! Decoding a file and running the projector takes up to a minute on a small machine. The engine queues images here and finds
//! the result in its inbox. Images are encoded one after the other, and kept for a while, because each turn of a conversation brings
//! them again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use runner_protocol::{Event, Image};
use sha2::{Digest, Sha256};

use super::{EncodedImage, EncodedImages, Piece, View, budget::Budget, cells, decode};
use crate::{
    error::Error,
    ffi::{
        self,
        vision::{Divided, Part, Projector, Witness},
    },
    outbox::Outbox,
    system::worker::{Ticket, Worker},
};

/// Most requests whose images are encoded or wait for it.
const MAX_ENCODING: usize = 64;

/// Most bytes of encoded images that are kept.
const MAX_REMEMBERED: usize = 128 << 20;

/// How often progress is sent.
const BEAT: Duration = Duration::from_secs(1);

/// Largest images that can be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Tokens and cells of one prompt.
    pub(crate) cells: usize,
    /// Cells that can be decoded in one call.
    pub(crate) whole: usize,
}

/// The engine's side.
#[derive(Debug)]
pub(crate) struct ImageEncoder {
    worker: Worker<Job>,
    pulse: Arc<Pulse>,
}

/// Images to be encoded.
#[derive(Debug)]
struct Job {
    id: u64,
    images: Vec<Image>,
}

/// The result for a request's images.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Id of the request.
    pub(crate) id: u64,
    /// All of them, or what is wrong with the first bad one.
    pub(crate) encoded_images: Result<EncodedImages, Error>,
}

/// Progress of the encoder, and the way to cancel it.
#[derive(Debug)]
pub(crate) struct Pulse {
    outbox: Outbox,
    /// Locked while progress is sent, so that none follows the end of a request.
    beat: Mutex<Beat>,
}

#[derive(Debug)]
struct Beat {
    /// Id of the present request, and its ticket.
    working_for: Option<(u64, Ticket)>,
    steps: u64,
    last: Instant,
}

impl Pulse {
    /// The pulse of an idle thread.
    pub(crate) fn new(outbox: Outbox) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            beat: Mutex::new(Beat {
                working_for: None,
                steps: 0,
                last: Instant::now(),
            }),
        })
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_for(&self, job: &Job, ticket: &Ticket) {
        self.beat().working_for = Some((job.id, ticket.clone()));
    }

    fn rest(&self) {
        self.beat().working_for = None;
    }
}

impl Witness for Pulse {
    fn goes_on(&self) -> bool {
        let mut beat = self.beat();
        let Some((id, ticket)) = &beat.working_for else {
            return true;
        };
        let id = *id;
        if ticket.is_cancelled() {
            return false;
        }
        beat.steps += 1;
        if beat.last.elapsed() >= BEAT {
            beat.last = Instant::now();
            self.outbox
                .send(id, Event::EncodingImages { steps: beat.steps });
        }
        true
    }
}

impl ImageEncoder {
    /// The engine's side, and the work of the thread.
    ///
    /// `identity` tells the projector from others; `done` takes the results.
    pub(crate) fn new<'m>(
        projector: Projector<'m>,
        identity: String,
        pulse: Arc<Pulse>,
        room: Room,
        done: impl Fn(Encoded) + Send + 'm,
    ) -> (Self, impl FnOnce() + Send + 'm) {
        let mut encoding = Encoding {
            projector,
            identity,
            room,
            pulse: Arc::clone(&pulse),
            budget: Budget::default(),
            remembered: HashMap::new(),
            count: 0,
        };
        let (worker, run) = Worker::new(MAX_ENCODING, move || {
            move |job, ticket: &Ticket| encoding.work(&job, ticket, &done)
        });
        (Self { worker, pulse }, run)
    }

    /// Queues images.
    ///
    /// # Errors
    /// [`Error::TooManyImages`] when the queue is full.
    pub(crate) fn encode(&self, id: u64, images: Vec<Image>) -> Result<Ticket, Error> {
        let bytes = images.iter().map(|image| image.file.0.len()).sum();
        let queued = self.worker.queue(Job { id, images }, bytes);
        queued.map_err(|_| Error::TooManyImages)
    }

    /// Cancels a request. No progress is sent for it afterwards.
    pub(crate) fn give_up(&self, ticket: &Ticket) {
        let _silence = self.pulse.beat();
        ticket.cancel();
    }
}

/// The thread's side.
struct Encoding<'m> {
    projector: Projector<'m>,
    identity: String,
    room: Room,
    pulse: Arc<Pulse>,
    budget: Budget,
    /// Encoded images by their hash, and when each was last asked for.
    remembered: HashMap<[u8; 32], (Arc<EncodedImage>, u64)>,
    /// Counts requests for images.
    count: u64,
}

impl Encoding<'_> {
    fn work(&mut self, job: &Job, ticket: &Ticket, done: &impl Fn(Encoded)) {
        self.pulse.work_for(job, ticket);
        let encoded_images = self.encode_all(&job.images);
        self.pulse.rest();
        done(Encoded {
            id: job.id,
            encoded_images,
        });
    }

    fn encode_all(&mut self, images: &[Image]) -> Result<EncodedImages, Error> {
        let mut encoded_images = EncodedImages::new();
        let mut length = 0;
        for image in images {
            let encoded_image = self.encoded_image(image, length)?;
            length += encoded_image.length();
            encoded_images.push((image.number, encoded_image));
        }
        Ok(encoded_images)
    }

    /// Encodes an image, or finds it; `before` cells of the prompt are taken already.
    fn encoded_image(&mut self, image: &Image, before: usize) -> Result<Arc<EncodedImage>, Error> {
        let hash = self.hash(image);
        self.count += 1;
        if let Some((encoded_image, asked)) = self.remembered.get_mut(&hash) {
            *asked = self.count;
            return Ok(Arc::clone(encoded_image));
        }
        let encoded_image = Arc::new(self.encode(image, &hash, before)?);
        self.remembered
            .insert(hash, (Arc::clone(&encoded_image), self.count));
        self.forget();
        Ok(encoded_image)
    }

    fn encode(
        &mut self,
        image: &Image,
        hash: &[u8; 32],
        before: usize,
    ) -> Result<EncodedImage, Error> {
        let number = image.number;
        let pixels = decode::decode(number, &image.file.0)?;
        ffi::log::take_first_error();
        let divided = self.projector.divide(&pixels);
        let divided = divided.map_err(|_| refused(number))?;
        let bytes = self.check(number, &divided, before)?;
        let reserved = self.reserve(bytes)?;

        let mut pieces = Vec::new();
        for (at, part) in divided.parts.iter().enumerate() {
            pieces.push(match part {
                Part::Tokens(tokens) => Piece::Tokens(tokens.clone()),
                Part::Picture(picture) => {
                    let numbers = self.projector.encode(&divided, at);
                    let numbers = numbers.map_err(|_| refused(number))?;
                    if !self.pulse.goes_on() {
                        // Cancelled: the numbers are incomplete.
                        return Err(Error::Internal("it was cancelled".into()));
                    }
                    let seed = Sha256::new()
                        .chain_update(hash)
                        .chain_update((at as u64).to_le_bytes());
                    Piece::View(Arc::new(View {
                        tokens: cells::of(&seed.finalize().into(), picture.cells, self.count),
                        picture: picture.clone(),
                        numbers,
                    }))
                }
            });
        }
        Ok(EncodedImage { pieces, reserved })
    }

    /// Checks what an image becomes before it is computed. Says how many bytes that will take.
    fn check(&self, number: u32, divided: &Divided, before: usize) -> Result<usize, Error> {
        let (mut length, mut pictured) = (before, 0);
        for part in &divided.parts {
            match part {
                Part::Tokens(tokens) => length += tokens.len(),
                Part::Picture(picture) => {
                    if picture.whole && picture.cells > self.room.whole {
                        return Err(Error::Invalid(format!(
                            "image {number} becomes {} tokens that the model must read at once, and it reads {} at once; make it smaller, or load with a larger batch",
                            picture.cells, self.room.whole
                        )));
                    }
                    length += picture.cells;
                    pictured += picture.cells;
                }
            }
        }
        if length >= self.room.cells {
            return Err(Error::ContextOverflow {
                prompt: length,
                context: self.room.cells,
            });
        }
        Ok(pictured * self.projector.width() * size_of::<f32>())
    }

    fn reserve(&mut self, bytes: usize) -> Result<super::budget::Reservation, Error> {
        if let Some(reserved) = self.budget.reserve(bytes) {
            return Ok(reserved);
        }
        // What is only remembered makes room.
        self.remembered.clear();
        self.budget.reserve(bytes).ok_or(Error::TooManyImages)
    }

    /// Forgets what was not asked for for the longest time, until the rest is small enough.
    fn forget(&mut self) {
        while self.remembered.len() > 1
            && self
                .remembered
                .values()
                .map(|(it, _)| it.bytes())
                .sum::<usize>()
                > MAX_REMEMBERED
        {
            let oldest = self.remembered.iter().min_by_key(|(_, (_, asked))| *asked);
            let oldest = oldest.map(|(hash, _)| *hash);
            self.remembered
                .remove(&oldest.expect("there is more than one"));
        }
    }

    /// Tells an image, as this projector sees it, from all others.
    fn hash(&self, image: &Image) -> [u8; 32] {
        Sha256::new()
            .chain_update((self.identity.len() as u64).to_le_bytes())
            .chain_update(&self.identity)
            .chain_update(&image.file.0)
            .finalize()
            .into()
    }
}

fn refused(number: u32) -> Error {
    let reason = ffi::log::take_first_error().unwrap_or_else(|| "it gives no reason".into());
    Error::Invalid(format!(
        "image {number} cannot be used: the model's projector does not take it: {reason}"
    ))
}
