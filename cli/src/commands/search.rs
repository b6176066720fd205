//! `slm search`: finds models in the catalogs and on the hub.

use api::{FoundModel, SearchRequest, SearchResponse, routes};

use crate::args::Search;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Output, Shrink, Table};

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 4] = [
    Shrink::Drop("UPDATED"),
    Shrink::Drop("LICENSE"),
    Shrink::Drop("DOWNLOADS"),
    Shrink::Drop("SIZE"),
];

/// Longest licence in the table, in characters.
const LONGEST_LICENSE: usize = 24;

/// Shows the results, and warns if the hub was not searched.
pub(crate) async fn run(context: &Context, args: &Search) -> anyhow::Result<Exit> {
    let request = SearchRequest {
        query: args.words.join(" "),
        limit: Some(if args.catalog { 0 } else { args.limit }),
        filters: args.filters.clone(),
    };
    let found: SearchResponse = context.client.post(routes::SEARCH, &request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    if !found.models.is_empty() {
        out.print(&table(out, &found.models))?;
    }
    if let Some(problem) = &found.problem {
        out.warn(&format!("only the catalogs were searched: {problem}"));
    }
    if found.models.is_empty() {
        out.note(match args.filters.as_slice() {
            [] => "no model has all of these words in its name or description",
            _ => {
                "no model has all of these words in its name or description, and meets every filter"
            }
        });
    }
    Ok(Exit::Ok)
}

fn table(out: &Output, models: &[FoundModel]) -> String {
    let head = ["NAME", "SIZE", "LICENSE", "DOWNLOADS", "UPDATED"];
    let mut table = Table::new(&head, &SHRINK_ORDER);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for model in models {
        let license = or_none(&model.license);
        let license = match license.char_indices().nth(LONGEST_LICENSE) {
            Some((end, _)) => format!("{}…", &license[..end]),
            None => license,
        };
        let downloads = model.downloads.map(|count| count.to_string());
        table.row([
            model.name.clone().into(),
            or_none(&model.parameter_size).into(),
            license.into(),
            or_none(&downloads).into(),
            or_none(&model.updated).into(),
        ]);
    }
    table.render(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    #[test]
    fn what_a_search_looks_like() {
        let models = [
            FoundModel {
                name: "smollm2:latest".to_owned(),
                parameter_size: Some("135M".to_owned()),
                license: Some("Apache-2.0".to_owned()),
                source: "catalog".to_owned(),
                ..FoundModel::default()
            },
            FoundModel {
                name: "hf.co/acme/notes".to_owned(),
                license: Some("a licence with a very long name indeed".to_owned()),
                downloads: Some(1234),
                updated: Some("2026-01-31".to_owned()),
                source: "hub".to_owned(),
                ..FoundModel::default()
            },
        ];
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let shown = table(&out, &models);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "NAME               SIZE   LICENSE                     DOWNLOADS   UPDATED",
                "smollm2:latest     135M   Apache-2.0                  -           -",
                "hf.co/acme/notes   -      a licence with a very lo…   1234        2026-01-31",
            ]
        );
    }
}
