//! `slm version`: the versions of slm and slmd.

use serde_json::json;

use crate::client::Error;
use crate::context::Context;
use crate::exit::Exit;

/// Version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Shows both versions, and warns if they differ. It starts no daemon.
pub(crate) async fn run(context: Context) -> anyhow::Result<Exit> {
    let daemon = match context.client.without_start().version().await {
        Ok(answer) => Some(answer.daemon()),
        Err(Error::Unreachable { .. } | Error::NotRunning(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if context.out.json() {
        context
            .out
            .json_document(&json!({ "client": VERSION, "daemon": daemon }))?;
        return Ok(Exit::Ok);
    }
    context.out.line(&format!("slm {VERSION}"))?;
    match daemon {
        Some(daemon) => {
            context.out.line(&format!("slmd {daemon}"))?;
            if daemon != VERSION {
                context.out.warn(
                    "the daemon's version differs from this program's; restart it after an update",
                );
            }
        }
        None => context.out.line("no daemon is running")?,
    }
    Ok(Exit::Ok)
}
