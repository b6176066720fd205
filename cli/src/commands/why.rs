//! `slm why`: the last decisions of the daemon about models.

use api::{Event, WhyResponse, routes};
use jiff::Timestamp;

use crate::args::Why;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::text;

/// Shows the decisions. Without a daemon there are none, so none is started.
pub(crate) async fn run(context: Context, args: &Why) -> anyhow::Result<Exit> {
    let path = match &args.model {
        Some(model) => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("model", model)
                .finish();
            format!("{}?{query}", routes::WHY)
        }
        None => routes::WHY.to_owned(),
    };
    let why: WhyResponse = context.client.without_start().get(&path).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&why)?;
    } else if why.events.is_empty() {
        let about = args.model.as_ref().map(|model| format!(" about `{model}`"));
        out.note(&format!(
            "the daemon keeps no decision{}",
            about.unwrap_or_default()
        ));
    } else {
        out.print(&list(out, &why.events, Timestamp::now()))?;
    }
    Ok(Exit::Ok)
}

/// A paragraph for each event, the oldest first.
fn list(out: &Output, events: &[Event], now: Timestamp) -> String {
    let lines = events.iter().map(|event| {
        let when = text::relative(event.at, now);
        out.paragraph(&format!("{when}: `{}` {}", event.model, event.text), "  ")
    });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use api::{EventFacts, EventKind};

    use super::*;
    use crate::output::OutputMode;

    #[test]
    fn what_decisions_look_like() {
        let event = |at: &str, text: &str| Event {
            id: 1,
            at: at.parse().unwrap(),
            kind: EventKind::Loaded,
            model: "smollm2:latest".to_owned(),
            text: text.to_owned(),
            facts: EventFacts::default(),
        };
        let events = [
            event("2026-11-20T12:00:00Z", "loaded in 0.31 s on CPU (zen4)"),
            event(
                "2026-11-20T12:04:00Z",
                "is unloaded: it was not used for 240 s",
            ),
        ];
        let now = "2026-11-20T12:05:00Z".parse().unwrap();
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(list(&out, &events, now), @r"
        5 minutes ago: `smollm2:latest` loaded in 0.31 s on CPU (zen4)
        1 minute ago: `smollm2:latest` is unloaded: it was not used for 240 s
        ");
    }
}
