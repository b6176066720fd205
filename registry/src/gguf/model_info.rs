//! The metadata as JSON.

use serde_json::{Map, Value as Json, json};

use super::{Array, Gguf, Value};

/// Arrays longer than this are null unless everything is asked for.
const SHORT_ARRAY: u64 = 5;
const LEFT_OUT: [&str; 2] = ["general.name", "tokenizer.chat_template"];
const PARAMETER_COUNT: &str = "general.parameter_count";

pub(super) fn of(gguf: &Gguf, verbose: bool) -> Map<String, Json> {
    let mut info = Map::new();
    for entry in gguf.metadata.iter() {
        if !LEFT_OUT.contains(&entry.key.as_str()) {
            info.insert(entry.key.clone(), json(&entry.value, verbose));
        }
    }
    info.entry(PARAMETER_COUNT)
        .or_insert_with(|| gguf.parameter_count().into());
    info
}

fn json(value: &Value, verbose: bool) -> Json {
    match value {
        Value::U8(value) => json!(value),
        Value::I8(value) => json!(value),
        Value::U16(value) => json!(value),
        Value::I16(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::I32(value) => json!(value),
        // Through its shortest text, so that 1e-5 does not become 0.000009999999747378752.
        Value::F32(value) => value
            .to_string()
            .parse::<f64>()
            .map_or(Json::Null, Json::from),
        Value::Bool(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Array(array) => elements(array, verbose),
        Value::U64(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::F64(value) => json!(value),
    }
}

fn elements(array: &Array, verbose: bool) -> Json {
    match &array.items {
        Some(items) if verbose || array.len <= SHORT_ARRAY => {
            items.iter().map(|item| json(item, verbose)).collect()
        }
        _ => Json::Null,
    }
}
