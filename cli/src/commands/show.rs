//! `slm show`: the details of a model.

use api::{ShowRequest, ShowResponse, routes};

use crate::args::{Show, ShowPart};
use crate::context::Context;
use crate::exit::Exit;
use crate::overview::overview;

/// Shows one part of the model, or an overview.
pub(crate) async fn run(context: &Context, args: &Show) -> anyhow::Result<Exit> {
    let request = ShowRequest {
        model: args.model.clone(),
        verbose: args.verbose,
        ..ShowRequest::default()
    };
    let shown: ShowResponse = context.client.post(routes::SHOW, &request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&shown)?;
    } else if let Some(part) = part(&args.part, &shown) {
        out.line(part)?;
    } else {
        out.print(&overview(out, &shown, args.verbose))?;
    }
    Ok(Exit::Ok)
}

fn part<'a>(part: &ShowPart, shown: &'a ShowResponse) -> Option<&'a str> {
    [
        (part.modelfile, &shown.modelfile),
        (part.license, &shown.license),
        (part.parameters, &shown.parameters),
        (part.template, &shown.template),
        (part.system, &shown.system),
    ]
    .into_iter()
    .find_map(|(asked, text)| asked.then_some(text.as_str()))
}
