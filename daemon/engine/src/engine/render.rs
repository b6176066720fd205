//! Requests with a conversation: their way to the renderer and back.

use runner_protocol::{Event, Generate, Overflow, Prompt, Template};

use super::{Engine, images::RequestImages, sequence::unanswered};
use crate::{
    chat::renderer::{Rendered, Wanted},
    inbox, load,
    prompt::marks,
    schedule::clock::Clock,
    system::worker::Ticket,
};

/// A request whose conversation is rendered.
#[derive(Debug)]
pub(super) struct Pending {
    what: What,
    ticket: Ticket,
}

#[derive(Debug)]
enum What {
    /// Only the prompt is asked for.
    Prompt,
    /// An answer.
    Answer {
        generate: Box<Generate>,
        encoded: Option<RequestImages>,
        clock: Clock,
    },
}

impl Engine<'_> {
    /// Renders a conversation, unless its texts alone are too long.
    pub(super) fn template(&mut self, id: u64, template: Template) {
        match self.has_room_for(&template, self.cells) {
            Ok(()) => self.render_for(id, template, Wanted::Prompt, What::Prompt),
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Has the conversation of a request rendered, if it has one; else has the request prepared.
    pub(super) fn render_or_prepare(
        &mut self,
        id: u64,
        mut generate: Box<Generate>,
        encoded: Option<RequestImages>,
    ) {
        let clock = encoded
            .as_ref()
            .map_or_else(Clock::start, |encoded| encoded.clock);
        let conversation = match &mut generate.prompt {
            Prompt::Chat(template) => Some(std::mem::take(template)),
            _ => generate.read_as.take().map(|template| *template),
        };
        if let Some(conversation) = &conversation
            && matches!(generate.prompt, Prompt::Chat(_))
            && (encoded.is_some() || generate.overflow == Overflow::Refuse)
        {
            let room = load::held(generate.context, self.cells)
                .and_then(|cells| self.has_room_for(conversation, cells));
            if let Err(error) = room {
                return self.outbox.fail(id, error);
            }
        }
        match conversation {
            None => self.prepare_sequence(id, generate, None, encoded, clock),
            Some(conversation) => {
                let what = What::Answer {
                    generate,
                    encoded,
                    clock,
                };
                self.render_for(id, conversation, Wanted::Form, what);
            }
        }
    }

    fn render_for(&mut self, id: u64, conversation: Template, wanted: Wanted, what: What) {
        let bytes = inbox::conversation(&conversation);
        match self.renderer.render(id, conversation, wanted, bytes) {
            Ok(ticket) => drop(self.rendering.insert(id, Pending { what, ticket })),
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Continues with a request whose conversation is rendered.
    pub(super) fn rendered(&mut self, Rendered { id, applied }: Rendered) {
        // A cancelled request has its answer already.
        let Some(pending) = self.rendering.remove(&id) else {
            return;
        };
        match (applied, pending.what) {
            (Err(error), _) => self.outbox.fail(id, error),
            (Ok(applied), What::Prompt) => {
                let prompt = marks::rendered(&applied.prompt, applied.mark, &self.model.controls);
                self.outbox.send(id, Event::Prompt(prompt));
            }
            (
                Ok(applied),
                What::Answer {
                    generate,
                    encoded,
                    clock,
                },
            ) => self.prepare_sequence(id, generate, Some(applied), encoded, clock),
        }
    }

    /// Cancels a request whose conversation is rendered. False when there is none.
    pub(super) fn stop_rendering(&mut self, id: u64) -> bool {
        let is_answer = |pending: &Pending| matches!(pending.what, What::Answer { .. });
        if !self.rendering.get(&id).is_some_and(is_answer) {
            return false;
        }
        if let Some(Pending {
            what: What::Answer {
                generate, clock, ..
            },
            ticket,
        }) = self.rendering.remove(&id)
        {
            ticket.cancel();
            let done = unanswered(generate.sampling.seed, clock);
            self.outbox.send(id, Event::Done(Box::new(done)));
        }
        true
    }
}
