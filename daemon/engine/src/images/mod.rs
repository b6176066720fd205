//! Images in prompts.
//!
//! ```text
//! file ─► decode ─► pixels ─► projector ─► pieces: tokens and views ─► tokens of the sequence, and placed images
//!        └────────────── the encoder, a thread─────────────┘
//! ```
//! - A prompt has a place for each image, which its template moved to where it belongs.
//! - The **encoder** ([`encoder`]) turns a file into embeddings. That takes seconds, so it has a thread.
//! - Then the prompt is put together: what the model reads for an image stands in its place, and for each cell of a view a number
//!   that is no token ([`cells`]). From there on an image is a part of the sequence like any other.
//! - The engine decodes views in steps without text (`engine::images`), at the positions that [`folds`] knows.

mod budget;
pub(crate) mod cells;
pub(crate) mod decode;
pub(crate) mod encoder;
pub(crate) mod folds;

use std::{ops::Range, sync::Arc};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::Images;

use self::budget::Reservation;
use crate::{error::Error, ffi::vision::Picture};

/// What the model reads for an image.
#[derive(Debug)]
pub(crate) struct EncodedImage {
    pieces: Vec<Piece>,
    reserved: Reservation,
}

/// A part of that.
#[derive(Debug)]
enum Piece {
    Tokens(Vec<LlamaToken>),
    View(Arc<View>),
}

/// A piece of an image as the model reads it.
#[derive(Debug)]
pub(crate) struct View {
    /// How it takes cells and positions.
    pub(crate) picture: Picture,
    /// What stands for its cells among tokens.
    tokens: Vec<LlamaToken>,
    /// What is computed, for all cells.
    numbers: Vec<f32>,
}

/// The images of one request, by their numbers.
pub(crate) type EncodedImages = Vec<(u32, Arc<EncodedImage>)>;

/// Where views stand in a sequence; most have none.
#[derive(Debug, Default)]
pub(crate) struct PlacedImages {
    /// The first cell of each, in order.
    views: Vec<(usize, Arc<View>)>,
    /// What is held as long as the sequence may be computed again.
    encoded_images: Vec<Arc<EncodedImage>>,
}

/// The view that a sequence comes to next.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    /// Its first cell in the sequence.
    pub(crate) start: usize,
    /// The view.
    pub(crate) view: Arc<View>,
}

impl Next {
    /// Its cells in the sequence.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.view.picture.cells
    }
}

impl View {
    /// What is computed for these of its cells.
    pub(crate) fn numbers(&self, cells: Range<usize>) -> &[f32] {
        let width = self.numbers.len() / self.picture.cells;
        &self.numbers[cells.start * width..cells.end * width]
    }

    /// Positions of these of its cells, dimension by dimension, when the view stands at `base`.
    pub(crate) fn positions(&self, cells: Range<usize>, base: usize) -> Vec<i32> {
        let number =
            |position: usize| i32::try_from(position).expect("a context has at most 2^20 cells");
        if self.picture.places.is_empty() {
            return cells.map(|cell| number(base + cell)).collect();
        }
        let dimension = |dimension: usize| {
            let places = self.picture.places[cells.clone()].iter();
            places.map(move |place| {
                let (at, moves) = place[dimension];
                at + if moves { number(base) } else { 0 }
            })
        };
        (0..4).flat_map(dimension).collect()
    }
}

impl PlacedImages {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// The view within or before which a sequence stands that has so many cells; `None` behind the last one.
    pub(crate) fn next(&self, computed: usize) -> Option<Next> {
        let is_ahead = |(start, view): &&(usize, Arc<View>)| start + view.picture.cells > computed;
        let (start, view) = self.views.iter().find(is_ahead)?;
        Some(Next {
            start: *start,
            view: Arc::clone(view),
        })
    }
}

/// Puts a prompt together. `tokenize` turns text into tokens, and puts the beginning of a sequence before it when that is true.
///
/// # Errors
/// [`Error::Invalid`] when the prompt does not show each image once.
pub(crate) fn compose(
    prompt: &str,
    images: &Images,
    encoded_images: &EncodedImages,
    tokenize: impl Fn(&str, bool) -> Vec<LlamaToken>,
) -> Result<(Vec<LlamaToken>, PlacedImages), Error> {
    let (shown, rest) = images.split(prompt).map_err(Error::Invalid)?;
    let mut tokens = Vec::new();
    let mut placed_images = PlacedImages::default();
    for (at, (before, image)) in shown.into_iter().enumerate() {
        if at == 0 || !before.is_empty() {
            tokens.extend(tokenize(before, at == 0));
        }
        let encoded_image = encoded_images
            .iter()
            .find(|(number, _)| *number == image.number);
        let (_, encoded_image) = encoded_image.expect("each image was encoded");
        for piece in &encoded_image.pieces {
            match piece {
                Piece::Tokens(text) => tokens.extend(text),
                Piece::View(view) => {
                    placed_images.views.push((tokens.len(), Arc::clone(view)));
                    tokens.extend(&view.tokens);
                }
            }
        }
        placed_images.encoded_images.push(Arc::clone(encoded_image));
    }
    if !rest.is_empty() {
        tokens.extend(tokenize(rest, tokens.is_empty()));
    }
    Ok((tokens, placed_images))
}

impl EncodedImage {
    /// Tokens and cells that it takes.
    fn length(&self) -> usize {
        let length = |piece: &Piece| match piece {
            Piece::Tokens(tokens) => tokens.len(),
            Piece::View(view) => view.picture.cells,
        };
        self.pieces.iter().map(length).sum()
    }

    /// Bytes that it holds.
    fn bytes(&self) -> usize {
        self.reserved.bytes()
    }
}
