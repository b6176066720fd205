//! `slm verify`: verifies the store.

use api::{Progress, VerifyReport, VerifyRequest, routes};

use crate::args::Verify;
use crate::client::Error;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::text;

/// Lets the daemon hash every file, and reports damage. Damage is a failure, also if it was repaired.
pub(crate) async fn run(context: &Context, args: &Verify) -> anyhow::Result<Exit> {
    let out = &context.out;
    let request = VerifyRequest {
        models: args.models.clone(),
        quarantine: args.quarantine,
    };
    let mut events = context
        .client
        .stream::<Progress>(routes::VERIFY, &request)
        .await?;
    let mut view = out.progress();
    let moving = out.shows_bars();
    let mut report = None;
    while let Some(event) = events.next().await? {
        // A log gets one line for each blob, not each tenth of it.
        if moving || out.json() || is_whole(&event) {
            view.update(&event)?;
        }
        report = event.report.or(report);
    }
    drop(view);
    let report =
        report.ok_or_else(|| Error::Garbled("there is no report of the check".to_owned()))?;
    if !out.json() {
        show(out, &report)?;
    }
    Ok(if report.damage.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Whether the event's work is complete or has no size.
fn is_whole(event: &Progress) -> bool {
    let total = event.total.unwrap_or(0);
    total == 0 || event.completed.is_some_and(|done| done >= total)
}

fn show(out: &Output, report: &VerifyReport) -> anyhow::Result<()> {
    out.line(&summary(report))
}

fn summary(report: &VerifyReport) -> String {
    let VerifyReport {
        models,
        blobs,
        bytes,
        damage,
    } = report;
    let models = text::count(*models, "model");
    let blobs = text::count(*blobs, "blob");
    let bytes = text::bytes(*bytes);
    let mended = damage.iter().filter(|damage| damage.mended).count();
    let damaged = match damage.len() - mended {
        1 => "1 file is damaged".to_owned(),
        count => format!("{count} files are damaged"),
    };
    let repaired = match mended {
        1 => "1 damaged manifest was repaired".to_owned(),
        count => format!("{count} damaged manifests were repaired"),
    };
    let found = match (damage.len() - mended, mended) {
        (0, 0) => "no damage".to_owned(),
        (_, 0) => damaged,
        (0, _) => repaired,
        _ => format!("{damaged}, {repaired}"),
    };
    let mut summary = format!("checked {models}, {blobs}, {bytes}: {found}\n");
    for damage in damage {
        let model = damage
            .model
            .as_deref()
            .map_or_else(String::new, |model| format!(" ({model})"));
        summary.push_str(&format!("\n{}{model}\n", damage.path));
        summary.push_str(&format!("  problem: {}\n", damage.problem));
        summary.push_str(&format!("  remedy:  {}\n", damage.remedy));
    }
    summary
}

#[cfg(test)]
mod tests {
    use api::Damage;

    use super::*;

    #[test]
    fn a_log_gets_only_completed_steps() {
        let event = |completed, total| Progress {
            completed,
            total,
            ..Progress::default()
        };
        assert!(is_whole(&event(None, None)));
        assert!(is_whole(&event(Some(5), Some(5))));
        assert!(!is_whole(&event(Some(0), Some(5))));
        assert!(!is_whole(&event(None, Some(5))));
    }

    #[test]
    fn what_a_report_looks_like() {
        let mut report = VerifyReport {
            models: 2,
            blobs: 5,
            bytes: 98_362_432,
            damage: Vec::new(),
        };
        insta::assert_snapshot!(summary(&report), @"checked 2 models, 5 blobs, 98.4 MB: no damage");
        report.damage.push(Damage {
            model: Some("smollm2:latest".to_owned()),
            path: "blobs/sha256-b179".to_owned(),
            problem: "the bytes do not match the name".to_owned(),
            remedy: "`slm verify --quarantine`, then `slm pull smollm2` or create it again"
                .to_owned(),
            mended: false,
        });
        report.damage.push(Damage {
            model: None,
            path: "manifests/x".to_owned(),
            problem: "not JSON".to_owned(),
            remedy: "remove the file".to_owned(),
            mended: false,
        });
        insta::assert_snapshot!(summary(&report), @r"
        checked 2 models, 5 blobs, 98.4 MB: 2 files are damaged

        blobs/sha256-b179 (smollm2:latest)
          problem: the bytes do not match the name
          remedy:  `slm verify --quarantine`, then `slm pull smollm2` or create it again

        manifests/x
          problem: not JSON
          remedy:  remove the file
        ");
        report.damage[1].mended = true;
        assert!(
            summary(&report).contains(": 1 file is damaged, 1 damaged manifest was repaired\n")
        );
        report.damage.remove(0);
        assert!(summary(&report).contains("98.4 MB: 1 damaged manifest was repaired\n"));
    }
}
