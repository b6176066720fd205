//! The reasons of decisions, for people, with the numbers that decided.

use runner_protocol::LoadSettings;

use super::super::LoadRequest;
use super::super::limits::Resource;
use super::Task;
use super::decision::Decision;
use crate::config::Group;
use crate::memory::Bytes;

impl Task {
    /// Why an idle model is unloaded for another one.
    pub(super) fn eviction_text(&self, id: u64, new: &LoadRequest, decision: &Decision) -> String {
        let name = &new.name;
        let Some((entry, ready)) = self
            .table
            .get(&id)
            .and_then(|entry| Some((entry, entry.ready()?)))
        else {
            return format!("'{name}' needs its memory");
        };
        if entry.request.group().is_some()
            && matches!(new.group(), Some(Group::OneOf(_)))
            && entry.request.group() == new.group()
        {
            return format!("'{name}' is loaded, and its group has one model at a time");
        }
        format!(
            "'{name}' needs {}: this one frees {}, was not used for {:.1} s and loads in {:.2} s",
            self.shortage_text(decision),
            Bytes(entry.need.usage.total()),
            ready.idle_since.elapsed().as_secs_f64(),
            ready.load_time.as_secs_f64()
        )
    }

    /// What is short for a model: `a slot (3 of 3 are taken)`, or `2.1 GB of CPU memory (1.4 GB of 8.0 GB are free)`.
    pub(super) fn shortage_text(&self, decision: &Decision) -> String {
        let Decision { limits, take, .. } = decision;
        let mut used = vec![0_u64; take.len()];
        for entry in self.table.values() {
            let taken = limits.take(&entry.need);
            used.iter_mut()
                .zip(taken)
                .for_each(|(used, taken)| *used = used.saturating_add(taken));
        }
        let short = (0..take.len())
            .rev()
            .find(|&r| used[r].saturating_add(take[r]) > limits.amounts[r]);
        match short.map(|r| (r, &limits.resources[r])) {
            Some((r, Resource::Device(device))) => format!(
                "{} of {device} memory and {} of {} are free",
                Bytes(take[r]),
                Bytes(limits.amounts[r].saturating_sub(used[r])),
                Bytes(limits.amounts[r])
            ),
            Some((r, Resource::Models)) => {
                format!("a slot and {} of {} are taken", used[r], limits.amounts[r])
            }
            None => "its memory".into(),
        }
    }

    /// What is loaded, and the room for it.
    pub(super) fn start_text(&self, request: &LoadRequest, decision: &Decision) -> String {
        let context = request.settings.context;
        let needs: Vec<String> = request
            .need
            .usage
            .iter()
            .map(|(device, bytes)| format!("{} on {device}", Bytes(bytes)))
            .collect();
        let needs = match needs.as_slice() {
            [] => String::new(),
            needs => format!(" and {}", needs.join(", ")),
        };
        let adapters = match request.adapters.len() {
            0 => String::new(),
            1 => ", with an adapter".to_owned(),
            count => format!(", with {count} adapters"),
        };
        let beside = self.table.len();
        let tight = if decision.is_tight {
            "; other programs leave too little memory, so its weights are read from the disk again and again"
        } else {
            ""
        };
        {
            let given_up = match decision.given_up.as_str() {
                "" => String::new(),
                text => format!(
                    "; with {text}, because {} are all that models may take",
                    Bytes(decision.limits.amounts[decision.limits.host()])
                ),
            };
            format!(
                "loads with a context of {context} tokens{needs}{adapters}, beside {beside} other models{tight}{given_up}"
            )
        }
    }
}

/// Why a loaded model is loaded anew.
pub(super) fn reload_text(
    loaded: LoadSettings,
    asked: LoadSettings,
    lacks_adapter: bool,
) -> String {
    if asked.context > loaded.context {
        return format!(
            "a request needs a context of {} tokens, and it is loaded with {}",
            asked.context, loaded.context
        );
    }
    if lacks_adapter {
        return "a request needs an adapter that was not loaded with it".into();
    }
    "a request needs other settings of the load".into()
}
