//! Reads the values of keys that have no type of their own.

use std::time::Duration;

use runner_protocol::{KvType, MAX_CONTEXT, MAX_SEQUENCES, MAX_THREADS, MIN_CONTEXT, Speculation};
use tracing_subscriber::filter::LevelFilter;

use crate::duration;

/// A context in tokens.
pub(super) fn context_length(text: &str) -> Result<u32, String> {
    within(text, MIN_CONTEXT.into(), MAX_CONTEXT.into())
}

/// A number of parallel requests.
pub(super) fn parallel(text: &str) -> Result<u32, String> {
    within(text, 1, MAX_SEQUENCES.into())
}

/// A number of threads; 0 lets the runner choose.
pub(super) fn threads(text: &str) -> Result<u32, String> {
    within(text, 0, MAX_THREADS.into())
}

/// A number of layers on a GPU; −1 for as many as fit.
pub(super) fn gpu_layers(text: &str) -> Result<i32, String> {
    within(text, -1, 10_000)
}

/// The type of keys and values in the KV cache.
pub(super) fn kv_cache_type(text: &str) -> Result<KvType, String> {
    KvType::find(text).ok_or_else(|| format!("{text:?} must be f16, q8_0 or q4_0"))
}

/// Whether tokens are drafted.
pub(super) fn speculative(text: &str) -> Result<Speculation, String> {
    match text {
        "auto" => Ok(Speculation::Auto),
        "off" => Ok(Speculation::Off),
        _ => Err(format!("{text:?} must be auto or off")),
    }
}

/// A name of something on this machine.
pub(super) fn word(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty()
        && text.len() <= 100
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',');
    is_word
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?} must be a word of at most 100 characters"))
}

/// The text; `None` if it is empty.
pub(super) fn non_empty(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The URL of a server.
pub(super) fn server(text: &str) -> Result<Option<String>, String> {
    match text.split_once("://") {
        None if text.is_empty() => Ok(None),
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(Some(text.to_owned())),
        _ => Err(format!(
            "{text:?} must be the URL of a server, such as https://mirror.example"
        )),
    }
}

/// An address without user and password.
pub(super) fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    }
}

pub(super) fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        read(text).map(Some)
    }
}

pub(super) fn within<T>(text: &str, least: i64, most: i64) -> Result<T, String>
where
    T: TryFrom<i64>,
{
    text.parse::<i64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{text:?} must be a whole number from {least} to {most}"))
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(|item| item.trim().to_ascii_lowercase())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Web origins: scheme, host and port without a path, because they are compared as texts. The host of an application's own scheme
/// may be `*`, because some applications draw it anew at each start.
pub(super) fn web_origins(text: &str) -> Result<Vec<String>, String> {
    let origins = list(text);
    for origin in &origins {
        let (scheme, host) = origin.split_once("://").unwrap_or_default();
        let is_pattern = host == "*" && !matches!(scheme, "http" | "https" | "file");
        let is_whole = !host.is_empty() && !host.contains(['/', '*']);
        if scheme.is_empty() || scheme.contains('*') || !(is_pattern || is_whole) {
            return Err(format!(
                "{origin:?} must be a whole origin such as http://localhost:3000, without path, or such as vscode-webview://* for an application"
            ));
        }
    }
    Ok(origins)
}

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration::finite(text)? {
        Duration::ZERO => Err("must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// A log filter: a level, or a list of targets with levels. Checked here, because the library accepts any word as a target.
pub(super) fn filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.parse::<LevelFilter>().is_ok()
    };
    let good = text.split(',').all(|item| match item.split_once('=') {
        None => is_level(item),
        Some((target, level)) => !target.is_empty() && is_level(level),
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} must be a level (off, error, warn, info, debug, trace) or a list such as warn,daemon=debug"
        ))
    }
}
