//! What pulls and pushes have in common: they are jobs of the daemon, which go on when this program leaves.

use std::cell::Cell;

use api::{JobState, Progress, routes};
use serde::Serialize;

use crate::client::{Client, Events};
use crate::context::Context;
use crate::error::Interrupted;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::output::{Output, ProgressView};

/// A transfer, in words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer<'a> {
    /// `pull` or `push`.
    verb: &'static str,
    /// The model.
    model: &'a str,
    /// How long this program stays with it.
    until: Until,
}

/// How long a client stays with its transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until it is done, or waits for a time or a network.
    Done,
    /// Until its job is known.
    Known,
}

/// What became of a transfer.
pub(super) enum FollowEnd {
    /// It is done; this is its last line, with what was told on the way.
    Done(Box<Progress>),
    /// The job waits, for what these words say.
    Waits(u64, String),
    /// The job goes on without us.
    Left(u64),
}

impl<'a> Transfer<'a> {
    /// A transfer that is watched to its end, unless it is to go on in the background at once.
    pub(super) fn new(verb: &'static str, model: &'a str, background: bool) -> Self {
        let until = match background {
            true => Until::Known,
            false => Until::Done,
        };
        Self { verb, model, until }
    }

    /// Has the daemon do it, and shows how far it is. Ctrl-C leaves it, and says how to end it.
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
                    "left before the {verb} of `{model}` had begun; `slm jobs` shows whether it goes on"
                ),
            });
        }
        followed
    }

    /// What a transfer that waits says.
    pub(super) fn waits(self, job: u64, what: &str) -> String {
        let Self { verb, model, .. } = self;
        format!("the {verb} of `{model}` {what}; `slm jobs resume {job} --now` starts it")
    }

    /// What a transfer says that goes on without us.
    pub(super) fn left(self, job: u64) -> String {
        let Self { verb, model, .. } = self;
        format!(
            "the {verb} of `{model}` goes on in the background as job {job}; `slm jobs` shows it, `slm jobs cancel {job}` stops it"
        )
    }
}

/// Shows what a job reports. The job is noted as soon as it is known.
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

/// Shows what the job of somebody else reports, until it is over or Ctrl-C is pressed. Neither changes the job.
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
