//! Tool calls in the compiler's language, made from llama.cpp's parser of the answer.
//!
//! The parser accepts the same calls as llama.cpp's grammar, and has more structure. So texts, white space and free parts become
//! terminals, and the arguments of a tool become its JSON Schema. In the grammar each character is a terminal: parsing a call takes
//! long, and its schemas can exceed the limits.
//!
//! Terminals match the longest text, as the parser does. A parser for which that is not exact gets no such rule, and llama.cpp's
//! grammar is used.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

use runner_protocol::Tool;
use serde_json::Value;

use super::schema;

/// Maximum number of written nodes; a node counts each time that it is written.
const MAX_STEPS: usize = 200_000;

/// White space between the parts of a call; without a bound, a model could write it without end.
const SPACE: &str = r"[\x20\x09\x0A\x0D]{1,16}";

/// Maximum nesting of nodes.
const MAX_DEPTH: usize = 128;

/// The rule of tool calls, with the schemas of their arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calls {
    /// The rule in the compiler's language, with a placeholder for each schema.
    rules: String,
    /// The schemas by the number in their placeholder.
    schemas: Vec<String>,
    /// Whether arguments are plain text, in which JSON is not tracked.
    is_raw: bool,
}

/// The rule of tool calls for the compiler.
pub(super) struct Written {
    pub(super) lark: String,
    /// Whether it has objects with open names, and no plain text that looks like one.
    pub(super) is_open: bool,
}

/// A part of a sequence.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Space,
    /// Any text before one of these texts, which follows.
    Until(Vec<String>),
    Choice(Vec<Vec<Part>>),
    /// Optional.
    Option(String),
    /// In the compiler's language.
    Other(String),
}

struct Writer<'p> {
    nodes: &'p [Value],
    names: &'p Value,
    /// The rule that replaces a node with a schema, by its name.
    known: HashMap<String, usize>,
    calls: Calls,
    /// Rules that are finished or in progress.
    begun: HashSet<usize>,
    terminals: usize,
    steps: usize,
    /// Number of thinking nodes around the current node.
    thoughts: usize,
}

impl Calls {
    /// Translates llama.cpp's parser of an answer.
    ///
    /// With `lazy` the rule starts at a trigger; otherwise it is the whole turn, without text before calls.
    /// `None` for a parser that cannot be translated.
    pub(crate) fn of(parser: &Value, tools: &[Tool], lazy: bool) -> Option<Self> {
        let mut writer = Writer::new(parser, tools)?;
        let roots = match lazy {
            false => vec![usize::try_from(parser["root"].as_u64()?).ok()?],
            true => writer.triggers(),
        };
        let mut starts = Vec::new();
        for root in roots {
            let parts = writer.parts(root, 0)?;
            starts.push(writer.sequence(parts)?);
        }
        if starts.is_empty() {
            return None;
        }
        let starts = starts.join(" | ");
        let mut calls = writer.calls;
        let _ = writeln!(calls.rules, "start: {starts}");
        let _ = writeln!(calls.rules, "SPACE: /{SPACE}/");
        Some(calls)
    }

    /// The rule with the schemas of tools; a schema for which `holds` is false becomes any object.
    pub(super) fn lark(&self, holds: impl Fn(&Value) -> bool) -> Written {
        let mut text = String::new();
        let mut is_open = false;
        for (number, part) in self.rules.split(MARK).enumerate() {
            let schema = part.parse().ok().and_then(|it: usize| self.schemas.get(it));
            match schema.filter(|_| number % 2 == 1) {
                Some(schema) => {
                    let schema = schema::of_tool(schema).filter(&holds);
                    let schema = schema.unwrap_or_else(schema::any_object);
                    is_open |= schema::has_open_names(&schema);
                    let _ = write!(text, "%json {schema}");
                }
                None => text.push_str(part),
            }
        }
        Written {
            lark: text,
            is_open: is_open && !self.is_raw,
        }
    }
}

/// Encloses the number of a schema. It occurs nowhere else, because texts are escaped.
const MARK: char = '\u{1}';

fn mark(number: usize) -> String {
    format!("{MARK}{number}{MARK}")
}

impl<'p> Writer<'p> {
    fn new(parser: &'p Value, tools: &[Tool]) -> Option<Self> {
        let mut known = HashMap::new();
        let mut schemas = Vec::new();
        for tool in tools {
            known.insert(format!("tool-{}-schema", tool.name), schemas.len());
            schemas.push(tool.parameters.clone());
            let Ok(schema) = serde_json::from_str::<Value>(&tool.parameters) else {
                continue;
            };
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let mut property = property.clone();
                for defs in ["$defs", "definitions"] {
                    if let (Some(defs), Some(shared)) = (property.as_object_mut(), schema.get(defs))
                    {
                        defs.insert("$defs".into(), shared.clone());
                    }
                }
                known.insert(
                    format!("tool-{}-arg-{name}-schema", tool.name),
                    schemas.len(),
                );
                schemas.push(property.to_string());
            }
        }
        Some(Self {
            nodes: parser["parsers"].as_array()?,
            names: parser.get("rules")?,
            known,
            calls: Calls {
                rules: String::new(),
                schemas,
                is_raw: false,
            },
            thoughts: 0,
            begun: HashSet::new(),
            terminals: 0,
            steps: MAX_STEPS,
        })
    }

    /// The rules that can start a call.
    fn triggers(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node["type"] == "rule" && node["trigger"] == true)
            .map(|(index, _)| index)
            .collect()
    }

    /// A node as a sequence. `None` if it cannot be translated.
    fn parts(&mut self, node: usize, depth: usize) -> Option<Vec<Part>> {
        self.steps = self.steps.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        let nodes = self.nodes;
        let said = nodes.get(node)?;
        let child = || usize::try_from(said["child"].as_u64()?).ok();
        let one = |part| Some(vec![part]);
        let kind = said["type"].as_str()?;
        self.calls.is_raw |= self.thoughts == 0 && matches!(kind, "until" | "ac" | "any");
        match kind {
            // A lookahead is left out, because the next node matches the same text.
            "epsilon" | "start" | "end" | "and" | "not" => Some(Vec::new()),
            "literal" => one(Part::Text(said["literal"].as_str()?.into())),
            "space" => one(Part::Space),
            "until" => one(Part::Until(texts(&said["delimiters"])?)),
            "any" => one(Part::Other("/(?s:.)/".into())),
            "chars" => one(chars(said)?),
            "string" => one(quoted(said["delimiter"].as_str()?)),
            "ac" => {
                let ends = texts(&said["delimiters"])?;
                let end = ends.first().filter(|_| ends.len() == 1)?.clone();
                one(Part::Other(self.up_to(&end, &[])))
            }
            "sequence" => {
                let mut all = Vec::new();
                for child in indices(&said["children"])? {
                    all.append(&mut self.parts(child, depth + 1)?);
                }
                Some(all)
            }
            "choice" => {
                let choices = indices(&said["children"])?.into_iter();
                let choices: Option<Vec<_>> = choices.map(|it| self.parts(it, depth + 1)).collect();
                one(Part::Choice(choices?))
            }
            "repetition" => {
                let parts = self.parts(child()?, depth + 1)?;
                Some(self.repeated(parts, said)?.into_iter().collect())
            }
            // Only white space is allowed beside calls.
            "tag" if said["tag"] == "content" => one(Part::Space),
            "tag" if said["tag"] == "reasoning" => {
                self.thoughts += 1;
                let parts = self.parts(child()?, depth + 1);
                self.thoughts -= 1;
                parts
            }
            "tag" | "atomic" => self.parts(child()?, depth + 1),
            "schema" => self.schema(said, child()?, depth),
            "gbnf" => self.own(said["grammar"].as_str()?, depth),
            "rule" => self.rule(node, child()?, depth),
            "ref" => {
                let target = self.names.get(said["name"].as_str()?)?.as_u64()?;
                self.parts(usize::try_from(target).ok()?, depth + 1)
            }
            _ => None,
        }
    }

    /// A named rule; a small one is inlined.
    fn rule(&mut self, node: usize, child: usize, depth: usize) -> Option<Vec<Part>> {
        let inner = self.nodes.get(self.below_tags(child)?)?;
        if ["until", "literal", "chars", "epsilon"]
            .iter()
            .any(|it| inner["type"] == *it)
        {
            return self.parts(child, depth + 1);
        }
        if self.begun.insert(node) {
            let parts = self.parts(child, depth + 1)?;
            let body = self.sequence(parts)?;
            let _ = writeln!(self.calls.rules, "r{node}: {body}");
        }
        Some(vec![Part::Other(format!("r{node}"))])
    }

    fn below_tags(&self, mut node: usize) -> Option<usize> {
        for _ in 0..MAX_DEPTH {
            let said = self.nodes.get(node)?;
            let is_tag =
                said["type"] == "atomic" || said["type"] == "tag" && said["tag"] != "content";
            if !is_tag {
                return Some(node);
            }
            node = usize::try_from(said["child"].as_u64()?).ok()?;
        }
        None
    }

    fn schema(&mut self, said: &Value, child: usize, depth: usize) -> Option<Vec<Part>> {
        let number = self.known.get(said["name"].as_str()?);
        match number {
            Some(number) if said["raw"] != true => Some(vec![Part::Other(mark(*number))]),
            _ => self.parts(child, depth + 1),
        }
    }

    /// A name from llama.cpp: empty, or the name of a rule.
    fn own(&mut self, grammar: &str, depth: usize) -> Option<Vec<Part>> {
        if grammar.trim().is_empty() {
            return Some(Vec::new());
        }
        let target = self.names.get(grammar.trim())?.as_u64()?;
        self.parts(usize::try_from(target).ok()?, depth + 1)
    }

    fn repeated(&mut self, parts: Vec<Part>, said: &Value) -> Option<Option<Part>> {
        let body = self.sequence(parts)?;
        if body == NOTHING {
            return Some(None);
        }
        if body == BLANK {
            return Some(Some(Part::Space));
        }
        let (least, most) = (said["min_count"].as_i64()?, said["max_count"].as_i64()?);
        Some(Some(match (least, most) {
            (_, 0) => return Some(None),
            (1, 1) => Part::Other(format!("({body})")),
            (0, 1) => Part::Option(format!("({body})?")),
            (0, -1) => Part::Option(format!("({body})*")),
            (1, -1) => Part::Other(format!("({body})+")),
            (least, -1) => Part::Other(format!("({body}){{{least},}}")),
            (least, most) => Part::Other(format!("({body}){{{least},{most}}}")),
        }))
    }

    /// Writes a sequence.
    fn sequence(&mut self, parts: Vec<Part>) -> Option<String> {
        let mut written: Vec<String> = Vec::new();
        let mut parts = joined(parts).into_iter().peekable();
        let mut is_space = false;
        while let Some(part) = parts.next() {
            let was_space = std::mem::replace(&mut is_space, matches!(part, Part::Space));
            match part {
                Part::Text(text) => written.push(literal(&text)),
                Part::Space if was_space => {}
                Part::Space => written.push(BLANK.into()),
                Part::Option(text) | Part::Other(text) => written.push(text),
                Part::Choice(choices) => written.push(self.choice(choices)?),
                Part::Until(ends) if ends.is_empty() => written.push("/(?s:.+)/?".into()),
                Part::Until(ends) => {
                    // White space before the end is part of the text.
                    while parts
                        .next_if(|it| matches!(it, Part::Option(_) | Part::Space))
                        .is_some()
                    {}
                    written.push(self.until(&ends, parts.next()?)?);
                }
            }
        }
        written.retain(|it| it != NOTHING);
        match written.is_empty() {
            true => Some(NOTHING.into()),
            false => Some(written.join(" ")),
        }
    }

    fn choice(&mut self, choices: Vec<Vec<Part>>) -> Option<String> {
        let choices = choices.into_iter().map(|it| self.sequence(it));
        let mut choices: Vec<String> = choices.collect::<Option<_>>()?;
        let mut seen = HashSet::new();
        choices.retain(|it| seen.insert(it.clone()));
        if choices.iter().all(|it| it == NOTHING) {
            return Some(NOTHING.into());
        }
        Some(format!("({})", choices.join(" | ")))
    }

    /// Any text, and the following part, which starts with one of its ends.
    fn until(&mut self, ends: &[String], next: Part) -> Option<String> {
        match next {
            Part::Text(text) => {
                let end = ends.iter().find(|end| text.starts_with(end.as_str()))?;
                let others: Vec<_> = ends.iter().filter(|it| *it != end).cloned().collect();
                let free = self.up_to(end, &others);
                let rest = &text[end.len()..];
                Some(match rest.is_empty() {
                    true => free,
                    false => format!("{free} {}", literal(rest)),
                })
            }
            // A lookahead at an end is left out.
            Part::Choice(choices) => {
                let mut all = Vec::new();
                for choice in choices {
                    let mut parts = joined(choice).into_iter();
                    let Some(first @ (Part::Text(_) | Part::Choice(_))) = parts.next() else {
                        continue;
                    };
                    if let Some(first) = self.until(ends, first) {
                        let rest = self.sequence(parts.collect())?;
                        all.push(format!("{first} {rest}"));
                    }
                }
                (!all.is_empty()).then(|| format!("({})", all.join(" | ")))
            }
            _ => None,
        }
    }

    /// Any text up to and with an end, without other ends in it.
    fn up_to(&mut self, end: &str, others: &[String]) -> String {
        self.terminals += 1;
        let number = self.terminals;
        let mut body = format!("/(?s:.*){}/", pattern(end));
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(|it| pattern(it)).collect();
            let _ = write!(body, " & ~/(?s:.*)({})(?s:.*)/", others.join("|"));
        }
        let _ = writeln!(
            self.calls.rules,
            "T{number}: {body}\nt{number}[lazy]: T{number}"
        );
        format!("t{number}")
    }
}

/// The rule of an empty text.
const NOTHING: &str = "\"\"";

/// The rule of white space.
const BLANK: &str = "SPACE?";

/// Joins adjacent texts.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (_, Part::Text(text)) if text.is_empty() => {}
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn indices(list: &Value) -> Option<Vec<usize>> {
    let list = list.as_array()?.iter();
    list.map(|it| usize::try_from(it.as_u64()?).ok()).collect()
}

fn texts(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array()?.iter();
    list.map(|it| it.as_str().map(String::from)).collect()
}

/// A text as a terminal.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text in a pattern between slashes.
fn pattern(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|sign| match sign {
            sign if sign.is_alphanumeric() && sign.is_ascii() => sign.to_string(),
            sign => format!("\\x{{{:x}}}", u32::from(sign)),
        })
        .collect();
    escaped
}

/// The characters of a class.
fn chars(said: &Value) -> Option<Part> {
    let mut class = String::from(if said["negated"] == true { "[^" } else { "[" });
    for range in said["ranges"].as_array()? {
        let [first, last] = [range["start"].as_u64()?, range["end"].as_u64()?];
        let _ = write!(class, "\\x{{{first:x}}}-\\x{{{last:x}}}");
    }
    class.push(']');
    let (least, most) = (said["min_count"].as_i64()?, said["max_count"].as_i64()?);
    let most = match most {
        -1 => String::new(),
        most => most.to_string(),
    };
    // A terminal is never empty.
    let text = format!("/{class}{{{},{most}}}/", least.max(1));
    Some(match least {
        0 => Part::Option(format!("{text}?")),
        _ => Part::Other(text),
    })
}

/// The content of a quoted text.
fn quoted(quote: &str) -> Part {
    let quote = pattern(quote);
    Part::Option(format!(
        "/([^{quote}\\\\\\x00-\\x1f]|\\\\([{quote}\\\\\\/bfnrt]|u[0-9a-fA-F]{{4}}))+/?"
    ))
}
