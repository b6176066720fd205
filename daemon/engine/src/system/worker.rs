//! A thread that does jobs one after the other, while the engine computes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc::{self, Receiver, Sender},
};

use crate::error::Error;

/// Most jobs in a queue whose owner has no other bound.
pub(crate) const MAX_JOBS: usize = 1024;

/// Most bytes of the jobs in a queue.
const MAX_BYTES: usize = 256 << 20;

/// The engine's side: a bounded queue.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    jobs: Sender<(J, usize, Ticket)>,
    max_jobs: usize,
    queued: Arc<Queued>,
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

/// Jobs that wait or are in work.
#[derive(Debug, Default)]
struct Queued {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
}

impl<J: Send> Worker<J> {
    /// The engine's side, with a queue of at most `max_jobs` jobs, and the work of the thread, which ends when the engine's side is
    /// dropped. `start` runs on the thread and returns what does one job.
    pub(crate) fn new<W: FnMut(J, &Ticket)>(
        max_jobs: usize,
        start: impl FnOnce() -> W + Send,
    ) -> (Self, impl FnOnce() + Send) {
        let (jobs, receiver): (_, Receiver<(J, usize, Ticket)>) = mpsc::channel();
        let queued = Arc::new(Queued::default());
        let worker = Self {
            jobs,
            max_jobs,
            queued: Arc::clone(&queued),
        };
        let run = move || {
            let mut work = start();
            while let Ok((job, bytes, ticket)) = receiver.recv() {
                if !ticket.is_cancelled() {
                    work(job, &ticket);
                }
                queued.jobs.fetch_sub(1, Ordering::Relaxed);
                queued.bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        };
        (worker, run)
    }

    /// Queues a job of so many bytes, without waiting for it.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full, or has more than [`MAX_BYTES`] with this one.
    pub(crate) fn queue(&self, job: J, bytes: usize) -> Result<Ticket, Error> {
        let jobs = self.queued.jobs.load(Ordering::Relaxed);
        if jobs >= self.max_jobs || self.queued.bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(Error::Busy(jobs));
        }
        self.queued.jobs.fetch_add(1, Ordering::Relaxed);
        self.queued.bytes.fetch_add(bytes, Ordering::Relaxed);
        let ticket = Ticket::default();
        // The thread ends only with the engine.
        let _ = self.jobs.send((job, bytes, ticket.clone()));
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
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
        let queued = Arc::clone(&worker.queued);
        drop(worker);
        run();
        assert_eq!(queued.jobs.load(Ordering::Relaxed), 0);
        assert_eq!(queued.bytes.load(Ordering::Relaxed), 0);
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
