//! The log of the daemon: lines on standard error, with a filter that can change.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Changes the filter of the log.
#[derive(Debug)]
pub struct LogFilter(reload::Handle<Targets, Registry>);

/// Starts the log with a filter that the configuration has checked.
///
/// # Errors
/// When the filter is invalid, or the process has a log already.
pub fn start(filter: &str, as_json: bool) -> anyhow::Result<LogFilter> {
    let (filter, handle) = reload::Layer::new(targets(filter)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    if as_json {
        registry.with(layer.json()).try_init()?;
    } else {
        registry.with(layer.with_ansi(false)).try_init()?;
    }
    Ok(LogFilter(handle))
}

impl LogFilter {
    /// Changes the filter, which the configuration has checked.
    pub fn set(&self, filter: &str) {
        let changed = targets(filter).map(|targets| self.0.reload(targets));
        if !matches!(changed, Ok(Ok(()))) {
            tracing::warn!(filter, "the filter of the log cannot be changed");
        }
    }
}

fn targets(filter: &str) -> anyhow::Result<Targets> {
    let targets: Targets = filter.parse()?;
    if filter.contains("sqlx") {
        return Ok(targets);
    }
    // A line for each query of the index would hide all else; `log` with `sqlx` in it shows them.
    Ok(targets.with_target("sqlx", LevelFilter::WARN))
}
