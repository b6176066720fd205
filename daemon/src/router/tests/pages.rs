//! The pages of `docs/api` have every route, and every field of the bodies in Ollama's dialect and in slm's own.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Value, json};

const OLLAMA_PAGE: &str = include_str!("../../../../docs/api/ollama.md");
const SLM_PAGE: &str = include_str!("../../../../docs/api/slm.md");
const PAGES: [&str; 5] = [
    OLLAMA_PAGE,
    SLM_PAGE,
    include_str!("../../../../docs/api/openai.md"),
    include_str!("../../../../docs/api/responses.md"),
    include_str!("../../../../docs/api/anthropic.md"),
];

#[test]
fn a_page_lists_every_route() {
    let constants = include_str!("../../../api/src/routes.rs");
    let paths = constants.lines().filter_map(|line| {
        let value = line.strip_prefix("pub const ")?.split_once("= \"")?.1;
        value.strip_suffix("\";")
    });
    let paths: Vec<&str> = paths.filter(|path| !path.contains("{*")).collect();
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        let named = format!("`{path}`");
        assert!(
            PAGES.iter().any(|page| page.contains(&named)),
            "no page of docs/api lists {path}"
        );
    }
}

#[test]
fn the_page_of_ollama_has_every_field() {
    use api::*;
    check(OLLAMA_PAGE, "Generate", fields::<GenerateRequest>(), SHARED);
    check(OLLAMA_PAGE, "Generate", members(&generate_event()), COUNTS);
    check(OLLAMA_PAGE, "Generate", fields::<RenderedPrompt>(), "");
    check(OLLAMA_PAGE, "Generate", fields::<DebugInfo>(), "");
    check(OLLAMA_PAGE, "Chat", fields::<ChatRequest>(), SHARED);
    check(OLLAMA_PAGE, "Chat", fields::<Message>(), "");
    check(OLLAMA_PAGE, "Chat", members(&chat_event()), "Generate");
    check(OLLAMA_PAGE, COUNTS, fields::<Timings>(), "");
    check(OLLAMA_PAGE, "Tools", fields::<Tool>(), "");
    check(OLLAMA_PAGE, "Tools", fields::<Function>(), "");
    check(OLLAMA_PAGE, "Tools", fields::<ToolCall>(), "");
    check(OLLAMA_PAGE, "Tools", fields::<FunctionCall>(), "");
    check(OLLAMA_PAGE, "Logprobs", fields::<TokenLogprob>(), "");
    check(OLLAMA_PAGE, "Adapters", fields::<AdapterScale>(), "");
    check(OLLAMA_PAGE, "Embeddings", fields::<EmbedRequest>(), "");
    check(OLLAMA_PAGE, "Embeddings", fields::<EmbedResponse>(), "");
    check(OLLAMA_PAGE, "Embeddings", fields::<EmbeddingsRequest>(), "");
    check(
        OLLAMA_PAGE,
        "Embeddings",
        fields::<EmbeddingsResponse>(),
        "",
    );
    let store = "Models in the store";
    check(OLLAMA_PAGE, store, fields::<VersionResponse>(), "");
    check(OLLAMA_PAGE, store, fields::<TagsResponse>(), "");
    check(OLLAMA_PAGE, store, fields::<ModelSummary>(), "");
    check(OLLAMA_PAGE, store, fields::<ModelDetails>(), "");
    check(OLLAMA_PAGE, store, fields::<ShowRequest>(), "");
    check(OLLAMA_PAGE, store, fields::<ShowResponse>(), "");
    check(OLLAMA_PAGE, store, fields::<TensorInfo>(), "");
    check(OLLAMA_PAGE, store, fields::<CopyRequest>(), "");
    check(OLLAMA_PAGE, store, fields::<DeleteRequest>(), "");
    check(OLLAMA_PAGE, "Loaded models", fields::<PsResponse>(), "");
    check(OLLAMA_PAGE, "Loaded models", fields::<LoadedModel>(), "");
    check(
        OLLAMA_PAGE,
        "Creating models",
        fields::<CreateRequest>(),
        "",
    );
    let transfers = "Pulling and pushing";
    check(OLLAMA_PAGE, transfers, fields::<PullRequest>(), "");
    check(OLLAMA_PAGE, transfers, fields::<PushRequest>(), "");
    check(OLLAMA_PAGE, transfers, fields::<Pushed>(), "");
    let mut progress = fields::<Progress>();
    // The page of slm has the results of its own routes.
    progress.retain(|field| !["adopted", "report"].contains(&field.as_str()));
    check(OLLAMA_PAGE, transfers, progress, "");
}

#[test]
fn the_page_of_slm_has_every_field() {
    use api::*;
    check(SLM_PAGE, "Rerank", fields::<RerankRequest>(), "");
    check(SLM_PAGE, "Rerank", fields::<RerankResponse>(), "");
    check(SLM_PAGE, "Rerank", fields::<RankedDocument>(), "");
    check(SLM_PAGE, "Rerank", fields::<Usage>(), "");
    check(SLM_PAGE, "Jobs", fields::<JobsResponse>(), "");
    check(SLM_PAGE, "Jobs", fields::<Job>(), "");
    let finding = "Finding and explaining";
    check(SLM_PAGE, finding, fields::<SearchRequest>(), "");
    check(SLM_PAGE, finding, fields::<SearchResponse>(), "");
    check(SLM_PAGE, finding, fields::<FoundModel>(), "");
    check(SLM_PAGE, finding, fields::<Explanation>(), "");
    check(SLM_PAGE, finding, fields::<ExplanationFile>(), "");
    let planning = "Planning memory";
    check(SLM_PAGE, planning, fields::<PlanRequest>(), "");
    check(SLM_PAGE, planning, fields::<PlanResponse>(), "");
    check(SLM_PAGE, planning, fields::<PlanChoice>(), "");
    check(SLM_PAGE, planning, fields::<PlanPart>(), "");
    check(SLM_PAGE, planning, fields::<PlanDevice>(), "");
    check(SLM_PAGE, "Logins", fields::<LoginRequest>(), "");
    check(SLM_PAGE, "Logins", fields::<LoginResponse>(), "");
    check(SLM_PAGE, "Logins", fields::<LogoutRequest>(), "");
    check(SLM_PAGE, "Logins", fields::<LogoutResponse>(), "");
    check(SLM_PAGE, "Logins", fields::<LoginsRequest>(), "");
    check(SLM_PAGE, "Logins", fields::<LoginsResponse>(), "");
    check(SLM_PAGE, "Logins", fields::<KnownLogin>(), "");
    check(SLM_PAGE, "Store", fields::<VerifyRequest>(), "");
    check(SLM_PAGE, "Store", fields::<VerifyReport>(), "");
    check(SLM_PAGE, "Store", fields::<Damage>(), "");
    check(SLM_PAGE, "Store", fields::<AdoptRequest>(), "");
    check(SLM_PAGE, "Store", fields::<Adopted>(), "");
}

const SHARED: &str = "Shared fields of generate and chat";
const COUNTS: &str = "Counts and durations";

/// Each field is named in its section, or in the other one.
#[track_caller]
fn check(page: &str, section: &str, fields: Vec<String>, other: &str) {
    let text = [section, other].map(|title| part(page, title)).concat();
    for field in fields {
        let is_named = text
            .split('`')
            .skip(1)
            .step_by(2)
            .any(|span| span == field || span.ends_with(&format!(".{field}")));
        assert!(is_named, "the section {section:?} lacks `{field}`");
    }
}

/// The section of this title, without its blocks of code.
fn part(page: &str, title: &str) -> String {
    if title.is_empty() {
        return String::new();
    }
    let start = format!("\n## {title}\n");
    let rest = page.split_once(&start).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("no section {title:?}"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    section.split("```").step_by(2).collect()
}

/// The fields of a type on the wire, aliases included.
#[track_caller]
fn fields<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let mut names = Vec::new();
    let refused = T::deserialize(Names(&mut names)).is_err();
    assert!(refused && !names.is_empty(), "a struct without `flatten`");
    names
}

/// Takes the names of the fields of a struct, and refuses to make a value.
struct Names<'a>(&'a mut Vec<String>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields.iter().map(ToString::to_string));
        Err(Error::custom("only the names count"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn members(value: &Value) -> Vec<String> {
    let members = value.as_object().expect("an object");
    members.keys().cloned().collect()
}

/// An event with every field; a new field of the type does not compile here.
fn generate_event() -> Value {
    json!(api::GenerateEvent {
        model: String::new(),
        created_at: jiff::Timestamp::MIN,
        response: String::new(),
        thinking: Some(String::new()),
        done: true,
        done_reason: Some(api::DoneReason::Stop),
        unload: Some(api::Unload::Done),
        context: Some(Vec::new()),
        logprobs: Some(Vec::new()),
        timings: Some(api::Timings::default()),
    })
}

/// The same for a chat.
fn chat_event() -> Value {
    json!(api::ChatEvent {
        model: String::new(),
        created_at: jiff::Timestamp::MIN,
        message: api::Message::default(),
        done: true,
        done_reason: Some(api::DoneReason::Stop),
        unload: Some(api::Unload::Done),
        logprobs: Some(Vec::new()),
        warnings: vec![String::new()],
        timings: None,
    })
}
