//! `slm list`: the models on disk.

use api::{ModelSummary, TagsResponse, routes};
use jiff::Timestamp;

use super::variants;
use crate::args::List;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Output, Shrink, Table};
use crate::text;

/// Lists the models, newest first.
pub(crate) async fn run(context: &Context, args: &List) -> anyhow::Result<Exit> {
    if let (Some(model), true) = (&args.prefix, args.variants) {
        return variants::of(context, model).await;
    }
    let mut tags: TagsResponse = context.client.get(routes::TAGS).await?;
    if let Some(prefix) = &args.prefix {
        let prefix = prefix.to_lowercase();
        tags.models
            .retain(|model| model.name.to_lowercase().starts_with(&prefix));
    }
    if context.out.json() {
        context.out.json_document(&tags)?;
        return Ok(Exit::Ok);
    }
    if args.variants && !tags.models.is_empty() {
        variants::of_stored(&context.out, &tags.models)?;
        return Ok(Exit::Ok);
    }
    context
        .out
        .print(&table(&context.out, &tags.models, Timestamp::now()))?;
    for model in &tags.models {
        if let Some(damage) = &model.damaged {
            context
                .out
                .warn(&format!("`{}` cannot be used: {damage}", model.name));
        }
    }
    if tags.models.is_empty() {
        context.out.note(match args.prefix {
            None => NONE_YET,
            Some(_) => "no model has a name that starts with this",
        });
    }
    Ok(Exit::Ok)
}

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 3] = [
    Shrink::Drop("ID"),
    Shrink::Drop("MODIFIED"),
    Shrink::Drop("SIZE"),
];

const NONE_YET: &str = "no models yet; `slm pull smollm2` fetches a small chat model,\n\
    `slm pull gemma3:270m-base` a base model that continues text";

fn table(out: &Output, models: &[ModelSummary], now: Timestamp) -> String {
    let mut table = Table::new(&["NAME", "ID", "SIZE", "MODIFIED"], &SHRINK_ORDER);
    for model in models {
        table.row([
            model.name.clone().into(),
            text::short_digest(&model.digest).to_owned().into(),
            text::bytes(model.size).into(),
            text::relative(model.modified_at, now).into(),
        ]);
    }
    table.render(out)
}

#[cfg(test)]
mod tests {
    use api::ModelDetails;

    use super::*;
    use crate::output::OutputMode;

    #[test]
    fn what_a_list_looks_like() {
        let model = |name: &str, size, modified_at: &str| ModelSummary {
            name: name.to_owned(),
            model: name.to_owned(),
            modified_at: modified_at.parse().unwrap(),
            size,
            digest: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".to_owned(),
            details: ModelDetails::default(),
            capabilities: Vec::new(),
            damaged: None,
        };
        let models = [
            model("smollm2:latest", 98_362_432, "2026-11-20T11:58:00Z"),
            model(
                "registry.example.org/team/assistant:q4",
                4_700_000_000,
                "2026-10-01T00:00:00Z",
            ),
        ];
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let table = table(&out, &models, "2026-11-20T12:00:00Z".parse().unwrap());
        insta::assert_snapshot!(table, @r"
        NAME                                     ID             SIZE      MODIFIED
        smollm2:latest                           b179c9523d0e   98.4 MB   2 minutes ago
        registry.example.org/team/assistant:q4   b179c9523d0e   4.7 GB    1 month ago
        ");
    }
}
