//! `slm push`: sends a model to a registry.

use api::{PushRequest, Pushed, routes};

use crate::args::{ManifestFormat, Push};
use crate::context::Context;
use crate::exit::Exit;
use crate::transfer::{FollowEnd, Transfer};

/// Pushes the model and shows the progress.
pub(crate) async fn run(context: &Context, args: &Push) -> anyhow::Result<Exit> {
    let request = PushRequest {
        model: args.model.clone(),
        destination: args.destination.clone(),
        format: args.format.map(ManifestFormat::to_wire),
        insecure: args.insecure.then_some(true),
        background: Some(true),
        priority: args.priority,
        now: args.now.then_some(true),
        ..PushRequest::default()
    };
    let out = &context.out;
    let transfer = Transfer::new("push", &args.model, args.background);
    let pushed = transfer
        .run(&context.client, out, out.progress(), routes::PUSH, &request)
        .await?;
    match pushed {
        FollowEnd::Done(last) => {
            if let Some(pushed) = last.pushed {
                out.note(&summary(&pushed));
            }
        }
        FollowEnd::Waits(job, what) => out.note(&transfer.waits(job, &what)),
        FollowEnd::Left(job) => out.note(&transfer.left(job)),
    }
    Ok(Exit::Ok)
}

fn summary(pushed: &Pushed) -> String {
    let Pushed {
        place,
        digest,
        present,
        mounted,
        sent,
    } = pushed;
    format!(
        "pushed `{place}` as {digest}: {sent} blobs sent, {mounted} mounted from another repository, {present} already present"
    )
}
