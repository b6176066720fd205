//! Saved responses and conversations, and responses that are generated in the background.
//!
//! They are kept in the index of the store, within a budget in bytes and a lifetime. A budget of 0 saves nothing.
//! Their text is never logged. It can be long, so it is read and written on blocking threads.

mod background;
mod conversations;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::openai::responses::{OutputItem, Response, ResponseError, ResponseStatus};
use jiff::Timestamp;
use registry::{Registry, SavedResponse};
use serde_json::Value;

use crate::blocking;
use crate::error::{Error, chain};
use crate::shutdown::Shutdown;

use background::Background;
pub use background::Place;

/// How much is saved, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of all responses and conversations together; 0 saves none.
    pub budget: u64,
    /// How long they are kept after their last change.
    pub lifetime: Duration,
}

/// The saved responses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Responses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    limits: Mutex<Limits>,
    /// Bytes that are saved, or a little more.
    bytes: AtomicU64,
    background: Background,
    shutdown: Shutdown,
}

/// A saved response with the items of its request.
pub struct Kept {
    /// The response.
    pub response: Response,
    /// JSON of the items of its request.
    input: String,
}

impl Kept {
    /// The items of its request.
    ///
    /// # Errors
    /// [`Error::Internal`] for a text that this daemon cannot read.
    pub async fn input(self) -> Result<Vec<Value>, Error> {
        blocking::run_sized(self.input.len(), move || parsed(&self.input)).await?
    }

    /// The items of its request and of the response, and their bytes.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn items(self) -> Result<(Vec<Value>, usize), Error> {
        let read = move || {
            let mut items: Vec<Value> = parsed(&self.input)?;
            let mut bytes = self.input.len();
            for item in &self.response.output {
                let item = value(item)?;
                bytes += item.to_string().len();
                items.push(item);
            }
            Ok((items, bytes))
        };
        blocking::run(read).await?
    }
}

impl Responses {
    /// Opens the saved responses of a store. Responses beyond the budget or the lifetime are removed.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn open(
        registry: Registry,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Result<Self, registry::Error> {
        let responses = Self(Arc::new(Inner {
            registry,
            limits: Mutex::new(limits),
            bytes: AtomicU64::new(0),
            background: Background::default(),
            shutdown,
        }));
        responses.trim(limits.budget, &[]).await?;
        Ok(responses)
    }

    /// Whether responses are saved.
    pub fn is_on(&self) -> bool {
        self.budget() > 0
    }

    /// Most bytes of all responses and conversations together.
    pub fn budget(&self) -> u64 {
        self.limits().budget
    }

    /// Changes the limits, and removes what is beyond them.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn configure(&self, limits: Limits) -> Result<(), registry::Error> {
        *self.lock() = limits;
        self.trim(limits.budget, &self.0.background.ids()).await
    }

    fn limits(&self) -> Limits {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves a response, unless it alone exceeds the budget. Returns whether it is saved.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn save(&self, response: &Response, input: &Arc<Vec<Value>>) -> Result<bool, Error> {
        let (response, input) = (response.clone(), Arc::clone(input));
        let write = move || {
            Ok::<_, Error>(SavedResponse {
                input: text(&*input)?,
                record: text(&response)?,
                id: response.id,
            })
        };
        let saved = blocking::run(write).await??;
        let bytes = saved.input.len() + saved.record.len();
        if bytes as u64 > self.budget() {
            return Ok(false);
        }
        self.0.registry.save_response(&saved, now()).await?;
        self.count(&saved.id, bytes).await;
        Ok(true)
    }

    /// Saves a response again, unless it was removed. A response that exceeds the budget by now is saved as failed, without its output.
    /// Returns whether it is saved.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn update(&self, response: &Response) -> Result<bool, Error> {
        let budget = self.budget();
        if self.replace(response.clone(), budget).await? {
            return Ok(true);
        }
        let mut failed = response.clone();
        failed.output.clear();
        let reason = format!(
            "the response and its request have more than {budget} bytes, the limit of `responses` in the configuration"
        );
        fail(&mut failed, reason);
        self.replace(failed, u64::MAX).await
    }

    async fn replace(&self, response: Response, most: u64) -> Result<bool, Error> {
        let write = move || Ok::<_, Error>((text(&response)?, response.id));
        let (record, id) = blocking::run(write).await??;
        let registry = &self.0.registry;
        let is_replaced = registry.update_response(&id, &record, most, now()).await?;
        if is_replaced {
            self.count(&id, record.len()).await;
        }
        Ok(is_replaced)
    }

    /// The response of this id.
    ///
    /// # Errors
    /// [`Error::ResponseNotFound`], and when the index cannot be read.
    pub async fn get(&self, id: &str) -> Result<Kept, Error> {
        // Asked before the record is read: a response that is not running then has its last record.
        let is_running = self.0.background.has(id);
        let found = match self.is_on() {
            true => self.0.registry.response(id, self.oldest()).await?,
            false => None,
        };
        let SavedResponse { input, record, .. } =
            found.ok_or_else(|| Error::response_not_found(id))?;
        let mut response: Response =
            blocking::run_sized(record.len(), move || parsed(&record)).await??;
        if response.status.is_open() && !is_running {
            fail(&mut response, Error::Ended.to_string());
        }
        Ok(Kept { response, input })
    }

    /// Removes a response, and ends it if it is generated in the background.
    ///
    /// # Errors
    /// [`Error::ResponseNotFound`], and when the index cannot be written.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let is_removed = self.is_on() && self.0.registry.remove_response(id).await?;
        self.0.background.cancel(id);
        match is_removed {
            true => Ok(()),
            false => Err(Error::response_not_found(id)),
        }
    }

    /// Reserves a place in the background for the response of this id.
    ///
    /// # Errors
    /// [`Error::Busy`] when there are many.
    pub fn reserve(&self, id: &str) -> Result<Place, Error> {
        self.0.background.reserve(id)
    }

    /// Runs the work of a response in the background; it holds the place of the response.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.shutdown.tasks.spawn(work);
    }

    /// Cancels a response in the background, and waits until it has ended.
    pub async fn cancel(&self, id: &str) {
        if let Some(over) = self.0.background.cancel(id) {
            over.cancelled().await;
        }
    }

    /// Counts the bytes that were saved of this id. When the budget is exceeded, the oldest are removed until a sixteenth of it is free.
    async fn count(&self, id: &str, bytes: usize) {
        let bytes = bytes as u64;
        let total = self.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let budget = self.budget();
        if total <= budget {
            return;
        }
        // What was just saved stays, and so do the responses in the background: their clients wait for them.
        let mut kept = self.0.background.ids();
        kept.push(id.to_owned());
        if let Err(error) = self.trim(budget - budget / 16, &kept).await {
            tracing::warn!("cannot remove old responses: {}", chain(&error));
        }
    }

    async fn trim(&self, most: u64, kept: &[String]) -> Result<(), registry::Error> {
        let registry = &self.0.registry;
        let left = registry.trim_responses(most, self.oldest(), kept).await?;
        self.0.bytes.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// The earliest moment at which something was saved that is still kept, in milliseconds since 1970.
    fn oldest(&self) -> i64 {
        let lifetime = i64::try_from(self.limits().lifetime.as_millis()).unwrap_or(i64::MAX);
        now().saturating_sub(lifetime)
    }
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Sets the status of a response to `failed`, with an error of the server.
fn fail(response: &mut Response, message: String) {
    response.status = ResponseStatus::Failed;
    response.error = Some(ResponseError {
        code: "server_error".to_owned(),
        message,
    });
}

fn value(item: &OutputItem) -> Result<Value, Error> {
    serde_json::to_value(item).map_err(|_| Error::Internal)
}

fn text(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Internal)
}

/// Reads a text that this daemon or a later one saved.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Internal)
}
