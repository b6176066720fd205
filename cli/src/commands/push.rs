//! `slm push`: sends a model to a registry.

use api::{PushRequest, Pushed, routes};

use super::transfer::{Followed, Transfer};
use crate::args::{Push, PushForm};
use crate::context::Context;
use crate::exit::Exit;

/// Sends it, and says how far it is.
pub(crate) async fn run(context: &Context, args: &Push) -> anyhow::Result<Exit> {
    let request = PushRequest {
        model: args.model.clone(),
        destination: args.destination.clone(),
        format: args.format.map(PushForm::to_wire),
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
        Followed::Done(last) => {
            if let Some(pushed) = last.pushed {
                out.note(&told(&pushed));
            }
        }
        Followed::Waits(job, what) => out.note(&transfer.waits(job, &what)),
        Followed::Left(job) => out.note(&transfer.left(job)),
    }
    Ok(Exit::Ok)
}

fn told(pushed: &Pushed) -> String {
    let Pushed {
        place,
        digest,
        present,
        mounted,
        sent,
    } = pushed;
    format!(
        "`{place}` is there as {digest}: {sent} blobs sent, {mounted} taken over from another repository, {present} there before"
    )
}
