//! Details and capabilities of a model, from its config and the header of its weights.

use crate::{
    Capability, Details, ModelName,
    config::Config,
    error::Result,
    facts::Facts,
    manifest::{LayerKind, Manifest},
    store::Check,
    translate::Family,
};

use super::{
    Registry,
    blobs::{GoodBlob, Trust},
};

/// Architectures of embedding models.
const EMBEDDERS: [&str; 9] = [
    "bert",
    "eurobert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "gemma-embedding",
];

/// Most characters of a text in a list.
const CLIP: usize = 64;
/// Most architectures that are listed.
const FAMILIES_MAX: usize = 16;

/// A text of a file, made safe for a list: short, and without control characters.
fn clip(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(CLIP)
        .collect()
}

/// Whether a config lacks what the header of the weights has to fill in. Configs that slm writes lack nothing.
pub(super) fn needs_facts(config: &Config) -> bool {
    config.capabilities.is_empty()
        || config.context_length.is_none()
        || config.embedding_length.is_none()
}

/// Details and capabilities of a model. The config goes first; the header of the weights fills gaps.
pub(super) fn describe(
    manifest: &Manifest,
    config: &Config,
    template: Option<&str>,
    facts: Option<&Facts>,
) -> (Details, Vec<Capability>) {
    let or_else = |text: &str, other: Option<String>| match text {
        "" => clip(&other.unwrap_or_default()),
        text => clip(text),
    };
    let family = or_else(
        &config.model_family,
        facts.and_then(|facts| facts.architecture.clone()),
    );
    let families = match config.model_families.is_empty() && !family.is_empty() {
        true => vec![family.clone()],
        false => config
            .model_families
            .iter()
            .take(FAMILIES_MAX)
            .map(|text| clip(text))
            .collect(),
    };
    let weights = manifest.layers_of(LayerKind::Model).next();
    let parent = weights
        .and_then(|layer| layer.from.as_deref())
        .and_then(|from| ModelName::parse(from).ok());
    let details = Details {
        parent_model: parent.map(|name| name.to_string()).unwrap_or_default(),
        format: or_else(&config.model_format, facts.map(|_| "gguf".into())),
        family,
        families,
        parameter_size: or_else(&config.model_type, facts.map(Facts::parameter_size)),
        quantization_level: or_else(
            &config.file_type,
            facts.map(|facts| facts.file_type.clone()),
        ),
        context_length: config.context_length.or_else(|| facts?.context_length),
        embedding_length: config.embedding_length.or_else(|| facts?.embedding_length),
    };
    let mut stated: Vec<_> = config
        .capabilities
        .iter()
        .filter_map(|word| Capability::find(word))
        .collect();
    if stated.is_empty() {
        stated = capabilities(
            manifest.layers_of(LayerKind::Projector).next().is_some(),
            template,
            None,
            facts,
        );
    }
    stated.sort_unstable();
    stated.dedup();
    (details, stated)
}

/// The capabilities of a model, from its architecture and the variables of its templates.
/// `chat_template` goes before the one in the weights.
pub(super) fn capabilities(
    projector: bool,
    template: Option<&str>,
    chat_template: Option<&str>,
    facts: Option<&Facts>,
) -> Vec<Capability> {
    let architecture = facts
        .and_then(|facts| facts.architecture.as_deref())
        .unwrap_or_default();
    let foreign = facts.and_then(|facts| facts.foreign);
    // `enum llama_pooling_type` of llama.cpp's `llama.h`: how token embeddings are pooled to one; 4 is the score of a reranker.
    match facts.and_then(|facts| facts.pooling) {
        Some(4) => return vec![Capability::Rerank],
        Some(1..=3) => return vec![Capability::Embedding],
        _ if EMBEDDERS.contains(&architecture) => return vec![Capability::Embedding],
        _ if foreign.is_some_and(|foreign| foreign.family == Family::EmbeddingGemma) => {
            return vec![Capability::Embedding];
        }
        _ => {}
    }
    let template = template.unwrap_or_default();
    let chat_template = chat_template
        .or_else(|| facts?.chat_template.as_deref())
        .unwrap_or_default();
    let speaks_of = |go: &[&str], jinja: &[&str]| {
        go.iter().any(|word| template.contains(word))
            || jinja.iter().any(|word| chat_template.contains(word))
    };
    let mut capabilities = vec![Capability::Completion];
    // The chat template of the weights defines the format of tool calls, whichever template renders the prompt.
    if speaks_of(&[], &["tools", "tool_calls"]) {
        capabilities.push(Capability::Tools);
    }
    if speaks_of(&[".Suffix"], &[]) {
        capabilities.push(Capability::Insert);
    }
    // In Ollama's layouts, the weights may hold a projector.
    if projector || foreign.is_some_and(|foreign| foreign.sees) {
        capabilities.push(Capability::Vision);
    }
    let go_thinks: &[&str] = match chat_template {
        "" => &[],
        _ => &[".Thinking", ".IsThinkSet", ".Think "],
    };
    if speaks_of(
        go_thinks,
        &[
            "enable_thinking",
            "reasoning_content",
            "<think>",
            "[THINK]",
            "<|channel|>",
        ],
    ) {
        capabilities.push(Capability::Thinking);
    }
    capabilities
}

impl Registry {
    /// The facts of a model's weights. Their bytes may be unverified, so the facts may be shown, not relied on by a load.
    /// `None` when there are no weights, or they are not a GGUF file.
    pub(super) async fn header_of(&self, manifest: &Manifest) -> Result<Option<Facts>> {
        let Some(layer) = manifest.layers_of(LayerKind::Model).next() else {
            return Ok(None);
        };
        let digest = layer.digest;
        match self
            .on_disk(move |store| store.open_blob(&digest, None))
            .await?
        {
            Check::There(file, stamp) => Ok(self
                .facts(&digest, &GoodBlob { file, stamp }, Trust::Stamp)
                .await?
                .ok()),
            Check::Bad(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(architecture: &str, chat_template: &str) -> Facts {
        Facts {
            architecture: Some(architecture.into()),
            chat_template: Some(chat_template.into()),
            general_type: crate::gguf::GeneralType::Model,
            name: None,
            parameter_count: 134_515_008,
            tensor_count: 272,
            file_type: "Q4_1".into(),
            context_length: Some(8192),
            embedding_length: Some(576),
            block_count: None,
            head_count: None,
            head_count_kv: None,
            key_length: None,
            value_length: None,
            vocabulary: None,
            pooling: None,
            split: None,
            foreign: None,
            memory: crate::memory::MemoryFacts::default(),
        }
    }

    #[test]
    fn what_others_wrote_is_made_fit_for_a_list() {
        let config = Config {
            model_family: format!("\u{1b}[2Jllama{}", "a".repeat(1000)),
            model_families: vec!["x\ny".into(); 1000],
            ..Config::default()
        };
        let layer = crate::manifest::Layer::new(LayerKind::Model, crate::Digest::of(b""), 0);
        let manifest = Manifest::new(layer.clone(), vec![layer]);
        let (details, _) = describe(&manifest, &config, None, None);
        assert!(details.family.starts_with("[2Jllama") && details.family.len() == CLIP);
        assert_eq!(details.families, vec!["xy"; FAMILIES_MAX]);
    }

    #[test]
    fn templates_tell_what_a_model_can_do() {
        use Capability::{Completion, Embedding, Insert, Rerank, Thinking, Tools, Vision};
        assert_eq!(capabilities(false, None, None, None), [Completion]);
        assert_eq!(capabilities(true, None, None, None), [Completion, Vision]);
        assert_eq!(
            capabilities(false, Some("{{ .Prompt }}{{ .Suffix }}"), None, None),
            [Completion, Insert]
        );
        // Without a chat template that knows tools, nothing says how the model would write a call.
        let offers = Some("{{ range .Tools }}{{ end }}{{ .Thinking }}");
        for (template, weights, expected) in [
            (offers, None, &[Completion][..]),
            (offers, Some(facts("llama", "")), &[Completion]),
            (
                offers,
                Some(facts("llama", "{{ messages }}")),
                &[Completion, Thinking],
            ),
            (
                None,
                Some(facts("llama", "{{ tools }}")),
                &[Completion, Tools],
            ),
            (
                Some("{{ .Prompt }}"),
                Some(facts("llama", "{{ tools }}")),
                &[Completion, Tools],
            ),
        ] {
            let found = capabilities(false, template, None, weights.as_ref());
            assert_eq!(found, expected, "{template:?} {weights:?}");
        }
        let thinks = facts(
            "qwen3",
            "{% if tools %}{% endif %}{% if enable_thinking %}{% endif %}",
        );
        assert_eq!(
            capabilities(false, None, None, Some(&thinks)),
            [Completion, Tools, Thinking]
        );
        assert_eq!(
            capabilities(false, None, None, Some(&facts("bert", ""))),
            [Embedding]
        );
        for (pooling, can) in [(0, Completion), (1, Embedding), (3, Embedding), (4, Rerank)] {
            let facts = Facts {
                pooling: Some(pooling),
                ..facts("qwen3", "")
            };
            assert_eq!(
                capabilities(false, None, None, Some(&facts)),
                [can],
                "{pooling}"
            );
        }
    }
}
