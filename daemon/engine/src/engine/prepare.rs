//! Requests on their way to the preparer and back.

use runner_protocol::{Event, Generate};

use super::{
    Engine,
    images::RequestImages,
    preparer::{Job, Prepared, Unprepared},
    sequence::unanswered,
};

use crate::{
    answer::format::Applied, error::Error, schedule::clock::Clock, system::worker::Ticket,
};

/// A request that becomes a sequence.
#[derive(Debug)]
pub(super) struct Preparing {
    seed: Option<u64>,
    clock: Clock,
    ticket: Ticket,
}

impl Engine<'_> {
    /// Queues a job for the preparer.
    pub(super) fn prepare(&self, id: u64, job: Job) -> Option<Ticket> {
        let bytes = job.bytes();
        let queued = self.preparer.queue(job, bytes);
        queued.map_err(|error| self.outbox.fail(id, error)).ok()
    }

    /// Queues a request for the preparer.
    pub(super) fn prepare_sequence(
        &mut self,
        id: u64,
        generate: Box<Generate>,
        applied: Option<Applied>,
        encoded: Option<RequestImages>,
        clock: Clock,
    ) {
        let scales = match self.adapters.names().wanted(&generate.adapters) {
            Ok(scales) => scales,
            Err(error) => return self.outbox.fail(id, error),
        };
        let seed = generate.sampling.seed;
        let request = Unprepared {
            id,
            generate,
            applied,
            encoded,
            scales,
            clock,
        };
        if let Some(ticket) = self.prepare(id, Job::Sequence(Box::new(request))) {
            let preparing = Preparing {
                seed,
                clock,
                ticket,
            };
            self.preparing.insert(id, preparing);
        }
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
        preparing.ticket.cancel();
        let done = unanswered(preparing.seed, preparing.clock);
        self.outbox.send(id, Event::Done(Box::new(done)));
        true
    }
}
