//! Conversations with tools and thoughts, with the real engine.

use runner_protocol::{
    Call, Event, FailureKind, Generate, Message, Prompt, Rendered, StopReason, Template, Tool,
    ToolCall, ToolChoice,
};

use crate::harness::{Runner, greedy};

/// Tools as they come, calls in tags, no thoughts.
const CALLS: &str = r#"
{%- if tools %}{{- '<|im_start|>system\n' + (tools | tojson) + '<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"#;

/// Thoughts that the prompt begins.
const THOUGHTS: &str = r#"
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}
    {{- (message.content or '') + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"#;

fn runner(template: &str) -> Runner {
    Runner::loaded(|load| load.chat_template = Some(template.into()))
}

fn asked(tools: Vec<Tool>) -> Template {
    Template {
        messages: vec![Message {
            role: "user".into(),
            content: "hello".into(),
            ..Message::default()
        }],
        add_generation_prompt: true,
        tools,
        ..Template::default()
    }
}

fn tool(parameters: &str) -> Tool {
    Tool {
        name: "weather".into(),
        description: "of a town".into(),
        parameters: parameters.into(),
    }
}

fn chat(template: Template) -> Generate {
    Generate {
        prompt: Prompt::Chat(template),
        ..greedy("", 32)
    }
}

#[test]
fn tools_are_in_the_prompt_and_text_stays_text() {
    let mut runner = runner(CALLS);
    let mut conversation = asked(vec![tool(
        r#"{"type": "object", "properties": {"town": {"type": "string"}}}"#,
    )]);
    conversation.messages.push(Message {
        role: "assistant".into(),
        tool_calls: vec![ToolCall {
            name: "weather".into(),
            arguments: r#"{"town": "Oslo"}"#.into(),
            ..ToolCall::default()
        }],
        ..Message::default()
    });
    conversation.messages.push(Message {
        role: "tool".into(),
        content: "20".into(),
        tool_name: "weather".into(),
        ..Message::default()
    });
    let Event::Prompt(Rendered { text: prompt, .. }) =
        runner.call(Call::Template(conversation.clone()))
    else {
        panic!("no prompt");
    };
    assert!(
        prompt.contains("\"of a town\"") && prompt.contains("tool\n20<|im_end|>"),
        "{prompt}"
    );
    assert!(
        prompt.contains(
            r#"<tool_call>
{"name": "weather", "arguments": {"town": "Oslo"}}"#
        ),
        "{prompt}"
    );
    let (plain, _) = runner.generate(greedy(&prompt, 32));
    let (thoughts, text, done) = runner.thoughts_and_text(chat(conversation));
    assert_eq!((thoughts.as_str(), text), ("", plain));
    assert_eq!((done.reason, done.tokens), (StopReason::Length, 32));
}

#[test]
fn thoughts_that_the_prompt_begins_are_thoughts_until_they_end() {
    let mut runner = runner(THOUGHTS);
    let prompt = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n<think>\n";
    let (plain, _) = runner.generate(greedy(prompt, 32));
    let (thoughts, text, _) = runner.thoughts_and_text(chat(asked(Vec::new())));
    assert_eq!(
        (thoughts.trim_start(), text.as_str()),
        (plain.trim_start(), "")
    );
    // A prompt as text says by which conversation its answer is read.
    let read_as = Generate {
        read_as: Some(Box::new(asked(Vec::new()))),
        ..greedy(prompt, 32)
    };
    let (thoughts, text, _) = runner.thoughts_and_text(read_as);
    assert_eq!(
        (thoughts.trim_start(), text.as_str()),
        (plain.trim_start(), "")
    );
    // Here it did not begin to think.
    let prompt = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";
    let (plain, _) = runner.generate(greedy(prompt, 32));
    let read_as = Generate {
        read_as: Some(Box::new(asked(Vec::new()))),
        ..greedy(prompt, 32)
    };
    let (thoughts, text, _) = runner.thoughts_and_text(read_as);
    assert_eq!((thoughts.as_str(), text), ("", plain));
}

#[test]
fn a_model_that_must_call_writes_a_call_that_its_tool_can_take() {
    let mut runner = runner(CALLS);
    let tool = tool(
        r#"{"type": "object", "required": ["warm"], "additionalProperties": false, "properties": {"warm": {"type": "boolean"}}}"#,
    );
    for seed in 0..4 {
        let mut generate = chat(Template {
            tool_choice: ToolChoice::Required,
            ..asked(vec![tool.clone()])
        });
        generate.max_tokens = Some(400);
        generate.sampling.temperature = 1.0;
        generate.sampling.seed = Some(seed);
        let (calls, done) = runner.calls(generate);
        // Several calls are calls, too. By chance it writes white space until the end; then the call is the beginning of a good one.
        if done.reason == StopReason::Length {
            continue;
        }
        assert_eq!(done.reason, StopReason::Stop);
        assert!(!calls.is_empty());
        for (name, arguments) in calls {
            assert_eq!(name, "weather");
            let arguments = arguments.replace([' ', '\r', '\n', '\t'], "");
            assert!(
                ["{\"warm\":true}", "{\"warm\":false}"].contains(&arguments.as_str()),
                "{arguments}"
            );
        }
    }
}

#[test]
fn hostile_tools_disturb_nobody() {
    let mut runner = runner(CALLS);
    let deep = format!(r#"{{"a": {}{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let chain = (0..300).fold(String::from("{}"), |inner, _| {
        format!(r#"{{"items": {inner}}}"#)
    });
    let circle = r##"{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "properties": {"x": {"$ref": "#/$defs/a"}}}"##;
    let endless = r#"{"type": "object", "properties": {"x": {"type": "string", "minLength": 1, "maxLength": 2000000000}}}"#;
    let wide = r#"{"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"}}}"#;
    // They are refused, or offered without parameters; what matters is that the process lives.
    for schema in [
        deep.as_str(),
        &chain,
        "[]",
        "nonsense",
        circle,
        endless,
        wide,
    ] {
        for choice in [ToolChoice::Auto, ToolChoice::Required] {
            let conversation = Template {
                tool_choice: choice,
                ..asked(vec![tool(schema)])
            };
            let event = runner.call(Call::Generate(Box::new(chat(conversation))));
            assert!(
                matches!(event, Event::Done(_) | Event::Failed(_)),
                "{event:?}"
            );
        }
    }
    let (text, _) = runner.generate(greedy("hello", 4));
    assert!(!text.is_empty());
}

#[test]
fn a_template_without_tools_refuses_them() {
    let mut runner = runner(THOUGHTS);
    let (kind, message) = runner.fails(Call::Generate(Box::new(chat(asked(vec![tool("{}")])))));
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("knows no tools"), "{message}");
}
