//! Making a model from a base and a recipe.

use std::collections::BTreeMap;

use modelfile::{Message, Parameters};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{
    Damage, Digest, ModelName, RelPath, Reporter, Stage,
    config::{CONFIG_MAX, Config, RootFs},
    convert::{Folder, Format, Input, Plan},
    error::{Error, Result},
    facts::Facts,
    gguf::GeneralType,
    manifest::{CONFIG_TYPE, LAYERS_MAX, Layer, LayerKind, Manifest},
    renderers,
    store::Ingest,
};

use super::{
    Pins, Put, Registry,
    blobs::{GoodBlob, Trust},
    describe, load,
    split::{self, FileNames},
};

/// A base model, perhaps pinned to one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// Its name.
    pub name: ModelName,
    /// The manifest digest that it must have, as in `FROM name@sha256:…`.
    pub digest: Option<Digest>,
}

/// What a new model is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A model in the store; the recipe inherits what it does not set.
    Model(ModelRef),
    /// GGUF files that are in the store as blobs: weights, perhaps in parts, and projectors and adapters.
    /// Each file's own header says what it is.
    Blobs(Vec<Digest>),
    /// A folder with an encoder of the BERT family in safetensors, which is converted to GGUF.
    Folder(Weights),
}

/// The files of a folder that is converted, in the store as blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// The blobs by their paths in the folder.
    pub files: BTreeMap<RelPath, Digest>,
    /// How matrices are kept.
    pub format: Format,
}

/// The recipe of a model, with every file already in the store.
#[derive(Debug, Clone)]
pub struct Create {
    /// Its name; a model of that name is replaced.
    pub name: ModelName,
    /// What it is made from.
    pub from: Base,
    /// LoRA adapters (GGUF). They replace the adapters of the base; an empty list inherits them.
    pub adapters: Vec<Digest>,
    /// A smaller model that drafts tokens (GGUF). It replaces an inherited one.
    pub draft: Option<Digest>,
    /// Go template of the prompt. An empty text removes an inherited one.
    pub template: Option<String>,
    /// Chat template (Jinja) in place of the one in the weights. An empty text removes an inherited one.
    pub chat_template: Option<String>,
    /// System prompt. An empty text removes an inherited one.
    pub system: Option<String>,
    /// Parameters; they override inherited ones.
    pub parameters: Parameters,
    /// Example conversation. It replaces an inherited one; an empty list inherits it.
    pub messages: Vec<Message>,
    /// Texts of licences, added to inherited ones.
    pub licenses: Vec<String>,
    /// Oldest version that can run the model.
    pub requires: Option<String>,
    /// Id of a built-in prompt renderer.
    pub renderer: Option<String>,
    /// Id of a built-in output parser.
    pub parser: Option<String>,
    /// Digest of the artifact's manifest whose layers these are, where the model comes from a registry in another layout.
    pub made_from: Option<Digest>,
    /// Once it is cancelled, the model is not published.
    pub dropped: Option<CancellationToken>,
    /// The file names that the client gave to these blobs, for messages.
    pub file_names: FileNames,
}

impl Create {
    /// A recipe that changes nothing of its base.
    pub fn new(name: ModelName, from: Base) -> Self {
        Self {
            name,
            from,
            adapters: Vec::new(),
            draft: None,
            template: None,
            chat_template: None,
            system: None,
            parameters: Parameters::default(),
            messages: Vec::new(),
            licenses: Vec::new(),
            requires: None,
            renderer: None,
            parser: None,
            made_from: None,
            dropped: None,
            file_names: FileNames::default(),
        }
    }
}

/// A model that is being made.
struct ModelBuilder {
    layers: Vec<Layer>,
    config: Config,
    /// Parameters of the base as in its layer, unknown members included.
    params: Map<String, Value>,
    /// Keeps every blob of the layers.
    pins: Vec<Pins>,
    /// What the files are called.
    file_names: FileNames,
}

impl ModelBuilder {
    fn has(&self, kind: LayerKind) -> bool {
        self.layers.iter().any(|layer| layer.kind() == kind)
    }

    fn take_away(&mut self, kind: LayerKind) {
        self.layers.retain(|layer| layer.kind() != kind);
    }
}

impl Registry {
    /// Makes a model. It shares the weights of the base; only small layers are written, then the manifest, last.
    /// Returns the model's digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BaseMismatch`], [`Error::BlobNotFound`], [`Error::NotGguf`], [`Error::Convert`], [`Error::Translate`], or [`Error::Invalid`] when
    /// the recipe cannot be followed; [`Error::NoSpace`]. The name is unchanged then.
    pub async fn create(&self, create: Create, reporter: &Reporter) -> Result<Digest> {
        let reporter = reporter.clone();
        self.detached(|registry| async move { registry.make(create, &reporter).await })
            .await
    }

    async fn make(self, create: Create, reporter: &Reporter) -> Result<Digest> {
        let Create {
            name,
            from,
            adapters,
            draft,
            template,
            chat_template,
            system,
            parameters,
            messages,
            licenses,
            requires,
            renderer,
            parser,
            made_from,
            dropped,
            file_names,
        } = create;
        let mut builder = match from {
            Base::Model(base) => ModelBuilder {
                file_names,
                ..self.inherit(&base, &name).await?
            },
            Base::Blobs(digests) => self.gather(&digests, file_names, reporter).await?,
            Base::Folder(weights) => ModelBuilder {
                file_names,
                ..self.convert(weights, reporter).await?
            },
        };
        self.adapt(&mut builder, &adapters, draft, reporter).await?;
        for (kind, text) in [
            (LayerKind::Template, template),
            (LayerKind::ChatTemplate, chat_template),
            (LayerKind::System, system),
        ] {
            if let Some(text) = text {
                builder.take_away(kind);
                if !text.is_empty() {
                    self.add(&mut builder, kind, text.into_bytes(), reporter)
                        .await?;
                }
            }
        }
        for text in licenses {
            self.add(
                &mut builder,
                LayerKind::License,
                text.into_bytes(),
                reporter,
            )
            .await?;
        }
        if !parameters.is_empty() {
            builder.take_away(LayerKind::Params);
            builder.params.extend(parameters.to_json());
            let json = serde_json::to_vec(&builder.params).expect("a JSON map");
            self.add(&mut builder, LayerKind::Params, json, reporter)
                .await?;
        }
        if !messages.is_empty() {
            builder.take_away(LayerKind::Messages);
            let json = serde_json::to_vec(&messages).expect("roles and texts");
            self.add(&mut builder, LayerKind::Messages, json, reporter)
                .await?;
        }
        builder.config.requires = requires.or(builder.config.requires);
        builder.config.renderer = renderer.or(builder.config.renderer);
        builder.config.parser = parser.or(builder.config.parser);
        builder.config.made_from = made_from;
        let manifest = self.finish(&mut builder, reporter).await?;
        let bytes = manifest.to_bytes();
        reporter.stage(match self.leads_to(&name, &bytes).await? {
            true => Stage::Unchanged,
            false => Stage::WritingManifest,
        });
        self.publish(&name, manifest, bytes, builder.pins, dropped)
            .await
    }

    /// Starts from a model. Its layers get that model as `from`, unless the model is made from itself.
    async fn inherit(&self, base: &ModelRef, new: &ModelName) -> Result<ModelBuilder> {
        let (model, pins) = self.pinned(&base.name).await?;
        if let Some(expected) = base.digest.filter(|expected| *expected != model.digest) {
            return Err(Error::BaseMismatch {
                name: model.name,
                expected,
                found: model.digest,
            });
        }
        let (name, manifest) = (model.name.clone(), model.manifest.clone());
        let params = self
            .on_disk(move |store| load::read_params(store, &name, &manifest))
            .await?
            .unwrap_or_default();
        let mut layers = model.manifest.layers;
        let is_itself = model.name.full().eq_ignore_ascii_case(new.full());
        for layer in layers.iter_mut().filter(|_| !is_itself) {
            layer.from = Some(model.name.to_string());
        }
        Ok(ModelBuilder {
            layers,
            config: model.config,
            params,
            pins: vec![pins],
            file_names: FileNames::default(),
        })
    }

    /// Starts from files.
    async fn gather(
        &self,
        digests: &[Digest],
        file_names: FileNames,
        reporter: &Reporter,
    ) -> Result<ModelBuilder> {
        reporter.stage(Stage::ReadingWeights);
        few_enough(digests.len())?;
        let mut builder = ModelBuilder {
            layers: Vec::new(),
            config: Config::default(),
            params: Map::new(),
            pins: Vec::new(),
            file_names,
        };
        let mut weights = Vec::new();
        let mut adapters = Vec::new();
        let mut families = Vec::new();
        for (number, digest) in digests.iter().enumerate() {
            if digests[..number].contains(digest) {
                return Err(named_twice(digest, &builder.file_names));
            }
            let (layer, facts) = self.take(&mut builder, digest, None, reporter).await?;
            match facts.general_type {
                GeneralType::Model => weights.push((layer, facts)),
                GeneralType::Projector => {
                    families.extend(facts.architecture);
                    builder.layers.push(layer);
                }
                GeneralType::Adapter => adapters.push((layer, facts)),
            }
        }
        let facts = whole(&mut weights, &builder.file_names)?;
        let family = facts.architecture.clone().unwrap_or_default();
        families.insert(0, family.clone());
        families.dedup();
        for (layer, adapter) in adapters {
            fits(&layer.digest, &adapter, &family)?;
            builder.layers.push(layer);
        }
        let parameters = weights
            .iter()
            .map(|(_, facts)| facts.parameter_count)
            .fold(0, u64::saturating_add);
        builder
            .layers
            .splice(0..0, weights.into_iter().map(|(layer, _)| layer));
        builder.config = Config {
            model_format: "gguf".into(),
            model_family: family,
            model_families: families,
            model_type: crate::facts::count_label(parameters),
            file_type: facts.file_type.clone(),
            context_length: facts.context_length,
            embedding_length: facts.embedding_length,
            architecture: "amd64".into(),
            os: "linux".into(),
            ..Config::default()
        };
        Ok(builder)
    }

    /// Starts from a folder. The converted file is a blob like any other, and goes through the strict reader like any other.
    async fn convert(&self, weights: Weights, reporter: &Reporter) -> Result<ModelBuilder> {
        few_enough(weights.files.len())?;
        let mut pins = Vec::new();
        let mut files = Vec::new();
        for (path, digest) in weights.files {
            pins.push(self.pinned_blob(&digest).await);
            let blob = self.good(&digest, None, reporter).await?;
            files.push((path, Box::new(blob.file) as Box<dyn Input>));
        }
        reporter.stage(Stage::Converting);
        let plan = self
            .on_disk(move |_| Ok(Plan::new(Folder::new(files), weights.format)?))
            .await?;
        let (size, longest) = (plan.size(), plan.longest());
        let (digest, ..) = self
            .ingest(Some(size), None, |ingest| {
                plan.write(|bytes| ingest.write(bytes))
            })
            .await?;
        let mut builder = self
            .gather(&[digest], FileNames::default(), reporter)
            .await?;
        builder.pins.extend(pins);
        if let Some(longest) = longest {
            builder.params.insert("num_ctx".into(), longest.into());
            let json = serde_json::to_vec(&builder.params).expect("a JSON map");
            self.add(&mut builder, LayerKind::Params, json, reporter)
                .await?;
        }
        Ok(builder)
    }

    /// Adds adapters and a draft model.
    async fn adapt(
        &self,
        builder: &mut ModelBuilder,
        adapters: &[Digest],
        draft: Option<Digest>,
        reporter: &Reporter,
    ) -> Result<()> {
        let family = builder.config.model_family.clone();
        if !adapters.is_empty() {
            builder.take_away(LayerKind::Adapter);
        }
        for digest in adapters {
            let (layer, facts) = self
                .take(builder, digest, Some(LayerKind::Adapter), reporter)
                .await?;
            fits(digest, &facts, &family)?;
            builder.layers.push(layer);
        }
        if let Some(digest) = draft {
            builder.take_away(LayerKind::Draft);
            let (layer, _) = self
                .take(builder, &digest, Some(LayerKind::Draft), reporter)
                .await?;
            builder.layers.push(layer);
        }
        Ok(())
    }

    /// A layer for a GGUF file that is here. Without `wanted`, its header says which kind it is; with it, the header must agree.
    async fn take(
        &self,
        builder: &mut ModelBuilder,
        digest: &Digest,
        wanted: Option<LayerKind>,
        reporter: &Reporter,
    ) -> Result<(Layer, Facts)> {
        if builder.layers.iter().any(|layer| layer.digest == *digest) {
            return Err(named_twice(digest, &builder.file_names));
        }
        builder.pins.push(self.pinned_blob(digest).await);
        let blob = self.good(digest, None, reporter).await?;
        let facts = self
            .facts(digest, &blob, Trust::Stamp)
            .await?
            .map_err(|reason| Error::NotGguf {
                what: builder.file_names.of(digest),
                reason,
            })?;
        Self::can_run(&facts, || builder.file_names.of(digest))?;
        let found = match facts.general_type {
            GeneralType::Model => LayerKind::Model,
            GeneralType::Adapter => LayerKind::Adapter,
            GeneralType::Projector => LayerKind::Projector,
        };
        let kind = match wanted {
            Some(LayerKind::Draft) if facts.split.is_some_and(|split| split.count > 1) => {
                let reason = format!(
                    "{} is a part of a split model, and a draft model is one file",
                    builder.file_names.of(digest)
                );
                return Err(Error::Invalid { reason });
            }
            Some(LayerKind::Draft) if found == LayerKind::Model => LayerKind::Draft,
            Some(wanted) if wanted != found => {
                let reason = format!(
                    "{} is of kind {}, not {}",
                    builder.file_names.of(digest),
                    noun(found),
                    noun(wanted)
                );
                return Err(Error::Invalid { reason });
            }
            _ => found,
        };
        reporter.stage(Stage::ExistingLayer(*digest));
        Ok((Layer::new(kind, *digest, blob.stamp.size), facts))
    }

    /// A blob that a recipe or a manifest names, with the size that the manifest gives it.
    pub(crate) async fn good(
        &self,
        digest: &Digest,
        size: Option<u64>,
        reporter: &Reporter,
    ) -> Result<GoodBlob> {
        match self.check_blob(digest, size, reporter).await? {
            Ok(blob) => Ok(blob),
            Err(Damage::Missing) => Err(Error::BlobNotFound { digest: *digest }),
            Err(found) => Err(Error::DamagedBlob {
                digest: *digest,
                found,
            }),
        }
    }

    /// Adds a small layer, unless the model has it already.
    async fn add(
        &self,
        builder: &mut ModelBuilder,
        kind: LayerKind,
        bytes: Vec<u8>,
        reporter: &Reporter,
    ) -> Result<()> {
        short_enough(noun(kind), &bytes, load::TEXT_MAX)?;
        let layer = self.write_small(&mut builder.pins, bytes, reporter).await?;
        let layer = Layer::new(kind, layer.0, layer.1);
        // An inherited layer has another `from`, and is the same layer.
        let is_there = |other: &Layer| other.kind() == kind && other.digest == layer.digest;
        if !builder.layers.iter().any(is_there) {
            builder.layers.push(layer);
        }
        Ok(())
    }

    /// Writes a small blob, and keeps it.
    async fn write_small(
        &self,
        pins: &mut Vec<Pins>,
        bytes: Vec<u8>,
        reporter: &Reporter,
    ) -> Result<(Digest, u64)> {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        pins.push(self.pinned_blob(&digest).await);
        let put = match self.has_blob(&digest).await? {
            true => Put::Exists,
            false => {
                let fill = move |ingest: &mut Ingest| ingest.write(&bytes);
                self.ingest(Some(size), Some(digest), fill).await?.2
            }
        };
        reporter.stage(match put {
            Put::Created => Stage::NewLayer(digest),
            Put::Exists => Stage::ExistingLayer(digest),
        });
        Ok((digest, size))
    }

    /// Writes the config, now that all layers are known.
    async fn finish(&self, builder: &mut ModelBuilder, reporter: &Reporter) -> Result<Manifest> {
        few_enough(builder.layers.len())?;
        let preliminary = Manifest::new(
            Layer::new(LayerKind::Model, Digest::of(b""), 0),
            builder.layers.clone(),
        );
        let facts = self.header_of(&preliminary).await?;
        if let Some(facts) = &facts {
            // Inherited weights were not checked before.
            Self::can_run(facts, || "the model".into())?;
        }
        let (template, chat_template) = self
            .on_disk({
                let manifest = preliminary;
                let name = ModelName::parse("new").expect("a good name");
                move |store| {
                    let template = load::read_template(store, &name, &manifest)?;
                    let chat_template = load::read_chat_template(store, &name, &manifest)?;
                    Ok((template, chat_template))
                }
            })
            .await?;
        let has_template = template.is_some()
            || chat_template.is_some()
            || facts
                .as_ref()
                .is_some_and(|facts| facts.chat_template.is_some());
        if let Some(renderer) = builder.config.renderer.as_deref()
            && !has_template
            && renderers::chat_template(renderer).is_none()
        {
            let renderer = crate::gguf::harmless(renderer.as_bytes());
            reporter.stage(Stage::UnknownRenderer(renderer));
        }
        let capabilities = describe::capabilities(
            builder.has(LayerKind::Projector),
            template.as_deref(),
            chat_template.as_deref(),
            facts.as_ref(),
        );
        builder.config.capabilities = capabilities
            .into_iter()
            .map(|capability| capability.as_str().to_owned())
            .collect();
        builder.config.rootfs = RootFs {
            kind: "layers".into(),
            diff_ids: builder.layers.iter().map(|layer| layer.digest).collect(),
        };
        let config = serde_json::to_vec(&builder.config).expect("texts and numbers");
        short_enough("config", &config, CONFIG_MAX)?;
        let (digest, size) = self
            .write_small(&mut builder.pins, config, reporter)
            .await?;
        let config = Layer {
            media_type: CONFIG_TYPE.into(),
            digest,
            size,
            from: None,
            name: None,
        };
        Ok(Manifest::new(config, builder.layers.clone()))
    }
}

/// Sorts the parts of a split model and checks that they are one model. Returns the facts of the first.
fn whole(weights: &mut [(Layer, Facts)], file_names: &FileNames) -> Result<Facts> {
    weights.sort_by_key(|(_, facts)| facts.split.map(|split| split.number));
    let files: Vec<_> = weights
        .iter()
        .map(|(layer, facts)| (layer.digest, facts))
        .collect();
    split::check(&files, file_names)?;
    Ok(weights[0].1.clone())
}

/// Checks that an adapter is for the architecture of the base.
fn fits(digest: &Digest, adapter: &Facts, family: &str) -> Result<()> {
    let architecture = adapter.architecture.as_deref().unwrap_or_default();
    // A base of another program may not state its architecture.
    if family.is_empty() || architecture == family {
        return Ok(());
    }
    let reason =
        format!("adapter {digest} is made for {architecture:?}, but the base is {family:?}");
    Err(Error::Invalid { reason })
}

fn few_enough(layers: usize) -> Result<()> {
    if layers <= LAYERS_MAX {
        return Ok(());
    }
    let reason = format!("the model would have {layers} layers, at most {LAYERS_MAX} are allowed");
    Err(Error::Invalid { reason })
}

/// Refuses what could not be read back.
fn short_enough(what: &str, bytes: &[u8], most: u64) -> Result<()> {
    if bytes.len() as u64 <= most {
        return Ok(());
    }
    let reason = format!(
        "the {what} has {} bytes, at most {most} are allowed",
        bytes.len()
    );
    Err(Error::Invalid { reason })
}

fn named_twice(digest: &Digest, file_names: &FileNames) -> Error {
    Error::Invalid {
        reason: format!("{} is named twice", file_names.of(digest)),
    }
}

/// The name of a kind of layer, for messages.
fn noun(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Model => "model",
        LayerKind::Adapter => "adapter",
        LayerKind::Projector => "projector",
        LayerKind::Draft => "draft model",
        LayerKind::Template => "template",
        LayerKind::ChatTemplate => "chat template",
        LayerKind::System => "system prompt",
        LayerKind::Params => "list of parameters",
        LayerKind::Messages => "list of messages",
        LayerKind::License => "license",
        LayerKind::Other => "other layer",
    }
}
