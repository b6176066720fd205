//! Anthropic's dialect: messages, their streams, and the count of tokens.

use super::*;

const PATH: &str = "/v1/messages";

/// A body with one user message and further fields.
fn with(text: &str, fields: Value) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    let mut body = json!({"model": "m", "max_tokens": 200, "messages": messages});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn tools(names: &[&str]) -> Value {
    let tool =
        |name: &&str| json!({"name": name, "input_schema": {"type": "object", "properties": {}}});
    names.iter().map(tool).collect()
}

impl Service {
    /// A whole message.
    async fn message(&self, body: Value) -> Value {
        let answer = self.post(PATH, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(
            answer.headers["request-id"]
                .to_str()
                .unwrap()
                .starts_with("req_")
        );
        answer.json()
    }

    /// The events of a streamed message, whose names are their types.
    async fn message_stream(&self, mut body: Value) -> Vec<Value> {
        body["stream"] = json!(true);
        let answer = self.post(PATH, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        let frames = answer.text.split("\n\n").filter(|frame| !frame.is_empty());
        let event = |frame: &str| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let event: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
            event
        };
        frames.map(event).collect()
    }

    async fn refusal(&self, path: &str, body: Value) -> (u16, String, String) {
        let answer = self.post(path, body).await;
        let body = answer.json();
        assert_eq!(body["type"], "error", "{body}");
        assert!(body["request_id"].as_str().unwrap().starts_with("req_"));
        let text = |name: &str| body["error"][name].as_str().unwrap().to_owned();
        (answer.status.as_u16(), text("type"), text("message"))
    }
}

/// The text blocks of a message.
fn text(message: &Value) -> String {
    let blocks = message["content"].as_array().unwrap().iter();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

#[tokio::test]
async fn a_message_has_its_blocks_its_reason_and_its_usage() {
    let service = able().await;
    let script = "[[mock: think is it warm; answer I look.; call f {\"town\": \"Oslo\"}]]x";
    let message = service
        .message(with(
            script,
            json!({"tools": tools(&["f"]), "thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ))
        .await;
    assert_eq!(
        (&message["type"], &message["role"], &message["model"]),
        (&json!("message"), &json!("assistant"), &json!("m"))
    );
    assert_eq!(message["stop_reason"], "tool_use");
    let blocks = message["content"].as_array().unwrap();
    let kinds: Vec<&Value> = blocks.iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert!(blocks[0]["signature"].is_string());
    assert_eq!(blocks[2]["input"], json!({"town": "Oslo"}));
    let usage = &message["usage"];
    assert!(usage["input_tokens"].as_u64().unwrap() > 0);
    assert!(usage["output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(usage["cache_creation_input_tokens"], 0);
}

#[tokio::test]
async fn blocks_of_a_stream_begin_and_end_in_order() {
    let service = able().await;
    let script =
        "[[mock: think is it warm; answer I look.; call f {\"town\": \"Oslo\"}; call g {}]]x";
    let events = service
        .message_stream(with(
            script,
            json!({"tools": tools(&["f", "g"]), "thinking": {"type": "adaptive"}}),
        ))
        .await;
    assert_eq!(events[0]["type"], "message_start");
    assert!(
        events[0]["message"]["usage"]["input_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    let mut open: Option<(u64, String)> = None;
    let (mut next, mut inputs) = (0, Vec::new());
    for event in &events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open.as_ref(), &event["index"]), (None, &json!(next)));
                let kind = event["content_block"]["type"].as_str().unwrap();
                if kind == "tool_use" {
                    assert_eq!(event["content_block"]["input"], json!({}));
                    inputs.push(String::new());
                }
                open = Some((next, kind.to_owned()));
                next += 1;
            }
            "content_block_delta" => {
                let (index, kind) = open.as_ref().unwrap();
                assert_eq!(event["index"], *index);
                let delta = event["delta"]["type"].as_str().unwrap();
                let fits = match kind.as_str() {
                    "thinking" => ["thinking_delta", "signature_delta"].contains(&delta),
                    "text" => delta == "text_delta",
                    _ => delta == "input_json_delta",
                };
                assert!(fits, "{event} in {kind}");
                if let Some(piece) = event["delta"]["partial_json"].as_str() {
                    inputs.last_mut().unwrap().push_str(piece);
                }
            }
            "content_block_stop" => {
                assert_eq!(event["index"], open.take().unwrap().0);
            }
            "message_delta" => {
                assert_eq!(event["delta"]["stop_reason"], "tool_use");
                assert!(event["usage"]["output_tokens"].as_u64().unwrap() > 0);
            }
            _ => {}
        }
    }
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    assert_eq!(inputs, [json!({"town": "Oslo"}), json!({})]);
}

#[tokio::test]
async fn a_stop_text_and_the_limit_are_reasons() {
    let service = able().await;
    let message = service
        .message(with("one two three", json!({"stop_sequences": [" two"]})))
        .await;
    assert_eq!(message["stop_reason"], "stop_sequence");
    assert_eq!(message["stop_sequence"], " two");
    let message = service
        .message(with("one two three", json!({"max_tokens": 1})))
        .await;
    assert_eq!(message["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn system_texts_of_all_kinds_reach_the_prompt_and_a_billing_header_does_not() {
    let service = able().await;
    let body = |count: &str| {
        json!({"model": "m", "max_tokens": 200, "system": [
            {"type": "text", "text": format!("x-anthropic-billing-header: cch={count};")},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ], "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "system", "content": "And kind."},
            {"role": "user", "content": "[[mock: echo-prompt]]x"},
        ]})
    };
    let first = service.message(body("1")).await;
    let prompt = text(&first);
    for words in ["Be brief.", "And kind.", "one"] {
        assert!(prompt.contains(words), "{prompt}");
    }
    assert!(!prompt.contains("billing"), "{prompt}");
    // The prefix cache needs the same prompt each time.
    let second = service.message(body("2")).await;
    assert_eq!(text(&second), prompt);
}

#[tokio::test]
async fn a_loop_of_calls_and_results_goes_on() {
    let service = able().await;
    let mut messages = vec![json!({"role": "user", "content": "[[mock: call f {\"turn\": 0}]]x"})];
    for turn in 0..3 {
        let body =
            json!({"model": "m", "max_tokens": 200, "messages": messages, "tools": tools(&["f"])});
        let message = service.message(body).await;
        assert_eq!(message["stop_reason"], "tool_use", "{message}");
        let blocks = message["content"].as_array().unwrap();
        let call = blocks
            .iter()
            .find(|block| block["type"] == "tool_use")
            .unwrap();
        assert_eq!(call["input"], json!({"turn": turn}));
        let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "20 degrees"}]});
        let next = match turn {
            2 => "[[mock: echo-prompt]]x".to_owned(),
            _ => format!("[[mock: call f {{\"turn\": {}}}]]x", turn + 1),
        };
        messages.push(json!({"role": "assistant", "content": message["content"]}));
        messages.push(json!({"role": "user", "content": [result, {"type": "text", "text": next}]}));
    }
    let body =
        json!({"model": "m", "max_tokens": 200, "messages": messages, "tools": tools(&["f"])});
    let last = service.message(body).await;
    assert_eq!(text(&last).matches("20 degrees").count(), 3, "{last}");
}

#[tokio::test]
async fn tools_of_a_server_are_left_out_and_a_forced_tool_is_called() {
    let service = able().await;
    let mut given = tools(&["f", "two words"]);
    let server = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 8});
    given.as_array_mut().unwrap().insert(0, server.clone());
    for (given, left_out) in [(json!([server]), "tools[0]"), (given, "tools[0], tools[2]")] {
        let body = with("hello", json!({"tools": given, "betas": ["x"]}));
        let answer = service.post(&format!("{PATH}?beta=true"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["stop_reason"], "end_turn");
        let ignored = answer.headers["slm-ignored-fields"].to_str().unwrap();
        assert_eq!(ignored, format!("betas, {left_out}"));
    }
    let forced = json!({"tools": [server], "tool_choice": {"type": "tool", "name": "web_search"}});
    let (status, _, message) = service.refusal(PATH, with("hello", forced)).await;
    assert_eq!(status, 400);
    assert!(message.contains("a tool of a server"), "{message}");
    let forced = json!({"tools": tools(&["f", "g"]), "tool_choice": {"type": "tool", "name": "g"}});
    let prompt = service
        .message(with("[[mock: echo-prompt]]hello", forced))
        .await;
    assert!(text(&prompt).contains("call g"), "{prompt}");
    let unknown = with(
        "hello",
        json!({"tools": tools(&["f"]), "tool_choice": {"type": "tool", "name": "g"}}),
    );
    let (status, kind, message) = service.refusal(PATH, unknown).await;
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert!(message.contains("\"g\""), "{message}");
}

#[tokio::test]
async fn the_count_of_tokens_is_that_of_the_message() {
    let service = able().await;
    let fields = json!({"system": "Be brief.", "tools": tools(&["f"])});
    let message = service.message(with("one two three", fields.clone())).await;
    let usage = &message["usage"];
    let sum = usage["input_tokens"].as_u64().unwrap()
        + usage["cache_read_input_tokens"].as_u64().unwrap();
    let mut body = with("one two three", fields);
    body.as_object_mut().unwrap().remove("max_tokens");
    let answer = service
        .post("/v1/messages/count_tokens?beta=true", body)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // The mock counts the begin token here only.
    assert_eq!(answer.json()["input_tokens"], sum + 1);
}

#[tokio::test]
async fn errors_have_the_shape_of_the_dialect() {
    let service = able().await;
    let mut unknown = with("x", json!({}));
    unknown["model"] = json!("nowhere");
    let (status, kind, _) = service.refusal(PATH, unknown).await;
    assert_eq!((status, kind.as_str()), (404, "not_found_error"));
    let (status, kind, message) = service
        .refusal(PATH, with(&"word ".repeat(3000), json!({})))
        .await;
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert!(message.starts_with("prompt is too long: "), "{message}");
    let (status, _, message) = service
        .refusal(
            PATH,
            json!({"model": "m", "max_tokens": 5, "messages": "x"}),
        )
        .await;
    assert_eq!(status, 400);
    assert!(message.contains("messages"), "{message}");
    let (status, _, message) = service
        .refusal(PATH, json!({"model": "m", "max_tokens": 5, "messages": [{"role": "narrator", "content": "x"}]}))
        .await;
    assert_eq!(status, 400);
    assert!(message.contains("messages[0].role"), "{message}");
    let (status, ..) = service.refusal("/v1/messages/batches", json!({})).await;
    assert_eq!(status, 400);
    let (status, kind, _) = service.refusal("/v1/messages/nothing", json!({})).await;
    assert_eq!((status, kind.as_str()), (404, "not_found_error"));
}

#[tokio::test]
async fn a_last_message_of_the_assistant_is_continued() {
    let service = able().await;
    let body = json!({"model": "m", "max_tokens": 200, "messages": [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
    ]});
    let message = service.message(body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    let empty = json!({"model": "m", "max_tokens": 200, "messages": [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": ""},
    ]});
    service.message(empty).await;
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_an_error_event() {
    let service = able().await;
    let events = service
        .message_stream(with(
            "[[mock: answer one two three four; fail-at-token 2]]x",
            json!({}),
        ))
        .await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "error", "{events:?}");
    assert_eq!(last["error"]["type"], "api_error");
}

#[tokio::test]
async fn thinking_is_replayed_with_any_signature() {
    let service = able().await;
    let body = with(
        "[[mock: think is it warm; answer yes]]x",
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    );
    let message = service.message(body).await;
    let thinking = &message["content"][0];
    assert!(!thinking["signature"].as_str().unwrap().is_empty());
    let altered = |signature: Value| {
        let mut block = thinking.clone();
        match signature {
            Value::Null => drop(block.as_object_mut().unwrap().remove("signature")),
            signature => block["signature"] = signature,
        }
        block
    };
    for signature in [json!("AAAA"), json!(""), Value::Null] {
        let redacted = json!({"type": "redacted_thinking", "data": "AAAA"});
        let blocks = json!([altered(signature), redacted, message["content"][1]]);
        let body = json!({"model": "m", "max_tokens": 200, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": "[[mock: echo-prompt]]y"},
        ]});
        let prompt = text(&service.message(body).await);
        assert!(
            prompt.contains("assistant thinks: is it warm\nassistant: yes\n"),
            "{prompt}"
        );
    }
}

/// A conversation whose results of tools have nested blocks.
fn nested(last: Value) -> Value {
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": [
        {"type": "text", "text": "one"},
        {"type": "search_result", "title": "two", "source": "https://a.example", "content": [{"type": "text", "text": "three"}]},
        {"type": "document", "title": "four", "source": {"type": "content", "content": [{"type": "text", "text": "five"}]}},
        last,
    ]});
    json!({"model": "m", "max_tokens": 200, "system": [{"type": "text", "text": "Be brief."}], "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [result, {"type": "text", "text": "[[mock: echo-prompt]]y"}]},
    ]})
}

impl Service {
    async fn count(&self, body: &Value) -> u64 {
        let path = "/v1/messages/count_tokens?beta=true";
        let answer = self.post(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["input_tokens"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn nested_blocks_are_read_and_counted() {
    let service = able().await;
    let mut body = nested(json!({"type": "text", "text": "six"}));
    body["tools"] = tools(&["f"]);
    let message = service.message(body.clone()).await;
    let prompt = text(&message);
    for word in ["Be brief.", "one", "two", "three", "four", "five", "six"] {
        assert!(prompt.contains(word), "{word} in {prompt}");
    }
    // The mock counts the words of its directive too.
    body["messages"][2]["content"][1]["text"] = json!("y");
    let usage = &service.message(body.clone()).await["usage"];
    let read = [
        "input_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ];
    let read: u64 = read.iter().map(|name| usage[name].as_u64().unwrap()).sum();
    // The mock counts the begin token here only.
    assert_eq!(service.count(&body).await, read + 1);
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    let (status, _, message) = service.refusal(PATH, nested(image)).await;
    assert_eq!(status, 400);
    assert!(message.contains("does not support vision"), "{message}");
}

#[tokio::test]
async fn an_image_in_the_result_of_a_tool_is_seen_and_counted() {
    let service = images::with_seeing_model(json!({"parameters": {"num_ctx": 4096}})).await;
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    let with_image = nested(image);
    let prompt = text(&service.message(with_image.clone()).await);
    assert!(prompt.contains("[image-1:2]"), "{prompt}");
    let without = nested(json!({"type": "text", "text": "six"}));
    let (more, fewer) = (
        service.count(&with_image).await,
        service.count(&without).await,
    );
    assert!(more > fewer + 100, "{more} and {fewer}");
}
