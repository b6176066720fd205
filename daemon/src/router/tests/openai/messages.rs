//! Messages and thinking of a conversation.

use super::*;

/// The prompt of these messages; the last one has to be of the user.
async fn rendered(service: &Service, messages: Value) -> String {
    service
        .rendered(json!({"model": "m", "messages": messages}))
        .await
}

#[tokio::test]
async fn a_developer_message_is_a_system_message() {
    let service = able().await;
    for messages in [
        json!([{"role": "developer", "content": "be brief"}, {"role": "user", "content": "[[mock: echo-prompt]]x"}]),
        json!([{"role": "user", "content": "a"}, {"role": "system", "content": "be brief"}, {"role": "user", "content": "[[mock: echo-prompt]]x"}]),
        json!([{"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}]}, {"role": "user", "content": "[[mock: echo-prompt]]x"}]),
    ] {
        let prompt = rendered(&service, messages).await;
        assert!(prompt.contains("system: be brief"), "{prompt}");
    }
}

#[tokio::test]
async fn parts_stay_in_their_messages_and_in_order() {
    let service = able().await;
    let parts = |texts: [&str; 2]| json!({"role": "user", "content": texts.map(|text| json!({"type": "text", "text": text}))});
    let messages = json!([parts(["a", "b"]), {"role": "assistant", "content": "ok"}, parts(["c", "d[[mock: echo-prompt]]"])]);
    let prompt = rendered(&service, messages).await;
    assert!(
        prompt.contains("user: ab\nassistant: ok\nuser: cd"),
        "{prompt}"
    );
}

#[tokio::test]
async fn thinking_comes_back_under_either_name() {
    let service = able().await;
    let mut prompts = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        let earlier = json!({"role": "assistant", "content": "a", name: "hm"});
        let last = json!({"role": "user", "content": "[[mock: echo-prompt]]x"});
        prompts.push(rendered(&service, json!([earlier, last])).await);
    }
    assert_eq!(prompts[0], prompts[1]);
    assert!(
        prompts[0].contains("assistant thinks: hm"),
        "{}",
        prompts[0]
    );
}

#[tokio::test]
async fn a_last_message_of_the_assistant_is_no_error() {
    let service = able().await;
    let user = json!({"role": "user", "content": "x"});
    let assistant = |text: &str| json!({"role": "assistant", "content": text});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for messages in [
        json!([user, assistant("")]),
        json!([user, assistant("begun")]),
        json!([user, assistant("a"), assistant("b")]),
        json!([user, {"role": "assistant", "content": null, "tool_calls": [call]}]),
    ] {
        let answer = service
            .post(CHAT, json!({"model": "m", "messages": messages}))
            .await;
        assert_eq!(answer.status, 200, "{messages}: {}", answer.text);
    }
}

#[tokio::test]
async fn effort_turns_thinking_on_and_off_and_never_fails() {
    let service = able().await;
    let thinking = async |fields: Value| {
        let answer = service
            .whole(body("[[mock: think hm; answer a]]x", fields))
            .await;
        answer["choices"][0]["message"]["reasoning_content"].is_string()
    };
    assert!(thinking(json!({})).await);
    for off in [
        json!({"reasoning_effort": "none"}),
        json!({"reasoning": {"effort": "none"}}),
        json!({"reasoning": {"enabled": false}}),
        json!({"think": false}),
        json!({"think": false, "reasoning_effort": "high"}),
        json!({"chat_template_kwargs": {"enable_thinking": false}}),
    ] {
        assert!(!thinking(off.clone()).await, "{off}");
    }
    for word in ["minimal", "low", "medium", "high", "xhigh", "max"] {
        assert!(thinking(json!({"reasoning_effort": word})).await, "{word}");
    }
    let plain = with_model(json!({})).await;
    for fields in [
        json!({"reasoning_effort": "medium"}),
        json!({"reasoning": {"effort": "high"}}),
        json!({"think": true}),
        json!({"think": "low"}),
    ] {
        let answer = plain.post(CHAT, body("x", fields.clone())).await;
        assert_eq!(answer.status, 200, "{fields}: {}", answer.text);
    }
    let tools = plain
        .post(CHAT, body("x", json!({"tools": functions(&["f"])})))
        .await;
    assert!(
        tools
            .fails(400, "invalid_request", Value::Null)
            .contains("does not support tools")
    );
}

#[tokio::test]
async fn images_of_a_model_that_sees_none_are_refused() {
    let service = able().await;
    let image = |url: Value| json!({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": url}]});
    for url in [
        json!({"url": "data:image/png;base64,aGk="}),
        json!("data:image/png;base64,aGk="),
        json!({"url": "aGk=", "detail": "low"}),
    ] {
        let answer = service
            .post(CHAT, json!({"model": "m", "messages": [image(url)]}))
            .await;
        let message = answer.fails(400, "invalid_request", Value::Null);
        assert!(message.contains("does not support vision"), "{message}");
    }
    for url in [
        json!({"url": "https://a.example/x.png"}),
        json!("http://a.example/x.png"),
        json!("data:image/png,x"),
    ] {
        let answer = service
            .post(CHAT, json!({"model": "m", "messages": [image(url)]}))
            .await;
        let message = answer.fails(400, "invalid_request", json!("messages[0].content[1]"));
        assert!(message.contains("base64"), "{message}");
    }
}

#[tokio::test]
async fn an_image_stands_where_its_part_stands() {
    let service = images::with_seeing_model(json!({})).await;
    let parts = json!([
        {"type": "text", "text": "[[mock: echo-prompt]]one "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "auto"}},
        {"type": "text", "text": " two "},
        {"type": "image_url", "image_url": "aGkh"},
    ]);
    let messages = json!([{"role": "user", "content": parts}]);
    let rendered = rendered(&service, messages).await;
    assert!(
        rendered.contains("one [image-1:2] two [image-2:3]"),
        "{rendered}"
    );
}
