//! Pulls a missing model for `slm run`.

use api::{Priority, PullRequest, routes};

use crate::client::Client;
use crate::error::Failure;
use crate::output::{Output, ProgressView};
use crate::transfer::{FollowEnd, Transfer};

/// Pulls a missing model, after a note.
pub(crate) async fn fetch_missing(
    client: &Client,
    out: &Output,
    model: &str,
) -> anyhow::Result<()> {
    out.note(&format!("`{model}` is not on disk: pulling it"));
    pull(client, out, model, None).await
}

/// Pulls a variant of a model, after a note.
pub(crate) async fn fetch_variant(
    client: &Client,
    out: &Output,
    model: &str,
    variant: &str,
) -> anyhow::Result<()> {
    out.note(&format!(
        "`{model}` is not on disk as {variant}: pulling it"
    ));
    pull(client, out, model, Some(variant.to_owned())).await
}

/// Pulls a model for `run`, with high priority.
///
/// With `--json`, standard output belongs to the answer, so the pull is silent.
async fn pull(
    client: &Client,
    out: &Output,
    model: &str,
    variant: Option<String>,
) -> anyhow::Result<()> {
    let view = if out.json() {
        ProgressView::silent()
    } else {
        out.progress()
    };
    let request = in_background(PullRequest {
        model: model.to_owned(),
        variant,
        priority: Some(Priority::High),
        ..PullRequest::default()
    });
    let transfer = Transfer::new("pull", model, false);
    let pulled = transfer.run(client, out, view, routes::PULL, &request);
    match pulled.await? {
        FollowEnd::Waits(job, what) => Err(Failure::new(format!("the pull of `{model}` {what}"))
            .code("job_waits")
            .hint(format!("`slm jobs resume {job} --now` starts it"))
            .into()),
        FollowEnd::Done(_) | FollowEnd::Left(_) => Ok(()),
    }
}

/// The request as a background job, which continues after Ctrl-C and a closed terminal.
pub(crate) fn in_background(request: PullRequest) -> PullRequest {
    PullRequest {
        background: Some(true),
        ..request
    }
}
