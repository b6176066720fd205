//! The budget for the bytes of all requests.

use super::*;
use crate::budget::{UNCOUNTED, lend};

/// A service whose requests have this many bytes together, beyond the first ones of each.
async fn with_budget(bytes: usize) -> Service {
    let mut service = able().await;
    let routes = all().into_router();
    let lend = middleware::from_fn_with_state(Budget::of(bytes), lend);
    service.router = routes.layer(lend).with_state(service.app.clone());
    service
}

/// A word that takes this many quarters of a budget of as many bytes as do not count.
fn quarters(count: usize) -> String {
    "x".repeat(UNCOUNTED + count * UNCOUNTED / 4)
}

#[tokio::test]
async fn each_choice_counts_as_a_copy_of_the_request() {
    let service = with_budget(UNCOUNTED).await;
    let text = format!("[[mock: answer yes]]{}", quarters(1));
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    let completion = json!({"model": "m", "prompt": text});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/v1/completions", completion),
    ] {
        for (choices, status) in [(1, 200), (3, 200), (4, 503)] {
            let mut body = body.clone();
            body["n"] = json!(choices);
            let answer = service.post(path, body).await;
            assert_eq!(answer.status, status, "{path} {choices}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_response_in_the_background_keeps_its_share_until_the_answer_begins() {
    let service = with_budget(UNCOUNTED).await;
    let text = quarters(3);
    let body = |script: &str| json!({"model": "m", "input": format!("[[mock: {script}]]{text}")});
    let mut slow = body("prefill-delay-ms 600000");
    slow["background"] = json!(true);
    let queued = service.post("/v1/responses", slow).await;
    assert_eq!(queued.status, 200, "{}", queued.text);
    let short = body("answer yes");
    let refused = service.post("/v1/responses", short.clone()).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let id = queued.json()["id"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/responses/{id}/cancel");
    assert_eq!(service.post(&cancel, Value::Null).await.status, 200);
    while service.post("/v1/responses", short.clone()).await.status == 503 {
        tokio::task::yield_now().await;
    }
}
