//! `slm push`: sends a model to a registry.

use api::{Progress, PushRequest, Pushed, routes};

use crate::args::Push;
use crate::error::Interrupted;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::run::Context;

/// Sends it, and says how far it is.
pub(crate) async fn run(context: &Context, args: &Push) -> anyhow::Result<Exit> {
    let request = PushRequest {
        model: args.model.clone(),
        destination: args.destination.clone(),
        format: args.format.map(crate::args::PushForm::to_wire),
        insecure: args.insecure.then_some(true),
        ..PushRequest::default()
    };
    let pushed = until_ctrl_c(send(context, &request)).await;
    if pushed
        .as_ref()
        .is_err_and(|error| error.is::<Interrupted>())
    {
        context.out.note(
            "the push was stopped; what was sent is kept where the registry keeps it, and the same `slm push` goes on with it",
        );
    }
    if let Some(pushed) = pushed? {
        let Pushed {
            place,
            digest,
            present,
            mounted,
            sent,
        } = pushed;
        context.out.note(&format!(
            "`{place}` is there as {digest}: {sent} blobs sent, {mounted} taken over from another repository, {present} there before"
        ));
    }
    Ok(Exit::Ok)
}

async fn send(context: &Context, request: &PushRequest) -> anyhow::Result<Option<Pushed>> {
    let mut view = context.out.progress();
    let mut events = context
        .client
        .stream::<Progress>(routes::PUSH, request)
        .await?;
    let mut pushed = None;
    while let Some(event) = events.next().await? {
        pushed = event.pushed.clone().or(pushed);
        view.update(&event)?;
    }
    Ok(pushed)
}
