//! `slm gc`: removes files of the store that no model needs.

use api::{GcReport, routes};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::text;

/// Lets the daemon collect garbage. A blocked collection is a failure.
pub(crate) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let report: GcReport = context.client.post(routes::GC, &json!({})).await?;
    if context.out.json() {
        context.out.json_document(&report)?;
    } else {
        context.out.line(&summary(&report))?;
    }
    let is_blocked = !report.blocked_by.is_empty() || report.unknown_files > 0;
    Ok(if is_blocked { Exit::Failed } else { Exit::Ok })
}

fn summary(report: &GcReport) -> String {
    if !report.blocked_by.is_empty() {
        return format!(
            "nothing is removed, because the files of these damaged models are not known: {}\n`slm pull` mends one, `slm rm` removes it",
            report.blocked_by.join(", ")
        );
    }
    if report.unknown_files > 0 {
        return format!(
            "nothing is removed, because there are unknown files among the manifests: {}\n`slm logs` names them",
            report.unknown_files
        );
    }
    let parts = [
        (report.removed.len() as u64, "blob"),
        (report.downloads, "unfinished download"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| text::count(*count, what))
        .collect();
    match parts.is_empty() {
        true => "nothing to remove".to_owned(),
        false => format!(
            "removed {}, {}",
            parts.join(" and "),
            text::bytes(report.bytes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_looks_like() {
        let mut report = GcReport::default();
        insta::assert_snapshot!(summary(&report), @"nothing to remove");
        report.removed = vec!["sha256:b179".to_owned()];
        report.bytes = 98_362_432;
        insta::assert_snapshot!(summary(&report), @"removed 1 blob, 98.4 MB");
        report.downloads = 2;
        insta::assert_snapshot!(summary(&report), @"removed 1 blob and 2 unfinished downloads, 98.4 MB");
        report.unknown_files = 1;
        insta::assert_snapshot!(summary(&report), @r"
        nothing is removed, because there are unknown files among the manifests: 1
        `slm logs` names them
        ");
        report.blocked_by = vec!["a:latest".to_owned()];
        insta::assert_snapshot!(summary(&report), @r"
        nothing is removed, because the files of these damaged models are not known: a:latest
        `slm pull` mends one, `slm rm` removes it
        ");
    }
}
