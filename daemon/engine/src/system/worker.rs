//! A thread that does jobs one after the other, while the engine computes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::error::Error;

/// Most jobs in a queue whose owner has no other bound.
pub(crate) const MAX_JOBS: usize = 1024;

/// Most bytes of the jobs in a queue.
const MAX_BYTES: usize = 256 << 20;

/// The engine's side: a bounded queue.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    queue: Arc<Queue<J>>,
    max_jobs: usize,
}

/// Cancels a queued job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// Cancels the job: the thread skips it. A job that has begun ends early if its work asks.
    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the job is cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The jobs, which the engine and the thread share.
#[derive(Debug)]
struct Queue<J> {
    jobs: Mutex<Jobs<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Jobs<J> {
    /// Oldest first; the first may be in work.
    list: VecDeque<Queued<J>>,
    /// There will be no more.
    ended: bool,
}

/// A job that waits or is in work.
#[derive(Debug)]
struct Queued<J> {
    /// `None` while it is in work.
    job: Option<J>,
    bytes: usize,
    ticket: Ticket,
}

impl<J: Send> Worker<J> {
    /// The engine's side, with a queue of at most `max_jobs` jobs, and the work of the thread, which ends when the engine's side is
    /// dropped. `start` runs on the thread and returns what does one job.
    pub(crate) fn new<W: FnMut(J, &Ticket)>(
        max_jobs: usize,
        start: impl FnOnce() -> W + Send,
    ) -> (Self, impl FnOnce() + Send) {
        let queue = Arc::new(Queue {
            jobs: Mutex::new(Jobs {
                list: VecDeque::new(),
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let worker = Self {
            queue: Arc::clone(&queue),
            max_jobs,
        };
        let run = move || {
            let mut work = start();
            while let Some((job, ticket)) = queue.next() {
                work(job, &ticket);
                queue.jobs().list.pop_front();
            }
        };
        (worker, run)
    }

    /// Queues a job of so many bytes, without waiting for it. Cancelled jobs make room.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full, or has more than [`MAX_BYTES`] with this one.
    pub(crate) fn queue(&self, job: J, bytes: usize) -> Result<Ticket, Error> {
        let mut jobs = self.queue.jobs();
        jobs.drop_cancelled();
        let queued: usize = jobs.list.iter().map(|it| it.bytes).sum();
        if jobs.list.len() >= self.max_jobs || queued + bytes > MAX_BYTES {
            return Err(Error::Busy(jobs.list.len()));
        }
        let ticket = Ticket::default();
        jobs.list.push_back(Queued {
            job: Some(job),
            bytes,
            ticket: ticket.clone(),
        });
        self.queue.changed.notify_one();
        Ok(ticket)
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.queue.jobs().ended = true;
        self.queue.changed.notify_one();
    }
}

impl<J> Queue<J> {
    fn jobs(&self) -> MutexGuard<'_, Jobs<J>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next job into work; waits for it. `None` when there will be none.
    fn next(&self) -> Option<(J, Ticket)> {
        let mut jobs = self.jobs();
        loop {
            jobs.drop_cancelled();
            if let Some(Queued { job, ticket, .. }) = jobs.list.front_mut() {
                return job.take().map(|job| (job, ticket.clone()));
            }
            if jobs.ended {
                return None;
            }
            let woken = self.changed.wait(jobs);
            jobs = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J> Jobs<J> {
    fn drop_cancelled(&mut self) {
        self.list
            .retain(|it| it.job.is_none() || !it.ticket.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::inbox::{self, Mail};

    /// The engine computes a step whenever its inbox is empty, so queueing a request must not wait for the thread.
    #[test]
    fn the_engine_goes_on_while_a_job_is_done() {
        let (feed, inbox) = inbox::new::<u64>();
        let put = feed.returns().putting(|id| id);
        let (open, gate) = mpsc::channel::<()>();
        let (worker, run) = Worker::new(2, move || {
            move |id, _: &Ticket| {
                gate.recv().expect("the gate is opened once for each");
                put(id);
            }
        });
        let thread = std::thread::spawn(run);
        for id in [1, 2] {
            worker.queue(id, 10).unwrap();
        }
        for id in [1, 2] {
            // The job waits at the gate: the inbox is empty, and the engine would compute a step.
            assert!(!inbox.has_mail());
            assert!(inbox.next().is_none());
            open.send(()).unwrap();
            match inbox.wait() {
                Some(Mail::Finished(finished)) => assert_eq!(finished, id),
                other => panic!("{other:?}"),
            }
        }
        drop(worker);
        thread.join().unwrap();
    }

    #[test]
    fn the_queue_is_bounded_and_has_room_again() {
        let (worker, _run) = Worker::new(3, || |(), _: &Ticket| {});
        for _ in 0..3 {
            worker.queue((), 0).unwrap();
        }
        let refused = worker.queue((), 0);
        assert!(matches!(refused, Err(Error::Busy(3))));

        let (worker, run) = Worker::new(3, || |(), _: &Ticket| {});
        worker.queue((), MAX_BYTES).unwrap();
        assert!(worker.queue((), 1).is_err());
        let queue = Arc::clone(&worker.queue);
        drop(worker);
        run();
        assert!(queue.jobs().list.is_empty());
    }

    #[test]
    fn cancelled_jobs_make_room_before_the_thread_reaches_them() {
        let (worker, _run) = Worker::new(2, || |(), _: &Ticket| {});
        let large = worker.queue((), MAX_BYTES).unwrap();
        assert!(worker.queue((), 1).is_err());
        large.cancel();
        worker.queue((), 1).unwrap();
        let small = worker.queue((), 1).unwrap();
        assert!(worker.queue((), 1).is_err());
        small.cancel();
        worker.queue((), 1).unwrap();
    }

    #[test]
    fn a_cancelled_job_is_skipped() {
        let mut done = Vec::new();
        let (worker, run) = Worker::new(3, || |job, _: &Ticket| done.push(job));
        worker.queue(1, 0).unwrap();
        worker.queue(2, 0).unwrap().cancel();
        worker.queue(3, 0).unwrap();
        drop(worker);
        run();
        assert_eq!(done, [1, 3]);
    }
}
