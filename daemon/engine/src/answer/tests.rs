//! Answers in the forms of several families, by templates of ours that have their shape.

use runner_protocol::{Message, Template, Tool, ToolChoice, Variable};
use serde_json::{Value, json};

use super::*;
use crate::{
    chat::Chat,
    constraint::grammar::Trigger,
    constraint::{Compiler, Constraint},
    sampler::tests::Letters,
};

fn parsed(source: Option<&str>, bos: &str, eos: &str) -> Result<Chat, Error> {
    Chat::parse(source, bos, eos, Arc::default())
}

/// `ChatML` with thoughts in tags, and calls as JSON in tags: the shape of Hermes and Qwen.
const TAGGED_JSON: &str = r#"
{%- if tools %}
    {{- '<|im_start|>system\nYou may call these:\n<tools>' }}
    {%- for tool in tools %}{{- '\n' + (tool | tojson) }}{%- endfor %}
    {{- '\n</tools>\nA call is <tool_call>{"name": NAME, "arguments": ARGUMENTS}</tool_call>.<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\n' }}
        {%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"#;

/// Calls as elements, and thoughts that the prompt begins: the shape of Qwen's coders.
const TAGGED_PARAMETERS: &str = r#"
{%- if tools %}{{- '<|im_start|>system\n' }}{%- for tool in tools %}{{- tool.function.name + '\n' }}{%- endfor %}
    {{- '<tool_call>\n<function=NAME>\n<parameter=NAME>\nVALUE\n</parameter>\n</function>\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}
    {{- message.content or '' }}
    {%- for call in message.tool_calls or [] %}
        {{- '\n<tool_call>\n<function=' + call.function.name + '>\n' }}
        {%- for name, value in call.function.arguments | items %}
            {{- '<parameter=' + name + '>\n' + (value if value is string else value | tojson) + '\n</parameter>\n' }}
        {%- endfor %}
        {{- '</function>\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"#;

/// All calls in one array behind a word: the shape of Mistral.
const ARRAY: &str = r#"
{{- bos_token }}
{%- if tools %}{{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{{- '[INST]' + message.content + '[/INST]' }}
    {%- elif message.role == 'system' %}{{- '[SYS]' + message.content + '[/SYS]' }}
    {%- elif message.role == 'tool' %}{{- '[TOOL_RESULTS]' + message.content + '[/TOOL_RESULTS]' }}
    {%- else %}
        {{- message.content or '' }}
        {%- if message.tool_calls %}
            {{- '[TOOL_CALLS][' }}
            {%- for call in message.tool_calls %}
                {{- '{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}' }}
                {%- if not loop.last %}{{- ', ' }}{%- endif %}
            {%- endfor %}
            {{- ']' }}
        {%- endif %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}"#;

/// Channels: the shape of gpt-oss, for which llama.cpp has code of its own.
const CHANNELS: &str = r#"
{%- if tools %}
    {{- '<|start|>developer<|message|>' }}
    {%- for tool in tools %}{{- tool.function.name + '\n' }}{%- endfor %}
    {{- '<|end|>' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- for call in message.tool_calls or [] %}
            {{- '<|start|>assistant to=functions.' + call.function.name }}
            {{- '<|channel|>commentary json<|message|>' + (call.function.arguments | tojson) + '<|call|>' }}
        {%- endfor %}
        {%- if message.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}{%- endif %}
        {%- if message.content %}{{- '<|start|>assistant<|channel|>final<|message|>' + message.content + '<|end|>' }}{%- endif %}
    {%- else %}
        {{- '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"#;

/// The one spoken to is named first, in the prompt where the answer begins: the shape of Functionary 3.2, known by name.
const RECIPIENTS: &str = r#"
{{- 'Answer as >>>${recipient}, where >>>all is everybody.\n' }}
{%- for tool in tools or [] %}{{- tool | tojson }}{%- endfor %}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
    {%- if message.role == 'assistant' %}
        {%- if message.content %}{{- '>>>all\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}{{- '>>>' + call.function.name + '\n' + call.function.arguments }}{%- endfor %}
    {%- else %}{{- message.content }}{%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n>>>' }}{%- endif %}"#;

/// The one spoken to is named in the head of each message: the shape of Muse Glimmer, known by name.
const HEADS: &str = r#"
{%- for tool in tools or [] %}{{- tool | tojson }}{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- if message.reasoning_content %}{{- '<|start|>assistant to=self<|message|>' + message.reasoning_content + '<|eom|>' }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '<|start|>assistant to=' + call.function.name + '<|message|><atem:function_calls>\n<atem:invoke name="' }}
            {{- call.function.name + '">\n' }}
            {%- for name, value in call.function.arguments | items %}
                {{- '<atem:parameter name="' + name + '">' + (value | string) + '</atem:parameter>\n' }}
            {%- endfor %}
            {{- '</atem:invoke>\n</atem:function_calls><|eot|>' }}
        {%- endfor %}
        {%- if message.content %}{{- '<|start|>assistant to=user<|message|>' + message.content + '<|eot|>' }}{%- endif %}
    {%- else %}{{- '<|start|>' + message.role + '<|message|>' + message.content + '<|eot|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"#;

/// The prompt says the first sentence of the thought that it begins: the shape of Apriel.
const SENTENCE: &str = r#"
{{- 'Think, then answer behind [ANSWER].' }}
{%- for message in messages %}
    {{- '\n<|' + message.role + '|>\n' }}
    {%- if message.reasoning_content %}{{- message.reasoning_content + '\n[ANSWER]\n' }}{%- endif %}
    {{- message.content }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '\n<|assistant|>\nHere are my thoughts:\n' }}{%- endif %}"#;

/// Thoughts need a depth, and there are two: the shape of Hy3.
const DEPTHS: &str = r#"
{%- set depth = reasoning_effort if reasoning_effort is defined else 'none' %}
{%- if depth not in ['none', 'low', 'high'] %}{{- raise_exception('no such depth: ' + depth) }}{%- endif %}
{{- 'Depth: ' + depth }}
{%- for message in messages %}
    {{- '<|' + message.role + '|>' }}
    {%- if message.role == 'assistant' %}{{- '<think>' + (message.reasoning_content or '') + '</think>' }}{%- endif %}
    {{- message.content }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|><think>' + ('</think>' if depth == 'none' else '') }}{%- endif %}"#;

/// An answer, put together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Whole {
    reasoning: String,
    text: String,
    /// Names with arguments.
    calls: Vec<(String, String)>,
}

impl Whole {
    fn add(&mut self, delta: Delta) {
        self.reasoning.push_str(&delta.reasoning);
        self.text.push_str(&delta.text);
        for call in delta.tool_calls {
            let index = call.index as usize;
            if index == self.calls.len() {
                assert!(!call.name.is_empty(), "a call begins with its name");
                self.calls.push((call.name, String::new()));
            } else {
                assert!(call.name.is_empty(), "a name comes once");
            }
            self.calls[index].1.push_str(&call.arguments);
        }
    }

    /// Whether this could grow into the other.
    fn begins(&self, other: &Self) -> bool {
        other.reasoning.starts_with(&self.reasoning)
            && other.text.starts_with(&self.text)
            && self.calls.len() <= other.calls.len()
            && self
                .calls
                .iter()
                .zip(&other.calls)
                .all(|(mine, theirs)| mine.0 == theirs.0 && theirs.1.starts_with(&mine.1))
    }
}

fn whole(reasoning: &str, text: &str, calls: &[(&str, Value)]) -> Whole {
    Whole {
        reasoning: reasoning.into(),
        text: text.into(),
        calls: calls
            .iter()
            .map(|(name, arguments)| ((*name).into(), arguments.to_string()))
            .collect(),
    }
}

fn tool(name: &str) -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": {"town": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["town"],
    });
    Tool {
        name: name.into(),
        description: "Weather of a town.".into(),
        parameters: parameters.to_string(),
    }
}

fn asked(tools: &[&str]) -> Template {
    Template {
        messages: vec![Message {
            role: "user".into(),
            content: "How warm is it?".into(),
            ..Message::default()
        }],
        add_generation_prompt: true,
        tools: tools.iter().map(|name| tool(name)).collect(),
        ..Template::default()
    }
}

fn begin(chat: &Chat, conversation: &Template, stops: &[&str]) -> Answer {
    let applied = chat.apply(conversation).unwrap();
    let stops = Stops::new(stops.iter().map(|stop| String::from(*stop)).collect()).unwrap();
    match &applied.form {
        None => Answer::of_text(stops),
        Some(form) => {
            Answer::in_form(Arc::clone(form), applied.beginning(), stops, Arc::default()).unwrap()
        }
    }
}

/// What comes of an answer in pieces of so many bytes, and how it ended.
fn read(
    chat: &Chat,
    conversation: &Template,
    answer: &str,
    piece: usize,
    ending: Ending,
) -> Result<Whole, Error> {
    let mut reading = begin(chat, conversation, &[]);
    let mut whole = Whole::default();
    for piece in answer.as_bytes().chunks(piece) {
        let grown = reading.push(piece);
        assert!(!grown.stopped);
        whole.add(grown.delta);
    }
    whole.add(reading.finish(ending)?.delta);
    Ok(whole)
}

/// Reads an answer in pieces of every size, and cut at every place.
fn check(template: &str, conversation: &Template, answer: &str, expected: &Whole) {
    let chat = parsed(Some(template), "<s>", "</s>").unwrap();
    for piece in [1, 2, 3, 7, answer.len()] {
        let read = read(&chat, conversation, answer, piece, Ending::Whole).unwrap();
        let mut compact = read.clone();
        for (_, arguments) in &mut compact.calls {
            let value: Value = serde_json::from_str(arguments).unwrap();
            *arguments = value.to_string();
        }
        assert_eq!(&compact, expected, "in pieces of {piece}");
        for cut in (0..answer.len()).filter(|cut| answer.is_char_boundary(*cut)) {
            let part = self::read(&chat, conversation, &answer[..cut], piece, Ending::Cut).unwrap();
            assert!(part.begins(&read), "cut at {cut}: {part:?} of {read:?}");
            if piece > 1 {
                break;
            }
        }
    }
}

#[test]
fn thoughts_text_and_calls_are_told_apart() {
    let answer = "<think>\nÖslo? 🦀 <b>\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\": \"Zürich \\\"<tool_call>\\\"\", \"days\": 3}}\n</tool_call>";
    let call = json!({"town": "Zürich \"<tool_call>\"", "days": 3});
    check(
        TAGGED_JSON,
        &asked(&["weather"]),
        answer,
        &whole("Öslo? 🦀 <b>\n", "Let me see.\n", &[("weather", call)]),
    );
}

#[test]
fn several_calls_follow_each_other() {
    let conversation = Template {
        parallel_tool_calls: Some(true),
        ..asked(&["weather", "weather_tomorrow"])
    };
    let answer = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\": \"Oslo\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather_tomorrow\", \"arguments\": {\"town\": \"Rome\"}}\n</tool_call>";
    let expected = whole(
        "",
        "",
        &[
            ("weather", json!({"town": "Oslo"})),
            ("weather_tomorrow", json!({"town": "Rome"})),
        ],
    );
    check(TAGGED_JSON, &conversation, answer, &expected);
    let array = "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"town\": \"Oslo\"}}, {\"name\": \"weather_tomorrow\", \"arguments\": {\"town\": \"Rome\"}}]";
    check(ARRAY, &conversation, array, &expected);
}

#[test]
fn calls_may_be_elements_and_thoughts_be_begun_by_the_prompt() {
    let answer = "Oslo, then.\n</think>\n\n<tool_call>\n<function=weather>\n<parameter=town>\nOslo <ø> \"x\"\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>";
    let call = json!({"town": "Oslo <ø> \"x\"", "days": 2});
    check(
        TAGGED_PARAMETERS,
        &asked(&["weather"]),
        answer,
        &whole("Oslo, then.\n", "", &[("weather", call)]),
    );
}

#[test]
fn channels_are_told_apart() {
    let answer = "<|channel|>analysis<|message|>Warm? <| Yes.<|end|><|start|>assistant<|channel|>final<|message|>Ja, 20°.";
    check(
        CHANNELS,
        &asked(&[]),
        answer,
        &whole("Warm? <| Yes.", "Ja, 20°.", &[]),
    );
    let call = "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"town\":\"Oslo\"}";
    check(
        CHANNELS,
        &asked(&["weather"]),
        call,
        &whole("", "", &[("weather", json!({"town": "Oslo"}))]),
    );
}

#[test]
fn a_sentence_of_the_prompt_is_no_thought_of_the_answer() {
    let answer = "It is June [1].\n[ANSWER]\nWarm.";
    let expected = whole("It is June [1].\n", "Warm.", &[]);
    check(SENTENCE, &asked(&[]), answer, &expected);
    let chat = parsed(Some(SENTENCE), "", "").unwrap();
    let applied = chat.apply(&asked(&[])).unwrap();
    assert!(applied.prompt.ends_with("Here are my thoughts:\n"));
    assert_eq!(applied.beginning(), "\n<|assistant|>\n");
    assert_eq!(applied.open_thought().as_deref(), Some("[ANSWER]"));
}

#[test]
fn thoughts_that_need_a_depth_get_one() {
    let conversation = |thinking, depth: Option<&str>| Template {
        thinking,
        variables: depth
            .map(|depth| ("reasoning_effort".into(), Variable::Text(depth.into())))
            .into_iter()
            .collect(),
        ..asked(&[])
    };
    let chat = parsed(Some(DEPTHS), "", "").unwrap();
    for (thinking, depth, told, is_open) in [
        (None, None, "none", false),
        (Some(false), None, "none", false),
        (Some(true), None, "high", true),
        (Some(true), Some("low"), "low", true),
        // A depth that the template does not know says that thoughts are wanted.
        (Some(true), Some("medium"), "high", true),
    ] {
        let asked = conversation(thinking, depth);
        let applied = chat.apply(&asked).unwrap();
        assert!(
            applied.prompt.starts_with(&format!("Depth: {told}<")),
            "{}",
            applied.prompt
        );
        assert_eq!(applied.open_thought().is_some(), is_open, "{told}");
        assert_eq!(chat.render(&asked).unwrap().prompt, applied.prompt);
    }
    let answer = "Öslo?</think>Warm.";
    let asked = conversation(Some(true), None);
    check(DEPTHS, &asked, answer, &whole("Öslo?", "Warm.", &[]));
}

/// How much of an answer may be written where calls are held to their form.
fn held<'t>(template: &str, answer: &'t str) -> &'t str {
    let chat = parsed(Some(template), "<s>", "</s>").unwrap();
    let applied = chat.apply(&asked(&["weather"])).unwrap();
    let form = applied.form.as_ref().unwrap();
    let compiler = Compiler::new(&Letters, &[]).unwrap();
    let mut constraint = Constraint::of_calls(
        &compiler,
        form.grammar.as_ref().unwrap(),
        &form.thinking,
        &applied.generation_prompt,
        applied.open_thought().is_some(),
    )
    .unwrap()
    .expect("where calls begin can be followed");
    let written = answer.bytes().take_while(|&byte| {
        let token = i32::from(byte);
        let allowed = constraint.allows(token).unwrap();
        if allowed {
            constraint.accept(token, &Letters).unwrap();
        }
        allowed
    });
    &answer[..written.count()]
}

#[test]
fn calls_are_held_to_their_form_where_a_pattern_says_that_they_begin() {
    let arguments = "{\"town\": \"Oslo\", \"days\": 2}";
    let heads = "<|message|><atem:function_calls>\n<atem:invoke name=\"weather\">\n\
                 <atem:parameter name=\"town\">Oslo</atem:parameter>\n</atem:invoke>\n</atem:function_calls>";
    for (template, answer) in [
        (
            CHANNELS,
            format!(" to=functions.weather<|channel|>commentary json<|message|>{arguments}"),
        ),
        (
            CHANNELS,
            format!(
                "<|channel|>analysis<|message|>Not <|start|>assistant to=x!<|end|><|start|>assistant\
                 <|channel|>commentary to=functions.weather <|constrain|>json<|message|>{arguments}"
            ),
        ),
        (
            CHANNELS,
            "<|channel|>final<|message|>Go to=functions.x!".into(),
        ),
        (HEADS, format!(" to=weather{heads}")),
        (
            HEADS,
            format!(" to=self<|message|>Hm.<|eom|><|start|>assistant to=weather{heads}"),
        ),
        (HEADS, " to=user<|message|>Go to=weather<b".into()),
        (RECIPIENTS, format!("weather\n{arguments}")),
        (
            RECIPIENTS,
            format!("all\nLet me see. >> {{}}\n>>>weather\n{arguments}"),
        ),
        (RECIPIENTS, "all\nWarm.".into()),
    ] {
        assert_eq!(held(template, &answer), answer);
    }
    for (template, written, wrong) in [
        (CHANNELS, " to=functions.we", "t"),
        (CHANNELS, "<|channel|>commentary to=functions", " "),
        (
            CHANNELS,
            "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant to=functions.weather<|channel|>commentary<|message|>{\"",
            "x",
        ),
        (
            HEADS,
            " to=weather<|message|><atem:function_calls>\n<atem:invoke name=\"w",
            "i",
        ),
        (RECIPIENTS, "we", "t"),
        (RECIPIENTS, "a", "t"),
        (RECIPIENTS, "all\nSee:>>>weather\n{\"", "x"),
    ] {
        assert_eq!(held(template, &format!("{written}{wrong}")), written);
    }
}

#[test]
fn what_only_looks_like_markup_is_text() {
    let conversation = asked(&["weather"]);
    for text in [
        "1 < 2",
        "a <",
        "<tool",
        "<tool_cal",
        "x <b>bold</b> [1] {\"a\": 1}",
        "#include <functional>\n",
    ] {
        check(TAGGED_JSON, &conversation, text, &whole("", text, &[]));
    }
}

#[test]
fn a_template_without_markup_is_text() {
    let source = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";
    let chat = parsed(Some(source), "", "").unwrap();
    assert!(chat.apply(&asked(&[])).unwrap().form.is_none());
    let text = "<think>a</think> [TOOL_CALLS] {}";
    check(source, &asked(&[]), text, &whole("", text, &[]));
}

#[test]
fn tools_that_a_template_does_not_know_are_refused() {
    let chat = parsed(None, "", "").unwrap();
    let error = chat.apply(&asked(&["weather"])).unwrap_err().to_string();
    assert!(error.contains("knows no tools"), "{error}");
}

#[test]
fn an_answer_that_is_not_in_its_form_is_an_error_and_nothing_of_it_leaks() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let conversation = asked(&["weather"]);
    for answer in [
        "<tool_call>\n{\"name\": \"no_such_tool\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\": \"Os",
        "<tool_call>\n{\"name\": \"weather\", \"argu",
        "<tool_call>\nnonsense",
    ] {
        for piece in [1, answer.len()] {
            let error = read(&chat, &conversation, answer, piece, Ending::Whole).unwrap_err();
            assert!(matches!(error, Error::Unreadable(_)), "{answer}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        let cut = read(&chat, &conversation, answer, 1, Ending::Cut).unwrap();
        assert!(cut.text.is_empty() && cut.reasoning.is_empty(), "{cut:?}");
    }
}

#[test]
fn a_grammar_comes_with_tools_and_holds_from_where_it_must() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let grammar = |choice| {
        let conversation = Template {
            tool_choice: choice,
            ..asked(&["weather"])
        };
        let form = chat.apply(&conversation).unwrap().form.unwrap();
        form.grammar.clone()
    };
    let lazy = grammar(ToolChoice::Auto).unwrap();
    assert!(
        matches!(lazy.triggers.as_slice(), [Trigger::Word(word)] if word.trim() == "<tool_call>"),
        "{:?}",
        lazy.triggers
    );
    assert!(lazy.gbnf.contains("root ::="), "{}", lazy.gbnf);
    let strict = grammar(ToolChoice::Required).unwrap();
    assert!(strict.triggers.is_empty() && strict.gbnf.contains("weather"));
    assert_eq!(grammar(ToolChoice::None), None);
}

#[test]
fn stop_texts_are_those_of_what_is_said() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let mut answer = begin(&chat, &asked(&["weather"]), &["warm", "think"]);
    let mut read = Whole::default();
    let mut stopped = false;
    for byte in "<think>\nI think it is warm.\n</think>\n\nIt is warm today.".bytes() {
        let grown = answer.push(&[byte]);
        read.add(grown.delta);
        stopped = grown.stopped;
        if stopped {
            break;
        }
    }
    // On a busy machine the last piece may have waited for the end.
    let rest = answer.finish(Ending::Whole).unwrap();
    assert_ne!(stopped, rest.stopped);
    read.add(rest.delta);
    assert_eq!(read, whole("I think it is warm.\n", "It is ", &[]));
}

#[test]
fn forms_are_kept_by_what_they_follow_from() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let form = |conversation: &Template| chat.apply(conversation).unwrap().form.unwrap();
    let first = form(&asked(&["weather"]));
    let mut longer = asked(&["weather"]);
    longer.messages.push(longer.messages[0].clone());
    assert!(Arc::ptr_eq(&first, &form(&longer)));
    assert!(!Arc::ptr_eq(&first, &form(&asked(&["other"]))));
}

#[test]
fn a_prompt_made_elsewhere_may_have_begun_thoughts_or_not() {
    let chat = parsed(Some(TAGGED_PARAMETERS), "", "").unwrap();
    let ends = |tail: &str| {
        let applied = chat.apply(&asked(&[])).unwrap();
        applied.behind(tail).generation_prompt
    };
    assert_eq!(
        ends("<|im_start|>assistant\n<think>\n"),
        "<|im_start|>assistant\n<think>\n"
    );
    assert_eq!(ends("<|im_start|>assistant\n"), "<|im_start|>assistant\n");
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let begun = chat
        .apply(&asked(&[]))
        .unwrap()
        .behind("assistant\n<think>");
    assert_eq!(begun.generation_prompt, "<|im_start|>assistant\n<think>");
}

#[test]
fn deep_nesting_ends_the_reading_and_not_the_process() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let conversation = asked(&["weather"]);
    let deep = format!(
        "<tool_call>\n{{\"name\": \"weather\", \"arguments\": {{\"town\": {}",
        "[".repeat(60_000)
    );
    let error = read(&chat, &conversation, &deep, 64, Ending::Whole).unwrap_err();
    assert!(error.to_string().contains("1000 open brackets"), "{error}");
    assert!(read(&chat, &conversation, &deep, 64, Ending::Cut).is_ok());
}

#[test]
fn long_answers_cost_little() {
    let chat = parsed(Some(TAGGED_JSON), "", "").unwrap();
    let conversation = asked(&["weather"]);
    let prose = "It is a warm day in Oslo, and <b>nobody</b> minds. ".repeat(2000);
    let answer = format!("<think>\n{prose}</think>\n\n{prose}");
    let began = Instant::now();
    let read = read(&chat, &conversation, &answer, 4, Ending::Whole).unwrap();
    assert_eq!(
        (read.reasoning.len(), read.text.len()),
        (prose.len(), prose.len())
    );
    // 50,000 tokens; parsing all at each of them would take minutes.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}
