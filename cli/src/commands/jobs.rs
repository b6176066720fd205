//! `slm jobs`: the pulls and pushes of the daemon.

use std::time::Duration;

use api::{Job, JobState, JobsResponse, routes};
use serde_json::json;

use super::{Outcome, each};
use crate::args::{JobAction, JobNames, Jobs};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::output::{Cell, Output, Shrink, Table};
use crate::{text, transfer};

/// Lists jobs, or acts on them.
pub(crate) async fn run(context: &Context, args: &Jobs) -> anyhow::Result<Exit> {
    let Some(action) = &args.action else {
        return until_ctrl_c(list(context, args.all)).await;
    };
    match action {
        JobAction::Watch { job } => {
            let job = until_ctrl_c(find(context, job)).await?;
            transfer::watch(context, job.id).await
        }
        JobAction::Pause(names) => change(context, names, routes::JOB_PAUSE, "paused").await,
        JobAction::Resume { names, now } => {
            let query = if *now { "?now=true" } else { "" };
            let path = format!("{}{query}", routes::JOB_RESUME);
            change(context, names, &path, "resumed").await
        }
        JobAction::Cancel { names, remove } => {
            let query = if *remove { "?remove=true" } else { "" };
            let path = format!("{}{query}", routes::JOB_CANCEL);
            change(context, names, &path, "cancelled").await
        }
        JobAction::Priority { priority, names } => {
            let path = format!("{}?priority={priority}", routes::JOB_PRIORITY);
            change(context, names, &path, "changed").await
        }
    }
}

/// Applies one action to every named job.
async fn change(
    context: &Context,
    names: &JobNames,
    path: &str,
    word: &'static str,
) -> anyhow::Result<Exit> {
    let changing = each(&context.out, &names.jobs, async |job| {
        let Job { id, model, .. } = find(context, job).await?;
        let job: Job = context
            .client
            .post(&routes::job(path, id), &json!({}))
            .await?;
        let reason = job.reason.as_ref().filter(|_| !job.state.is_over());
        let reason = reason.map_or_else(String::new, |reason| format!(" {reason}"));
        Ok(Outcome {
            word,
            note: format!("job {id} (`{model}`) is {}{reason}", state(&job)),
        })
    });
    until_ctrl_c(changing).await
}

fn state(job: &Job) -> String {
    match job.state {
        JobState::Queued => format!("queued with priority {}", job.priority),
        state => state.to_string(),
    }
}

/// The job with this id, or the newest job of this model; unfinished jobs are preferred.
async fn find(context: &Context, named: &str) -> anyhow::Result<Job> {
    let path = format!("{}?all=true", routes::JOBS);
    let jobs: JobsResponse = context.client.get(&path).await?;
    let is_it = |job: &&Job| match named.parse::<u64>() {
        Ok(id) => job.id == id,
        Err(_) => is_named(&job.model, named),
    };
    let mut found: Vec<Job> = jobs.jobs.iter().filter(is_it).cloned().collect();
    found.sort_by_key(|job| (!job.state.is_over(), job.id));
    found.pop().ok_or_else(|| {
        Failure::new(format!("there is no job {named}"))
            .code("job_not_found")
            .hint("`slm jobs --all` shows the jobs")
            .into()
    })
}

/// Whether a name in the store is the typed name.
fn is_named(model: &str, typed: &str) -> bool {
    let short = model.strip_suffix(":latest").unwrap_or(model);
    model.eq_ignore_ascii_case(typed) || short.eq_ignore_ascii_case(typed)
}

async fn list(context: &Context, all: bool) -> anyhow::Result<Exit> {
    let path = match all {
        true => format!("{}?all=true", routes::JOBS),
        false => routes::JOBS.to_owned(),
    };
    let found: JobsResponse = context.client.get(&path).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
    } else if found.jobs.is_empty() {
        out.note("no pull or push is in progress; `slm jobs --all` shows those of the last day");
    } else {
        out.print(&table(out, &found.jobs))?;
    }
    Ok(Exit::Ok)
}

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 6] = [
    Shrink::Shorten("STATE"),
    Shrink::Drop("KIND"),
    Shrink::Drop("RATE"),
    Shrink::Drop("SIZE"),
    Shrink::Drop("LEFT"),
    Shrink::Drop("DONE"),
];

fn table(out: &Output, jobs: &[Job]) -> String {
    let head = [
        "ID", "MODEL", "KIND", "DONE", "SIZE", "RATE", "LEFT", "STATE",
    ];
    let mut table = Table::new(&head, &SHRINK_ORDER);
    for job in jobs {
        let state = state_of(job);
        let full = match &job.reason {
            Some(reason) => format!("{state} {reason}"),
            None => state.clone(),
        };
        let is_known = job.total > 0;
        let unless = |known: bool, text: String| if known { text } else { "-".to_owned() };
        table.row([
            job.id.to_string().into(),
            job.model.clone().into(),
            job.kind.to_string().into(),
            unless(is_known, percent(job)).into(),
            unless(is_known, text::bytes(job.total)).into(),
            unless(job.rate > 0, format!("{}/s", text::bytes(job.rate))).into(),
            left(job).unwrap_or_else(|| "-".to_owned()).into(),
            Cell::or_short(full, state),
        ]);
    }
    table.render(out)
}

fn state_of(job: &Job) -> String {
    match (job.state, job.priority) {
        (JobState::Queued, api::Priority::Low | api::Priority::High) => {
            format!("queued ({})", job.priority)
        }
        (state, _) => state.to_string(),
    }
}

fn percent(job: &Job) -> String {
    let done = u128::from(job.completed.min(job.total));
    format!("{}%", done * 100 / u128::from(job.total.max(1)))
}

/// The remaining time at the current rate.
fn left(job: &Job) -> Option<String> {
    let missing = job.total.saturating_sub(job.completed);
    let seconds = missing.checked_div(job.rate)?;
    Some(match seconds {
        0..60 => format!("{seconds}s"),
        _ => text::duration(Duration::from_secs(seconds)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn job(id: u64, state: JobState) -> Job {
        Job {
            id,
            kind: api::JobKind::Pull,
            model: "smollm2:latest".to_owned(),
            state,
            reason: None,
            until: None,
            priority: api::Priority::Normal,
            background: true,
            completed: 30_000_000,
            total: 120_000_000,
            rate: 0,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            changed_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_table_shows_progress_and_the_reason_of_waiting() {
        let jobs = [
            Job {
                rate: 1_000_000,
                ..job(3, JobState::Running)
            },
            Job {
                total: 0,
                completed: 0,
                priority: api::Priority::Low,
                ..job(4, JobState::Queued)
            },
            Job {
                reason: Some("until 22:00 (`pull_window`)".to_owned()),
                ..job(17, JobState::Waiting)
            },
        ];
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(table(&out, &jobs), @r"
        ID   MODEL            KIND   DONE   SIZE     RATE       LEFT    STATE
        3    smollm2:latest   pull   25%    120 MB   1.0 MB/s   1m30s   running
        4    smollm2:latest   pull   -      -        -          -       queued (low)
        17   smollm2:latest   pull   25%    120 MB   -          -       waiting until 22:00 (`pull_window`)
        ");
    }

    #[test]
    fn a_model_is_found_by_the_name_that_users_type() {
        assert!(is_named("smollm2:latest", "smollm2"));
        assert!(is_named("smollm2:latest", "SmolLM2:latest"));
        assert!(is_named("smollm2:360m", "smollm2:360m"));
        assert!(!is_named("smollm2:360m", "smollm2"));
    }
}
