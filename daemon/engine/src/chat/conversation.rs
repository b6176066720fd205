//! A conversation that came over the wire: its bounds, and its shape as llama.cpp's `common` library takes it.
//!
//! llama.cpp walks JSON by recursion, so nothing deeper than [`MAX_JSON_DEPTH`] gets there.

use std::collections::HashSet;

use runner_protocol::{
    MAX_JSON_DEPTH, MAX_TOOL_CALLS, MAX_TOOL_NAME, MAX_TOOL_SCHEMA, MAX_TOOLS, Message, Template,
    Tool, ToolCall, ToolChoice, Variable,
};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// Most messages of one conversation.
const MAX_MESSAGES: usize = 65_536;

/// Variables of a chat template besides messages and tools.
const VARIABLES: [&str; 4] = [
    "clear_thinking",
    "preserve_reasoning",
    EFFORT,
    "thinking_budget",
];

/// What some templates call the depth of thoughts.
const EFFORT: &str = "reasoning_effort";

/// The depth that is asked for where thoughts are wanted, and a template has none without being told a depth.
/// All that know depths know this one.
const DEEP: &str = "high";

/// Longest text of a variable in bytes.
const MAX_VARIABLE: usize = 256;

/// Most bytes of descriptions and schemas of all tools together.
const MAX_TOOLS_BYTES: usize = 1024 * 1024;

/// Most places in one schema that references lead to; llama.cpp goes through them by recursion.
const MAX_REFERENCES: usize = 256;

/// Most steps that it takes to go through all alternatives of a schema. llama.cpp goes through them once for each way that leads
/// to them, which in a few lines can be more ways than there is time.
const MAX_STEPS: usize = 100_000;

/// Checks everything that can be checked without the template.
///
/// # Errors
/// [`Error::Invalid`] names the message, tool or variable.
pub(crate) fn check(conversation: &Template) -> Result<(), Error> {
    let messages = &conversation.messages;
    if messages.is_empty() {
        return Err(Error::Invalid(
            "a conversation needs at least one message".into(),
        ));
    }
    if messages.len() > MAX_MESSAGES {
        return Err(Error::Invalid(format!(
            "a conversation of {} messages is longer than {MAX_MESSAGES}",
            messages.len()
        )));
    }
    for (index, message) in messages.iter().enumerate() {
        check_calls(&message.tool_calls)
            .map_err(|why| Error::Invalid(format!("message {index}: {why}")))?;
    }
    check_tools(&conversation.tools).map_err(Error::Invalid)?;
    if let ToolChoice::One(name) = &conversation.tool_choice
        && !conversation.tools.iter().any(|tool| tool.name == *name)
    {
        return Err(Error::Invalid(format!(
            "the tool {} is to be called, but is none of those on offer",
            shown(name)
        )));
    }
    if conversation.tool_choice == ToolChoice::Required && conversation.tools.is_empty() {
        return Err(Error::Invalid(
            "a tool is to be called, but none is on offer".into(),
        ));
    }
    for (name, value) in &conversation.variables {
        if !VARIABLES.contains(&name.as_str()) {
            return Err(Error::Invalid(format!(
                "a chat template is told nothing under the name {}; known are {}",
                shown(name),
                VARIABLES.join(", ")
            )));
        }
        if matches!(value, Variable::Text(text) if text.len() > MAX_VARIABLE) {
            return Err(Error::Invalid(format!(
                "{name} is longer than {MAX_VARIABLE} bytes"
            )));
        }
    }
    Ok(())
}

fn check_calls(calls: &[ToolCall]) -> Result<(), String> {
    if calls.len() > MAX_TOOL_CALLS {
        return Err(format!(
            "{} tool calls are more than {MAX_TOOL_CALLS}",
            calls.len()
        ));
    }
    for call in calls {
        check_name(&call.name)?;
        object(&call.arguments)
            .map_err(|why| format!("the arguments of the call of {} {why}", call.name))?;
    }
    Ok(())
}

fn check_tools(tools: &[Tool]) -> Result<(), String> {
    if tools.len() > MAX_TOOLS {
        return Err(format!("{} tools are more than {MAX_TOOLS}", tools.len()));
    }
    let bytes: usize = tools
        .iter()
        .map(|tool| tool.description.len() + tool.parameters.len())
        .sum();
    if bytes > MAX_TOOLS_BYTES {
        return Err(format!(
            "the tools take {bytes} bytes, more than {MAX_TOOLS_BYTES}"
        ));
    }
    let mut names = HashSet::new();
    for tool in tools {
        let Tool {
            name, parameters, ..
        } = tool;
        check_name(name)?;
        // The rules of a grammar are named after tools, and know neither case nor punctuation apart.
        if !names.insert(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")) {
            return Err(format!("two tools are called {name}, or nearly so"));
        }
        if parameters.len() > MAX_TOOL_SCHEMA {
            return Err(format!(
                "the parameters of the tool {name} take {} bytes, more than {MAX_TOOL_SCHEMA}",
                parameters.len()
            ));
        }
        let said = |why| format!("the parameters of the tool {name} {why}");
        let schema = object(parameters).map_err(said)?;
        check_schema(&schema).map_err(said)?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=MAX_TOOL_NAME).contains(&name.len());
    let is_clean = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if fits && name.bytes().all(is_clean) {
        return Ok(());
    }
    Err(format!(
        "{} is no name of a tool: 1 to {MAX_TOOL_NAME} letters, digits and _ - . : / are",
        shown(name)
    ))
}

/// Reads a JSON object that is not too deep.
fn object(text: &str) -> Result<Value, String> {
    if depth(text) > MAX_JSON_DEPTH {
        return Err(format!("are nested deeper than {MAX_JSON_DEPTH} levels"));
    }
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        // PHP writes an object without members as a list without items.
        Ok(Value::Array(items)) if items.is_empty() => Ok(Value::Object(Map::new())),
        Ok(_) => Err("are no JSON object".into()),
        Err(why) => Err(format!("are no JSON: {why}")),
    }
}

/// How deep brackets lie in each other, outside of texts.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Refuses what llama.cpp would follow for too long or too deep: references and alternatives, and patterns of nested groups.
fn check_schema(schema: &Value) -> Result<(), String> {
    let mut parts = vec![schema];
    let mut references = HashSet::new();
    let mut steps = MAX_STEPS;
    while let Some(part) = parts.pop() {
        match part {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    references.insert(reference);
                }
                if let Some(Value::String(pattern)) = members.get("pattern") {
                    check_pattern(pattern)?;
                }
                follow(schema, part, &mut Vec::new(), &mut steps)?;
                parts.extend(members.values());
            }
            Value::Array(items) => parts.extend(items),
            _ => {}
        }
    }
    if references.len() > MAX_REFERENCES {
        return Err(format!(
            "refer to {} places, more than {MAX_REFERENCES}",
            references.len()
        ));
    }
    Ok(())
}

/// Goes through all that a part may be instead of itself, and counts the steps. A circle is left where it closes.
fn follow<'s>(
    schema: &'s Value,
    part: &'s Value,
    way: &mut Vec<&'s str>,
    steps: &mut usize,
) -> Result<(), String> {
    *steps = steps
        .checked_sub(1)
        .ok_or_else(|| format!("have alternatives of more than {MAX_STEPS} steps"))?;
    if let Some(Value::String(reference)) = part.get("$ref") {
        if way.contains(&reference.as_str()) {
            return Ok(());
        }
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| schema.pointer(pointer))
            .ok_or_else(|| format!("refer to {}, which is not in them", shown(reference)))?;
        if way.len() >= MAX_REFERENCES {
            return Err(format!("refer to more than {MAX_REFERENCES} places"));
        }
        way.push(reference);
        follow(schema, target, way, steps)?;
        way.pop();
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        let alternatives = part.get(name).and_then(Value::as_array);
        for alternative in alternatives.into_iter().flatten() {
            follow(schema, alternative, way, steps)?;
        }
    }
    Ok(())
}

/// Longest pattern in bytes.
const MAX_PATTERN: usize = 1024;

/// Deepest nesting of groups in a pattern.
const MAX_GROUPS: usize = 16;

fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("have a pattern of more than {MAX_PATTERN} bytes"));
    }
    let mut groups = 0usize;
    for byte in pattern.bytes() {
        match byte {
            b'(' => groups += 1,
            b')' => groups = groups.saturating_sub(1),
            _ => {}
        }
        if groups > MAX_GROUPS {
            return Err(format!(
                "have a pattern of groups that are nested deeper than {MAX_GROUPS}"
            ));
        }
    }
    Ok(())
}

/// A quote of what came, kept short.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}

/// The request for the shim, as `shim/chat.h` describes it. `plain` asks for the prompt alone.
pub(crate) fn request(conversation: &Template, plain: bool) -> String {
    let Template {
        messages,
        add_generation_prompt,
        thinking,
        tools,
        tool_choice,
        parallel_tool_calls,
        variables,
    } = conversation;
    let tool_choice = match tool_choice {
        _ if tools.is_empty() => "auto",
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required | ToolChoice::One(_) => "required",
    };
    let mut request = json!({
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
        "tools": offered(conversation).map(tool).collect::<Vec<_>>(),
        "tool_choice": tool_choice,
        "add_generation_prompt": add_generation_prompt,
        // llama.cpp has no third state: without a setting, the template gets `enable_thinking: true`.
        "enable_thinking": thinking.unwrap_or(true),
        "variables": variables.iter().map(variable).collect::<Map<_, _>>(),
        "plain": plain,
    });
    if let Some(parallel) = parallel_tool_calls {
        request["parallel_tool_calls"] = (*parallel).into();
    }
    request.to_string()
}

/// The tools in the prompt. A tool that must be called is the only one.
fn offered(conversation: &Template) -> impl Iterator<Item = &Tool> {
    let only = match &conversation.tool_choice {
        ToolChoice::One(name) => Some(name),
        _ => None,
    };
    let tools = conversation.tools.iter();
    tools.filter(move |tool| only.is_none_or(|only| *only == tool.name))
}

/// The same conversation, with a depth of thoughts. `None` where no thoughts are wanted or a depth is given.
pub(crate) fn deeper(conversation: &Template) -> Option<Template> {
    let is_given = conversation.variables.contains_key(EFFORT);
    (conversation.thinking == Some(true) && !is_given).then(|| {
        let mut deeper = conversation.clone();
        let deep = Variable::Text(DEEP.into());
        deeper.variables.insert(EFFORT.into(), deep);
        deeper
    })
}

/// The same conversation, without the depth of thoughts that is given. `None` where none is.
pub(crate) fn without_depth(conversation: &Template) -> Option<Template> {
    let mut without = conversation.clone();
    without.variables.remove(EFFORT)?;
    Some(without)
}

/// The conversation with the system messages among its first `count` messages joined into one at the start.
pub(crate) fn with_joined_systems(conversation: &Template, count: usize) -> Template {
    let mut texts = Vec::new();
    let mut others = Vec::new();
    for (index, message) in conversation.messages.iter().enumerate() {
        match message.role == "system" && index < count {
            true => texts.push(message.content.as_str()),
            false => others.push(message.clone()),
        }
    }
    texts.retain(|text| !text.is_empty());
    let system = Message {
        role: "system".into(),
        content: texts.join("\n\n"),
        ..Message::default()
    };
    Template {
        messages: std::iter::once(system).chain(others).collect(),
        ..conversation.clone()
    }
}

/// A conversation with a system message behind others, and the text of that message.
pub(crate) fn late_system() -> (Template, &'static str) {
    const MARK: &str = "a late system message";
    let message = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
        ..Message::default()
    };
    let probe = Template {
        messages: vec![
            message("user", "one"),
            message("assistant", "two"),
            message("system", MARK),
            message("user", "three"),
        ],
        add_generation_prompt: true,
        thinking: Some(false),
        ..Template::default()
    };
    (probe, MARK)
}

/// What of a conversation decides about the form of the answer, besides the end of its prompt.
pub(crate) fn form_key(conversation: &Template) -> String {
    let without_messages = Template {
        messages: Vec::new(),
        ..conversation.clone()
    };
    request(&without_messages, false)
}

fn message(message: &Message) -> Value {
    let mut value = json!({"role": message.role, "content": message.content});
    let members = [
        ("reasoning_content", &message.reasoning),
        ("name", &message.tool_name),
        ("tool_call_id", &message.tool_call_id),
    ];
    for (name, text) in members {
        if !text.is_empty() {
            value[name] = text.as_str().into();
        }
    }
    if !message.tool_calls.is_empty() {
        value["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    value
}

fn call(call: &ToolCall) -> Value {
    let mut value = json!({
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    });
    if !call.id.is_empty() {
        value["id"] = call.id.as_str().into();
    }
    value
}

fn tool(tool: &Tool) -> Value {
    // Checked before, so it is an object.
    let mut parameters = object(&tool.parameters).unwrap_or_default();
    mend(&mut parameters);
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": parameters,
        },
    })
}

/// Members of a schema that hold schemas by name.
const BY_NAME: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Takes a list without items for an object without members, and a word without a value for one that is not there.
fn mend(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    members.retain(|name, value| !value.is_null() || ["default", "const"].contains(&name.as_str()));
    for (name, value) in members.iter_mut() {
        match value {
            Value::Array(items) if items.is_empty() && BY_NAME.contains(&name.as_str()) => {
                *value = Value::Object(Map::new());
            }
            Value::Object(schemas) if BY_NAME.contains(&name.as_str()) => {
                schemas.values_mut().for_each(mend);
            }
            Value::Array(schemas) if name != "enum" => schemas.iter_mut().for_each(mend),
            Value::Object(_)
                if ["items", "additionalProperties", "not"].contains(&name.as_str()) =>
            {
                mend(value);
            }
            _ => {}
        }
    }
}

/// The same conversation, with some of its tools only.
pub(crate) fn with_tools(conversation: &Template, tools: &[Tool]) -> Template {
    Template {
        tools: tools.to_vec(),
        tool_choice: ToolChoice::Auto,
        ..conversation.clone()
    }
}

/// A tool of which nothing is said but its name and what it does.
pub(crate) fn without_parameters(tool: &Tool) -> Tool {
    Tool {
        parameters: r#"{"type": "object", "properties": {}}"#.into(),
        ..tool.clone()
    }
}

fn variable((name, value): (&String, &Variable)) -> (String, Value) {
    let value = match value {
        Variable::Flag(value) => (*value).into(),
        Variable::Number(value) => (*value).into(),
        Variable::Text(value) => value.as_str().into(),
    };
    (name.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Message {
        Message {
            role: "user".into(),
            content: text.into(),
            ..Message::default()
        }
    }

    fn with_tool(name: &str, parameters: &str) -> Template {
        Template {
            messages: vec![user("hi")],
            tools: vec![Tool {
                name: name.into(),
                description: "does".into(),
                parameters: parameters.into(),
            }],
            ..Template::default()
        }
    }

    fn refusal(conversation: &Template) -> String {
        check(conversation).unwrap_err().to_string()
    }

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        assert_eq!(depth(r#"{"a": [1, {"b": "{[\"["}]}"#), 3);
        assert_eq!(depth("]]}}"), 0);
        let deep = |levels: usize| {
            format!(
                r#"{{"a": {}{}}}"#,
                "[".repeat(levels - 1),
                "]".repeat(levels - 1)
            )
        };
        assert!(check(&with_tool("f", &deep(MAX_JSON_DEPTH))).is_ok());
        let error = refusal(&with_tool("f", &deep(MAX_JSON_DEPTH + 1)));
        assert!(error.contains("deeper than 64"), "{error}");
        let error = refusal(&with_tool("f", &"[".repeat(200_000)));
        assert!(error.contains("deeper than 64"), "{error}");
    }

    #[test]
    fn tools_are_named_cleanly_and_once() {
        for name in ["get_weather", "a.b:c/d-e", &"x".repeat(MAX_TOOL_NAME)] {
            assert!(check(&with_tool(name, "{}")).is_ok(), "{name}");
        }
        for name in ["", "a b", "é", "a\"", &"x".repeat(MAX_TOOL_NAME + 1)] {
            let error = refusal(&with_tool(name, "{}"));
            assert!(error.contains("no name of a tool"), "{error}");
        }
        let mut twice = with_tool("a_b", "{}");
        twice.tools.push(Tool {
            name: "a-b".into(),
            ..twice.tools[0].clone()
        });
        assert!(refusal(&twice).contains("two tools"));
    }

    #[test]
    fn what_is_too_much_is_refused_with_the_limit() {
        let mut many = with_tool("f", "{}");
        many.tools = (0..=MAX_TOOLS)
            .map(|index| Tool {
                name: format!("f{index}"),
                ..many.tools[0].clone()
            })
            .collect();
        assert!(refusal(&many).contains("257 tools are more than 256"));

        let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(MAX_TOOL_SCHEMA));
        assert!(refusal(&with_tool("f", &long)).contains("more than 262144"));
        assert!(refusal(&with_tool("f", "[1]")).contains("no JSON object"));
        assert!(refusal(&with_tool("f", "{")).contains("no JSON:"));

        let mut calls = with_tool("f", "{}");
        calls.messages[0].tool_calls = vec![
            ToolCall {
                name: "f".into(),
                arguments: "{}".into(),
                ..ToolCall::default()
            };
            MAX_TOOL_CALLS + 1
        ];
        assert!(refusal(&calls).starts_with("message 0: 257 tool calls"));
        calls.messages[0].tool_calls.truncate(1);
        calls.messages[0].tool_calls[0].arguments = "[1]".into();
        assert!(refusal(&calls).contains("arguments of the call of f are no JSON object"));
    }

    #[test]
    fn what_php_writes_for_an_empty_object_is_one() {
        for (written, meant) in [
            ("[]", json!({})),
            (
                r#"{"type": "object", "properties": []}"#,
                json!({"type": "object", "properties": {}}),
            ),
            (
                r#"{"properties": {"a": {"properties": [], "required": [], "items": null, "default": null}}}"#,
                json!({"properties": {"a": {"properties": {}, "required": [], "default": null}}}),
            ),
        ] {
            let conversation = with_tool("f", written);
            assert!(check(&conversation).is_ok(), "{written}");
            let said = tool(&conversation.tools[0]);
            assert_eq!(said["function"]["parameters"], meant, "{written}");
        }
    }

    #[test]
    fn schemas_that_lead_too_far_are_refused() {
        // Each definition is two of the next: more ways than there is time for.
        let doubling: Map<String, Value> = (0..40)
            .map(|index| {
                let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
                (index.to_string(), json!({"anyOf": [next, next]}))
            })
            .chain([("40".into(), json!({}))])
            .collect();
        let doubling = json!({"$defs": doubling, "$ref": "#/$defs/0"}).to_string();
        let many: Map<String, Value> = (0..300)
            .map(|index| {
                (
                    index.to_string(),
                    json!({"$ref": format!("#/$defs/{index}")}),
                )
            })
            .collect();
        let many = json!({"$defs": many, "properties": many}).to_string();
        for (schema, expected) in [
            (doubling.as_str(), "more than 100000 steps"),
            (many.as_str(), "refer to 300 places"),
            (r##"{"$ref": "#/$defs/none"}"##, "not in them"),
            (r#"{"$ref": "https://example.org/schema"}"#, "not in them"),
            (
                r#"{"properties": {"a": {"pattern": "((((((((((((((((((a))))))))))))))))))"}}}"#,
                "nested deeper than 16",
            ),
        ] {
            let error = refusal(&with_tool("f", schema));
            assert!(error.contains(expected), "{schema}: {error}");
        }
        let tree = r##"{"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}"##;
        assert!(check(&with_tool("f", tree)).is_ok());
    }

    #[test]
    fn a_choice_needs_what_it_chooses() {
        let mut conversation = with_tool("f", "{}");
        conversation.tool_choice = ToolChoice::One("g".into());
        assert!(refusal(&conversation).contains("none of those on offer"));
        conversation.tools.clear();
        conversation.tool_choice = ToolChoice::Required;
        assert!(refusal(&conversation).contains("none is on offer"));
        conversation.tool_choice = ToolChoice::None;
        assert!(check(&conversation).is_ok());
    }

    #[test]
    fn only_known_variables_reach_a_template() {
        let mut conversation = with_tool("f", "{}");
        let set = |conversation: &mut Template, name: &str, value| {
            conversation.variables = [(String::from(name), value)].into();
        };
        set(
            &mut conversation,
            "reasoning_effort",
            Variable::Text("low".into()),
        );
        assert!(check(&conversation).is_ok());
        set(&mut conversation, "messages", Variable::Flag(true));
        assert!(refusal(&conversation).contains("\"messages\""));
        let long = Variable::Text("x".repeat(MAX_VARIABLE + 1));
        set(&mut conversation, "reasoning_effort", long);
        assert!(refusal(&conversation).contains("longer than 256"));
    }

    #[test]
    fn what_decides_about_the_form_is_not_what_was_said() {
        let conversation = with_tool("f", r#"{"type": "object"}"#);
        let mut other = conversation.clone();
        other.messages.push(user("more"));
        assert_eq!(form_key(&conversation), form_key(&other));
        other.tool_choice = ToolChoice::Required;
        assert_ne!(form_key(&conversation), form_key(&other));
    }

    #[test]
    fn a_depth_is_given_where_thoughts_are_wanted_and_none_is() {
        let mut conversation = with_tool("f", "{}");
        assert_eq!(deeper(&conversation), None);
        assert_eq!(without_depth(&conversation), None);
        conversation.thinking = Some(true);
        let deep = deeper(&conversation).unwrap();
        assert_eq!(deep.variables[EFFORT], Variable::Text(DEEP.into()));
        assert_eq!(deeper(&deep), None);
        assert_eq!(without_depth(&deep), Some(conversation));
    }

    #[test]
    fn one_tool_that_must_be_called_is_the_only_one() {
        let mut conversation = with_tool("f", "{}");
        conversation.tools.push(Tool {
            name: "g".into(),
            ..conversation.tools[0].clone()
        });
        conversation.tool_choice = ToolChoice::One("g".into());
        let request: Value = serde_json::from_str(&request(&conversation, false)).unwrap();
        assert_eq!(request["tools"].as_array().unwrap().len(), 1);
        assert_eq!(request["tools"][0]["function"]["name"], "g");
        assert_eq!(request["tool_choice"], "required");
    }
}
