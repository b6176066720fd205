//! The Responses API.

use async_openai::types::responses::{
    CreateResponse, CreateResponseArgs, EasyInputMessage, FunctionCallOutput,
    FunctionCallOutputItemParam, FunctionToolArgs, FunctionToolCall, InputItem, InputParam, Item,
    OutputItem, Response, ResponseFormatJsonSchema, ResponseStreamEvent, Status,
    TextResponseFormatConfiguration, Tool,
};
use futures::StreamExt as _;
use serde_json::json;

use crate::service::{Service, refused, script};

pub async fn answers(service: &Service) {
    let response = answer(service, ask(service, "one two")).await;
    assert_eq!(response.output_text().as_deref(), Some("one two"));
    assert_eq!(response.status, Status::Completed);
    let usage = response.usage.expect("usage");
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
}

pub async fn streams(service: &Service) {
    let directives = [
        "think is it warm",
        "answer I look.",
        r#"call warmth {"town": "Oslo"}"#,
    ];
    let mut request = ask(service, script(&directives) + "x");
    request.tools = Some(tools());
    let mut stream = service
        .client
        .responses()
        .create_stream(request)
        .await
        .expect("a stream");
    let (mut text, mut thinking, mut last) = (String::new(), String::new(), None);
    while let Some(event) = stream.next().await {
        match event.expect("an event with the types of the crate") {
            ResponseStreamEvent::ResponseOutputTextDelta(event) => text += &event.delta,
            ResponseStreamEvent::ResponseReasoningTextDelta(event) => thinking += &event.delta,
            ResponseStreamEvent::ResponseCompleted(event) => last = Some(event.response),
            _ => {}
        }
    }
    assert_eq!(
        (thinking.as_str(), text.as_str()),
        ("is it warm", "I look.")
    );
    let last = last.expect("the last event has the response");
    assert_eq!(only_call(&last).arguments, r#"{"town": "Oslo"}"#);
}

pub async fn loops_with_results(service: &Service) {
    let mut items = Vec::new();
    for town in ["Oslo", "Rome", "Bern"] {
        let call = format!(r#"call warmth {{"town": "{town}"}}"#);
        let text = script(&[&call, "then", "answer It is 3 degrees."]);
        items.push(InputItem::EasyMessage(EasyInputMessage {
            content: text.into(),
            ..Default::default()
        }));
        let mut request = ask(service, items.clone());
        request.tools = Some(tools());
        let response = answer(service, request.clone()).await;
        let call = only_call(&response);
        assert!(call.arguments.contains(town), "{call:?}");
        items.extend(response.output.into_iter().map(InputItem::from));
        items.push(InputItem::Item(Item::FunctionCallOutput(result(call, "3"))));
        request.input = InputParam::Items(items.clone());
        let response = answer(service, request).await;
        assert_eq!(response.output_text().as_deref(), Some("It is 3 degrees."));
        items.extend(response.output.into_iter().map(InputItem::from));
    }
}

pub async fn structured_output(service: &Service) {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let mut request = ask(service, "free text");
    let format = ResponseFormatJsonSchema {
        name: "empty".into(),
        schema,
        strict: Some(true),
        description: None,
    };
    request.text = Some(TextResponseFormatConfiguration::JsonSchema(format).into());
    assert_eq!(
        answer(service, request).await.output_text().as_deref(),
        Some("{}")
    );
}

pub async fn errors(service: &Service) {
    let mut unknown = ask(service, "x");
    unknown.model = Some("unknown".into());
    let (status, error) = refused(service.client.responses().create(unknown).await);
    assert_eq!(
        (status, error.code.as_deref()),
        (404, Some("model_not_found"))
    );
    let broken = ask(service, script(&["count 9", "fail-at-token 3"]));
    let mut stream = service
        .client
        .responses()
        .create_stream(broken)
        .await
        .expect("a stream");
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event.expect("an event with the types of the crate"));
    }
    match last {
        Some(ResponseStreamEvent::ResponseFailed(event)) => {
            assert_eq!(event.response.status, Status::Failed)
        }
        other => panic!("the stream ends with {other:?}"),
    }
}

pub async fn cancels_in_mid_stream(service: &Service) {
    let long = ask(service, script(&["count 100000", "delay-ms 5"]));
    let mut stream = service
        .client
        .responses()
        .create_stream(long)
        .await
        .expect("a stream");
    while let Some(event) = stream.next().await {
        if let ResponseStreamEvent::ResponseOutputTextDelta(_) =
            event.expect("an event with the types of the crate")
        {
            assert_eq!(service.active().await, 1);
            return;
        }
    }
    panic!("the stream has no text");
}

pub async fn reads_and_removes(service: &Service) {
    let response = answer(service, ask(service, "one two")).await;
    let read = service
        .client
        .responses()
        .retrieve(&response.id)
        .await
        .expect("a stored response");
    assert_eq!(read, response);
    let mut next = ask(service, script(&["echo-prompt"]) + "three");
    next.previous_response_id = Some(response.id.clone());
    let prompt = answer(service, next).await.output_text().expect("a text");
    assert!(
        prompt.contains("user: one two") && prompt.contains("assistant: one two"),
        "{prompt}"
    );
    assert!(
        service
            .client
            .responses()
            .delete(&response.id)
            .await
            .expect("an answer")
            .deleted
    );
    let (status, _) = refused(service.client.responses().retrieve(&response.id).await);
    assert_eq!(status, 404);
}

fn ask(service: &Service, input: impl Into<InputParam>) -> CreateResponse {
    CreateResponseArgs::default()
        .model(&service.model)
        .input(input)
        .build()
        .expect("a request")
}

async fn answer(service: &Service, request: CreateResponse) -> Response {
    service
        .client
        .responses()
        .create(request)
        .await
        .expect("a response")
}

fn only_call(response: &Response) -> FunctionToolCall {
    let calls = response.output.iter().filter_map(|item| match item {
        OutputItem::FunctionCall(call) => Some(call.clone()),
        _ => None,
    });
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), 1, "{:?}", response.output);
    calls.into_iter().next().expect("one call")
}

fn result(call: FunctionToolCall, text: &str) -> FunctionCallOutputItemParam {
    serde_json::from_value(
        json!({"call_id": call.call_id, "output": FunctionCallOutput::Text(text.into())}),
    )
    .expect("an item")
}

fn tools() -> Vec<Tool> {
    let parameters = json!({"type": "object", "properties": {"town": {"type": "string"}}});
    let tool = FunctionToolArgs::default()
        .name("warmth")
        .parameters(parameters)
        .build();
    vec![tool.expect("a tool").into()]
}
