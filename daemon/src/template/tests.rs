use jiff::civil::date;

use super::*;

fn turn(role: &str, content: &str) -> Message {
    Message {
        role: role.into(),
        content: content.into(),
        ..Message::default()
    }
}

fn render(source: &str, turns: &[(&str, &str)]) -> Result<String, Error> {
    let turns: Vec<Message> = turns
        .iter()
        .map(|(role, content)| turn(role, content))
        .collect();
    Template::parse(source)?.render(&Input {
        messages: &turns,
        today: date(2026, 3, 1),
        ..Input::default()
    })
}

fn check(source: &str, turns: &[(&str, &str)], expected: &str) {
    assert_eq!(render(source, turns).unwrap(), expected, "{source}");
}

const TALK: &[(&str, &str)] = &[
    ("system", "Be brief."),
    ("user", "Hi"),
    ("assistant", "Hello"),
    ("user", "Why?"),
];

// ===== templates with .Prompt and .Response =====

/// A ChatML template.
const CHATML: &str = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";

#[test]
fn a_legacy_template_is_rendered_per_exchange_up_to_the_answer() {
    check(
        CHATML,
        TALK,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    );
}

#[test]
fn an_unfinished_answer_is_continued() {
    check(
        CHATML,
        &[("user", "Count"), ("assistant", "1, 2,")],
        "<|im_start|>user\nCount<|im_end|>\n<|im_start|>assistant\n1, 2,",
    );
}

#[test]
fn a_response_in_a_branch_ends_the_template() {
    check(
        "{{ .Prompt }}{{ if true }}:{{ .Response }}!{{ end }}#",
        &[("user", "a")],
        "a:",
    );
    check(
        "{{ .Prompt }}{{ with .System }}{{ . }}{{ end }}>{{ $.Response }}#",
        &[("user", "a")],
        "a>",
    );
    check(
        "{{ .Prompt }}|{{ print .Response }}#",
        &[("user", "a")],
        "a|",
    );
}

#[test]
fn a_condition_on_the_response_does_not_end_the_template() {
    check(
        "{{ if .Response }}yes{{ else }}no{{ end }}:{{ .Response }}#",
        &[("user", "a")],
        "no:",
    );
}

#[test]
fn a_template_without_a_response_gets_one_at_its_end() {
    check(
        "Q: {{ .Prompt }}\nA: ",
        &[("user", "a"), ("assistant", "b"), ("user", "c")],
        "Q: a\nA: bQ: c\nA: ",
    );
}

#[test]
fn a_later_system_message_belongs_to_the_turn_it_precedes() {
    check(
        "[{{ .System }}]{{ .Prompt }}={{ .Response }};",
        &[
            ("user", "a"),
            ("assistant", "b"),
            ("system", "S"),
            ("user", "c"),
        ],
        "[]a=b;[S]c=",
    );
}

#[test]
fn messages_of_one_role_are_joined() {
    check(
        "{{ .Prompt }}>{{ .Response }}",
        &[("user", "a"), ("user", "b")],
        "a\n\nb>",
    );
}

#[test]
fn no_messages_render_an_empty_turn() {
    check("[{{ .System }}{{ .Prompt }}]{{ .Response }}", &[], "[]");
}

// ===== templates with .Messages =====

/// A Llama 3 template.
const LLAMA3: &str = "{{- if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role \"user\" }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ if $last }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}
{{- else if eq .Role \"assistant\" }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ .Content }}{{ if not $last }}<|eot_id|>{{ end }}
{{- end }}
{{- end }}";

#[test]
fn a_template_of_messages_is_rendered_once() {
    check(
        LLAMA3,
        TALK,
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    );
}

#[test]
fn variables_loops_and_conditions_work_as_in_go() {
    check(
        "{{ range $i, $m := .Messages }}{{ if $i }},{{ end }}{{ $m.Role }}{{ end }}",
        TALK,
        "system,user,assistant,user",
    );
    check(
        "{{ $n := 0 }}{{ range .Messages }}{{ if eq .Role \"user\" }}{{ $n = len .Content }}{{ end }}{{ end }}{{ $n }}",
        TALK,
        "4",
    );
    check(
        "{{ range .Messages }}{{ if eq .Role \"assistant\" }}{{ break }}{{ end }}{{ .Content }};{{ end }}",
        TALK,
        "Be brief.;Hi;",
    );
    check(
        "{{ range .Messages }}{{ if ne .Role \"user\" }}{{ continue }}{{ end }}{{ .Content }};{{ end }}",
        TALK,
        "Hi;Why?;",
    );
    check(
        "{{ with .Tools }}tools{{ else }}none{{ end }}{{ range .Messages }}{{ end }}",
        TALK,
        "none",
    );
    check(
        "{{ define \"m\" }}<{{ .Role }}>{{ end }}{{ range .Messages }}{{ template \"m\" . }}{{ end }}",
        TALK,
        "<system><user><assistant><user>",
    );
    check(
        "{{ (index .Messages 1).Content | printf \"%s|%q\" \"a\" }}",
        TALK,
        "a|\"Hi\"",
    );
    check(
        "{{ if and .Messages (not .Tools) (or .System false) }}ok{{ end }}",
        TALK,
        "ok",
    );
    check(
        "{{ range .Messages }}{{ else }}empty{{ end }}{{ range .Tools }}{{ else }}empty{{ end }}",
        TALK,
        "empty",
    );
}

#[test]
fn lists_and_maps_print_as_json_and_nil_as_an_empty_text() {
    check(
        "{{ range .Messages }}{{ end }}{{ .Tools }}{{ .Nothing }}",
        TALK,
        "[]",
    );
    check(
        "{{ json (index .Messages 1).Content }}{{ json \"<a>&\" }}",
        TALK,
        "\"Hi\"\"\\u003ca\\u003e\\u0026\"",
    );
    check(
        "{{ range .Messages }}{{ end }}{{ json (slice .Messages 1 2) }}",
        TALK,
        "[{\"Content\":\"Hi\",\"Images\":[],\"Role\":\"user\",\"Thinking\":\"\",\"ToolCallID\":\"\",\"ToolCalls\":[],\"ToolName\":\"\"}]",
    );
}

#[test]
fn dates_and_typescript_types_are_functions() {
    check(
        "{{ currentDate }} {{ yesterdayDate }}{{ range .Messages }}{{ end }}",
        &[],
        "2026-03-01 2026-02-28",
    );
    check(
        "{{ toTypeScriptType \"integer\" }}{{ range .Messages }}{{ end }}",
        &[],
        "number",
    );
}

#[test]
fn thinking_off_differs_from_not_set() {
    let source =
        "{{ if .IsThinkSet }}{{ .Think }}{{ else }}unset{{ end }}{{ range .Messages }}{{ end }}";
    let template = Template::parse(source).unwrap();
    let render = |think| {
        template
            .render(&Input {
                think,
                ..Input::default()
            })
            .unwrap()
    };
    assert_eq!(render(None), "unset");
    assert_eq!(render(Some(false)), "false");
    assert_eq!(render(Some(true)), "true");
}

#[test]
fn a_suffix_goes_where_the_template_puts_it() {
    let template =
        Template::parse("<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ .Response }}").unwrap();
    assert!(template.mentions("Suffix"));
    let text = template.render(&Input {
        messages: &[turn("user", "ignored")],
        prompt: "fn a(",
        suffix: ") {}",
        ..Input::default()
    });
    assert_eq!(text.unwrap(), "<PRE>fn a(<SUF>) {}<MID>");
}

// ===== mistakes =====

#[test]
fn a_syntax_error_has_its_position() {
    let error = Template::parse("line\n{{ if }}x{{ end }}")
        .unwrap_err()
        .to_string();
    assert!(error.contains(" 2:"), "{error}");
    for source in [
        "{{",
        "{{ end }}",
        "a{{ end }}b",
        "a{{ else }}b",
        "{{ if true }}a{{ end }}b{{ end }}c",
        "{{ if true }}",
        "{{ .A",
        "{{ \"open }}",
        "{{ $x }}{{ = }}",
    ] {
        assert!(
            matches!(Template::parse(source), Err(Error::Syntax(_))),
            "{source}"
        );
    }
    assert_eq!(
        Template::parse("a\n{{ nosuch . }}").unwrap_err(),
        Error::UnknownFunction {
            name: "nosuch".into(),
            line: 2
        }
    );
    assert!(matches!(
        Template::parse(&"x".repeat(MAX_SOURCE + 1)),
        Err(Error::TooLong(_))
    ));
    assert!(matches!(
        Template::parse(&"{{ if true }}".repeat(200)),
        Err(Error::Syntax(_))
    ));
}

#[test]
fn an_unknown_field_is_a_warning_with_its_line() {
    let warnings = |source: &str| Template::parse(source).unwrap().warnings().to_vec();
    let said = |line, name, meant: &str| {
        format!("line {line} of the template: `.{name}` does not exist and prints nothing{meant}")
    };
    assert_eq!(
        warnings("{{ .System }}\n{{ .prompt }}"),
        [said(2, "prompt", "; did you mean `.Prompt`?")]
    );
    assert_eq!(
        warnings(
            "{{ range .Messages }}{{ .Role }}{{ $.Sytem }}{{ end }}{{ if .Nothing.Else }}{{ end }}"
        ),
        [
            said(1, "Nothing", ""),
            said(1, "Sytem", "; did you mean `.System`?")
        ]
    );
    for fine in [
        CHATML,
        LLAMA3,
        "{{ with .Tools }}{{ .whatever }}{{ end }}",
        "{{ define \"a\" }}{{ .b }}{{ $.c }}{{ end }}{{ template \"a\" . }}",
        "{{ $m := .Messages }}{{ $m.x }}",
    ] {
        assert_eq!(warnings(fine), [""; 0], "{fine}");
    }
}

#[test]
fn the_example_of_the_reference_renders() {
    let page = include_str!("../../../docs/modelfile.md");
    let example = page.split("TEMPLATE \"\"\"").nth(1).unwrap();
    let example = example.split("\"\"\"").next().unwrap();
    assert_eq!(Template::parse(example).unwrap().warnings(), [""; 0]);
    check(
        example,
        TALK,
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n",
    );
    for name in data::ROOTS {
        assert!(page.contains(&format!("| `.{name}` |")), "{name}");
    }
    for name in functions::ALL.iter() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_template_that_fails_reports_the_reason() {
    for source in [
        "{{ index .Messages 9 }}",
        "{{ template \"none\" }}",
        "{{ len 3 }}",
        "{{ range 1.5 }}{{ end }}",
        "{{ printf 3 }}",
        "{{ call .System }}",
    ] {
        let error = render(source, TALK).unwrap_err();
        assert!(matches!(error, Error::Failed(_)), "{source}: {error}");
    }
}

// ===== hostile templates =====

/// Checks that a rendering soon fails at one of the limits.
fn bounded(source: &str) {
    let start = budget::thread_time();
    let result = render(source, TALK);
    let error = result.expect_err(source);
    assert!(
        matches!(
            error,
            Error::TooMuchWork | Error::TooMuchText | Error::Failed(_)
        ),
        "{source}: {error}"
    );
    // The last step can begin just before the limit.
    let took = budget::thread_time() - start;
    assert!(took < 2 * MAX_TIME, "{source} took {took:?}");
}

#[test]
fn endless_loops_end() {
    bounded("{{ range 100000000000 }}{{ end }}");
    bounded("{{ range 100000000000 }}x{{ end }}");
    bounded("{{ range 9000000 }}{{ range 9000000 }}{{ end }}{{ end }}");
    bounded("{{ $a := 1 }}{{ range 100000000000 }}{{ $a = 2 }}{{ end }}");
    bounded("{{ range 100000000000 }}{{ continue }}{{ end }}");
}

#[test]
fn recursion_ends() {
    bounded("{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}");
    bounded(
        "{{ define \"a\" }}{{ template \"b\" . }}{{ end }}{{ define \"b\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
    );
    // Two calls per level without output, within the allowed depth: 2^60 calls.
    let source = "{{ define \"a\" }}{{ if . }}{{ template \"a\" (slice . 1) }}{{ template \"a\" (slice . 1) }}{{ end }}{{ end }}{{ template \"a\" \"LENGTH\" }}";
    bounded(&source.replace("LENGTH", &"x".repeat(60)));
}

#[test]
fn a_long_chain_of_conditions_is_refused_before_parsing() {
    let chain =
        |links: usize, link: &str| format!("{{{{ if 0 }}}}{}{{{{ end }}}}", link.repeat(links));
    for link in ["{{else if 0}}", "{{- else with 0 -}}", "{{ else\n\tif 0 }}"] {
        assert!(Template::parse(&chain(MAX_ELSE_LINKS, link)).is_ok());
        let longest = MAX_SOURCE / link.len() - 10;
        for links in [MAX_ELSE_LINKS + 1, longest] {
            let error = Template::parse(&chain(links, link)).unwrap_err();
            assert!(
                matches!(&error, Error::Syntax(text) if text.contains("else if")),
                "{error}"
            );
        }
    }
    let huge = chain((1 << 20) / 13, "{{else if 0}}");
    assert!(matches!(Template::parse(&huge), Err(Error::TooLong(_))));
}

#[test]
fn nested_blocks_with_chains_in_them_fit_the_stack() {
    let depth = 90;
    let source = format!(
        "{}{}{}",
        "{{ if 0 }}{{ else if 1 }}".repeat(depth),
        "{{ .Response }}",
        "{{ end }}".repeat(depth)
    );
    let template = Template::parse(&source).unwrap();
    assert_eq!(template.render(&Input::default()).unwrap(), "");
}

#[test]
fn growth_ends() {
    let doubling = |function: &str| {
        format!(
            "{{{{ $a := \"0123456789\" }}}}{{{{ range 64 }}}}{{{{ $a = {function} }}}}{{{{ end }}}}{{{{ len $a }}}}"
        )
    };
    bounded(&doubling("printf \"%s%s\" $a $a"));
    bounded(&doubling("printf \"%[1]s%[1]s%[1]s%[1]s\" $a"));
    bounded(&doubling("printf \"%q%q\" $a $a"));
    bounded(&doubling("print $a $a"));
    bounded(&doubling("println $a $a"));
    bounded(&doubling("html (print \"<\" $a $a)"));
    bounded(&doubling("js (print \"<\" $a $a)"));
    bounded(&doubling("urlquery (print \"<\" $a $a)"));
    bounded(&doubling("json (print \"<\" $a $a)"));
    bounded(&doubling("(print $a $a) | printf \"%s\""));
}

#[test]
fn padding_ends() {
    bounded("{{ range 100000 }}{{ printf \"%60000d\" 1 }}{{ end }}");
    let many = format!("{{{{ printf \"{}\" 1 }}}}", "%60000d".repeat(1000));
    bounded(&many);
}

#[test]
fn output_ends() {
    let source = format!("{{{{ range 100000 }}}}{}{{{{ end }}}}", "x".repeat(1000));
    assert_eq!(render(&source, TALK), Err(Error::TooMuchText));
}

#[test]
fn comparing_large_texts_in_one_action_ends() {
    let big = "x".repeat(1 << 17);
    let source = format!(
        "{{{{ $a := \"{big}\" }}}}{{{{ if or {} }}}}{{{{ end }}}}",
        "(ne $a $a) ".repeat(4000)
    );
    bounded(&source);
}

#[test]
fn a_long_conversation_is_within_the_limits() {
    let turns: Vec<Message> = (0..2000)
        .map(|index| {
            turn(
                if index % 2 == 0 { "user" } else { "assistant" },
                &"word ".repeat(100),
            )
        })
        .collect();
    for source in [LLAMA3, CHATML] {
        let text = Template::parse(source).unwrap().render(&Input {
            messages: &turns,
            ..Input::default()
        });
        assert!(text.unwrap().len() > 1_000_000);
    }
}
