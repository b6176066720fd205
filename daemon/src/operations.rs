//! Long operations on the store that clients share: creates, checks, files that are taken in. Pulls and pushes are jobs of
//! [`crate::transfers`].
//!
//! An operation has a key that holds all of its request. A request with the key of one that runs joins it: its stream begins with
//! what was reported so far and goes on with the rest. Some operations go on when their clients leave, others end with the last.
//! The last line is published even if the task dies, so no client waits for ever.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use api::Progress;
use futures::Stream;
use registry::Reporter;

use crate::error::Error;
use crate::lines::Lines;
use crate::progress;
use crate::shutdown::Shutdown;

type Running = Arc<Mutex<BTreeMap<String, Arc<Lines>>>>;

/// All operations that are under way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    running: Running,
    shutdown: Shutdown,
}

impl Operations {
    /// None is under way.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            running: Running::default(),
            shutdown,
        }
    }

    /// Joins the operation with this key, or starts it. It goes on when nobody listens any more, and ends early only when the daemon
    /// stops.
    ///
    /// The stream gives lines as they come, and ends with the operation's last line or its error.
    pub fn join_detached<F, W>(
        &self,
        key: String,
        work: F,
    ) -> impl Stream<Item = Result<Progress, Error>> + Send + use<F, W>
    where
        F: FnOnce(Reporter) -> W,
        W: Future<Output = Result<Progress, Error>> + Send + 'static,
    {
        self.start(key, Lifetime::Detached, work)
    }

    /// The same, for work that ends when its last listener leaves: its future is dropped then.
    pub fn join_attached<F, W>(
        &self,
        key: String,
        work: F,
    ) -> impl Stream<Item = Result<Progress, Error>> + Send + use<F, W>
    where
        F: FnOnce(Reporter) -> W,
        W: Future<Output = Result<Progress, Error>> + Send + 'static,
    {
        self.start(key, Lifetime::Attached, work)
    }

    fn start<F, W>(
        &self,
        key: String,
        lifetime: Lifetime,
        work: F,
    ) -> impl Stream<Item = Result<Progress, Error>> + Send + use<F, W>
    where
        F: FnOnce(Reporter) -> W,
        W: Future<Output = Result<Progress, Error>> + Send + 'static,
    {
        let (lines, new) = self.listen(&key);
        // Begun without the lock: a runtime that shuts down drops the work on the spot, and its guard takes the lock.
        if let Some(operation) = new {
            let reporter = {
                let operation = operation.clone();
                Reporter::new(move |progress| operation.add(progress::line(progress)))
            };
            let guard = OperationGuard {
                key,
                operation,
                running: self.running.clone(),
                end: Some(Err(Error::Internal)),
            };
            self.spawn(guard, lifetime, work(reporter));
        }
        lines
    }

    /// What the operation with this key reports, and the operation itself if it is to be begun.
    fn listen(
        &self,
        key: &str,
    ) -> (
        impl Stream<Item = Result<Progress, Error>> + Send + use<>,
        Option<Arc<Lines>>,
    ) {
        // Held until somebody listens, so that no operation ends between being found and being heard.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = running.get(key) {
            return (operation.listen(), None);
        }
        let operation = Lines::new();
        running.insert(key.to_owned(), operation.clone());
        (operation.listen(), Some(operation))
    }

    fn spawn(
        &self,
        guard: OperationGuard,
        lifetime: Lifetime,
        work: impl Future<Output = Result<Progress, Error>> + Send + 'static,
    ) {
        let graceful = self.shutdown.graceful.clone();
        self.shutdown.tasks.spawn(async move {
            let mut guard = guard;
            let end = tokio::select! {
                () = graceful.cancelled() => Err(Error::Stopping),
                // Nobody hears what this says.
                () = guard.without_listeners(), if lifetime == Lifetime::Attached => Err(Error::Stopping),
                end = work => end,
            };
            guard.end = Some(end);
        });
    }
}

/// What becomes of an operation that nobody listens to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Detached,
    Attached,
}

/// Publishes the end of an operation when its task is over, however that comes.
struct OperationGuard {
    key: String,
    operation: Arc<Lines>,
    running: Running,
    end: Option<Result<Progress, Error>>,
}

impl OperationGuard {
    /// Waits until nobody listens. The operation is forgotten then, so that the next request starts a new one.
    async fn without_listeners(&self) {
        loop {
            self.operation.without_listeners().await;
            if self.forget(|operation| operation.listeners() == 0) {
                return;
            }
        }
    }

    /// Takes the operation off the list if that holds, unless another has its key by now. Says whether it held.
    fn forget(&self, holds: impl FnOnce(&Lines) -> bool) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = holds(&self.operation);
        let is_this = |operation: &Arc<Lines>| Arc::ptr_eq(operation, &self.operation);
        if holds && running.get(&self.key).is_some_and(is_this) {
            running.remove(&self.key);
        }
        holds
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        // Forgotten first, so that the next request after the end starts a new operation.
        self.forget(|_| true);
        self.operation
            .end(self.end.take().unwrap_or(Err(Error::Internal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::success;
    use futures::StreamExt;
    use registry::Stage;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::oneshot;

    async fn statuses(stream: impl Stream<Item = Result<Progress, Error>>) -> Vec<String> {
        stream
            .map(|line| match line {
                Ok(progress) => progress.status,
                Err(error) => format!("error: {error}"),
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_joins_and_hears_everything() {
        let operations = Operations::new(Shutdown::new());
        let started = Arc::new(AtomicU32::new(0));
        let (go, wait) = oneshot::channel::<()>();
        let count = started.clone();
        let first = operations.join_detached("pull m".into(), move |reporter| async move {
            count.fetch_add(1, Ordering::Relaxed);
            reporter.stage(Stage::Copying);
            wait.await.unwrap();
            reporter.stage(Stage::Converting);
            Ok(success())
        });
        let count = started.clone();
        let second = operations.join_detached("pull m".into(), move |_| async move {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(success())
        });
        go.send(()).unwrap();
        let expected = ["copying", "converting model", "success"];
        let (first, second) = tokio::join!(statuses(first), statuses(second));
        assert_eq!(first, expected);
        assert_eq!(second, expected);
        assert_eq!(started.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_operation_goes_on_when_its_client_leaves() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone());
        let (done, finished) = oneshot::channel();
        let (go, wait) = oneshot::channel::<()>();
        drop(operations.join_detached("a".into(), move |_| async move {
            wait.await.unwrap();
            done.send(()).unwrap();
            Ok(success())
        }));
        go.send(()).unwrap();
        finished.await.unwrap();
        shutdown.tasks.close();
        shutdown.tasks.wait().await;
        assert!(operations.running.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn work_that_is_only_for_its_listeners_ends_with_the_last_of_them() {
        let operations = Operations::new(Shutdown::new());
        let (held, dropped) = oneshot::channel::<()>();
        let endless = |held| {
            move |reporter: Reporter| async move {
                let _held: Option<oneshot::Sender<()>> = held;
                reporter.stage(Stage::Copying);
                std::future::pending().await
            }
        };
        let mut first = Box::pin(operations.join_attached("pull m".into(), endless(Some(held))));
        let mut second = Box::pin(operations.join_attached("pull m".into(), endless(None)));
        drop(first.next().await.unwrap().unwrap());
        drop(first);
        // The second one still listens, and hears the same operation.
        assert_eq!(second.next().await.unwrap().unwrap().status, "copying");
        assert_eq!(operations.running.lock().unwrap().len(), 1);
        drop(second);
        assert!(dropped.await.is_err(), "the work was dropped");
        // Whoever asks now starts anew.
        let again = operations.join_attached("pull m".into(), |_| async { Ok(success()) });
        assert_eq!(statuses(again).await, ["success"]);
    }

    #[tokio::test]
    async fn a_task_that_dies_is_an_error_for_its_clients() {
        let operations = Operations::new(Shutdown::new());
        let stream = operations.join_detached("a".into(), |_| async { panic!("on purpose") });
        assert_eq!(
            statuses(stream).await,
            ["error: an internal task ended early"]
        );
        let again = operations.join_detached("a".into(), |_| async { Ok(success()) });
        assert_eq!(statuses(again).await, ["success"]);
    }

    #[tokio::test]
    async fn a_stop_ends_operations_with_an_error() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone());
        let stream = operations.join_detached("a".into(), |_| std::future::pending());
        shutdown.graceful.cancel();
        assert_eq!(statuses(stream).await, ["error: the server is stopping"]);
    }

    #[test]
    fn an_operation_that_a_stopping_runtime_drops_is_an_error_for_its_clients() {
        let operations = Operations::new(Shutdown::new());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let stream = {
            let _entered = handle.enter();
            operations.join_detached("a".into(), |_| std::future::pending())
        };
        let lines = futures::executor::block_on(statuses(stream));
        assert_eq!(lines, ["error: an internal task ended early"]);
        assert!(operations.running.lock().unwrap().is_empty());
    }
}
