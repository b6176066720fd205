//! Requests on their way to the preparer and back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use runner_protocol::{Event, Generate};

use super::{
    Engine,
    images::RequestImages,
    preparer::{Job, Prepared, Unprepared},
    sequence::unanswered,
};

use crate::{answer::format::Applied, error::Error, schedule::clock::Clock};

/// A request that becomes a sequence.
#[derive(Debug)]
pub(super) struct Preparing {
    seed: Option<u64>,
    clock: Clock,
    cancelled: Arc<AtomicBool>,
}

impl Engine<'_> {
    /// Queues a job for the preparer.
    pub(super) fn prepare(&mut self, id: u64, job: Job) {
        let bytes = job.bytes();
        if let Err(error) = self.preparer.queue(job, bytes) {
            self.preparing.remove(&id);
            self.outbox.fail(id, error);
        }
    }

    /// Queues a request for the preparer.
    pub(super) fn prepare_sequence(
        &mut self,
        id: u64,
        generate: Box<Generate>,
        applied: Option<Applied>,
        seen: Option<RequestImages>,
        clock: Clock,
    ) {
        let scales = match self.adapters.wanted(generate.adapter_scales.as_deref()) {
            Ok(scales) => scales,
            Err(error) => return self.outbox.fail(id, error),
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let preparing = Preparing {
            seed: generate.sampling.seed,
            clock,
            cancelled: Arc::clone(&cancelled),
        };
        self.preparing.insert(id, preparing);
        let request = Unprepared {
            id,
            generate,
            applied,
            seen,
            scales,
            clock,
            cancelled,
        };
        self.prepare(id, Job::Sequence(Box::new(request)));
    }

    /// Puts a sequence at the end of the queue.
    pub(super) fn prepared(&mut self, Prepared { id, sequence }: Prepared) {
        // A cancelled request has its answer already.
        if self.preparing.remove(&id).is_none() {
            return;
        }
        let queued = sequence.and_then(|sequence| {
            let waiting = self.slots.waiting();
            let queued = self.slots.enqueue(*sequence);
            queued.map_err(|_| Error::Busy(waiting))
        });
        if let Err(error) = queued {
            self.outbox.fail(id, error);
        }
    }

    /// Cancels a request that becomes a sequence. False when there is none.
    pub(super) fn stop_preparing(&mut self, id: u64) -> bool {
        let Some(preparing) = self.preparing.remove(&id) else {
            return false;
        };
        preparing.cancelled.store(true, Ordering::Relaxed);
        let done = unanswered(preparing.seed, preparing.clock);
        self.outbox.send(id, Event::Done(Box::new(done)));
        true
    }
}
