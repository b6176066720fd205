//! The mock's KV states of finished answers: bytes without meaning, of the right size.

use runner_protocol::{
    Bytes, Event, ExportState, Failure, HostCacheSetup, MAX_STATE_PART, State, StateOutcome,
    state::{Head, Saved},
};

use super::machine::{OpenFile, count, invalid};

/// The build of its states.
const BUILD: &str = "mock";

/// Bytes of a state for each of its tokens.
const BYTES_PER_TOKEN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Memory {
    setup: Option<HostCacheSetup>,
    /// Imported states, with their indices.
    recalled: Vec<(u32, Saved)>,
    /// Tokens of finished answers, latest last.
    kept: Vec<Vec<i32>>,
    /// The state that was exported last.
    leaving: Vec<u8>,
    outcomes: Vec<(u32, StateOutcome)>,
}

impl Memory {
    /// Whether [`HostCacheSetup`] turned it on.
    pub(super) fn is_told(&self) -> bool {
        self.setup.is_some()
    }

    /// Imports saved states; returns the number with a valid head.
    pub(super) fn set_up_host_cache(&mut self, setup: HostCacheSetup, open: &mut OpenFile) -> u32 {
        let mut readable = 0;
        for (index, &file) in (0..).zip(&setup.files) {
            let saved = open(file).ok().and_then(|file| Saved::open(file).ok());
            readable += u32::from(saved.is_some());
            let ours =
                |saved: &Saved| saved.head().build == BUILD && saved.head().model == setup.model;
            match saved.filter(ours) {
                Some(saved) => self.recalled.push((index, saved)),
                None => self.outcomes.push((index, StateOutcome::Refused)),
            }
        }
        self.setup = Some(setup);
        readable
    }

    /// The longest common prefix of a prompt with an imported state, in tokens.
    pub(super) fn alike(&mut self, prompt: &[i32]) -> usize {
        let alike = |saved: &Saved| {
            let both = saved.head().tokens.iter().zip(prompt);
            both.take_while(|(a, b)| a == b).count()
        };
        let best = (0..self.recalled.len()).max_by_key(|&at| alike(&self.recalled[at].1));
        let Some(best) = best.filter(|&at| alike(&self.recalled[at].1) > 0) else {
            return 0;
        };
        let (index, saved) = &self.recalled[best];
        let good = saved
            .read()
            .is_ok_and(|bytes| bytes == state(&saved.head().tokens));
        let outcome = if good {
            StateOutcome::Used
        } else {
            StateOutcome::Refused
        };
        self.outcomes.push((*index, outcome));
        if good {
            return alike(saved);
        }
        self.recalled.remove(best);
        self.alike(prompt)
    }

    /// Takes the reports on imported states.
    pub(super) fn take_outcomes(&mut self) -> Vec<(u32, StateOutcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Keeps the tokens of a finished answer, in place of those that are a prefix of them.
    pub(super) fn keep(&mut self, tokens: &[i32]) {
        if self.is_told() && !tokens.is_empty() {
            self.kept.retain(|kept| !tokens.starts_with(kept));
            self.kept.push(tokens.to_vec());
        }
    }

    /// Exports the latest state that is worth it.
    pub(super) fn export_state(&mut self, wanted: ExportState) -> Option<Box<State>> {
        let setup = self.setup.as_ref()?;
        let worth = |tokens: &Vec<i32>| {
            count(tokens.len()) >= wanted.min_tokens
                && (tokens.len() * BYTES_PER_TOKEN) as u64 <= wanted.max_bytes
        };
        let tokens = self.kept.remove(self.kept.iter().rposition(worth)?);
        self.leaving = state(&tokens);
        let beginnings = self.recalled.iter().filter(|(_, saved)| {
            let known = &saved.head().tokens;
            known.len() < tokens.len() && tokens.starts_with(known)
        });
        let instead_of = beginnings.map(|(index, _)| *index).collect();
        let head = Head {
            model: setup.model.clone(),
            build: BUILD.to_owned(),
            adapters: Vec::new(),
            bytes: self.leaving.len() as u64,
            tokens,
        };
        Some(Box::new(State { head, instead_of }))
    }

    /// Bytes of the state that was exported last.
    pub(super) fn part(&self, offset: u64) -> Result<Event, Failure> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.leaving.get(offset..))
            .ok_or_else(|| invalid(format!("the state has no byte {offset}")))?;
        let part = &rest[..rest.len().min(MAX_STATE_PART)];
        Ok(Event::StatePart(Bytes(part.to_vec())))
    }
}

fn state(tokens: &[i32]) -> Vec<u8> {
    let bytes = |token: &i32| token.to_le_bytes().repeat(BYTES_PER_TOKEN / 4);
    tokens.iter().flat_map(bytes).collect()
}
