//! The KV cache of llama.cpp, as [`crate::slots`] uses it.

use std::ops::Range;

use llama_cpp_2::model::LlamaModel;

use crate::{
    ffi::context::{self, Context},
    memory,
    slots::Cache,
};

/// A context, and what its cache can do.
#[derive(Debug)]
pub(crate) struct Memory<'m> {
    pub(crate) context: Context<'m>,
    /// A state that goes over into the next cannot be cut, so there is nothing to share but the whole.
    parts: bool,
    /// How many tokens back the attention sees; older cells may be gone. 0 when it sees all.
    window: usize,
}

impl<'m> Memory<'m> {
    /// The cache of a context of this model.
    pub(crate) fn new(context: Context<'m>, model: &LlamaModel) -> Self {
        Self {
            context,
            parts: !model.is_recurrent() && !model.is_hybrid(),
            window: context::window(model) as usize,
        }
    }

    /// How many tokens can be added to a sequence of this length and be cut off again.
    pub(crate) fn cuttable(&self, length: usize) -> usize {
        match (self.parts, self.window) {
            (false, _) => 0,
            (true, 0) => usize::MAX,
            // Beyond the window, a token takes the cell of one that nobody sees any more, but would after the cut.
            (true, window) => window.saturating_sub(length),
        }
    }

    /// How many tokens the cache holds of a sequence, if it is whole.
    pub(crate) fn length(&self, seq: u32) -> Option<usize> {
        let Some((first, last)) = self.context.positions(seq) else {
            return Some(0);
        };
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        let needed = match self.window {
            // A state of its own holds no more than the last position.
            _ if !self.parts => last,
            0 => 0,
            window => (last + 1).saturating_sub(window),
        };
        (first <= needed).then_some(last + 1)
    }
}

impl Cache for Memory<'_> {
    fn remove(&mut self, seq: u32) {
        self.context.remove(seq);
    }

    fn cut(&mut self, seq: u32, length: usize) -> bool {
        self.context.cut(seq, position(length)) && self.length(seq) == Some(length)
    }

    fn share(&mut self, from: u32, to: u32, range: Range<usize>, whole: usize) -> bool {
        if self.parts || range == (0..whole) {
            let positions = position(range.start)..position(range.end);
            self.context.copy(from, to, positions);
            if self.length(to) == Some(range.end) {
                return true;
            }
        }
        self.context.remove(to);
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
            self.context.remove(to);
        }
        restored
    }
}

fn position(at: usize) -> i32 {
    i32::try_from(at).expect("a context has at most 2^20 cells")
}
