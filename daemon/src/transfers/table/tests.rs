use super::*;
use crate::progress::success;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

struct World {
    table: Table,
    now: Zoned,
}

fn options() -> Options {
    Options {
        max_running: 2,
        window: None,
        metered: false,
    }
}

fn pull(model: &str) -> TransferRequest {
    TransferRequest {
        work: Work::Pull {
            model: model.to_owned(),
            insecure: false,
            variant: None,
        },
        key: format!("pull {model}"),
        model: model.to_owned(),
        background: true,
        priority: None,
        now: false,
    }
}

/// A transient failure.
fn transient() -> Error {
    Error::Store(std::sync::Arc::new(registry::Error::NoSpace {
        path: "/disk".into(),
        needed: 2,
        available: 1,
    }))
}

impl World {
    fn new(options: Options) -> Self {
        let now: Zoned = "2026-11-20T12:00:00[UTC]".parse().unwrap();
        Self {
            table: Table::new(options, 0, Vec::new(), &now),
            now,
        }
    }

    fn with(window: &str) -> Self {
        Self::new(Options {
            window: Some(window.parse().unwrap()),
            ..options()
        })
    }

    /// Sends a request, and schedules.
    fn ask(&mut self, asked: TransferRequest) -> Id {
        let id = self.table.ask(asked, &self.now).unwrap();
        self.settle();
        id
    }

    /// Requests a background pull without listeners.
    fn alone(&mut self, model: &str) -> Id {
        let id = self.ask(pull(model));
        self.table.leave(id, &self.now);
        id
    }

    fn ask_with(&mut self, model: &str, priority: Priority) -> Id {
        let priority = Some(priority);
        self.ask(TransferRequest {
            priority,
            ..pull(model)
        })
    }

    /// The actions of the table, except those on saved jobs.
    fn settle(&mut self) -> Vec<String> {
        self.table.schedule(&self.now);
        let actions = self.table.take_actions().into_iter();
        actions
            .filter_map(|step| match step {
                Action::Start(id) => Some(format!("start {id}")),
                Action::Stop(id) => Some(format!("stop {id}")),
                Action::Tell(id, words) => Some(format!("tell {id}: {words}")),
                Action::End(id, end) => Some(match *end {
                    Ok(_) => format!("end {id}"),
                    Err(error) => format!("end {id}: {error}"),
                }),
                Action::Forget(id) => Some(format!("forget {id}")),
                Action::Save(_) => None,
            })
            .collect()
    }

    fn change(&mut self, id: Id, change: Change) -> Vec<String> {
        self.table.change(id, change, &self.now).unwrap();
        self.settle()
    }

    fn over(&mut self, id: Id, result: Option<Result<Progress, Error>>) -> Vec<String> {
        self.table.over(id, result, false, &self.now);
        self.settle()
    }

    fn state(&self, id: Id) -> JobState {
        self.table.get(id).unwrap().api_state()
    }

    fn after(&mut self, time: SignedDuration) -> Vec<String> {
        self.now = self.now.checked_add(time).unwrap();
        self.settle()
    }

    /// The same jobs after a restart of the daemon.
    fn restart(&mut self) {
        let saved = self.table.iter().map(|(id, entry)| {
            let record = serde_json::to_string(entry).unwrap();
            (id, serde_json::from_str(&record).unwrap())
        });
        self.table = Table::new(self.table.options, 7, saved.collect(), &self.now);
    }
}

#[test]
fn jobs_run_up_to_the_limit_by_priority_and_age() {
    let mut world = World::new(options());
    let [one, two, normal, low, high] = [
        world.ask(pull("one")),
        world.ask(pull("two")),
        world.ask(pull("normal")),
        world.ask_with("low", Priority::Low),
        world.ask_with("high", Priority::High),
    ];
    let queued = [normal, low, high].map(|id| world.state(id));
    assert_eq!(queued, [JobState::Queued; 3]);
    assert_eq!(
        world.over(one, Some(Ok(success()))),
        [format!("end {one}"), format!("start {high}")]
    );
    assert_eq!(world.change(low, Change::Priority(Priority::High)), [""; 0]);
    assert_eq!(
        world.over(two, Some(Ok(success()))),
        [format!("end {two}"), format!("start {low}")]
    );
}

#[test]
fn a_job_of_high_priority_replaces_only_one_of_low_priority() {
    let mut world = World::new(options());
    let one = world.ask(pull("one"));
    let low = world.ask_with("low", Priority::Low);
    let high = world.ask_with("high", Priority::High);
    let states = [one, low, high].map(|id| world.state(id));
    assert_eq!(
        states,
        [JobState::Running, JobState::Queued, JobState::Running]
    );
    let more = world.ask_with("more", Priority::High);
    assert_eq!(world.state(more), JobState::Queued);
    // The low one continues once its run has ended and a transfer slot is free.
    assert_eq!(world.over(low, None), [""; 0]);
    world.over(one, Some(Ok(success())));
    assert_eq!(
        world.over(high, Some(Ok(success()))),
        [format!("end {high}"), format!("start {low}")]
    );
}

#[test]
fn the_same_work_is_one_job_with_the_highest_options_of_its_requests() {
    let mut world = World::new(options());
    let foreground = TransferRequest {
        background: false,
        ..pull("m")
    };
    let id = world.ask(foreground.clone());
    let high = TransferRequest {
        priority: Some(Priority::High),
        ..pull("m")
    };
    assert_eq!(world.ask(high), id);
    assert_eq!(world.ask(foreground), id);
    let entry = world.table.get(id).unwrap();
    assert_eq!((entry.priority, entry.background), (Priority::High, true));
    for _ in 0..3 {
        world.table.leave(id, &world.now);
    }
    assert_eq!(world.settle(), [""; 0]);
    assert_eq!(world.state(id), JobState::Running);
}

#[test]
fn a_foreground_job_ends_with_its_last_listener() {
    let mut world = World::new(options());
    let foreground = TransferRequest {
        background: false,
        ..pull("m")
    };
    let id = world.ask(foreground.clone());
    world.table.watch(id).unwrap();
    world.table.leave(id, &world.now);
    assert_eq!(world.settle(), [""; 0]);
    world.table.leave(id, &world.now);
    assert_eq!(
        world.settle(),
        [
            format!("stop {id}"),
            format!("end {id}: job {id} was cancelled")
        ]
    );
    assert_ne!(world.ask(foreground), id, "another one is made");
}

#[test]
fn a_paused_job_continues_at_resume_or_at_a_new_request() {
    let mut world = World::new(options());
    let id = world.ask(pull("m"));
    let paused = format!("tell {id}: paused; `slm jobs resume {id}` goes on with it");
    assert_eq!(
        world.change(id, Change::Pause),
        [format!("stop {id}"), paused.clone()]
    );
    assert_eq!(world.change(id, Change::Pause), [""; 0]);
    // Not before the old run has ended.
    assert_eq!(
        world.change(id, Change::Resume { now: false }),
        [format!("tell {id}: queued behind other transfers")]
    );
    assert_eq!(world.over(id, None), [format!("start {id}")]);
    world.change(id, Change::Pause);
    world.over(id, None);
    assert_eq!(world.ask(pull("m")), id);
    assert_eq!(world.state(id), JobState::Running);
}

#[test]
fn a_job_that_ends_at_the_moment_of_a_pause_is_done() {
    let mut world = World::new(options());
    let id = world.ask(pull("m"));
    world.change(id, Change::Pause);
    assert_eq!(world.over(id, Some(Ok(success()))), [format!("end {id}")]);
    assert_eq!(world.state(id), JobState::Done);
}

#[test]
fn a_job_that_is_over_refuses_changes() {
    let mut world = World::new(options());
    let id = world.ask(pull("m"));
    world.over(id, Some(Ok(success())));
    let refusals = [
        (Change::Pause, "job 1 is done and cannot be paused"),
        (Change::Cancel, "job 1 is done and cannot be cancelled"),
        (
            Change::Resume { now: true },
            "job 1 is done and cannot be resumed",
        ),
    ];
    for (change, words) in refusals {
        let error = world.table.change(id, change, &world.now).unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    let error = world.table.change(9, Change::Pause, &world.now);
    assert_eq!(error.unwrap_err().to_string(), "there is no job 9");
}

#[test]
fn outside_of_the_window_jobs_wait_and_within_they_run() {
    let mut world = World::with("22:00-06:00");
    let id = world.table.ask(pull("m"), &world.now).unwrap();
    assert_eq!(
        world.settle(),
        [format!("tell {id}: waits until 22:00 (`pull_window`)")]
    );
    let opens = "2026-11-20T22:00:00Z".parse().unwrap();
    assert_eq!(world.table.wake(&world.now), Some(opens));
    assert_eq!(
        world.after(SignedDuration::from_hours(10)),
        [format!("start {id}")]
    );
    assert_eq!(world.after(SignedDuration::from_hours(7)), [""; 0]);
    assert_eq!(
        world.after(SignedDuration::from_hours(1)),
        [
            format!("stop {id}"),
            format!("tell {id}: waits until 22:00 (`pull_window`)")
        ]
    );
    world.over(id, None);
    assert_eq!(
        world.change(id, Change::Resume { now: false }),
        [""; 0],
        "the window holds all the same"
    );
    assert_eq!(
        world.change(id, Change::Resume { now: true }),
        [format!("start {id}")]
    );
}

#[test]
fn on_a_metered_network_only_jobs_with_now_run() {
    let mut world = World::new(Options {
        metered: true,
        ..options()
    });
    let waits = world.ask(pull("m"));
    let runs = world.ask(TransferRequest {
        now: true,
        ..pull("n")
    });
    assert_eq!(world.state(waits), JobState::Waiting);
    assert_eq!(world.state(runs), JobState::Running);
    assert_eq!(
        world.ask(TransferRequest {
            now: true,
            ..pull("m")
        }),
        waits
    );
    assert_eq!(world.state(waits), JobState::Running);
}

#[test]
fn a_job_without_listeners_is_tried_again_after_growing_pauses() {
    let mut world = World::new(options());
    let id = world.alone("m");
    let mut pauses = Vec::new();
    for _ in 0..7 {
        world.over(id, Some(Err(transient())));
        assert_eq!(world.state(id), JobState::Waiting);
        let wake = world.table.wake(&world.now).unwrap();
        let pause = wake.duration_since(world.now.timestamp());
        pauses.push(pause.as_mins());
        assert_eq!(world.after(pause), [format!("start {id}")]);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    // Progress resets the failures.
    world
        .table
        .over(id, Some(Err(transient())), true, &world.now);
    world.settle();
    assert_eq!(
        world.table.wake(&world.now),
        Some(world.now.timestamp() + MINUTE)
    );
}

#[test]
fn a_job_fails_after_a_day_without_progress() {
    let mut world = World::new(options());
    let id = world.alone("m");
    let mut tries = 0;
    while world.state(id) != JobState::Failed {
        world.over(id, Some(Err(transient())));
        world.after(SignedDuration::from_mins(30));
        tries += 1;
        assert!(tries < 100, "it ends");
    }
    assert!(tries > 40, "{tries}");
}

#[test]
fn a_listener_gets_a_failure_at_once() {
    let mut world = World::new(options());
    let id = world.ask(pull("m"));
    let actions = world.over(id, Some(Err(transient())));
    assert!(
        actions[0].starts_with(&format!("end {id}: ")),
        "{actions:?}"
    );
    assert_eq!(world.state(id), JobState::Failed);
    assert_eq!(
        world.change(id, Change::Resume { now: false }),
        [format!("start {id}")]
    );
}

#[test]
fn a_permanent_failure_ends_the_job() {
    let mut world = World::new(options());
    let id = world.alone("m");
    let actions = world.over(id, Some(Err(Error::Internal)));
    assert_eq!(actions, [format!("end {id}: an internal task ended early")]);
    assert_eq!(world.state(id), JobState::Failed);
}

#[test]
fn a_restart_continues_background_jobs() {
    let mut world = World::new(options());
    let runs = world.alone("runs");
    let foreground = world.ask(TransferRequest {
        background: false,
        ..pull("foreground")
    });
    let paused = world.alone("paused");
    world.change(paused, Change::Pause);
    let retries = world.alone("retries");
    world.restart();
    assert_eq!(
        world.settle(),
        [
            format!("start {runs}"),
            format!("start {retries}"),
            format!("tell {paused}: paused; `slm jobs resume {paused}` goes on with it"),
        ]
    );
    assert_eq!(world.state(foreground), JobState::Cancelled);
    assert_eq!(world.ask(pull("new")), 8, "no id is used again");
}

#[test]
fn the_last_hundred_jobs_of_a_day_are_kept() {
    let mut world = World::new(options());
    for number in 0..120 {
        let id = world.alone(&format!("m{number}"));
        world.over(id, Some(Ok(success())));
    }
    assert_eq!(world.table.iter().count(), MAX_KEPT);
    assert_eq!(world.table.iter().next().unwrap().0, 21);
    let forgotten = world.after(SignedDuration::from_hours(25));
    assert_eq!(forgotten.len(), MAX_KEPT);
    assert_eq!(world.table.iter().count(), 0);
}

#[test]
fn the_number_of_open_jobs_is_bounded() {
    let mut world = World::new(options());
    for number in 0..MAX_OPEN {
        let asked = pull(&format!("m{number}"));
        world.table.ask(asked, &world.now).unwrap();
    }
    let error = world.table.ask(pull("more"), &world.now).unwrap_err();
    assert_eq!(error.status(), 503);
    // An existing job can be joined.
    world.table.ask(pull("m3"), &world.now).unwrap();
}

#[test]
fn pulls_of_a_model_are_found_in_any_spelling_of_its_name() {
    let mut world = World::new(options());
    let id = world.ask(pull("M:latest"));
    assert_eq!(world.table.open_pulls("m:latest"), [id]);
    world.change(id, Change::Cancel);
    assert_eq!(world.table.open_pulls("m:latest"), [0; 0]);
}
