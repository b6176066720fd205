//! Names of models for a shell that completes a command.

use std::ffi::OsStr;
use std::time::Duration;

use api::{TagsResponse, routes};
use clap_complete::engine::CompletionCandidate;

use crate::client::{Addresses, Client};
use crate::env::Process;
use crate::home::Home;

/// Timeout of a completion.
const PATIENCE: Duration = Duration::from_millis(500);

/// Names of local models that start with the typed text. It starts no daemon.
pub(crate) fn models(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    let names = names().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.to_lowercase().starts_with(&typed))
        .map(CompletionCandidate::new)
        .collect()
}

fn names() -> Option<Vec<String>> {
    let home = Home::resolve(None, &Process).ok()?;
    let addresses = Addresses::resolve(None, &home, &Process).ok()?;
    let client = Client::new(addresses, None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asked = async {
        let asking = client.get::<TagsResponse>(routes::TAGS);
        tokio::time::timeout(PATIENCE, asking).await
    };
    let tags = runtime.block_on(asked).ok()?.ok()?;
    Some(
        tags.models
            .into_iter()
            .map(|model| shortest(model.name))
            .collect(),
    )
}

/// The name without the default tag.
fn shortest(name: String) -> String {
    match name.strip_suffix(":latest") {
        Some(short) => short.to_owned(),
        None => name,
    }
}
