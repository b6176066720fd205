//! A response while it is generated: reads the answer, and saves the response before its last event.

use std::sync::Arc;

use api::openai::responses::{Response, ResponseStatus, StreamEvent};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::builder::ResponseBuilder;
use super::request::Plan;
use crate::answer::{Answer, Event};
use crate::app::App;
use crate::error::{Error, chain};
use crate::responses::Responses;
use crate::serve;

/// A response and the answer that it grows from.
pub(super) struct Running {
    builder: ResponseBuilder,
    input: Arc<Vec<Value>>,
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
        let batch = self.answer.next().await;
        self.add(batch).await
    }

    async fn add(&mut self, batch: Option<Result<Vec<Event>, Error>>) -> Option<Error> {
        let batch = batch.unwrap_or(Err(Error::Internal));
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
        if response.store {
            let saved = match response.background {
                // It is there already, unless it was removed.
                true => responses.update(response).await,
                false => responses.save(response, &self.input).await,
            };
            response.store = match saved {
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
        let (id, output) = (&conversation.id, response.output.clone());
        self.responses.add_items(id, &self.input, output).await
    }

    /// Generates the response until it ends or is cancelled, and saves it when it begins and when it ends.
    pub(super) async fn run(&mut self, cancel: &CancellationToken) {
        let begun = self.responses.update(self.builder.response());
        if let Err(error) = begun.await {
            tracing::warn!("cannot save a response: {}", chain(&error));
        }
        while !self.is_over {
            // Only the wait for a batch is cancelled: a response that has ended stays as it is saved.
            match cancel.run_until_cancelled(self.answer.next()).await {
                Some(batch) => {
                    self.add(batch).await;
                }
                None => {
                    self.builder.cancel();
                    self.end().await;
                }
            }
            self.builder.take_events();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::builder::Wants;
    use super::*;
    use crate::answer::{End, Finish, Timings, Usage};
    use crate::responses::Limits;
    use crate::shutdown::Shutdown;

    /// A response in the background, which is saved as queued.
    async fn queued(responses: &Responses, input: &Arc<Vec<Value>>) -> Response {
        let response: Response = serde_json::from_value(json!({
            "id": "resp_1", "object": "response", "created_at": 0, "status": "queued", "model": "m", "output": [],
            "store": true, "background": true, "tools": [], "tool_choice": "auto", "parallel_tool_calls": true,
            "text": {}, "reasoning": {}, "top_logprobs": 0, "truncation": "disabled", "metadata": {},
            "service_tier": "default",
        }))
        .unwrap();
        assert!(responses.save(&response, input).await.unwrap());
        response
    }

    #[tokio::test]
    async fn a_response_that_is_cancelled_at_its_end_stays_completed() {
        let home = tempfile::tempdir().unwrap();
        let registry = registry::Registry::open(registry::Options::new(home.path()));
        let limits = Limits {
            budget: 1 << 20,
            lifetime: std::time::Duration::from_secs(60),
        };
        let responses = Responses::open(registry.await.unwrap(), limits, Shutdown::new());
        let responses = responses.await.unwrap();
        let input = Arc::new(Vec::new());
        let response = queued(&responses, &input).await;
        let cancel = CancellationToken::new();
        let end = Event::End(Box::new(End {
            finish: Finish::Turn,
            usage: Usage::default(),
            timings: Timings::default(),
            seed: 0,
            tokens: Vec::new(),
        }));
        let signal = cancel.clone();
        let answer = stream::once(async move {
            signal.cancel();
            Ok(vec![end])
        });
        let mut running = Running {
            builder: ResponseBuilder::new(response, Wants::default(), Default::default()),
            input,
            responses: responses.clone(),
            answer: answer.boxed(),
            is_over: false,
        };
        running.run(&cancel).await;
        let kept = responses.get("resp_1").await.unwrap();
        assert_eq!(kept.response.status, ResponseStatus::Completed);
    }
}
