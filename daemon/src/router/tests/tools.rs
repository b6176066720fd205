//! Tools, tool calls and thinking.

use super::*;

fn tools() -> Value {
    json!([{"type": "function", "function": {
        "name": "weather",
        "description": "of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}, "at": {"type": "string"}}},
    }}])
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

/// The events of an answer, each with its content.
fn parts(events: &[Value]) -> (String, String, Vec<Value>) {
    let text = |name: &str| {
        events
            .iter()
            .filter_map(|event| event["message"][name].as_str())
            .collect()
    };
    let calls = events
        .iter()
        .filter_map(|event| event["message"]["tool_calls"].as_array())
        .flatten()
        .cloned()
        .collect();
    (text("thinking"), text("content"), calls)
}

#[tokio::test]
async fn thinking_text_and_calls_come_in_separate_fields() {
    let service = with_able_model(json!({})).await;
    let script = "[[mock: think is it warm; answer I look.; call weather {\"town\": \"Oslo\", \"at\": \"noon\"}; call weather {}]]x";
    let body = json!({"model": "m", "messages": user(script), "tools": tools()});
    let answer = service.post("/api/chat", body.clone()).await;
    let events = answer.lines();
    let (thinking, text, calls) = parts(&events);
    assert_eq!(
        (thinking.as_str(), text.as_str()),
        ("is it warm", "I look.")
    );
    assert_eq!(calls.len(), 2);
    assert_eq!(
        calls[0]["function"],
        json!({"index": 0, "name": "weather", "arguments": {"town": "Oslo", "at": "noon"}})
    );
    assert_eq!(
        calls[1]["function"],
        json!({"index": 1, "name": "weather", "arguments": {}})
    );
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert!(
        answer
            .text
            .contains(r#""arguments":{"town":"Oslo","at":"noon"}"#),
        "in the model's order"
    );

    let mut whole = body;
    whole["stream"] = json!(false);
    let message = service.post("/api/chat", whole).await.json()["message"].clone();
    assert_eq!(message["thinking"], "is it warm");
    assert_eq!(message["content"], "I look.");
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_not_reported() {
    let service = with_able_model(json!({})).await;
    let script = "[[mock: answer a b; call weather {\"town\": \"New York\"}]]x";
    let mut body = json!({"model": "m", "messages": user(script), "tools": tools()});
    for (most, calls) in [(3, 0), (4, 0), (6, 1)] {
        body["options"] = json!({"num_predict": most});
        let events = service.post("/api/chat", body.clone()).await.lines();
        let (_, text, made) = parts(&events);
        assert_eq!((text.as_str(), made.len()), ("a b", calls), "{most}");
    }
}

#[tokio::test]
async fn tools_calls_and_results_reach_the_template() {
    let service = with_able_model(json!({})).await;
    let messages = json!([
        {"role": "user", "content": "warm?"},
        {"role": "assistant", "thinking": "hm", "content": "", "tool_calls": [
            {"id": "c1", "function": {"name": "weather", "arguments": {"town": "Oslo"}}},
        ]},
        {"role": "Tool", "tool_name": "weather", "tool_call_id": "c1", "content": "20"},
        {"role": "user", "content": "[[mock: echo-prompt]]and now?"},
    ]);
    let body = json!({"model": "m", "messages": messages, "tools": tools(), "think": "low", "options": {"num_ctx": 128}});
    let (text, _) = service.chat(body).await;
    let schema =
        r#"{"type":"object","properties":{"town":{"type":"string"},"at":{"type":"string"}}}"#;
    assert_eq!(
        text,
        format!(
            "offers weather: of a town {schema}\nreasoning_effort = low\nuser: warm?\nassistant thinks: hm\nassistant: \n\
             assistant calls c1: weather {{\"town\":\"Oslo\"}}\ntool weather c1: 20\nuser: and now?\nthinking\nassistant:"
        )
    );
}

#[tokio::test]
async fn the_tool_choice_reaches_the_template() {
    let service = with_able_model(json!({})).await;
    let ask = async |choice: Value| {
        let body = json!({"model": "m", "messages": user("[[mock: echo-prompt]]x"), "tools": tools(), "tool_choice": choice});
        let (text, _) = service.chat(body).await;
        text.lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask(json!("auto")).await, "user: x");
    assert_eq!(ask(json!("none")).await, "call nothing");
    assert_eq!(ask(json!("required")).await, "call something");
    let one = json!({"type": "function", "function": {"name": "weather"}});
    assert_eq!(ask(one).await, "call weather");
    let body = json!({"model": "m", "messages": user("x"), "tool_choice": "required"});
    service
        .post("/api/chat", body)
        .await
        .refuses(400, "invalid_request", "no tools");
}

#[tokio::test]
async fn unknown_tokens_and_adapters_are_refused() {
    let service = with_able_model(json!({})).await;
    for (field, value, words) in [
        ("logit_bias", json!({"the": 1.0}), "number of a token"),
        ("logit_bias", json!({"1": "much"}), "expected a number"),
        ("lora", json!([{"id": 0, "scale": 1.0}]), "the adapter 0"),
        ("lora", json!([{"id": 0}]), "scale"),
    ] {
        for (path, mut body) in [
            ("/api/generate", json!({"model": "m", "prompt": "x"})),
            ("/api/chat", json!({"model": "m", "messages": user("x")})),
        ] {
            body[field] = value.clone();
            service
                .post(path, body)
                .await
                .refuses(400, "invalid_request", words);
        }
    }
}

#[tokio::test]
async fn a_thinking_model_thinks_unless_it_is_turned_off() {
    let service = with_able_model(json!({})).await;
    let ask = async |think: Value| {
        let mut body = json!({"model": "m", "messages": user("[[mock: think hm; answer yes]]x")});
        if !think.is_null() {
            body["think"] = think;
        }
        let (thinking, text, _) = parts(&service.post("/api/chat", body).await.lines());
        assert_eq!(text, "yes");
        thinking
    };
    assert_eq!(ask(Value::Null).await, "hm");
    assert_eq!(ask(json!(true)).await, "hm");
    assert_eq!(ask(json!("high")).await, "hm");
    assert_eq!(ask(json!(false)).await, "");
    let body = json!({"model": "m", "prompt": "[[mock: think hm; answer yes]]x", "stream": false});
    let answer = service.post("/api/generate", body).await.json();
    assert_eq!(
        (&answer["thinking"], &answer["response"]),
        (&json!("hm"), &json!("yes"))
    );
    // The answer to a prompt that continues tokens is parsed in the same way.
    let body = json!({"model": "m", "prompt": "[[mock: think hm; answer yes]]x", "context": answer["context"], "stream": false});
    let answer = service.post("/api/generate", body).await.json();
    assert_eq!(
        (&answer["thinking"], &answer["response"]),
        (&json!("hm"), &json!("yes"))
    );
}

#[tokio::test]
async fn a_model_without_the_capability_is_refused() {
    let service = with_model(json!({})).await;
    let chat = async |extra: (&str, Value)| {
        let mut body = json!({"model": "m", "messages": user("x")});
        body[extra.0] = extra.1;
        service.post("/api/chat", body).await
    };
    chat(("tools", tools())).await.refuses(
        400,
        "invalid_request",
        "'m:latest' does not support tools",
    );
    chat(("think", json!(true))).await.refuses(
        400,
        "invalid_request",
        "'m:latest' does not support thinking",
    );
    chat(("think", json!("low"))).await.refuses(
        400,
        "invalid_request",
        "does not support thinking",
    );
    chat(("think", json!("hard"))).await.refuses(
        400,
        "invalid_request",
        "must be true, false or one of low",
    );
    assert_eq!(chat(("think", json!(false))).await.status, 200);
    assert_eq!(chat(("tools", json!([]))).await.status, 200);
}

#[tokio::test]
async fn a_go_template_renders_the_prompt_and_the_jinja_template_parses_the_answer() {
    let recipe = json!({"template": "{{ range .Tools }}T:{{ .Function.Name }} {{ json .Function.Parameters.Required }} {{ . }} {{ end }}\
        {{ range .Messages }}{{ .Role }}:{{ .Content }}{{ range .ToolCalls }}<{{ .Function.Name }} {{ .Function.Arguments }}>{{ end }} {{ end }}"});
    let service = with_able_model(recipe).await;
    let messages = json!([
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"town": "Oslo"}}}]},
        {"role": "tool", "tool_name": "weather", "content": "20"},
        {"role": "user", "content": "[[mock: think hm; call weather {}; echo-prompt]]x"},
    ]);
    let body =
        json!({"model": "m", "messages": messages, "tools": tools(), "options": {"num_ctx": 128}});
    let (thinking, text, calls) = parts(&service.post("/api/chat", body).await.lines());
    assert_eq!((thinking.as_str(), calls.len()), ("hm", 1));
    assert!(
        text.starts_with(
            "T:weather null {\"type\":\"function\",\"function\":{\"name\":\"weather\""
        ),
        "{text}"
    );
    assert!(
        text.contains("assistant:<weather {\"town\":\"Oslo\"}> tool:20 user:x"),
        "{text}"
    );

    // A Go template without tools gives way to the Jinja template.
    let service = with_able_model(json!({"template": "[{{ .Prompt }}]"})).await;
    let body = json!({"model": "m", "messages": user("[[mock: echo-prompt]]x"), "tools": tools(), "options": {"num_ctx": 128}});
    let (text, _) = service.chat(body).await;
    assert!(text.starts_with("offers weather"), "{text}");
}

#[tokio::test]
async fn invalid_tools_and_calls_are_errors_with_the_reason() {
    let service = with_able_model(json!({})).await;
    for (body, words) in [
        (
            json!({"messages": user("x"), "tools": [{"type": "web", "function": {"name": "f"}}]}),
            "type must be",
        ),
        (
            json!({"messages": user("x"), "tools": [{"function": {"name": "f", "parameters": [1]}}]}),
            "JSON Schema",
        ),
        (json!({"messages": user("x"), "tools": [{}]}), "function"),
        (
            json!({"messages": [{"role": "user", "tool_calls": [{"function": {"name": "f"}}]}]}),
            "only an assistant",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}]}),
            "a call of \\\"f\\\" must be an object",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{a"}}]}]}),
            "a call of \\\"f\\\" must be an object, and are a text that is no JSON",
        ),
        (
            json!({"messages": [{"role": "narrator", "content": "x"}]}),
            "system, user, assistant or tool",
        ),
    ] {
        let mut body = body;
        body["model"] = json!("m");
        service
            .post("/api/chat", body)
            .await
            .refuses(400, "invalid_request", words);
    }
    let body = json!({"model": "m", "prompt": "x", "raw": true, "think": true});
    service.post("/api/generate", body).await.refuses(
        400,
        "invalid_request",
        "raw goes without think",
    );
}

#[tokio::test]
async fn an_invalid_tool_is_left_out_with_a_warning() {
    let service = with_able_model(json!({})).await;
    let function = |name: &str, parameters: Value| json!({"type": "function", "function": {"name": name, "parameters": parameters}});
    let offered = json!([
        function("empty", json!({"type": "object", "properties": []})),
        function("odd", json!("a: string")),
        {"type": "web_search"},
        function("two words", json!({})),
        function("none", Value::Null),
        function("none", json!({})),
        {"function": {"name": "bare"}},
    ]);
    let body = json!({"model": "m", "messages": user("[[mock: echo-prompt]]x"), "tools": offered, "options": {"num_ctx": 256}});
    let answer = service.post("/api/chat", body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let events = answer.lines();
    let (_, text, _) = parts(&events);
    let nothing = r#"{"type":"object","properties":{}}"#;
    for name in ["empty", "none", "bare"] {
        assert!(
            text.contains(&format!("offers {name}: {nothing}"))
                || text.contains(&format!("offers {name}:  {nothing}")),
            "{text}"
        );
    }
    assert_eq!(text.matches("offers ").count(), 3, "{text}");
    let warnings = events.last().unwrap()["warnings"]
        .as_array()
        .unwrap()
        .clone();
    let named = ["\"odd\"", "number 3", "\"two words\"", "\"none\""];
    assert_eq!(warnings.len(), named.len(), "{warnings:?}");
    for (warning, name) in warnings.iter().zip(named) {
        let warning = warning.as_str().unwrap();
        assert!(warning.starts_with(&format!("tool {name}: ")), "{warning}");
    }
    let mut whole = body;
    whole["stream"] = json!(false);
    let answer = service.post("/api/chat", whole).await.json();
    assert_eq!(answer["warnings"], json!(warnings));
}

#[tokio::test]
async fn empty_arguments_of_all_forms_are_an_empty_object() {
    let service = with_able_model(json!({})).await;
    for (arguments, expected) in [
        (json!(""), "{}"),
        (json!(" "), "{}"),
        (json!(null), "{}"),
        (json!([]), "{}"),
        (json!("null"), "{}"),
        (json!("{\"a\": 1}"), "{\"a\": 1}"),
        (json!({"a": 1}), "{\"a\":1}"),
    ] {
        let messages = json!([
            {"role": "user", "content": "warm?"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "20"},
            {"role": "user", "content": "[[mock: echo-prompt]]x"},
        ]);
        let body = json!({"model": "m", "messages": messages, "tools": tools(), "options": {"num_ctx": 256}});
        let answer = service.post("/api/chat", body).await;
        assert_eq!(answer.status, 200, "{arguments}: {}", answer.text);
        let (_, text, _) = parts(&answer.lines());
        assert!(
            text.contains(&format!("assistant calls c1: weather {expected}\n")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_parse_ends_with_an_error() {
    let service = with_able_model(json!({})).await;
    let body = json!({"model": "m", "messages": user("[[mock: answer a b; fail-at-token 2 unreadable]]x")});
    let answer = service.post("/api/chat", body).await;
    let last: Value = serde_json::from_str(answer.text.lines().last().unwrap()).unwrap();
    assert_eq!(last["code"], "unreadable_answer", "{last}");
}

#[tokio::test]
async fn a_whole_call_that_does_not_parse_ends_the_answer_at_once() {
    let service = with_able_model(json!({})).await;
    // The runner would crash behind the first word of the second call.
    let prompt = "[[mock: call weather [1]; call weather {}; crash-at-token 4]]x";
    let body = json!({"model": "m", "messages": user(prompt), "stream": false});
    let answer = service.post("/api/chat", body).await;
    answer.refuses(502, "unreadable_answer", "no JSON object");
}
