//! The overview of a model, for `slm show` and `/show`.

use api::ShowResponse;
use serde_json::Value;

use crate::output::{Output, section};
use crate::text;

/// Lines of a long text in the overview.
const FEW_LINES: usize = 3;

/// An overview on one screen; with `verbose`, everything.
pub(crate) fn overview(out: &Output, shown: &ShowResponse, verbose: bool) -> String {
    let mut sections = vec![section(out, "Model", &model_rows(shown))];
    let mut add = |title: &str, rows: Vec<(String, String)>| {
        if !rows.is_empty() {
            sections.push(section(out, title, &rows));
        }
    };
    add("Capabilities", names(&shown.capabilities));
    add("Parameters", parameter_rows(&shown.parameters));
    add("System", text_rows(&shown.system, verbose));
    add("License", text_rows(&shown.license, verbose));
    if verbose {
        add("Metadata", metadata_rows(shown));
        add("Tensors", tensor_rows(shown));
    }
    sections.join("\n")
}

fn model_rows(shown: &ShowResponse) -> Vec<(String, String)> {
    let details = &shown.details;
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push((name.to_owned(), value));
        }
    };
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    add("architecture", details.family.clone());
    add("parameters", details.parameter_size.clone());
    add("context length", number(details.context_length));
    add("embedding length", number(details.embedding_length));
    add("quantization", details.quantization_level.clone());
    if shown.size > 0 {
        add("size", text::bytes(shown.size));
    }
    add("made from", details.parent_model.clone());
    add("requires", shown.requires.clone().unwrap_or_default());
    add("id", text::short_digest(&shown.digest).to_owned());
    rows
}

fn names(names: &[String]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|name| (name.clone(), String::new()))
        .collect()
}

/// The daemon's `name   value` lines as rows.
fn parameter_rows(parameters: &str) -> Vec<(String, String)> {
    parameters
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// The lines of a text; without `all`, the first few and a count of the rest.
fn text_rows(text: &str, all: bool) -> Vec<(String, String)> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = if all {
        lines.len()
    } else {
        lines.len().min(FEW_LINES)
    };
    let mut rows: Vec<_> = lines[..shown]
        .iter()
        .map(|line| (line.trim().to_owned(), String::new()))
        .collect();
    if shown < lines.len() {
        rows.push((
            format!("… {} more lines", lines.len() - shown),
            String::new(),
        ));
    }
    rows
}

fn metadata_rows(shown: &ShowResponse) -> Vec<(String, String)> {
    shown
        .model_info
        .iter()
        .map(|(key, value)| (key.clone(), brief(value)))
        .collect()
}

/// A value in one line, long lists shortened.
fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::String(text) => shorten(text, LONGEST),
        Value::Array(items) => {
            let all = serde_json::to_string(&items.iter().take(8).collect::<Vec<_>>());
            let start = shorten(&all.unwrap_or_default(), LONGEST);
            format!("{start} ({} values)", items.len())
        }
        other => shorten(&other.to_string(), LONGEST),
    }
}

fn shorten(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn tensor_rows(shown: &ShowResponse) -> Vec<(String, String)> {
    let tensors = shown.tensors.as_deref().unwrap_or_default();
    tensors
        .iter()
        .map(|tensor| {
            let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
            (
                tensor.name.clone(),
                format!("{:8} [{}]", tensor.kind, shape.join(", ")),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use api::{ModelDetails, TensorInfo};
    use serde_json::json;

    use super::*;
    use crate::output::OutputMode;

    fn smollm() -> ShowResponse {
        ShowResponse {
            license: "Apache License\nVersion 2.0\n\nOne\nTwo\nThree\n".to_owned(),
            modelfile: "FROM smollm2\n".to_owned(),
            parameters: "stop                \"<|im_end|>\"\ntemperature    0.2".to_owned(),
            template: "{{ .Prompt }}".to_owned(),
            system: "You are a pirate.\u{1b}[2J".to_owned(),
            renderer: None,
            parser: None,
            requires: None,
            messages: Vec::new(),
            details: ModelDetails {
                family: "llama".to_owned(),
                parameter_size: "134.52M".to_owned(),
                quantization_level: "Q4_1".to_owned(),
                context_length: Some(8192),
                ..ModelDetails::default()
            },
            projector_info: None,
            model_info: json!({
                "general.architecture": "llama",
                "tokenizer.ggml.tokens": ["<a>", "<b>"],
                "tokenizer.ggml.merges": null,
            })
            .as_object()
            .unwrap()
            .clone(),
            tensors: Some(vec![TensorInfo {
                name: "token_embd.weight".to_owned(),
                kind: "Q8_0".to_owned(),
                shape: vec![576, 49152],
            }]),
            capabilities: vec!["completion".to_owned()],
            modified_at: "2026-11-20T12:00:00Z".parse().unwrap(),
            digest: "b179c9523d0e6a0f98a330c7562b6827".to_owned(),
            size: 98_362_432,
        }
    }

    #[test]
    fn what_an_overview_looks_like() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(overview(&out, &smollm(), false), @r#"
        Model
          architecture     llama
          parameters       134.52M
          context length   8192
          quantization     Q4_1
          size             98.4 MB
          id               b179c9523d0e

        Capabilities
          completion

        Parameters
          stop          "<|im_end|>"
          temperature   0.2

        System
          You are a pirate.[2J

        License
          Apache License
          Version 2.0
          One
          … 2 more lines
        "#);
    }

    #[test]
    fn what_everything_looks_like() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(overview(&out, &smollm(), true), @r#"
        Model
          architecture     llama
          parameters       134.52M
          context length   8192
          quantization     Q4_1
          size             98.4 MB
          id               b179c9523d0e

        Capabilities
          completion

        Parameters
          stop          "<|im_end|>"
          temperature   0.2

        System
          You are a pirate.[2J

        License
          Apache License
          Version 2.0
          One
          Two
          Three

        Metadata
          general.architecture    llama
          tokenizer.ggml.tokens   ["<a>","<b>"] (2 values)
          tokenizer.ggml.merges   null

        Tensors
          token_embd.weight   Q8_0     [576, 49152]
        "#);
    }
}
