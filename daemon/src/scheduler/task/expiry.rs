//! When idle models are unloaded because no request came.

use tokio::time::Instant;

use super::super::entry::{Entry, Expiry, State};
use super::Task;
use crate::config::Group;
use crate::duration::KeepAlive;

impl Task {
    /// When models are unloaded if no request comes.
    pub(super) fn expiries(&self) -> impl Iterator<Item = (u64, Instant)> {
        let entries = self.table.iter();
        entries.filter_map(|(id, entry)| match self.expiry(entry) {
            Expiry::At(at) => Some((*id, at)),
            Expiry::WhenIdle | Expiry::Never => None,
        })
    }

    /// When a model expires: never while it is pinned, and in a group that leaves together when the last model of the group does. A model
    /// that a client unloads does not wait for its group.
    pub(super) fn expiry(&self, entry: &Entry) -> Expiry {
        let own = self.own_expiry(entry);
        if own == Expiry::Never || entry.is_sent_away() {
            return own;
        }
        let members = self.members(entry).map(|other| self.own_expiry(other));
        members.fold(own, Expiry::max)
    }

    /// When it expires without its group.
    fn own_expiry(&self, entry: &Entry) -> Expiry {
        match entry.expires() {
            _ if self.is_pinned(entry) => Expiry::Never,
            Some(at) => Expiry::At(at),
            None if entry.keep_alive == KeepAlive::Always => Expiry::Never,
            None => Expiry::WhenIdle,
        }
    }

    /// The models of a group that leaves together with this one, itself included; none for another model.
    fn members<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let group = entry.request.group();
        let group = group.filter(|group| matches!(group, Group::Together(_)));
        // Without such a group the table is not searched: this is asked for each model, several times for each request.
        group.into_iter().flat_map(move |group| {
            let others = self.table.values();
            let others = others.filter(|other| !matches!(other.state, State::Stopping));
            others.filter(move |other| other.request.group() == Some(group))
        })
    }

    /// Why a model that expired is unloaded.
    pub(super) fn expiry_text(&self, entry: &Entry) -> String {
        match (entry.keep_alive, entry.request.group()) {
            _ if entry.is_sent_away() => "a client asked for it".into(),
            (_, Some(Group::Together(group))) => {
                format!("no model of its group '{group}' was used for a while")
            }
            (KeepAlive::For(stay), _) => format!("it was not used for {} s", stay.as_secs_f64()),
            (KeepAlive::Always, _) => "a client asked for it".into(),
        }
    }
}
