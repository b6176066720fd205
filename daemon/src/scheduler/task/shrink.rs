//! Loads idle models anew with smaller settings, before they are unloaded for another one.

use api::EventKind;

use super::super::LoadRequest;
use super::super::entry::{Entry, State};
use super::super::room::Verdict;
use super::Task;
use super::decision::Decision;
use crate::memory::Need;

impl Task {
    /// Stops idle models to load them anew with smaller settings, where that makes room for another one. False where it does not.
    pub(super) fn shrink(&mut self, ids: &[u64], new: &LoadRequest, decision: &Decision) -> bool {
        if !self.options.shrink {
            return false;
        }
        let mut reduced = Vec::new();
        for id in ids {
            let entry = self.table.get(id);
            let Some(smaller) = entry.and_then(|entry| entry.request.smaller.last().cloned())
            else {
                return false;
            };
            reduced.push((*id, smaller));
        }
        let Decision { limits, take, .. } = decision;
        let need_of = |id: &u64, entry: &Entry| {
            let smaller = reduced.iter().find(|(reduced, _)| reduced == id);
            limits.take(smaller.map_or(&entry.need, |(_, smaller)| &smaller.need))
        };
        let mut wanted = take.clone();
        for (id, entry) in &self.table {
            let taken = need_of(id, entry);
            wanted
                .iter_mut()
                .zip(taken)
                .for_each(|(sum, bytes)| *sum = sum.saturating_add(bytes));
        }
        if wanted
            .iter()
            .zip(&limits.amounts)
            .any(|(wanted, limit)| wanted > limit)
        {
            return false;
        }
        for (id, smaller) in reduced {
            let Some(entry) = self.table.get(&id) else {
                continue;
            };
            self.shrunk
                .push((entry.request.reduced(&smaller), entry.keep_alive));
            let why = format!(
                "'{}' needs its memory; it is loaded anew with {}",
                new.name, smaller.text
            );
            self.stop(id, why);
        }
        true
    }

    /// Loads the models anew that were stopped to be shrunk, after the requests that wait, and only where there is room.
    pub(super) fn load_shrunk(&mut self, kept: &[Need]) {
        for (request, keep_alive) in std::mem::take(&mut self.shrunk) {
            let mut entries = self.table.values();
            match entries
                .find(|entry| entry.request.key == request.key)
                .map(|entry| &entry.state)
            {
                Some(State::Stopping) => self.shrunk.push((request, keep_alive)),
                // A request has loaded it already.
                Some(_) => {}
                None => {
                    let decision = self.decide(&request, None, kept);
                    match decision.verdict {
                        _ if self.closing.is_some() => {}
                        Verdict::Start => {
                            let id = self.start(request, &decision);
                            if let Some(entry) = self.table.get_mut(&id) {
                                entry.is_shrunk = true;
                                entry.keep_alive = keep_alive;
                            }
                        }
                        Verdict::Wait => self.shrunk.push((request, keep_alive)),
                        _ => {
                            let text = "is not loaded anew: its memory went to another model";
                            self.record(&request.name, EventKind::LoadCancelled, text);
                        }
                    }
                }
            }
        }
    }
}
