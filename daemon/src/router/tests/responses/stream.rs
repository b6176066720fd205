//! Events of a stream: R1, R7, and errors.

use super::*;

const SCRIPT: &str =
    "[[mock: think is it warm; answer I look.; call f {\"town\": \"Oslo\"}; call g {}]]x";

/// The types of the events; repeated deltas are one.
fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    types.dedup();
    types
        .iter()
        .map(|kind| kind.strip_prefix("response.").unwrap())
        .collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let kind = format!("response.{kind}");
    events
        .iter()
        .filter(|event| event["type"] == kind.as_str())
        .collect()
}

#[tokio::test]
async fn the_events_of_each_item_are_complete_and_in_order() {
    let service = able().await;
    let events = service
        .respond_stream(with(SCRIPT, json!({"tools": functions(&["f", "g"])})))
        .await;
    assert_eq!(
        types(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let done: Vec<Value> = of_type(&events, "output_item.done")
        .iter()
        .map(|event| event["item"].clone())
        .collect();
    for (place, added) in of_type(&events, "output_item.added").iter().enumerate() {
        assert_eq!(added["output_index"], place);
        assert_eq!(added["item"]["id"], done[place]["id"]);
        assert_eq!(added["item"]["status"], "in_progress");
        assert_eq!(done[place]["status"], "completed");
    }
    let kinds: Vec<&Value> = done.iter().map(|item| &item["type"]).collect();
    assert_eq!(
        kinds,
        ["reasoning", "message", "function_call", "function_call"]
    );
    assert_eq!(done[2]["arguments"], "{\"town\": \"Oslo\"}");
    assert_eq!(done[3]["arguments"], "{}");
    assert!(
        done[2]["id"].as_str().unwrap().starts_with("fc_"),
        "{done:?}"
    );
    assert_ne!(done[2]["call_id"], done[3]["call_id"]);
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["output"], json!(done));
    assert_eq!(last["status"], "completed");
    assert!(
        last["usage"]["output_tokens"].as_u64().unwrap() > 0,
        "{last}"
    );
    assert_eq!(last["id"], events[0]["response"]["id"]);
    assert_eq!(events[0]["response"]["output"], json!([]));
}

#[tokio::test]
async fn deltas_name_their_item_and_add_up() {
    let service = able().await;
    let events = service.respond_stream(body("one two three")).await;
    let deltas = of_type(&events, "output_text.delta");
    let item = &of_type(&events, "output_item.added")[0]["item"]["id"];
    for delta in &deltas {
        assert_eq!(
            (&delta["item_id"], &delta["content_index"]),
            (item, &json!(0))
        );
        assert_eq!(delta["logprobs"], json!([]));
    }
    let joined: String = deltas
        .iter()
        .map(|delta| delta["delta"].as_str().unwrap())
        .collect();
    assert_eq!(joined, "one two three");
    assert_eq!(
        of_type(&events, "output_text.done")[0]["text"],
        "one two three"
    );
    assert_eq!(text(&events.last().unwrap()["response"]), "one two three");
}

#[tokio::test]
async fn thinking_that_takes_the_whole_budget_leaves_an_incomplete_response() {
    let service = able().await;
    let script = "[[mock: think one two three four; answer five]]x";
    let events = service
        .respond_stream(with(script, json!({"max_output_tokens": 3})))
        .await;
    assert_eq!(
        types(&events)[2..],
        [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "incomplete",
        ]
    );
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["status"], "incomplete");
    assert_eq!(
        response["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(response["output"][0]["status"], "incomplete");
    assert_eq!(
        response["usage"]["output_tokens_details"]["reasoning_tokens"],
        3
    );
    let whole = service
        .respond(with(script, json!({"max_output_tokens": 500})))
        .await;
    assert_eq!(whole["status"], "completed");
    assert_eq!(
        whole["output"][0]["content"][0]["text"],
        "one two three four"
    );
    assert_eq!(text(&whole), "five");
}

#[tokio::test]
async fn a_summary_has_its_own_events() {
    let service = able().await;
    let fields =
        json!({"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]});
    let script = "[[mock: think hm; answer yes]]x";
    let events = service.respond_stream(with(script, fields)).await;
    assert_eq!(
        types(&events)[2..8],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    );
    let item = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(
        item["summary"],
        json!([{"type": "summary_text", "text": "hm"}])
    );
    assert_eq!(item.get("content"), None);
    assert!(item["encrypted_content"].is_string());
}

#[tokio::test]
async fn an_error_before_the_first_output_has_a_status_and_a_later_one_is_an_event() {
    let service = able().await;
    let early = with("[[mock: fail context]]x", json!({"stream": true}));
    let early = service.post(PATH, early).await;
    early.refuses_field(400, "context_length_exceeded", Value::Null);
    let events = service
        .respond_stream(body("[[mock: answer a b c; fail-at-token 2]]x"))
        .await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    assert_eq!(text(&last["response"]), "a b");
    let whole = service
        .post(PATH, body("[[mock: answer a b c; fail-at-token 2]]x"))
        .await;
    assert_eq!(whole.status, 500, "{}", whole.text);
    let id = last["response"]["id"].as_str().unwrap();
    let saved = service.get(&format!("{PATH}/{id}")).await.json();
    assert_eq!(saved, last["response"]);
}

#[tokio::test]
async fn a_call_without_an_object_fails() {
    let service = able().await;
    let script = "[[mock: call f [1]]]x";
    let events = service
        .respond_stream(with(script, json!({"tools": functions(&["f"])})))
        .await;
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["status"], "failed");
    assert!(
        response["error"]["message"]
            .as_str()
            .unwrap()
            .contains("JSON object"),
        "{response}"
    );
}

#[tokio::test]
async fn logprobs_come_with_their_text() {
    let service = able().await;
    let fields = json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2});
    let events = service.respond_stream(with("one two", fields)).await;
    let deltas = of_type(&events, "output_text.delta");
    let counts: Vec<usize> = deltas
        .iter()
        .map(|delta| delta["logprobs"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 2, "{counts:?}");
    let part = &events.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!(part["logprobs"][1]["token"], " two");
    assert_eq!(
        part["logprobs"][1]["top_logprobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
