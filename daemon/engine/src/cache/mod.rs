//! Caches of computed tokens: the cells of llama.cpp's KV cache, and states in memory and in files.

pub(crate) mod cell_cache;
pub(crate) mod cells;
pub(crate) mod host_cache;
pub(crate) mod read_ahead;
pub(crate) mod slots;
pub(crate) mod state_files;
pub(crate) mod worth;

use std::{collections::HashMap, ops::Range};

use llama_cpp_2::model::LlamaModel;

use crate::{
    cache::slots::Cache,
    ffi::context::{self, Context, DecodeError, View},
    images::{Next, folds::Folds},
    system::memory,
};

/// A context, and what its KV cache can do.
#[derive(Debug)]
pub(crate) struct Memory<'m> {
    pub(crate) context: Context<'m>,
    /// Whether a sequence can be truncated and shared in part: not with recurrent and hybrid models.
    parts: bool,
    /// Size of the attention window; older cells may be overwritten. 0 without a window.
    window: usize,
    /// Positions that differ from cells, by the number of the sequence.
    folds: HashMap<u32, Folds>,
}

impl<'m> Memory<'m> {
    /// The cache of a context of this model.
    pub(crate) fn new(context: Context<'m>, model: &LlamaModel) -> Self {
        Self {
            context,
            parts: !model.is_recurrent() && !model.is_hybrid(),
            window: context::window(model) as usize,
            folds: HashMap::new(),
        }
    }

    /// How many draft tokens can be removed again behind a sequence of this length.
    pub(crate) fn cuttable(&self, length: usize) -> usize {
        match (self.parts, self.window) {
            (false, _) => 0,
            (true, 0) => usize::MAX,
            // Beyond the window, a draft token overwrites a cell that the truncated sequence would need.
            (true, window) => window.saturating_sub(length),
        }
    }

    /// Tokens that the cache holds of a sequence, if it holds all.
    pub(crate) fn length(&self, seq: u32) -> Option<usize> {
        let Some((first, last)) = self.context.positions(seq) else {
            return Some(0);
        };
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        let needed = match self.window {
            // A recurrent state has the last position only.
            _ if !self.parts => last,
            0 => 0,
            window => (last + 1).saturating_sub(window),
        };
        let length = self.folds.get(&seq).map(|folds| folds.length(last));
        (first <= needed).then_some(length.unwrap_or(last + 1))
    }

    /// The position of a cell of a sequence.
    pub(crate) fn position(&self, seq: u32, cell: usize) -> usize {
        let folds = self.folds.get(&seq);
        folds.map_or(cell, |folds| folds.position(cell))
    }

    /// Decodes cells of an image: `cells` is their range in the sequence.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(crate) fn decode_image(
        &mut self,
        seq: u32,
        next: &Next,
        cells: Range<usize>,
        output: bool,
    ) -> Result<(), DecodeError> {
        let base = self.position(seq, next.start);
        let picture = &next.view.picture;
        let within = cells.start - next.start..cells.end - next.start;
        self.context.decode_view(&mut View {
            numbers: next.view.numbers(within.clone()),
            positions: next.view.positions(within, base),
            cells: cells.len(),
            sequence: seq,
            whole: picture.whole,
            output,
        })?;
        if picture.positions != picture.cells {
            let folds = self.folds.entry(seq).or_default();
            folds.computed(next.range(), picture.positions, cells.len());
        }
        Ok(())
    }
}

impl Cache for Memory<'_> {
    fn clear(&mut self) {
        self.context.clear();
        self.folds.clear();
    }

    fn remove(&mut self, seq: u32) {
        self.context.remove(seq);
        self.folds.remove(&seq);
    }

    fn cut(&mut self, seq: u32, length: usize) -> bool {
        let at = position(self.position(seq, length));
        self.context.cut(seq, at) && self.length(seq) == Some(length)
    }

    fn share(&mut self, from: u32, to: u32, range: Range<usize>, whole: usize) -> bool {
        if self.parts || range == (0..whole) {
            let at = |cell| position(self.position(from, cell));
            let positions = at(range.start)..at(range.end);
            self.context.copy(from, to, positions);
            if let Some(folds) = self.folds.get(&from).cloned() {
                self.folds
                    .entry(to)
                    .or_default()
                    .share(&folds, range.clone());
            }
            if self.length(to) == Some(range.end) {
                return true;
            }
        }
        self.remove(to);
        false
    }

    fn can_restore(&self, length: usize, whole: usize) -> bool {
        length == whole || (self.parts && (self.window == 0 || whole <= self.window))
    }

    fn save(&mut self, seq: u32, whole: usize, most: usize) -> Option<Vec<u8>> {
        let size = self.context.state_size(seq);
        let fits = size <= most && memory::check("a state", size as u64).is_ok();
        (fits && self.length(seq) == Some(whole)).then(|| self.context.state(seq))?
    }

    fn restore(&mut self, to: u32, state: &[u8], length: usize, whole: usize) -> bool {
        let from = i32::try_from(length).expect("a context has at most 2^20 cells");
        let restored = self.context.set_state(to, state)
            && self.length(to) == Some(whole)
            && (length == whole || self.context.cut(to, from))
            && self.length(to) == Some(length);
        if !restored {
            self.remove(to);
        }
        restored
    }
}

fn position(at: usize) -> i32 {
    i32::try_from(at).expect("a context has at most 2^20 cells")
}
