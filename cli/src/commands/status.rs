//! `slm status`: whether the daemon runs, where, and its loaded models.

use std::time::Duration;

use api::{PsResponse, routes};
use jiff::Timestamp;
use serde_json::json;

use crate::client::{Client, Error, Note};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Output, section};
use crate::text;

/// The status of a running daemon.
#[derive(Debug)]
struct Status {
    version: String,
    address: String,
    /// The note of its home; `None` if the user named an address.
    note: Option<Note>,
    /// Names of the loaded models.
    loaded: Vec<String>,
}

/// Shows the status. Without a daemon it exits with [`Exit::Unreachable`] and starts none.
pub(crate) async fn run(mut context: Context) -> anyhow::Result<Exit> {
    context.client = context.client.without_start();
    let status = match Status::ask(&context.client).await {
        Ok(status) => status,
        Err(Error::NotRunning(_)) => {
            absent(&context.out, &context.home)?;
            return Ok(Exit::Unreachable);
        }
        Err(error) => return Err(error.into()),
    };
    if context.out.json() {
        let note = status.note.as_ref();
        context.out.json_document(&json!({
            "running": true,
            "version": status.version,
            "pid": note.map(|note| note.pid),
            "address": status.address,
            "socket": note.map(|note| &note.socket),
            "home": note.map(|_| context.home.root()),
            "started_at": note.and_then(|note| note.started_at),
            "log": note.and_then(|note| note.log.as_ref()),
            "models": status.loaded,
        }))?;
    } else {
        let text = status.render(&context, Timestamp::now());
        context.out.print(&text)?;
    }
    Ok(Exit::Ok)
}

impl Status {
    async fn ask(client: &Client) -> Result<Self, Error> {
        let version = client.version().await?.daemon();
        let loaded: PsResponse = client.get(routes::PS).await?;
        let note = client.note();
        let tcp = note.as_ref().and_then(|note| note.tcp.clone());
        Ok(Self {
            version,
            address: match tcp {
                Some(tcp) => format!("http://{tcp}"),
                None => client.location(),
            },
            note,
            loaded: loaded.models.into_iter().map(|model| model.name).collect(),
        })
    }

    fn render(&self, context: &Context, now: Timestamp) -> String {
        let mut rows = vec![("address", self.address.clone())];
        if let Some(note) = &self.note {
            rows.push(("socket", note.socket.display().to_string()));
            rows.push(("home", context.home.root().display().to_string()));
            rows.push(("pid", note.pid.to_string()));
            let since = |start: Timestamp| Duration::try_from(now.duration_since(start)).ok();
            if let Some(up) = note.started_at.and_then(since) {
                rows.push(("uptime", text::uptime(up)));
            }
            let log = note.log.as_ref();
            rows.push((
                "log",
                log.map_or_else(
                    || "of the terminal or the service manager that started it".to_owned(),
                    |path| path.display().to_string(),
                ),
            ));
        }
        let loaded = match self.loaded.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        rows.push(("loaded", loaded));
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let title = format!("slmd {} is running", self.version);
        section(&context.out, &title, &rows)
    }
}

fn absent(out: &Output, home: &crate::home::Home) -> anyhow::Result<()> {
    if out.json() {
        return out.json_document(&json!({
            "running": false,
            "home": home.root(),
            "socket": home.socket(),
        }));
    }
    let text = format!("no daemon is running for `{}`", home.root().display());
    out.line(&text)?;
    out.note("`slm serve` starts one, and so does any command that needs one");
    Ok(())
}
