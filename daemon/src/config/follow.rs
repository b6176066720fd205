//! Reads `config.yaml` and the catalogs when they change, and says what became of them in the log and in the events.

use api::{EventFacts, EventKind};
use registry::Registry;
use registry::catalog::Diagnostic;

use super::watch::{CATALOGS, Changes, Watch, Watching};
use super::{LiveConfig, Reloaded};
use crate::events::Events;
use crate::fs;

/// Follows the files until the task is dropped.
pub async fn follow(config: LiveConfig, registry: Registry, events: Events, mut watch: impl Watch) {
    if let Watching::Polled(reason) = watch.watching() {
        tracing::info!("config.yaml and the catalogs are looked at every few seconds: {reason}");
    }
    let mut wrong = Vec::new();
    // The file may have changed before the watch began. An idle daemon without catalogs reads none.
    let mut changes = Changes {
        file: config.is_stale(),
        catalogs: fs::is_folder(&config.current().home.join(CATALOGS)),
    };
    loop {
        config.set_watching(watch.watching());
        if changes.file {
            tell(&config.reload().await, &events);
        }
        if changes.catalogs {
            wrong = check(&registry, &events, wrong).await;
        }
        changes = watch.changed().await;
    }
}

/// Says what became of `config.yaml`.
pub fn tell(reloaded: &Reloaded, events: &Events) {
    match reloaded {
        Reloaded::Same => {}
        Reloaded::Applied { changed, waiting } => {
            let mut text = match changed[..] {
                [] => "config.yaml is applied, and changes nothing in force".to_owned(),
                _ => format!("config.yaml is applied: {}", changed.join(", ")),
            };
            if !waiting.is_empty() {
                text.push_str(&format!("; waiting for a restart: {}", waiting.join(", ")));
            }
            tracing::info!("{text}");
            record(events, EventKind::Configured, text);
        }
        Reloaded::Refused(refusal) => {
            let text =
                format!("config.yaml is refused, and the settings before stay in force: {refusal}");
            tracing::warn!("{text}");
            record(events, EventKind::ConfigRefused, text);
        }
    }
}

/// Checks the catalogs, and says what is wrong and was not before.
async fn check(registry: &Registry, events: &Events, before: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let Ok(wrong) = registry.check_catalogs().await else {
        // The runtime shuts down.
        return before;
    };
    for diagnostic in wrong.iter().filter(|wrong| !before.contains(wrong)) {
        let instead = match diagnostic.in_force {
            Some(since) => format!("its version of {since} stays in force"),
            None => "no version of it is in force".to_owned(),
        };
        let text = format!("a catalog is refused, and {instead}: {diagnostic}");
        tracing::warn!("{text}");
        record(events, EventKind::ConfigRefused, text);
    }
    if wrong.is_empty() && !before.is_empty() {
        record(
            events,
            EventKind::Configured,
            "all catalogs are in force".to_owned(),
        );
    }
    wrong
}

fn record(events: &Events, kind: EventKind, text: String) {
    events.record(&"", kind, text, EventFacts::default());
}

#[cfg(test)]
mod tests;
