//! `slm pull`: fetches a model, or explains what a pull would do.

use api::{Explanation, PullRequest, routes};

use super::local;
use crate::args::Pull;
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fetch::in_background;
use crate::interrupt::until_ctrl_c;
use crate::output::{Output, Table};
use crate::text;
use crate::transfer::{FollowEnd, Transfer};

/// Pulls the model and shows the progress.
pub(crate) async fn run(context: &Context, args: &Pull) -> anyhow::Result<Exit> {
    if args.model.starts_with("file:") {
        if args.explain || args.dry_run {
            let message = "a local file is not fetched, so there is nothing to explain";
            return Err(Failure::usage(message).into());
        }
        until_ctrl_c(local::made(context, &args.model)).await?;
        return Ok(Exit::Ok);
    }
    let request = PullRequest {
        model: args.model.clone(),
        variant: args.variant.clone(),
        insecure: args.insecure.then_some(true),
        priority: args.priority,
        now: args.now.then_some(true),
        ..PullRequest::default()
    };
    if args.explain || args.dry_run {
        return explain(context, args, &request).await;
    }
    let out = &context.out;
    let transfer = Transfer::new("pull", &args.model, args.background);
    let request = in_background(request);
    let pulled = transfer
        .run(&context.client, out, out.progress(), routes::PULL, &request)
        .await?;
    out.note(&match pulled {
        FollowEnd::Done(last) => {
            let name = last.model.as_ref().unwrap_or(&args.model);
            format!("pulled `{name}`")
        }
        FollowEnd::Waits(job, what) => transfer.waits(job, &what),
        FollowEnd::Left(job) => transfer.left(job),
    });
    Ok(Exit::Ok)
}

/// Explains what a pull would do.
async fn explain(context: &Context, args: &Pull, request: &PullRequest) -> anyhow::Result<Exit> {
    let found: Explanation = context.client.post(routes::EXPLAIN, request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    if args.explain {
        out.line(&format!(
            "`{}` would come from {}",
            found.model, found.place
        ))?;
        for (number, step) in found.steps.iter().enumerate() {
            out.line(&format!("{:3}. {step}", number + 1))?;
        }
    }
    if !found.files.is_empty() {
        out.print(&table(out, &found))?;
    }
    out.line(&match found.missing {
        0 if found.files.iter().any(|file| file.size.is_none()) => {
            "the size is unknown until it is fetched".to_owned()
        }
        0 => "all files are on disk".to_owned(),
        bytes => format!("{} would be fetched", text::bytes(bytes)),
    })?;
    Ok(Exit::Ok)
}

fn table(out: &Output, found: &Explanation) -> String {
    let mut table = Table::new(&["FILE", "SIZE", "HERE", "DIGEST"], &[]);
    for file in &found.files {
        let size = file.size.map_or_else(|| "-".to_owned(), text::bytes);
        let here = match file.here {
            0 => "no".to_owned(),
            here if Some(here) == file.size => "yes".to_owned(),
            here => text::bytes(here),
        };
        let digest = file.digest.as_deref().map_or("-", text::short_digest);
        table.row([
            file.title.clone().into(),
            size.into(),
            here.into(),
            digest.to_owned().into(),
        ]);
    }
    table.render(out)
}
