//! Common parts of pulls and pushes: both are jobs of the daemon, which continue after this program ends.

use std::cell::Cell;

use api::{JobState, Progress, routes};
use serde::Serialize;

use crate::client::{Client, Events};
use crate::context::Context;
use crate::error::Interrupted;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::output::{Output, ProgressView};

/// A pull or push, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer<'a> {
    /// `pull` or `push`.
    verb: &'static str,
    /// The model.
    model: &'a str,
    /// How long this program follows it.
    until: Until,
}

/// How long this program follows a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until it ends, or waits for the window or a network.
    Done,
    /// Until its job is known.
    Known,
}

/// How following a job ended.
pub(super) enum FollowEnd {
    /// The job succeeded; this is its last line, with facts of earlier lines.
    Done(Box<Progress>),
    /// The job waits, for the reason in the text.
    Waits(u64, String),
    /// The job continues in the background.
    Left(u64),
}

impl<'a> Transfer<'a> {
    /// A transfer that is followed to its end, or sent to the background at once.
    pub(super) fn new(verb: &'static str, model: &'a str, background: bool) -> Self {
        let until = match background {
            true => Until::Known,
            false => Until::Done,
        };
        Self { verb, model, until }
    }

    /// Starts the job and shows its progress. Ctrl-C detaches, with a note how to cancel.
    pub(super) async fn run(
        self,
        client: &Client,
        out: &Output,
        view: ProgressView,
        route: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<FollowEnd> {
        let Self { verb, model, until } = self;
        let job = Cell::new(None);
        let following = async {
            let events = client.stream(route, request).await?;
            follow(events, view, &job, until).await
        };
        let followed = until_ctrl_c(following).await;
        if let Err(error) = &followed
            && error.is::<Interrupted>()
        {
            out.note(&match job.get() {
                Some(job) => self.left(job),
                None => format!(
                    "detached before the {verb} of `{model}` began; `slm jobs` shows whether it continues"
                ),
            });
        }
        followed
    }

    /// The message of a waiting job.
    pub(super) fn waits(self, job: u64, what: &str) -> String {
        let Self { verb, model, .. } = self;
        format!("the {verb} of `{model}` {what}; `slm jobs resume {job} --now` starts it")
    }

    /// The message of a job in the background.
    pub(super) fn left(self, job: u64) -> String {
        let Self { verb, model, .. } = self;
        format!(
            "the {verb} of `{model}` continues in the background as job {job}; `slm jobs` shows it, `slm jobs cancel {job}` stops it"
        )
    }
}

/// Shows the progress of a job. `job` gets its id as soon as a line has it.
async fn follow(
    mut events: Events<Progress>,
    mut view: ProgressView,
    job: &Cell<Option<u64>>,
    until: Until,
) -> anyhow::Result<FollowEnd> {
    let mut last = Progress::default();
    while let Some(event) = events.next().await? {
        job.set(event.job.or(job.get()));
        let is_over = event.model.is_some() || event.pushed.is_some();
        match (event.job, event.state) {
            (Some(job), Some(JobState::Waiting)) => return Ok(FollowEnd::Waits(job, event.status)),
            (Some(job), _) if until == Until::Known && !is_over => {
                view.update(&event)?;
                return Ok(FollowEnd::Left(job));
            }
            _ => view.update(&event)?,
        }
        last.model = event.model.or(last.model);
        last.pushed = event.pushed.or(last.pushed);
    }
    Ok(FollowEnd::Done(Box::new(last)))
}

/// Shows the progress of another client's job until it ends or Ctrl-C is pressed. Neither changes the job.
pub(super) async fn watch(context: &Context, id: u64) -> anyhow::Result<Exit> {
    let mut view = context.out.progress();
    let watching = async {
        let path = routes::job(routes::JOB_PROGRESS, id);
        let mut events = context.client.watch::<Progress>(&path).await?;
        while let Some(event) = events.next().await? {
            view.update(&event)?;
        }
        Ok(())
    };
    until_ctrl_c(watching).await?;
    context.out.note(&format!("job {id} is done"));
    Ok(Exit::Ok)
}
