//! Saved responses and conversations: R5 and the routes of both.

use super::*;

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_response_of_either_mode_is_saved_and_continued() {
    let service = able().await;
    let first = service.respond_stream(body("one")).await;
    let first = first.last().unwrap()["response"].clone();
    let second = service
        .respond(with(
            "two",
            json!({"previous_response_id": id(&first), "instructions": "be brief"}),
        ))
        .await;
    assert_eq!(second["previous_response_id"], first["id"]);
    let fields = json!({"previous_response_id": id(&second), "store": false});
    let third = service
        .respond(with("[[mock: echo-prompt]]three", fields))
        .await;
    assert_eq!(
        text(&third),
        "user: one\nassistant: one\nuser: two\nassistant: two\nuser: three\nthinking\nassistant:",
        "instructions are not inherited"
    );
    assert_eq!(third["store"], false);
    service
        .get(&format!("{PATH}/{}", id(&third)))
        .await
        .refuses_field(404, "response_not_found", Value::Null);
    assert_eq!(
        service.get(&format!("{PATH}/{}", id(&second))).await.json(),
        second
    );
    for unknown in ["resp_0", "", "x"] {
        let answer = service
            .post(PATH, with("x", json!({"previous_response_id": unknown})))
            .await;
        answer.refuses_field(
            400,
            "previous_response_not_found",
            json!("previous_response_id"),
        );
    }
    let path = format!("{PATH}/{}", id(&first));
    assert_eq!(
        service.call("DELETE", &path, Value::Null).await.json()["deleted"],
        true
    );
    assert_eq!(service.call("DELETE", &path, Value::Null).await.status, 404);
    let answer = service
        .post(
            PATH,
            with("x", json!({"previous_response_id": id(&second)})),
        )
        .await;
    answer.refuses_field(
        400,
        "previous_response_not_found",
        json!("previous_response_id"),
    );
}

#[tokio::test]
async fn the_items_of_a_request_are_listed_in_pages() {
    let service = able().await;
    let input = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "input_text", "text": "c"}]},
    ]);
    let response = service.respond(body(input)).await;
    let path = format!("{PATH}/{}/input_items", id(&response));
    let all = service.get(&format!("{path}?order=asc")).await.json();
    let texts: Vec<&Value> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["content"][0]["text"])
        .collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(all["has_more"], false);
    let first = service.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(
        (&first["has_more"], &first["first_id"]),
        (&json!(true), &all["data"][2]["id"])
    );
    let rest = service
        .get(&format!(
            "{path}?after={}",
            first["last_id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(rest["data"], json!([all["data"][0]]));
    service
        .get(&format!("{path}?limit=1000"))
        .await
        .refuses_field(400, "invalid_request", json!("limit"));
    let stream = service
        .get(&format!("{PATH}/{}?stream=true", id(&response)))
        .await;
    stream.refuses_field(400, "invalid_request", json!("stream"));
}

#[tokio::test]
async fn a_reference_stands_for_its_item() {
    let service = able().await;
    let first = service
        .respond(body("[[mock: think hm; answer yes]]one"))
        .await;
    let reference =
        |place: usize| json!({"type": "item_reference", "id": first["output"][place]["id"]});
    let last = json!({"role": "user", "content": "[[mock: echo-prompt]]two"});
    let input = json!([{"role": "user", "content": "one"}, reference(0), reference(1), last]);
    let prompt = service.prompt_of(body(input)).await;
    let expected =
        "user: one\nassistant thinks: hm\nassistant: yes\nuser: two\nthinking\nassistant:";
    assert_eq!(prompt, expected);
    // The chain has the items already, and the script of its first message.
    let expected = expected.replace("one", "[[mock: think hm; answer yes]]one");
    let input = json!([reference(0), reference(1), last]);
    let prompt = service
        .prompt_of(with(input, json!({"previous_response_id": id(&first)})))
        .await;
    assert_eq!(prompt, expected);
    let unknown = json!([{"type": "item_reference", "id": "msg_1"}]);
    service.post(PATH, body(unknown)).await.refuses_field(
        400,
        "invalid_request",
        json!("input[0].id"),
    );
}

#[tokio::test]
async fn a_conversation_grows_with_each_response() {
    let service = able().await;
    let made = service
        .post(
            "/v1/conversations",
            json!({"metadata": {"a": "b"}, "items": [{"role": "user", "content": "zero"}]}),
        )
        .await
        .json();
    let conversation = id(&made);
    let path = format!("/v1/conversations/{conversation}");
    assert_eq!(service.get(&path).await.json(), made);
    for (text, given) in [
        ("one", json!(conversation)),
        ("two", json!({"id": conversation})),
    ] {
        let response = service
            .respond(with(text, json!({"conversation": given})))
            .await;
        assert_eq!(response["conversation"]["id"], conversation.as_str());
    }
    let prompt = service
        .prompt_of(with(
            "[[mock: echo-prompt]]three",
            json!({"conversation": conversation}),
        ))
        .await;
    assert!(
        prompt.starts_with(
            "user: zero\nuser: one\nassistant: one\nuser: two\nassistant: two\nuser: three"
        ),
        "{prompt}"
    );
    let items = service
        .get(&format!("{path}/items?order=asc&limit=100"))
        .await
        .json();
    assert_eq!(items["data"].as_array().unwrap().len(), 7, "{items}");
    assert_eq!(items["has_more"], false);
    let page = service.get(&format!("{path}/items?limit=1")).await.json();
    assert_eq!(page["data"], json!([items["data"][6]]), "newest first");
    assert_eq!(page["has_more"], true);
    let after = page["last_id"].as_str().unwrap();
    let page = service
        .get(&format!("{path}/items?limit=100&after={after}"))
        .await
        .json();
    assert_eq!(page["data"].as_array().unwrap().len(), 6);
    service
        .get(&format!("{path}/items?after=x"))
        .await
        .refuses_field(400, "invalid_request", json!("after"));
    let added = service
        .post(
            &format!("{path}/items"),
            json!({"items": [{"role": "user", "content": "x"}]}),
        )
        .await
        .json();
    let item = format!("{path}/items/{}", added["first_id"].as_str().unwrap());
    assert_eq!(service.get(&item).await.json(), added["data"][0]);
    assert_eq!(
        service.call("DELETE", &item, Value::Null).await.json(),
        made
    );
    service
        .get(&item)
        .await
        .refuses_field(404, "item_not_found", Value::Null);
    let long = format!("{path}/items/{}", "i".repeat(900));
    let unknown = service.call("DELETE", &long, Value::Null).await;
    unknown.refuses_field(404, "item_not_found", Value::Null);
    assert!(unknown.text.len() < 300, "{}", unknown.text);
    let renamed = service
        .post(&path, json!({"metadata": {"c": "d"}}))
        .await
        .json();
    assert_eq!(renamed["metadata"], json!({"c": "d"}));
    let both = json!({"conversation": conversation, "previous_response_id": "resp_1"});
    service.post(PATH, with("x", both)).await.refuses_field(
        400,
        "invalid_request",
        json!("conversation"),
    );
    assert_eq!(
        service.call("DELETE", &path, Value::Null).await.json()["deleted"],
        true
    );
    let gone = service
        .post(PATH, with("x", json!({"conversation": conversation})))
        .await;
    gone.refuses_field(404, "conversation_not_found", Value::Null);
}

/// Waits until a response has this status.
async fn until(service: &Service, id: &str, status: &str) -> Value {
    loop {
        let response = service.get(&format!("{PATH}/{id}")).await.json();
        if response["status"] == status {
            return response;
        }
        assert!(
            ["queued", "in_progress"]
                .iter()
                .any(|open| response["status"] == *open),
            "{response}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_response_in_the_background_is_read_later_or_cancelled() {
    let service = able().await;
    let background = json!({"background": true});
    let queued = service.respond(with("one", background.clone())).await;
    assert_eq!(queued["status"], "queued");
    let done = until(&service, &id(&queued), "completed").await;
    assert_eq!(text(&done), "one");
    let slow = service
        .respond(with(
            "[[mock: delay-ms 20; count 900]]x",
            background.clone(),
        ))
        .await;
    until(&service, &id(&slow), "in_progress").await;
    let path = format!("{PATH}/{}/cancel", id(&slow));
    assert_eq!(
        service.post(&path, Value::Null).await.json()["status"],
        "cancelled"
    );
    until(&service, &id(&slow), "cancelled").await;
    assert_eq!(
        service.post(&path, Value::Null).await.json()["status"],
        "cancelled"
    );
    let failed = service
        .respond(with("[[mock: fail invalid]]x", background))
        .await;
    let failed = until(&service, &id(&failed), "failed").await;
    assert!(failed["error"]["message"].is_string(), "{failed}");
    let plain = service.respond(body("x")).await;
    let cancel = service
        .post(&format!("{PATH}/{}/cancel", id(&plain)), Value::Null)
        .await;
    cancel.refuses_field(400, "invalid_request", json!("response_id"));
    for (fields, param) in [
        (json!({"background": true, "stream": true}), "stream"),
        (json!({"background": true, "store": false}), "background"),
    ] {
        service.post(PATH, with("x", fields)).await.refuses_field(
            400,
            "invalid_request",
            json!(param),
        );
    }
}

/// The service with another budget for saved responses.
async fn with_budget(mut service: Service, budget: u64) -> Service {
    let limits = Limits {
        budget,
        lifetime: Duration::from_secs(3600),
    };
    let responses = Responses::open(service.registry.clone(), limits, Shutdown::new());
    service.app.responses = responses.await.unwrap();
    service.router = router(service.app.clone(), OriginCheck::default());
    service
}

#[tokio::test]
async fn a_response_in_the_background_that_does_not_fit_the_budget_is_refused_or_fails() {
    let service = with_budget(able().await, 3000).await;
    let background = |text: &str| with(text, json!({"background": true}));
    let long = service.post(PATH, background(&"x".repeat(3000))).await;
    long.refuses_field(400, "invalid_request", json!("background"));
    assert!(long.text.contains("3000 bytes"), "{}", long.text);
    let bytes = service
        .registry
        .trim_responses(u64::MAX, 0, &[])
        .await
        .unwrap();
    assert_eq!(bytes, 0, "nothing is saved");
    let queued = background("[[mock: count 900]]x");
    let queued = service.respond(queued).await;
    let failed = until(&service, &id(&queued), "failed").await;
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("3000 bytes"), "{message}");
    assert_eq!(failed["output"], json!([]));
}

#[tokio::test]
async fn a_response_that_finds_no_place_in_the_background_is_not_saved() {
    let service = able().await;
    let responses = &service.app.responses;
    let places = (0..64).map(|id| responses.reserve(&id.to_string()).unwrap());
    let places: Vec<_> = places.collect();
    let background = with("x", json!({"background": true}));
    let busy = service.post(PATH, background.clone()).await;
    busy.refuses_field(503, "busy", Value::Null);
    let bytes = service
        .registry
        .trim_responses(u64::MAX, 0, &[])
        .await
        .unwrap();
    assert_eq!(bytes, 0, "nothing is saved");
    drop(places);
    service.respond(background).await;
}

#[tokio::test]
async fn nothing_is_saved_with_a_budget_of_zero() {
    let service = able().await;
    let saved = service.respond(body("x")).await;
    let service = with_budget(service, 0).await;
    service
        .get(&format!("{PATH}/{}", id(&saved)))
        .await
        .refuses_field(404, "response_not_found", Value::Null);
    let response = service.respond(with("x", json!({"store": true}))).await;
    assert_eq!(response["store"], false);
    assert_eq!(
        service.post("/v1/conversations", json!({})).await.status,
        400
    );
    let oldest = service.registry.response(&id(&saved), 0).await.unwrap();
    assert_eq!(oldest, None, "what was saved before is removed");
}

#[tokio::test]
async fn the_oldest_responses_go_when_the_budget_is_used_up() {
    let service = able().await;
    let long = "word ".repeat(20_000);
    let mut ids = Vec::new();
    for _ in 0..12 {
        let response = service
            .respond(with(
                format!("{long}[[mock: answer a]]"),
                json!({"truncation": "auto"}),
            ))
            .await;
        ids.push(id(&response));
    }
    assert_eq!(service.get(&format!("{PATH}/{}", ids[0])).await.status, 404);
    assert_eq!(
        service.get(&format!("{PATH}/{}", ids[11])).await.status,
        200
    );
}

#[tokio::test]
async fn a_response_in_the_background_stays_when_the_budget_is_exceeded() {
    let service = with_budget(able().await, 100_000).await;
    let slow = "[[mock: delay-ms 20; count 900]]x";
    let slow = service.respond(with(slow, json!({"background": true})));
    let slow = id(&slow.await);
    until(&service, &slow, "in_progress").await;
    let mut conversations = Vec::new();
    for _ in 0..2 {
        let made = service.post("/v1/conversations", items(60_000)).await;
        conversations.push(format!("/v1/conversations/{}", id(&made.json())));
    }
    assert_eq!(service.get(&conversations[0]).await.status, 404);
    assert_eq!(service.get(&conversations[1]).await.status, 200);
    let path = format!("{PATH}/{slow}/cancel");
    let cancelled = service.post(&path, Value::Null).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    until(&service, &slow, "cancelled").await;
}

/// An item of a user with a text of so many bytes.
fn items(bytes: usize) -> Value {
    json!({"items": [{"role": "user", "content": "x".repeat(bytes)}]})
}

#[tokio::test]
async fn a_conversation_takes_items_until_it_alone_has_the_whole_budget() {
    let service = with_budget(able().await, 100_000).await;
    let made = service.post("/v1/conversations", items(60_000)).await;
    let path = format!("/v1/conversations/{}", id(&made.json()));
    let text = format!("{}[[mock: answer a]]", "x".repeat(5000));
    let response = service.respond(body(text)).await;
    let more = format!("{path}/items");
    assert_eq!(service.post(&more, items(38_500)).await.status, 200);
    let old = service.get(&format!("{PATH}/{}", id(&response))).await;
    old.refuses_field(404, "response_not_found", Value::Null);
    let list = async || service.get(&more).await.json()["data"].clone();
    let before = list().await;
    assert_eq!(before.as_array().unwrap().len(), 2);
    let full = service.post(&more, items(5000)).await;
    full.refuses_field(400, "invalid_request", json!("items"));
    assert!(full.text.contains("100000 bytes"), "{}", full.text);
    assert_eq!(list().await, before);
    let large = service.post("/v1/conversations", items(100_000)).await;
    large.refuses_field(400, "invalid_request", json!("items"));
    assert_eq!(list().await, before);
}

#[tokio::test]
async fn a_removed_conversation_is_not_saved_again() {
    let service = able().await;
    let made = service.post("/v1/conversations", json!({})).await.json();
    let path = format!("/v1/conversations/{}", id(&made));
    let conversation = serde_json::from_value(made).unwrap();
    service.call("DELETE", &path, Value::Null).await;
    // A request that read the conversation before it was removed.
    let responses = &service.app.responses;
    let updated = responses.update_conversation(&conversation).await;
    assert!(matches!(updated, Err(Error::ConversationNotFound(_))));
    let added = service.post(&format!("{path}/items"), items(1)).await;
    added.refuses_field(404, "conversation_not_found", Value::Null);
    let gone = service.get(&path).await;
    gone.refuses_field(404, "conversation_not_found", Value::Null);
}
