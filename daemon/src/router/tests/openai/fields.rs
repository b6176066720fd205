//! Fields of a chat: absent, wrong, and without meaning.

use super::*;

/// All fields of a chat except model and messages.
fn all_fields(of: &str) -> Vec<String> {
    let document = crate::router::tests::table::document();
    let properties = &document["components"]["schemas"][of]["properties"];
    properties.as_object().unwrap().keys().cloned().collect()
}

/// Values of every type.
fn values() -> Vec<Value> {
    vec![
        json!(""),
        json!("x"),
        json!(-1),
        json!(1e308),
        json!(9_223_372_036_854_775_808_u64),
        json!([]),
        json!({}),
        json!([[]]),
        json!(true),
    ]
}

/// Checks that the page has every field, and that a field with a value of any type is accepted or refused by its name.
pub(super) async fn check_fields(service: &Service, path: &str, of: &str, base: Value) {
    let page = include_str!("../../../../../docs/api/openai.md");
    for field in all_fields(of) {
        assert!(
            page.contains(&format!("| `{field}` |")),
            "docs/api/openai.md lacks {field}"
        );
        let absent = service
            .post(path, with(base.clone(), json!({&field: null})))
            .await;
        let is_required = base.get(&field).is_some();
        assert_eq!(
            absent.status == 200,
            !is_required,
            "{field}: {}",
            absent.text
        );
        for value in values() {
            let answer = service
                .post(path, with(base.clone(), json!({&field: value})))
                .await;
            assert!(
                answer.status.as_u16() < 500,
                "{field} {value}: {}",
                answer.text
            );
            if answer.status == 400 {
                let error = &answer.json()["error"];
                assert_eq!(error["type"], "invalid_request_error", "{field} {value}");
                assert!(
                    answer.text.contains(&field),
                    "{field} {value}: {}",
                    answer.text
                );
            }
        }
    }
}

#[tokio::test]
async fn every_field_of_a_chat_takes_null_and_refuses_wrong_values() {
    check_fields(
        &able().await,
        CHAT,
        "openai.ChatRequest",
        body("[[mock: answer a]]x", json!({})),
    )
    .await;
}

#[tokio::test]
async fn a_body_of_nulls_counts_as_empty() {
    let service = able().await;
    let nulls: serde_json::Map<String, Value> = all_fields("openai.ChatRequest")
        .into_iter()
        .filter(|field| field != "model" && field != "messages")
        .map(|field| (field, Value::Null))
        .collect();
    let answer = service
        .whole(body("[[mock: answer a]]x", nulls.into()))
        .await;
    assert_eq!(content(&answer), "a");
}

#[tokio::test]
async fn required_fields_are_named() {
    let service = able().await;
    for (asked, field) in [
        (json!({}), "model"),
        (json!({"messages": []}), "model"),
        (json!({"model": "m"}), "messages"),
        (json!({"model": "m", "messages": []}), "messages"),
        (
            json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": null, "content": "x"}]}),
            "messages[0].tool_call_id",
        ),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}),
            "messages[0].content[0].text",
        ),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "video"}]}]}),
            "messages[0].content[0].type",
        ),
    ] {
        service
            .post(CHAT, asked)
            .await
            .fails(400, "invalid_request", json!(field));
    }
}

#[tokio::test]
async fn the_format_of_an_answer_is_enforced_wherever_the_schema_is() {
    let service = able().await;
    let schema = json!({"type": "object", "properties": {}});
    for format in [
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}}),
        json!({"type": "json_schema", "schema": schema}),
        json!({"type": "json_object", "schema": schema}),
    ] {
        let answer = service
            .whole(body("free text", json!({"response_format": format})))
            .await;
        assert_eq!(content(&answer), "{}", "{format}");
    }
    let answer = service
        .whole(body("free text", json!({"json_schema": schema})))
        .await;
    assert_eq!(content(&answer), "{}");
    let answer = service
        .whole(body("free text", json!({"grammar": "root ::= \"ok\""})))
        .await;
    assert_eq!(content(&answer), "ok");
    for free in [json!(null), json!({"type": "text"})] {
        let answer = service
            .whole(body("free text", json!({"response_format": free})))
            .await;
        assert_eq!(content(&answer), "free text");
    }
    let unknown = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"uniqueItems": true}}}});
    let answer = service.post(CHAT, body("x", unknown)).await;
    assert!(
        answer
            .fails(400, "invalid_request", Value::Null)
            .contains("uniqueItems")
    );
}

#[tokio::test]
async fn fields_of_other_servers_work_and_unknown_ones_are_named() {
    let service = able().await;
    let fields = json!({
        "top_k": 7, "min_p": 0.1, "repeat_penalty": 1.1, "cache_prompt": true, "id_slot": -1, "samplers": ["top_k"],
        "keep_alive": "10m", "options": {"num_ctx": 512}, "think": false, "deterministic": true,
        "store": false, "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "prediction": {"type": "content", "content": "x"},
        "prompt_cache_key": "k", "verbosity": "low", "modalities": ["text"], "foo": 1, "messages": [{"role": "user", "content": "x", "bar": 2}],
    });
    let answer = service.post(CHAT, body("x", fields)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut ignored: Vec<&str> = answer.headers["slm-ignored-fields"]
        .to_str()
        .unwrap()
        .split(", ")
        .collect();
    ignored.sort_unstable();
    assert_eq!(ignored, ["foo", "messages[0].bar"]);
    for (field, value) in [
        ("ignore_eos", json!(true)),
        ("audio", json!({"voice": "a"})),
        ("modalities", json!(["text", "audio"])),
        ("web_search_options", json!({})),
        ("n", json!(17)),
        ("n", json!(0)),
    ] {
        let answer = service.post(CHAT, body("x", json!({field: value}))).await;
        answer.fails(400, "invalid_request", json!(field));
    }
}

#[tokio::test]
async fn keep_alive_counts_here_too() {
    let service = able().await;
    for (value, kept) in [
        (json!("10m"), 600.0),
        (json!("300"), 300.0),
        (json!(60), 60.0),
        (json!("-1"), -1.0),
        (json!(-1), -1.0),
    ] {
        service.whole(body("x", json!({"keep_alive": value}))).await;
        assert_eq!(service.loaded().await[0]["keep_alive"], kept, "{value}");
    }
    service.whole(body("x", json!({"keep_alive": "0"}))).await;
    service.until_loaded(0).await;
}

#[tokio::test]
async fn variables_reach_the_chat_template() {
    let service = able().await;
    let asked = json!({"chat_template_kwargs": {"clear_thinking": true, "thinking_budget": 5, "enable_thinking": false}});
    let prompt = service
        .rendered(body("[[mock: echo-prompt]]x", asked))
        .await;
    assert!(
        prompt.contains("clear_thinking = true") && prompt.contains("thinking_budget = 5"),
        "{prompt}"
    );
    assert!(!prompt.contains("enable_thinking"), "{prompt}");
    let wrong = json!({"chat_template_kwargs": {"enable_thinking": 1}});
    let answer = service.post(CHAT, body("x", wrong)).await;
    answer.fails(
        400,
        "invalid_request",
        json!("chat_template_kwargs.enable_thinking"),
    );
}
