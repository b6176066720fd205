//! Chat completions.

use async_openai::error::OpenAIError;
use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionMessageToolCalls,
    ChatCompletionRequestAssistantMessageArgs, ChatCompletionRequestMessage,
    ChatCompletionRequestToolMessageArgs, ChatCompletionRequestUserMessageArgs,
    ChatCompletionStreamOptions, ChatCompletionTool, ChatCompletionTools,
    CreateChatCompletionRequest, CreateChatCompletionRequestArgs, CreateChatCompletionResponse,
    FinishReason, FunctionObjectArgs, ResponseFormat, ResponseFormatJsonSchema,
};
use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::json;

use crate::service::{Service, refused, script};

pub async fn whole_answers(service: &Service) {
    let answer = answer(service, ask(service, "Why is the sky blue?")).await;
    assert_eq!(text(&answer), "Why is the sky blue?");
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Stop));
    assert_eq!(answer.model, service.model);
    assert_eq!(answer.usage.expect("usage").completion_tokens, 5);
    let mut short = ask(service, "one two");
    short.max_completion_tokens = Some(1);
    let short = self::answer(service, short).await;
    assert_eq!(short.choices[0].finish_reason, Some(FinishReason::Length));
}

pub async fn streams(service: &Service) {
    let directives = [
        "think is it warm",
        "answer I look.",
        r#"call warmth {"town": "Oslo"}"#,
        "call news {}",
    ];
    let mut request = ask(service, &(script(&directives) + "x"));
    request.tools = Some(tools());
    request.stream_options = Some(ChatCompletionStreamOptions {
        include_usage: Some(true),
        include_obfuscation: None,
    });
    let mut stream = service
        .client
        .chat()
        .create_stream(request)
        .await
        .expect("a stream");
    let (mut text, mut calls, mut reason, mut tokens) = (String::new(), Vec::new(), None, 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("a chunk with the types of the crate");
        tokens += chunk.usage.map_or(0, |usage| usage.completion_tokens);
        for choice in chunk.choices {
            text += choice.delta.content.as_deref().unwrap_or_default();
            reason = choice.finish_reason.or(reason);
            for part in choice.delta.tool_calls.unwrap_or_default() {
                let at = part.index as usize;
                calls.resize(calls.len().max(at + 1), (String::new(), String::new()));
                let function = part.function.expect("a part of a call");
                calls[at].0 += function.name.as_deref().unwrap_or_default();
                calls[at].1 += function.arguments.as_deref().unwrap_or_default();
            }
        }
    }
    assert_eq!(text, "I look.");
    let wanted = [("warmth", r#"{"town": "Oslo"}"#), ("news", "{}")];
    assert_eq!(
        calls,
        wanted.map(|(name, arguments)| (name.to_owned(), arguments.to_owned()))
    );
    assert_eq!(reason, Some(FinishReason::ToolCalls));
    assert!(tokens > 0);
}

pub async fn loops_with_results(service: &Service) {
    let directives = [
        r#"call warmth {"town": "Oslo"}"#,
        "then",
        r#"call warmth {"town": "Rome"}"#,
        "then",
        "answer Rome",
    ];
    let mut request = ask(service, &script(&directives));
    request.tools = Some(tools());
    for (town, degrees) in [("Oslo", "3"), ("Rome", "20")] {
        let call = only_call(&answer(service, request.clone()).await);
        assert!(call.function.arguments.contains(town), "{call:?}");
        let assistant = ChatCompletionRequestAssistantMessageArgs::default()
            .tool_calls(vec![ChatCompletionMessageToolCalls::Function(call.clone())])
            .build();
        let result = ChatCompletionRequestToolMessageArgs::default()
            .tool_call_id(call.id)
            .content(degrees)
            .build();
        request.messages.push(assistant.expect("a message").into());
        request.messages.push(result.expect("a message").into());
    }
    assert_eq!(text(&answer(service, request).await), "Rome");
}

pub async fn structured_output(service: &Service) {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let mut request = ask(service, "free text");
    request.response_format = Some(ResponseFormat::JsonSchema {
        json_schema: ResponseFormatJsonSchema {
            name: "empty".into(),
            schema,
            strict: Some(true),
            description: None,
        },
    });
    assert_eq!(text(&answer(service, request).await), "{}");
}

pub async fn errors(service: &Service) {
    let mut unknown = ask(service, "x");
    unknown.model = "unknown".into();
    let (status, error) = refused(service.client.chat().create(unknown.clone()).await);
    assert_eq!(
        (status, error.code.as_deref()),
        (404, Some("model_not_found"))
    );
    let (status, error) = refused(
        service
            .client
            .chat()
            .create_stream(unknown)
            .await
            .map(|_| ()),
    );
    assert_eq!(
        (status, error.code.as_deref()),
        (404, Some("model_not_found"))
    );
    let (status, error) = refused(
        service
            .client
            .chat()
            .create(ask(service, &"word ".repeat(20000)))
            .await,
    );
    assert_eq!(
        (status, error.code.as_deref()),
        (400, Some("context_length_exceeded"))
    );
    let mut wrong = ask(service, "x");
    wrong.temperature = Some(-1.0);
    let (status, error) = refused(service.client.chat().create(wrong).await);
    assert_eq!((status, error.param.as_deref()), (400, Some("temperature")));
    let broken = ask(service, &script(&["count 9", "crash-at-token 3"]));
    let stream = service
        .client
        .chat()
        .create_stream(broken)
        .await
        .expect("a stream");
    let parts: Vec<Result<_, OpenAIError>> = stream.collect().await;
    let error = parts
        .last()
        .expect("parts")
        .as_ref()
        .expect_err("an error in the stream");
    assert!(error.to_string().contains("SIGABRT"), "{error}");
}

pub async fn cancels_in_mid_stream(service: &Service) {
    let long = ask(service, &script(&["count 100000", "delay-ms 5"]));
    let mut stream = service
        .client
        .chat()
        .create_stream(long)
        .await
        .expect("a stream");
    stream
        .next()
        .await
        .expect("a first chunk")
        .expect("a chunk with the types of the crate");
    assert_eq!(service.active().await, 1);
}

pub async fn answers_several_at_once(service: &Service) {
    let texts: Vec<String> = (0..8).map(|number| format!("number {number}")).collect();
    let answers = texts.iter().map(|text| answer(service, ask(service, text)));
    let answers: Vec<String> = join_all(answers)
        .await
        .iter()
        .map(|answer| text(answer).to_owned())
        .collect();
    assert_eq!(answers, texts);
}

fn ask(service: &Service, text: &str) -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content(text)
        .build()
        .expect("a message");
    CreateChatCompletionRequestArgs::default()
        .model(&service.model)
        .messages([ChatCompletionRequestMessage::from(message)])
        .build()
        .expect("a request")
}

async fn answer(
    service: &Service,
    request: CreateChatCompletionRequest,
) -> CreateChatCompletionResponse {
    service
        .client
        .chat()
        .create(request)
        .await
        .expect("an answer")
}

fn text(answer: &CreateChatCompletionResponse) -> &str {
    answer.choices[0]
        .message
        .content
        .as_deref()
        .expect("a text")
}

fn only_call(answer: &CreateChatCompletionResponse) -> ChatCompletionMessageToolCall {
    match answer.choices[0].message.tool_calls.as_deref() {
        Some([ChatCompletionMessageToolCalls::Function(call)]) => call.clone(),
        other => panic!("not one call: {other:?}"),
    }
}

fn tools() -> Vec<ChatCompletionTools> {
    let tool = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"town": {"type": "string"}}});
        let function = FunctionObjectArgs::default()
            .name(name)
            .parameters(parameters)
            .build();
        ChatCompletionTools::Function(ChatCompletionTool {
            function: function.expect("a function"),
        })
    };
    vec![tool("warmth"), tool("news")]
}
