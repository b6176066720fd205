//! The health routes.

use super::*;

/// A service that stops when the shutdown says so.
async fn service_and_shutdown() -> (Service, Shutdown) {
    let service = service().await;
    let shutdown = Shutdown::new();
    let app = App {
        operations: Operations::new(shutdown.clone()),
        ..service.app.clone()
    };
    let router = router(app, OriginCheck::default());
    (Service { router, ..service }, shutdown)
}

#[tokio::test]
async fn a_daemon_that_accepts_work_is_alive_and_ready() {
    let service = service().await;
    for path in ["/health", "/health/live", "/health/ready", "/health/"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json(), json!({"status": "ok"}), "{path}");
        let head = service.call("HEAD", path, json!(null)).await;
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    }
}

#[tokio::test]
async fn a_daemon_that_stops_is_alive_and_not_ready() {
    let (service, shutdown) = service_and_shutdown().await;
    assert_eq!(service.get("/health/ready").await.status, 200);
    shutdown.graceful.cancel();
    for path in ["/health", "/health/ready"] {
        service.get(path).await.refuses(503, "stopping", "stop");
    }
    assert_eq!(service.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_daemon_without_a_scheduler_is_not_ready() {
    let service = service().await;
    service.app.scheduler.close().await;
    service
        .get("/health/ready")
        .await
        .refuses(503, "stopping", "stop");
}
