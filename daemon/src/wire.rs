//! Converts values of the store and the scheduler to types of the API.

use api::{
    Damage, GcReport, LoadedModel, LoadedPart, Message, ModelDetails, ModelSummary, ShowResponse,
    TensorInfo, Unload, VerifyReport,
};
use jiff::{SignedDuration, Timestamp};
use modelfile::Parameters;
use modelfile::parameter::Value;
use registry::{Details, ModelEntry, Shown};
use runner_protocol::{Kernels, MemoryKind, MemoryPart};
use tokio::time::Instant;

use crate::scheduler::{self, Unloading};

pub(crate) fn details(details: &Details) -> ModelDetails {
    ModelDetails {
        parent_model: details.parent_model.clone(),
        format: details.format.clone(),
        family: details.family.clone(),
        families: (!details.families.is_empty()).then(|| details.families.clone()),
        parameter_size: details.parameter_size.clone(),
        quantization_level: details.quantization_level.clone(),
        context_length: details.context_length,
        embedding_length: details.embedding_length,
    }
}

pub(crate) fn summary(entry: ModelEntry) -> ModelSummary {
    ModelSummary {
        name: entry.name.to_string(),
        model: entry.name.to_string(),
        modified_at: entry.modified,
        size: entry.size,
        digest: entry.digest.hex(),
        details: details(&entry.details),
        capabilities: names(&entry.capabilities),
        damaged: entry.damage,
    }
}

fn names(capabilities: &[registry::Capability]) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}

pub(crate) fn show_response(shown: Shown, verbose: bool) -> ShowResponse {
    let Shown {
        model,
        licenses,
        modelfile,
        model_info,
        projector_info,
        chat_template,
        tensors,
        ..
    } = shown;
    ShowResponse {
        license: licenses.join("\n\n"),
        modelfile,
        parameters: parameters(&model.parameters),
        template: model.template.or(chat_template).unwrap_or_default(),
        system: model.system.unwrap_or_default(),
        renderer: model.config.renderer,
        parser: model.config.parser,
        requires: model.config.requires,
        messages: model
            .messages
            .iter()
            .map(|message| Message {
                role: message.role.to_string(),
                content: message.content.clone(),
                ..Message::default()
            })
            .collect(),
        details: details(&model.details),
        model_info,
        projector_info,
        tensors: verbose.then(|| {
            tensors
                .into_iter()
                .map(|tensor| TensorInfo {
                    name: tensor.name,
                    kind: tensor.kind.name().to_owned(),
                    shape: tensor.dims,
                })
                .collect()
        }),
        capabilities: names(&model.capabilities),
        modified_at: model.modified,
        digest: model.digest.hex(),
        size: model.manifest.size(),
    }
}

/// One parameter per line, in two columns; texts in quotes.
fn parameters(parameters: &Parameters) -> String {
    let lines: Vec<String> = parameters
        .iter()
        .map(|parameter| match parameter.value() {
            Value::Text(text) => format!("{:<30} {text:?}", parameter.name()),
            value => format!("{:<30} {value}", parameter.name()),
        })
        .collect();
    lines.join("\n")
}

/// A loaded model; `removed` says that its name was removed, or names another model by now.
pub(crate) fn loaded(summary: scheduler::ModelSummary, removed: bool) -> LoadedModel {
    let level = summary.sandbox.as_ref().map(|sandbox| sandbox.level.name());
    let kernels = summary.kernels.as_ref();
    LoadedModel {
        model: summary.name.to_string(),
        name: summary.name.to_string(),
        removed,
        size: summary.resident_bytes + summary.device_bytes,
        digest: summary.digest,
        details: details(&summary.details),
        expires_at: summary.expires.map_or(FAR, on_the_calendar),
        size_vram: summary.device_bytes,
        context_length: summary.context,
        state: summary.state.to_owned(),
        pinned: summary.pinned,
        active: u32::try_from(summary.active).unwrap_or(u32::MAX),
        pid: summary.pid,
        sandbox: level.unwrap_or_default().to_owned(),
        sandbox_lacks: summary
            .sandbox
            .map(|sandbox| sandbox.lacks)
            .unwrap_or_default(),
        kernels: kernels.map_or("", Kernels::name).to_owned(),
        kernels_reason: kernels.map_or("", Kernels::reason).to_owned(),
        device: summary.device,
        device_reason: summary.device_reason,
        keep_alive: Some(summary.keep_alive.to_wire()),
        memory: summary.memory.into_iter().map(part).collect(),
        counted: summary
            .need
            .usage
            .iter()
            .map(|(device, bytes)| (device.to_string(), bytes))
            .collect(),
    }
}

fn part(part: MemoryPart) -> LoadedPart {
    let kind = match part.kind {
        MemoryKind::MappedWeights => "mapped_weights",
        MemoryKind::Weights => "weights",
        MemoryKind::KvCache => "kv_cache",
        MemoryKind::Compute => "compute",
        MemoryKind::Draft => "draft",
        MemoryKind::Adapters => "adapters",
    };
    LoadedPart {
        device: part.device,
        kind: kind.to_owned(),
        bytes: part.bytes,
    }
}

/// What became of a model that was to be unloaded.
pub(crate) fn unload(unloading: Unloading) -> Unload {
    match unloading {
        Unloading::Done => Unload::Done,
        Unloading::WhenIdle => Unload::WhenIdle,
        Unloading::NotLoaded => Unload::NotLoaded,
        Unloading::Pinned => Unload::Pinned,
    }
}

/// "Never" in a field that needs a time: the end of the year 9999.
const FAR: Timestamp = Timestamp::MAX;

fn on_the_calendar(at: Instant) -> Timestamp {
    let left = at.saturating_duration_since(Instant::now());
    SignedDuration::try_from(left)
        .ok()
        .and_then(|left| Timestamp::now().checked_add(left).ok())
        .unwrap_or(FAR)
}

pub(crate) fn verify_report(report: registry::VerifyReport, quarantine: bool) -> VerifyReport {
    let blobs = report.damaged.iter().flat_map(|blob| {
        let path = format!("models/blobs/{}", blob.digest.file_name());
        let problem = format!("blob {}", blob.found);
        let named = blob.models.iter().map(|name| Some(name.to_string()));
        // Damage is reported for each model that names the blob; if none does, it is reported once.
        let models: Vec<Option<String>> = if blob.models.is_empty() {
            vec![None]
        } else {
            named.collect()
        };
        models.into_iter().map(move |model| Damage {
            remedy: remedy(model.as_deref(), &blob.found, quarantine),
            model,
            path: path.clone(),
            problem: problem.clone(),
            mended: false,
        })
    });
    let manifests = report.manifests.iter().map(|damaged| Damage {
        model: Some(damaged.name.to_string()),
        path: manifest_path(&damaged.name),
        problem: damaged.reason.clone(),
        remedy: match damaged.mended {
            true => {
                "none; the known manifest is back, the damaged one is in quarantine/".to_owned()
            }
            false => again(&damaged.name.to_string()),
        },
        mended: damaged.mended,
    });
    VerifyReport {
        models: report.models,
        blobs: report.blobs,
        bytes: report.bytes,
        damage: blobs.chain(manifests).collect(),
    }
}

pub(crate) fn gc_report(report: registry::GcReport) -> GcReport {
    if !report.strange.is_empty() {
        tracing::warn!(paths = ?report.strange, "unknown files among the manifests: nothing is removed from the store");
    }
    GcReport {
        removed: report.removed.iter().map(ToString::to_string).collect(),
        downloads: 0,
        bytes: report.bytes,
        blocked_by: report.blocked_by.iter().map(ToString::to_string).collect(),
        unknown_files: report.strange.len(),
    }
}

fn manifest_path(name: &registry::ModelName) -> String {
    format!("models/manifests/{}", name.folders().join("/"))
}

/// The remedy for a damaged blob. With `quarantine`, a blob with wrong bytes or in place of which there is no regular file was moved
/// aside; with other damage, nothing is moved.
fn remedy(model: Option<&str>, found: &registry::Damage, quarantine: bool) -> String {
    use registry::Damage::{Bytes, NotRegular};
    let moves = matches!(found, Bytes { .. } | NotRegular(_));
    match (model, moves, quarantine) {
        (Some(name), true, true) => format!("it was moved to quarantine/; {}", again(name)),
        (None, true, true) => "it was moved to quarantine/, and no model needs it".to_owned(),
        (Some(name), true, false) => format!("`slm verify --quarantine`, then {}", again(name)),
        (None, true, false) => "`slm verify --quarantine` moves it aside".to_owned(),
        (Some(name), false, _) => again(name),
        (None, false, _) => "no model needs it".to_owned(),
    }
}

fn again(name: &str) -> String {
    format!("`slm pull {name}` or create it again")
}
