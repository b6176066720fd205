//! Fields of a request: O11, O12, O16, O28 and what is refused.

use super::*;

#[tokio::test]
async fn system_and_developer_messages_and_instructions_reach_the_prompt() {
    let service = able().await;
    let input = json!([
        {"role": "user", "content": "one"},
        {"role": "developer", "content": "two"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "three"}]},
        {"role": "user", "content": "[[mock: echo-prompt]]four"},
    ]);
    let prompt = service
        .prompt_of(with(input, json!({"instructions": "zero"})))
        .await;
    for words in ["system: zero", "user: one", "two", "three", "user: four"] {
        assert!(prompt.contains(words), "{words:?} in {prompt}");
    }
    assert!(!prompt.contains("developer"), "{prompt}");
}

#[tokio::test]
async fn null_counts_as_absent_for_every_field() {
    let service = able().await;
    let request = serde_json::to_value(api::openai::responses::ResponseRequest::default()).unwrap();
    let mut body = request;
    assert!(
        body.as_object().unwrap().values().all(Value::is_null),
        "{body}"
    );
    body["model"] = json!("m");
    body["input"] = json!("x");
    let response = service.respond(body).await;
    assert_eq!(text(&response), "x");
    assert_eq!(response["truncation"], "disabled");
    assert_eq!(response["text"]["format"]["type"], "text");
}

#[tokio::test]
async fn the_response_repeats_the_fields_of_its_request() {
    let service = able().await;
    let fields = json!({
        "instructions": "be brief", "temperature": 0.5, "top_p": 0.25, "max_output_tokens": 9, "max_tool_calls": 3,
        "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "truncation": "auto",
        "parallel_tool_calls": false, "reasoning": {"effort": "low", "summary": null}, "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": functions(&["f"]), "tool_choice": "auto",
    });
    let response = service.respond(with("x", fields.clone())).await;
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(response[name], *value, "{name}");
    }
    assert_eq!(response["model"], "m");
    assert_eq!(response["object"], "response");
}

#[tokio::test]
async fn the_format_of_the_text_is_enforced() {
    let service = able().await;
    let schema = json!({"type": "object", "properties": {}});
    for (format, expected) in [
        (json!({"type": "json_object"}), "{}"),
        (
            json!({"type": "json_schema", "name": "n", "schema": schema}),
            "{}",
        ),
        (json!({"type": "text"}), "x"),
        (json!(null), "x"),
    ] {
        let response = service
            .respond(with("x", json!({"text": {"format": format}})))
            .await;
        assert_eq!(text(&response), expected, "{format}");
    }
    for (format, param) in [
        (json!({"type": "xml"}), "text.format.type"),
        (
            json!({"type": "json_schema", "name": "n"}),
            "text.format.schema",
        ),
    ] {
        let answer = service
            .post(PATH, with("x", json!({"text": {"format": format}})))
            .await;
        answer.refuses_field(400, "invalid_request", json!(param));
    }
}

#[tokio::test]
async fn an_effort_never_fails_on_a_model_that_cannot_think() {
    let service = with_model(json!({})).await;
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        let response = service
            .respond(with("x", json!({"reasoning": {"effort": effort}})))
            .await;
        assert_eq!(text(&response), "x", "{effort}");
    }
    let able = able().await;
    let fields = json!({"reasoning": {"effort": "none"}});
    let response = able
        .respond(with("[[mock: think hm; answer yes]]x", fields))
        .await;
    assert_eq!(
        response["output"].as_array().unwrap().len(),
        1,
        "{response}"
    );
}

#[tokio::test]
async fn a_wrong_value_names_its_field() {
    let service = able().await;
    for (fields, param) in [
        (json!({"input": 1}), json!("input")),
        (json!({"input": []}), json!("input")),
        (json!({"input": null}), json!("input")),
        (
            json!({"input": [{"type": "compaction", "encrypted_content": "x"}]}),
            json!("input[0].type"),
        ),
        (json!({"temperature": "hot"}), json!("temperature")),
        (json!({"max_output_tokens": 0}), json!("max_output_tokens")),
        (json!({"top_logprobs": 99}), json!("top_logprobs")),
        (json!({"include": ["everything"]}), json!("include[0]")),
        (json!({"truncation": "maybe"}), json!("truncation")),
        (
            json!({"reasoning": {"effort": "huge"}}),
            json!("reasoning.effort"),
        ),
        (
            json!({"text": {"verbosity": "loud"}}),
            json!("text.verbosity"),
        ),
        (json!({"prompt": {"id": "pmpt_1"}}), json!("prompt")),
        (
            json!({"metadata": {"a": "b".repeat(513)}}),
            json!("metadata"),
        ),
        (json!({"stream": "yes"}), json!("stream")),
    ] {
        let answer = service.post(PATH, with("x", fields)).await;
        answer.refuses_field(400, "invalid_request", param);
    }
    let unknown = service
        .post(PATH, json!({"model": "none", "input": "x"}))
        .await;
    unknown.refuses_field(404, "model_not_found", Value::Null);
    let compact = service.post("/v1/responses/compact", json!({})).await;
    compact.refuses_field(400, "unsupported", Value::Null);
}

#[tokio::test]
async fn the_tokens_of_the_prompt_are_those_of_the_answer() {
    let service = able().await;
    let fields = json!({"instructions": "be brief", "tools": functions(&["f"])});
    let counted = service
        .post(
            "/v1/responses/input_tokens",
            with("one two", fields.clone()),
        )
        .await
        .json();
    let response = service.respond(with("one two", fields)).await;
    assert_eq!(counted["object"], "response.input_tokens");
    // The mock counts its token for the begin of a text only here.
    let prompt = response["usage"]["input_tokens"].as_u64().unwrap();
    assert_eq!(counted["input_tokens"], prompt + 1);
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_or_loses_its_oldest_messages() {
    let service = able().await;
    let old = json!({"role": "user", "content": "old ".repeat(2000)});
    let input =
        json!([old, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "new"}]);
    let refused = service.post(PATH, body(input.clone())).await;
    refused.refuses_field(400, "context_length_exceeded", Value::Null);
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["n_ctx"], 1024);
    assert!(error["n_prompt_tokens"].as_u64().unwrap() > 2000, "{error}");
    for words in [
        "maximum context length is 1024 tokens",
        "exceeds the available context size",
    ] {
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
    let response = service
        .respond(with(input, json!({"truncation": "auto"})))
        .await;
    assert_eq!(text(&response), "new");
    assert!(
        response["warnings"][0]
            .as_str()
            .unwrap()
            .contains("left out"),
        "{response}"
    );
}
