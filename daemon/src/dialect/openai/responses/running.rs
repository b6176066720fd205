//! A response while it is generated: reads the answer, and saves the response before its last event.

use api::openai::responses::{Response, ResponseStatus, StreamEvent};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::builder::ResponseBuilder;
use super::context;
use super::request::Plan;
use crate::answer::{Answer, Event};
use crate::app::App;
use crate::error::{Error, chain};
use crate::responses::Responses;
use crate::serve;

/// A response and the answer that it grows from.
pub(super) struct Running {
    builder: ResponseBuilder,
    input: Vec<Value>,
    responses: Responses,
    answer: BoxStream<'static, Result<Vec<Event>, Error>>,
    is_over: bool,
}

impl Running {
    /// Waits for the first output.
    ///
    /// # Errors
    /// The error of an answer without output, with the response, which has not begun.
    pub(super) async fn begin(app: &App, plan: Plan) -> Result<Self, (Error, Box<Self>)> {
        let Plan {
            ask,
            mut builder,
            input,
        } = plan;
        builder.begin();
        let running = |answer| Self {
            builder,
            input,
            responses: app.responses.clone(),
            answer,
            is_over: false,
        };
        let answer = async { serve::answer(app, ask).await?.with_output().await };
        match answer.await {
            Ok(answer) => Ok(running(Answer::into_stream(answer).boxed())),
            Err(error) => Err((error, Box::new(running(stream::empty().boxed())))),
        }
    }

    /// The events, from the first to the last.
    pub(super) fn into_events(self) -> impl Stream<Item = StreamEvent> + Send + 'static {
        stream::unfold(self, |mut running| async move {
            let mut events = running.builder.take_events();
            while events.is_empty() && !running.is_over {
                running.advance().await;
                events = running.builder.take_events();
            }
            (!events.is_empty()).then_some((events, running))
        })
        .flat_map(stream::iter)
    }

    /// The whole response.
    ///
    /// # Errors
    /// The error of a response that fails.
    pub(super) async fn into_response(mut self) -> Result<Response, Error> {
        while !self.is_over {
            if let Some(error) = self.advance().await {
                return Err(error);
            }
            self.builder.take_events();
        }
        Ok(self.builder.response().clone())
    }

    /// Reads one batch of the answer. At its end, saves the response and adds the last event. Returns the error that ended it.
    async fn advance(&mut self) -> Option<Error> {
        let batch = self.answer.next().await.unwrap_or(Err(Error::Internal));
        match batch.and_then(|batch| self.builder.add(batch)) {
            Ok(false) => None,
            Ok(true) => {
                self.end().await;
                None
            }
            Err(error) => {
                self.fail(&error).await;
                Some(error)
            }
        }
    }

    /// Ends the response with an error, and saves it.
    pub(super) async fn fail(&mut self, error: &Error) {
        tracing::debug!("a response failed: {}", chain(error));
        self.builder.fail(error);
        self.end().await;
    }

    async fn end(&mut self) {
        self.is_over = true;
        // The answer is cancelled before the response is saved.
        self.answer = stream::empty().boxed();
        if let Err(error) = self.extend_conversation().await {
            tracing::warn!("cannot extend a conversation: {}", chain(&error));
        }
        let responses = self.responses.clone();
        let response = self.builder.response();
        // A response that was removed while it was generated stays removed.
        response.store &= !response.background || responses.is_running(&response.id);
        if response.store {
            response.store = match responses.save(response, &self.input).await {
                Ok(is_saved) => is_saved,
                Err(error) => {
                    tracing::warn!("cannot save a response: {}", chain(&error));
                    false
                }
            };
        }
        self.builder.finish();
    }

    /// Adds the items of the request and of the response to the conversation.
    async fn extend_conversation(&mut self) -> Result<(), Error> {
        let response = self.builder.response();
        let is_answer = matches!(
            response.status,
            ResponseStatus::Completed | ResponseStatus::Incomplete
        );
        let Some(conversation) = response.conversation.as_ref().filter(|_| is_answer) else {
            return Ok(());
        };
        let items = context::items_of(self.input.clone(), response)?;
        self.responses.add_items(&conversation.id, &items).await
    }

    /// Generates the response until it ends or is cancelled, and saves it when it begins and when it ends.
    pub(super) async fn run(&mut self, cancel: &CancellationToken) {
        let response = self.builder.response();
        if self.responses.is_running(&response.id) {
            let begun = self.responses.save(response, &self.input);
            if let Err(error) = begun.await {
                tracing::warn!("cannot save a response: {}", chain(&error));
            }
        }
        while !self.is_over {
            if cancel.run_until_cancelled(self.advance()).await.is_none() {
                self.builder.cancel();
                self.end().await;
            }
            self.builder.take_events();
        }
    }
}
