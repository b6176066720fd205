//! Tools: R2, R4, O12, and loops of calls with results.

use super::*;

#[tokio::test]
async fn functions_of_a_namespace_are_offered_and_other_tools_are_skipped() {
    let service = able().await;
    let tools = json!([
        {"type": "function", "name": "f"},
        {"type": "namespace", "name": "mcp__files", "description": "files", "tools": [
            {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}},
        ]},
        {"type": "web_search"},
        {"type": "custom", "name": "patch"},
        {"type": "image_generation"},
    ]);
    let script = "[[mock: echo-prompt]]x";
    let response = service.respond(with(script, json!({"tools": tools}))).await;
    let prompt = text(&response);
    assert!(
        prompt.contains("offers mcp__files__read") && prompt.contains("offers f"),
        "{prompt}"
    );
    assert_eq!(prompt.matches("offers ").count(), 2);
    assert_eq!(
        response["warnings"].as_array().unwrap().len(),
        3,
        "{response}"
    );
    let script = "[[mock: call mcp__files__read {\"path\": \"a\"}]]x";
    let response = service.respond(with(script, json!({"tools": tools}))).await;
    let call = &response["output"][0];
    assert_eq!(
        (&call["namespace"], &call["name"]),
        (&json!("mcp__files"), &json!("read"))
    );
    // The call goes back as it came.
    let input = json!([
        {"role": "user", "content": "read a"},
        call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "text"},
        {"role": "user", "content": "[[mock: echo-prompt]]and?"},
    ]);
    let prompt = service
        .prompt_of(with(input, json!({"tools": tools})))
        .await;
    assert!(
        prompt.contains(": mcp__files__read {\"path\": \"a\"}"),
        "{prompt}"
    );
    let only = json!({"tools": [{"type": "web_search"}]});
    assert_eq!(
        service.respond(with("x", only)).await["status"],
        "completed"
    );
}

#[tokio::test]
async fn each_form_of_a_tool_choice_reaches_the_template() {
    let service = able().await;
    let ask = async |choice: Value| {
        let fields = json!({"tools": functions(&["f", "g"]), "tool_choice": choice});
        service
            .post(PATH, with("[[mock: echo-prompt]]x", fields))
            .await
    };
    for (choice, line) in [
        (json!(null), "user: x"),
        (json!("auto"), "user: x"),
        (json!("none"), "call nothing"),
        (json!("required"), "call something"),
        (json!({"type": "function", "name": "g"}), "call g"),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}),
            "call something",
        ),
    ] {
        let prompt = text(&ask(choice.clone()).await.json());
        let offered = prompt.matches("offers ").count();
        assert_eq!(
            prompt.lines().nth(offered),
            Some(line),
            "{choice}: {prompt}"
        );
        assert_eq!(
            offered,
            if choice["type"] == "allowed_tools" {
                1
            } else {
                2
            }
        );
    }
    let unknown = ask(json!({"type": "function", "name": "h"})).await;
    unknown.refuses_field(400, "invalid_request", json!("tool_choice"));
}

#[tokio::test]
async fn the_result_of_a_tool_may_have_parts() {
    let service = able().await;
    let input = json!([
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c1", "name": "view", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "a cat: "},
            {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
        ]},
        {"role": "user", "content": "[[mock: echo-prompt]]what?"},
    ]);
    let prompt = service.prompt_of(body(input)).await;
    assert!(
        prompt.contains("tool view c1: a cat: [an image, which this model cannot see]"),
        "{prompt}"
    );
    let input = json!([{"type": "function_call_output", "call_id": null, "output": "x"}]);
    let answer = service.post(PATH, body(input)).await;
    answer.refuses_field(400, "invalid_request", json!("input[0].call_id"));
}

/// What the mock reads at the end of a loop of three turns with tools, by items or by ids.
async fn tool_loop(service: &Service, is_stored: bool) -> String {
    let tools = functions(&["f"]);
    let mut history = Vec::new();
    let mut previous = Value::Null;
    let mut input =
        vec![json!({"role": "user", "content": "[[mock: think hm; call f {\"n\": 1}]]go"})];
    for turn in 1..=3 {
        let mut fields = json!({"tools": tools, "store": is_stored, "stream": turn == 2});
        let sent: Vec<Value> = match is_stored {
            true => input.clone(),
            false => history.iter().chain(&input).cloned().collect(),
        };
        fields["previous_response_id"] = previous;
        let answer = service.post(PATH, with(json!(sent), fields)).await;
        let response = match turn {
            2 => answer.events().pop().unwrap()["response"].clone(),
            _ => answer.json(),
        };
        assert_eq!(response["store"], is_stored, "{response}");
        previous = if is_stored {
            response["id"].clone()
        } else {
            Value::Null
        };
        let output = response["output"].as_array().unwrap().clone();
        let call = output
            .iter()
            .find(|item| item["type"] == "function_call")
            .unwrap()
            .clone();
        history.append(&mut input);
        history.extend(output);
        let next = match turn {
            3 => "[[mock: echo-prompt]]end".to_owned(),
            turn => format!("[[mock: call f {{\"n\": {}}}]]more", turn + 1),
        };
        input = vec![
            json!({"type": "function_call_output", "call_id": call["call_id"], "output": format!("r{turn}")}),
            json!({"role": "user", "content": next}),
        ];
    }
    let sent: Vec<Value> = match is_stored {
        true => input,
        false => history.into_iter().chain(input).collect(),
    };
    let fields = json!({"tools": tools, "previous_response_id": previous, "store": false});
    let prompt = service.prompt_of(with(json!(sent), fields)).await;
    // Ids of calls differ between loops.
    let word = |word: &str| match word.starts_with("call_") {
        true => "ID".to_owned(),
        false => word.to_owned(),
    };
    prompt.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_loop_of_three_turns_reads_the_same_by_ids_and_by_items() {
    let service = able().await;
    let by_ids = tool_loop(&service, true).await;
    let by_items = tool_loop(&service, false).await;
    assert_eq!(by_ids, by_items);
    for words in [
        "assistant thinks: hm",
        "f {\"n\": 1}",
        "f {\"n\": 3}",
        "r1",
        "r3",
        "user: end",
    ] {
        assert!(by_ids.contains(words), "{words:?} in {by_ids}");
    }
}
