//! The functions that a template can call, and those that [`instrument`](super::instrument) adds to it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gotmpl::{Result, Template, TemplateError, Value};
use jiff::ToSpan;
use jiff::civil::Date;

use super::budget::{Budget, passed_size, printed_size};
use super::data::AS_JSON;

/// Functions that print their arguments.
pub(super) const WRITERS: &[&str] = &[
    "print", "println", "printf", "html", "js", "urlquery", "json",
];

/// Other functions that a template can call.
const OTHERS: &[&str] = &[
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "call",
    "currentDate",
    "yesterdayDate",
    "toTypeScriptType",
];

/// Most bytes that a writer makes of one byte: six for `&` in HTML or `<` in JavaScript, and some to spare.
const GROWTH: u64 = 8;

/// Most conversions in one format; each can pad to 64 KiB.
const MAX_VERBS: usize = 64;

/// Most arguments of one `printf`.
const MAX_ARGUMENTS: usize = 16;

/// All functions that a template can call.
#[cfg(test)]
pub(super) static ALL: LazyLock<Vec<&str>> =
    LazyLock::new(|| WRITERS.iter().chain(OTHERS).copied().collect());

/// Whether a template can call this function.
pub(super) fn exists(name: &str) -> bool {
    WRITERS.contains(&name) || OTHERS.contains(&name)
}

/// Adds all functions to a template.
pub(super) fn add(template: Template, budget: &Arc<Budget>, today: Date) -> Template {
    let metered = |meter: fn(&Budget, &Value) -> Result<Value>| {
        let budget = budget.clone();
        move |arguments: &[Value]| meter(&budget, argument(arguments)?)
    };
    let printf_budget = budget.clone();
    let step_budget = budget.clone();
    template
        .func("__step", move |_| step_budget.step().map(|()| text("")))
        .func("__print", metered(print))
        .func("__take", metered(take))
        .func("__format", metered(format))
        .func("printf", move |arguments| printf(&printf_budget, arguments))
        .func("json", |arguments| Ok(text(&json(argument(arguments)?))))
        .func("currentDate", move |_| Ok(text(&today.to_string())))
        .func("yesterdayDate", move |_| {
            Ok(text(&today.saturating_sub(1.day()).to_string()))
        })
        .func("toTypeScriptType", |arguments| {
            Ok(text(&type_script(argument(arguments)?)))
        })
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn argument(arguments: &[Value]) -> Result<&Value> {
    match arguments {
        [one] => Ok(one),
        other => Err(TemplateError::Exec(format!(
            "one argument expected, {} given",
            other.len()
        ))),
    }
}

/// Prints a value as Go does: nil as an empty text, lists and maps as JSON.
fn print(budget: &Budget, value: &Value) -> Result<Value> {
    match value {
        Value::Nil => Ok(text("")),
        Value::List(_) | Value::Map(_) => {
            format(budget, value)?;
            Ok(text(&json(value)))
        }
        other => {
            budget.spend(passed_size(other))?;
            Ok(other.clone())
        }
    }
}

fn take(budget: &Budget, value: &Value) -> Result<Value> {
    budget.spend(passed_size(value))?;
    Ok(value.clone())
}

fn format(budget: &Budget, value: &Value) -> Result<Value> {
    budget.spend(GROWTH.saturating_mul(printed_size(value, u64::from(u32::MAX))))?;
    Ok(value.clone())
}

/// The `printf` of gotmpl, with a bound on its result that is charged before the call.
///
/// A format can use one argument many times, so the bound is the number of conversions times the longest argument.
fn printf(budget: &Budget, arguments: &[Value]) -> Result<Value> {
    let wrong = |problem: String| Err(TemplateError::Exec(format!("printf: {problem}")));
    let Some(Value::String(format)) = arguments.first() else {
        return wrong("the first argument must be a text".into());
    };
    let verbs = format.bytes().filter(|byte| *byte == b'%').count();
    if verbs > MAX_VERBS {
        return wrong(format!("more than {MAX_VERBS} conversions in one format"));
    }
    if arguments.len() > MAX_ARGUMENTS {
        return wrong(format!("more than {MAX_ARGUMENTS} arguments"));
    }
    let limit = u64::from(u32::MAX);
    let longest = arguments
        .iter()
        .map(|value| printed_size(value, limit))
        .max()
        .unwrap_or(0);
    budget.spend((verbs as u64).saturating_mul(longest))?;

    // gotmpl does not export its printf, but a template can call it.
    let data: BTreeMap<Arc<str>, Value> = arguments
        .iter()
        .enumerate()
        .map(|(index, value)| (Arc::from(format!("A{index}")), value.clone()))
        .collect();
    let made = PRINTF[arguments.len() - 1].execute_to_string(&Value::Map(Arc::new(data)))?;
    budget.spend(made.len() as u64)?;
    Ok(text(&made))
}

/// `{{printf .A0}}`, `{{printf .A0 .A1}}`, …
static PRINTF: LazyLock<Vec<Template>> = LazyLock::new(|| {
    (1..=MAX_ARGUMENTS)
        .map(|count| {
            let arguments: String = (0..count).map(|index| format!(" .A{index}")).collect();
            Template::new("printf")
                .parse(&format!("{{{{printf{arguments}}}}}"))
                .expect("the source is well-formed")
        })
        .collect()
});

/// JSON as Go writes it: sorted keys, and escaped HTML characters.
pub(super) fn json(value: &Value) -> String {
    let plain = to_json(value).to_string();
    let mut escaped = String::with_capacity(plain.len());
    for character in plain.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", character as u32));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Function(_) => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(value) => (**value).into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        // A value that came from JSON prints its original text.
        Value::Map(members) if let Some(Value::String(json)) = members.get(AS_JSON) => {
            serde_json::from_str(json).unwrap_or_default()
        }
        // Sorted, because the map is.
        Value::Map(members) => members
            .iter()
            .map(|(key, member)| (key.to_string(), to_json(member)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// The TypeScript type of a JSON Schema type, for templates that print tools as TypeScript.
fn type_script(value: &Value) -> String {
    match value {
        Value::List(items) if !items.is_empty() => {
            let words: Vec<String> = items.iter().map(type_script).collect();
            words.join(" | ")
        }
        Value::String(name) => match &**name {
            "integer" | "number" => "number",
            "string" => "string",
            "boolean" => "boolean",
            "array" => "any[]",
            "object" => "Record<string, any>",
            "null" => "null",
            _ => "any",
        }
        .to_owned(),
        _ => "any".to_owned(),
    }
}
