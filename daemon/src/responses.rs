//! Saved responses and conversations, and responses that are generated in the background.
//!
//! They are kept in the index of the store, within a budget in bytes and a lifetime. A budget of 0 saves nothing.
//! Their text is never logged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::openai::responses::{Conversation, Response, ResponseStatus};
use jiff::Timestamp;
use registry::{Registry, SavedConversation, SavedItem, SavedResponse};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, chain};
use crate::shutdown::Shutdown;

/// Most responses in the background at a time.
const MAX_BACKGROUND: usize = 64;

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
    limits: Limits,
    /// Bytes that are saved, or a little more.
    bytes: AtomicU64,
    background: Mutex<HashMap<String, CancellationToken>>,
    shutdown: Shutdown,
}

/// A saved response with the items of its request.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The response.
    pub response: Response,
    /// The items of its request.
    pub input: Vec<Value>,
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
            limits,
            bytes: AtomicU64::new(0),
            background: Mutex::default(),
            shutdown,
        }));
        responses.trim(limits.budget).await?;
        Ok(responses)
    }

    /// Whether responses are saved.
    pub fn is_on(&self) -> bool {
        self.0.limits.budget > 0
    }

    /// Saves a response, unless it alone exceeds the budget. Returns whether it is saved.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn save(&self, response: &Response, input: &[Value]) -> Result<bool, Error> {
        let saved = SavedResponse {
            id: response.id.clone(),
            input: text(input)?,
            record: text(response)?,
        };
        let bytes = saved.input.len() + saved.record.len();
        if !self.has_room(bytes) {
            return Ok(false);
        }
        self.0.registry.save_response(&saved, now()).await?;
        self.count(bytes).await;
        Ok(true)
    }

    /// The response of this id.
    ///
    /// # Errors
    /// [`Error::ResponseNotFound`], and when the index cannot be read.
    pub async fn get(&self, id: &str) -> Result<Kept, Error> {
        let missing = || Error::ResponseNotFound(id.chars().take(80).collect());
        let found = match self.is_on() {
            true => self.0.registry.response(id, self.oldest()).await?,
            false => None,
        };
        let saved = found.ok_or_else(missing)?;
        let mut response: Response = parsed(&saved.record)?;
        let is_open = response.status.is_open();
        if is_open && !self.background().contains_key(id) {
            response.status = ResponseStatus::Failed;
            response.error = Some(api::openai::responses::ResponseError {
                code: "server_error".to_owned(),
                message: Error::Ended.to_string(),
            });
        }
        Ok(Kept {
            response,
            input: parsed(&saved.input)?,
        })
    }

    /// Removes a response, and ends it if it is generated in the background.
    ///
    /// # Errors
    /// [`Error::ResponseNotFound`], and when the index cannot be written.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        self.get(id).await?;
        if let Some(cancel) = self.background().remove(id) {
            cancel.cancel();
        }
        self.0.registry.remove_response(id).await?;
        Ok(())
    }

    /// Runs a response in the background until it ends or is cancelled.
    ///
    /// # Errors
    /// [`Error::Busy`] when many are running.
    pub fn spawn<W>(&self, id: &str, work: impl FnOnce(CancellationToken) -> W) -> Result<(), Error>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        {
            let mut background = self.background();
            if background.len() >= MAX_BACKGROUND {
                return Err(Error::Busy {
                    waiting: background.len(),
                });
            }
            background.insert(id.to_owned(), cancel.clone());
        }
        let (work, responses, id) = (work(cancel), self.clone(), id.to_owned());
        self.0.shutdown.tasks.spawn(async move {
            work.await;
            responses.background().remove(&id);
        });
        Ok(())
    }

    /// Whether the response is still wanted: a response that was removed is not saved again.
    pub fn is_running(&self, id: &str) -> bool {
        self.background().contains_key(id)
    }

    /// Cancels a response in the background. Returns whether it was running.
    pub fn cancel(&self, id: &str) -> bool {
        let background = self.background();
        let running = background.get(id);
        if let Some(cancel) = running {
            cancel.cancel();
        }
        running.is_some()
    }

    /// Saves a conversation, and keeps its items.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when nothing is saved, and when the index cannot be written.
    pub async fn save_conversation(&self, conversation: &Conversation) -> Result<(), Error> {
        if !self.is_on() {
            return Err(Error::Unsupported(
                "a conversation with `responses: off`".into(),
            ));
        }
        let saved = SavedConversation {
            id: conversation.id.clone(),
            record: text(conversation)?,
            bytes: 0,
        };
        self.0.registry.save_conversation(&saved, now()).await?;
        self.count(saved.record.len()).await;
        Ok(())
    }

    /// The conversation of this id.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be read.
    pub async fn conversation(&self, id: &str) -> Result<Conversation, Error> {
        parsed(&self.saved_conversation(id).await?.record)
    }

    /// The items of a conversation of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], [`Error::Field`] for a longer one, and when the index cannot be read.
    pub async fn items(&self, id: &str, limit: usize) -> Result<Vec<Value>, Error> {
        let conversation = self.saved_conversation(id).await?;
        if conversation.bytes > i64::try_from(limit).unwrap_or(i64::MAX) {
            let reason = format!("has more than {} MiB; begin a new one", limit >> 20);
            return Err(Error::field("conversation", reason));
        }
        let items = self.0.registry.items(id).await?;
        items.iter().map(|item| parsed(&item.record)).collect()
    }

    /// Adds items to a conversation.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be written.
    pub async fn add_items(&self, id: &str, items: &[Value]) -> Result<(), Error> {
        self.saved_conversation(id).await?;
        let saved: Result<Vec<SavedItem>, Error> = items.iter().map(saved_item).collect();
        let saved = saved?;
        self.0.registry.add_items(id, &saved, now()).await?;
        let bytes = saved.iter().map(|item| item.record.len()).sum();
        self.count(bytes).await;
        Ok(())
    }

    /// Removes an item of a conversation. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be written.
    pub async fn remove_item(&self, conversation: &str, id: &str) -> Result<bool, Error> {
        self.saved_conversation(conversation).await?;
        Ok(self.0.registry.remove_item(conversation, id).await?)
    }

    /// Removes a conversation with its items.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be written.
    pub async fn remove_conversation(&self, id: &str) -> Result<(), Error> {
        self.saved_conversation(id).await?;
        self.0.registry.remove_conversation(id).await?;
        Ok(())
    }

    async fn saved_conversation(&self, id: &str) -> Result<SavedConversation, Error> {
        let found = match self.is_on() {
            true => self.0.registry.conversation(id, self.oldest()).await?,
            false => None,
        };
        found.ok_or_else(|| Error::ConversationNotFound(id.chars().take(80).collect()))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.is_on() && bytes as u64 <= self.0.limits.budget
    }

    /// Counts saved bytes. When the budget is exceeded, the oldest are removed until a sixteenth of it is free.
    async fn count(&self, bytes: usize) {
        let bytes = bytes as u64;
        let total = self.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let budget = self.0.limits.budget;
        if total <= budget {
            return;
        }
        // What was just saved stays.
        let most = (budget - budget / 16).max(bytes);
        if let Err(error) = self.trim(most).await {
            tracing::warn!("cannot remove old responses: {}", chain(&error));
        }
    }

    async fn trim(&self, most: u64) -> Result<(), registry::Error> {
        let left = self.0.registry.trim_responses(most, self.oldest()).await?;
        self.0.bytes.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// The earliest moment at which something was saved that is still kept, in milliseconds since 1970.
    fn oldest(&self) -> i64 {
        let lifetime = i64::try_from(self.0.limits.lifetime.as_millis()).unwrap_or(i64::MAX);
        now().saturating_sub(lifetime)
    }

    fn background(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        let lock = self.0.background.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn saved_item(item: &Value) -> Result<SavedItem, Error> {
    Ok(SavedItem {
        id: item["id"].as_str().unwrap_or_default().to_owned(),
        record: text(item)?,
    })
}

fn text(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Internal)
}

/// Reads a text that this daemon or a later one saved.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Internal)
}
