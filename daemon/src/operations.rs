//! Long operations on the store that clients share: create, verify, adopt. Pulls and pushes are jobs of [`crate::transfers`].
//!
//! The key of an operation contains its whole request. A second request with the same key joins the running operation: its stream
//! has the earlier lines and then the new ones. A detached operation continues without clients; an attached one ends with its last
//! client. The end is published even if the task panics, so that no client waits for ever.

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

/// All running operations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    running: Running,
    shutdown: Shutdown,
}

impl Operations {
    /// No operations.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            running: Running::default(),
            shutdown,
        }
    }

    /// Whether the daemon has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.shutdown.graceful.is_cancelled()
    }

    /// Joins the operation with this key, or starts it. It continues without listeners, and ends early only when the daemon stops.
    ///
    /// The stream has the lines as they come, and ends with the last line or the error of the operation.
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

    /// The same, for work whose future is dropped when its last listener leaves.
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
        // Started without the lock: a runtime that shuts down drops the work at once, and its drop guard takes the lock.
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

    /// The lines of the operation with this key; a new operation is returned as well, to be started.
    fn listen(
        &self,
        key: &str,
    ) -> (
        impl Stream<Item = Result<Progress, Error>> + Send + use<>,
        Option<Arc<Lines>>,
    ) {
        // Held until the new listener exists, so that an operation that is found does not end before.
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
                // No listener gets this error.
                () = guard.without_listeners(), if lifetime == Lifetime::Attached => Err(Error::Stopping),
                end = work => end,
            };
            guard.end = Some(end);
        });
    }
}

/// Whether an operation continues without listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Detached,
    Attached,
}

/// A drop guard that publishes the end of an operation, also when its task panics.
struct OperationGuard {
    key: String,
    operation: Arc<Lines>,
    running: Running,
    end: Option<Result<Progress, Error>>,
}

impl OperationGuard {
    /// Waits until the operation has no listeners, then forgets it, so that the next request starts a new one.
    async fn without_listeners(&self) {
        loop {
            self.operation.without_listeners().await;
            if self.forget(|operation| operation.listeners() == 0) {
                return;
            }
        }
    }

    /// Forgets the operation if `holds` is true, unless another operation has its key by now. Returns whether it was true.
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
        // Forgotten before its end, so that the next request after the end starts a new operation.
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
    async fn a_second_request_joins_and_gets_all_lines() {
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
    async fn a_detached_operation_continues_without_its_client() {
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
    async fn an_attached_operation_ends_with_its_last_listener() {
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
        // The second one still listens to the same operation.
        assert_eq!(second.next().await.unwrap().unwrap().status, "copying");
        assert_eq!(operations.running.lock().unwrap().len(), 1);
        drop(second);
        assert!(dropped.await.is_err(), "the work was dropped");
        // The next request starts a new operation.
        let again = operations.join_attached("pull m".into(), |_| async { Ok(success()) });
        assert_eq!(statuses(again).await, ["success"]);
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_an_error_for_its_clients() {
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
