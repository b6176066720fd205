//! Tool calls and tool choices.

use super::*;

const TWO: &str = "[[mock: call f {\"a\": 1, \"b\": \"x y\"}; call g {}]]x";

/// The pieces of all calls in a stream.
fn pieces(chunks: &[Value]) -> Vec<Value> {
    let deltas = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"]);
    deltas
        .filter_map(Value::as_array)
        .flatten()
        .cloned()
        .collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_first_piece_of_a_call_has_its_name_and_the_others_its_arguments() {
    let service = able().await;
    let chunks = service
        .chunks(body(TWO, json!({"tools": functions(&["f", "g"])})))
        .await;
    let pieces = pieces(&chunks);
    for (index, name, arguments) in [(0, "f", json!({"a": 1, "b": "x y"})), (1, "g", json!({}))] {
        let own: Vec<&Value> = pieces
            .iter()
            .filter(|piece| piece["index"] == index)
            .collect();
        let (first, others) = own.split_first().unwrap();
        assert!(!first["id"].as_str().unwrap().is_empty());
        assert_eq!(first["type"], "function");
        assert_eq!(first["function"], json!({"name": name, "arguments": ""}));
        let mut text = String::new();
        for piece in others {
            assert_eq!(keys(piece), ["index", "function"]);
            assert_eq!(keys(&piece["function"]), ["arguments"]);
            text += piece["function"]["arguments"].as_str().unwrap();
        }
        assert!(!others.is_empty(), "arguments come in at least one piece");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), arguments);
    }
    assert_ne!(pieces[0]["id"], pieces.last().unwrap()["id"]);
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_whole_answer_has_arguments_as_text() {
    let service = able().await;
    let answer = service
        .whole(body(TWO, json!({"tools": functions(&["f", "g"])})))
        .await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["function"]["arguments"], r#"{"a": 1, "b": "x y"}"#);
    assert_eq!(
        calls[1]["function"],
        json!({"name": "g", "arguments": "{}"})
    );
    assert_eq!(calls[0]["type"], "function");
    let plain = service
        .whole(body("x", json!({"tools": functions(&["f"])})))
        .await;
    assert_eq!(plain["choices"][0]["finish_reason"], "stop");
    assert_eq!(plain["choices"][0]["message"]["tool_calls"], Value::Null);
}

#[tokio::test]
async fn a_call_that_was_cut_off_ends_with_length() {
    let service = able().await;
    let script = "[[mock: call f {\"a\": 1, \"b\": 2, \"c\": 3}]]x";
    let fields = json!({"tools": functions(&["f"]), "max_tokens": 3});
    let answer = service.whole(body(script, fields.clone())).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["choices"][0]["message"]["tool_calls"], Value::Null);
    let chunks = service.chunks(body(script, fields)).await;
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "length"
    );
}

#[tokio::test]
async fn each_form_of_a_choice_reaches_the_prompt() {
    let service = able().await;
    let function = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [function("g")]}});
    for (choice, line, offered) in [
        (json!(null), "user: x", 2),
        (json!("auto"), "user: x", 2),
        (json!("none"), "call nothing", 2),
        (json!("required"), "call something", 2),
        (function("g"), "call g", 2),
        (json!({"type": "function", "name": "g"}), "call g", 2),
        (allowed("auto"), "user: x", 1),
        (allowed("required"), "call something", 1),
    ] {
        let fields = json!({"tools": functions(&["f", "g"]), "tool_choice": choice});
        let prompt = service
            .rendered(body("[[mock: echo-prompt]]x", fields))
            .await;
        assert_eq!(
            prompt.matches("offers ").count(),
            offered,
            "{choice}: {prompt}"
        );
        assert_eq!(
            prompt.lines().nth(offered),
            Some(line),
            "{choice}: {prompt}"
        );
    }
    for wrong in [
        json!("always"),
        function("h"),
        json!({"type": "function"}),
        json!(1),
        json!([]),
        allowed("never"),
    ] {
        let fields = json!({"tools": functions(&["f", "g"]), "tool_choice": wrong});
        let answer = service.post(CHAT, body("x", fields)).await;
        answer.fails(400, "invalid_request", json!("tool_choice"));
    }
    let alone = service
        .post(CHAT, body("x", json!({"tool_choice": "required"})))
        .await;
    alone.fails(400, "invalid_request", json!("tool_choice"));
}

#[tokio::test]
async fn a_loop_of_tools_comes_back_to_the_model() {
    let service = able().await;
    let call = |id: &str, arguments: Value| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let messages = json!([
        {"role": "user", "content": "warm?"},
        {"role": "assistant", "content": null, "tool_calls": [call("c1", json!("{\"town\":\"Oslo\"}")), call("c2", json!({"town": "Rome"})), call("c3", json!(""))]},
        {"role": "tool", "tool_call_id": "c1", "content": "20"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "3"}, {"type": "text", "text": "0"}]},
        {"role": "tool", "tool_call_id": "c3", "content": "?"},
        {"role": "user", "content": "[[mock: echo-prompt]]and now?"},
    ]);
    let asked = json!({"model": "m", "messages": messages, "tools": functions(&["f"])});
    let prompt = service.rendered(asked).await;
    for line in [
        "assistant calls c1: f {\"town\":\"Oslo\"}",
        "assistant calls c2: f {\"town\":\"Rome\"}",
        "assistant calls c3: f {}",
        "tool f c1: 20",
        "tool f c2: 30",
    ] {
        assert!(prompt.lines().any(|it| it == line), "{line:?} in {prompt}");
    }
}

#[tokio::test]
async fn the_older_form_has_one_call_in_function_call() {
    let service = able().await;
    let fields = json!({"functions": [{"name": "f", "parameters": {}}], "function_call": "auto"});
    let script = "[[mock: call f {\"a\": 1}]]x";
    let answer = service.whole(body(script, fields.clone())).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(
        choice["message"]["function_call"],
        json!({"name": "f", "arguments": "{\"a\": 1}"})
    );
    assert_eq!(choice["message"]["tool_calls"], Value::Null);
    let chunks = service.chunks(body(script, fields.clone())).await;
    let names = chunks
        .iter()
        .filter(|chunk| chunk["choices"][0]["delta"]["function_call"]["name"] == "f");
    assert_eq!(names.count(), 1);
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "function_call"
    );
    for (field, value) in [
        ("functions", json!([{}])),
        ("function_call", json!({"name": "g"})),
    ] {
        let wrong = with(body("x", fields.clone()), json!({field: value}));
        let answer = service.post(CHAT, wrong).await;
        answer.fails(400, "invalid_request", json!(field));
    }
    let forced = json!({"functions": [{"name": "f"}], "function_call": {"name": "f"}});
    let prompt = service
        .rendered(body("[[mock: echo-prompt]]x", forced))
        .await;
    assert!(prompt.contains("call f"), "{prompt}");
}

#[tokio::test]
async fn a_tool_that_cannot_be_offered_is_named_in_a_header() {
    let service = able().await;
    let mut tools = functions(&["f", "two words", "g"]);
    tools
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "custom", "custom": {"name": "c"}}));
    let answer = service
        .post(
            CHAT,
            body("[[mock: echo-prompt]]x", json!({"tools": tools})),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["slm-ignored-fields"], "tools[1], tools[3]");
    assert_eq!(answer.text.matches("offers ").count(), 2);
}

#[tokio::test]
async fn a_function_of_a_namespace_is_called_by_the_names_of_its_client() {
    let service = able().await;
    let tools = json!([
        {"type": "function", "function": {"name": "f"}},
        {"type": "namespace", "name": "files", "tools": [{"type": "custom", "name": "x"}, {"type": "function", "name": "read"}]},
        {"type": "web_search"},
    ]);
    let fields = json!({"tools": tools, "tool_choice": {"type": "function", "namespace": "files", "function": {"name": "read"}}});
    let answer = service
        .post(CHAT, body("[[mock: call files__read {}]]x", fields.clone()))
        .await;
    assert_eq!(
        answer.headers["slm-ignored-fields"],
        "tools[1].tools[0], tools[2]"
    );
    let message = &answer.json()["choices"][0]["message"];
    let function = json!({"name": "read", "namespace": "files", "arguments": "{}"});
    assert_eq!(message["tool_calls"][0]["function"], function);
    let chunks = service
        .chunks(body("[[mock: call files__read {}]]x", fields.clone()))
        .await;
    let first = &pieces(&chunks)[0]["function"];
    let begun = json!({"name": "read", "namespace": "files", "arguments": ""});
    assert_eq!(*first, begun);
    // The history has the call by both names too.
    let messages = json!([{"role": "user", "content": "y"}, message, {"role": "user", "content": "[[mock: echo-prompt]]x"}]);
    let prompt = service
        .rendered(with(
            json!({"model": "m", "messages": messages}),
            json!({"tools": tools}),
        ))
        .await;
    assert!(prompt.contains(": files__read {}"), "{prompt}");
}

#[tokio::test]
async fn hard_schemas_of_tools_do_not_fail_the_request() {
    let service = able().await;
    let hard = json!({"type": "object", "properties": {
        "path": {"type": "array", "items": {"type": "string", "pattern": "^(?!\\.)[a-z\\/\\-]{1,200}$"}},
        "text": {"type": "string", "maxLength": 65536},
        "tree": {"$ref": "#/$defs/node"},
    }, "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}}});
    let tools: Value = (0..60)
        .map(|index| json!({"type": "function", "function": {"name": format!("f{index}"), "parameters": hard}}))
        .collect();
    let answer = service
        .post(CHAT, body("x", json!({"tools": tools, "num_ctx": 4096})))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}
