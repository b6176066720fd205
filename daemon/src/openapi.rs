//! The OpenAPI document: a description of all routes, made from the routes themselves.
//!
//! `docs/openapi.json` is the same text, so that a change of the API shows in a diff.

use std::sync::LazyLock;

use api::{DebugInfo, RenderedPrompt};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, ServerBuilder};

use crate::router;

/// What holds for every route.
const ABOUT: &str = "\
The API of slm: those of Ollama, OpenAI and Anthropic, and the routes of slm itself.

A field with the value `null` is absent.
An error has the body of its dialect; a stream that fails ends with that body.
Every route may answer with 403 to a web page whose origin the configuration does not allow and to a `Host` that is not this machine, with 405 to another method, with 408, 413 and 415 to a body that does not arrive, is too large, or has an unknown content encoding, and with 503 when too many large bodies arrive at once.
*Cancel* means that the work ends when its client disconnects; *detach* means that it continues.";

/// The tags, in the order of the document.
const TAGS: [(&str, &str); 4] = [
    (
        "Ollama",
        "The API of Ollama, under `/api`; times are in nanoseconds.",
    ),
    (
        "OpenAI",
        "The API of OpenAI, under `/v1`, with the fields that llama.cpp's server and Ollama add to it.",
    ),
    ("Anthropic", "The API of Anthropic, under `/v1/messages`."),
    (
        "slm",
        "What the other APIs do not have: loading and pins, tokens, events and reasons, jobs, the store, logins, rerank and health.",
    ),
];

/// The document as JSON.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| {
        let mut document = json!(document());
        plain_links(&mut document);
        format!("{document:#}\n")
    });
    &JSON
}

/// The document, with the descriptions of the routes and bodies as they stand in the code.
fn document() -> OpenApi {
    let mut document = router::all().into_openapi();
    let license = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .identifier(Some(env!("CARGO_PKG_LICENSE")));
    document.info = InfoBuilder::new()
        .title("slm")
        .version(crate::VERSION)
        .description(Some(ABOUT))
        .license(Some(license.build()))
        .build();
    let server = ServerBuilder::new().url("http://127.0.0.1:11435");
    document.servers = Some(vec![server.build()]);
    let tag = |(name, about)| {
        TagBuilder::new()
            .name(name)
            .description(Some(about))
            .build()
    };
    document.tags = Some(TAGS.map(tag).into());
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        // OpenAPI has no sign for a parameter with slashes in it.
        let path = path.replace("{*", "{");
        for (method, operation) in operations(&mut item) {
            operation.operation_id = Some(operation_id(method, &path));
        }
        document.paths.paths.insert(path, item);
    }
    // An answer that only a description names.
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert(RenderedPrompt::name().into(), RenderedPrompt::schema());
    components
        .schemas
        .insert(DebugInfo::name().into(), DebugInfo::schema());
    document
}

/// The operations of a path, with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("head", &mut item.head),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// An id that no other operation has, such as `post_api_jobs_id_pause`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|character: char| !character.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

/// Writes links of Rust's documentation as code in all texts: the document has no page that they lead to.
fn plain_links(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("[`") => *text = without_links(text),
        Value::Array(values) => values.iter_mut().for_each(plain_links),
        Value::Object(members) => members.values_mut().for_each(plain_links),
        _ => {}
    }
}

/// "[`Tool`](super::Tool)" and "[`Tool`]" become "`Tool`".
fn without_links(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("`]").unwrap_or((part, ""));
        let rest = rest
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
            .map_or(rest, |(_, rest)| rest);
        plain.push('`');
        plain.push_str(name.rsplit("::").next().unwrap_or(name));
        plain.push('`');
        plain.push_str(rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_rust_become_code() {
        for (text, plain) in [
            ("no link", "no link"),
            ("a [`Tool`].", "a `Tool`."),
            ("a [`Tool`](super::Tool), (b)", "a `Tool`, (b)"),
            (
                "[`crate::Progress`] and [`A`] (c)",
                "`Progress` and `A` (c)",
            ),
        ] {
            let mut value = json!({"description": [text]});
            plain_links(&mut value);
            assert_eq!(value, json!({"description": [plain]}));
        }
    }

    #[test]
    fn an_operation_has_the_words_of_its_path() {
        let id = operation_id("post", api::routes::JOB_PAUSE);
        assert_eq!(id, "post_slm_v1_jobs_id_pause");
        assert_eq!(operation_id("get", "/"), "get");
    }
}
