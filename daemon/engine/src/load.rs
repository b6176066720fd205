//! From a request to load to a model with a context.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use llama_cpp_2::{
    gguf::GgufContext,
    llama_backend::LlamaBackend,
    model::{LlamaModel, params::LlamaModelParams},
};
use runner_protocol::{
    Load, MAX_ADAPTER_DIGEST, MAX_ADAPTERS, MAX_BATCH, MAX_CONTEXT, MAX_SEQUENCES, MAX_THREADS,
    MIN_CONTEXT, MemoryKind, MemoryPart, RefusedAdapter,
};

use crate::{
    cache::Memory,
    error::Error,
    ffi::{
        self,
        context::{Context, Settings},
        parts,
        vision::Projector,
    },
    images::encoder::Pulse,
    model::{Model, adapters::Adapters, backend},
    system::{fs, memory, threads},
};

/// Tokens that the matrix kernels take at once. More costs memory and brings no speed.
const MICRO_BATCH: u32 = 512;

/// Most cells of a picture that is computed in one call; the largest of the models that do so (Gemma 4).
const WHOLE_PICTURE: u32 = 1120;

/// Projectors whose output depends on the text before the image, which is not known when it is encoded.
const UNALIGNED: [&str; 2] = ["deepseek4v", "hunyuanvl"];

/// Progress is reported in steps of this share.
const PROGRESS_STEP: f32 = 0.01;

/// Finished sequences that may stay in the KV cache, beside running ones.
/// Each costs room for the logits of a token.
const KEPT: u32 = 16;

/// Checks what the settings alone can tell.
///
/// # Errors
/// [`Error::Invalid`] names the setting; [`Error::Unsupported`] what this engine cannot do.
pub(crate) fn check(load: &Load) -> Result<(), Error> {
    let ranges = [
        ("context", load.settings.context, MIN_CONTEXT..=MAX_CONTEXT),
        ("sequences", load.sequences, 1..=MAX_SEQUENCES),
        ("batch", load.settings.batch, 1..=MAX_BATCH),
        ("threads", load.settings.threads, 0..=MAX_THREADS),
    ];
    for (name, value, range) in ranges {
        if !range.contains(&value) {
            return Err(Error::Invalid(format!(
                "{name} is {value}, but must lie between {} and {}",
                range.start(),
                range.end()
            )));
        }
    }
    if load.settings.batch < load.sequences {
        return Err(Error::Invalid(format!(
            "batch is {}, but must hold one token of each of the {} sequences",
            load.settings.batch, load.sequences
        )));
    }
    if load.settings.gpu_layers < -1 {
        return Err(Error::Invalid(format!(
            "gpu_layers is {}, but must be −1 or more",
            load.settings.gpu_layers
        )));
    }
    if load.settings.main_gpu < 0 {
        return Err(Error::Invalid(format!(
            "main_gpu is {}, but must be 0 or more",
            load.settings.main_gpu
        )));
    }
    let mut digests = load.adapters.iter().map(|adapter| &adapter.digest);
    if digests.any(|digest| !(1..=MAX_ADAPTER_DIGEST).contains(&digest.len())) {
        return Err(Error::Invalid(format!(
            "the digest of an adapter must have 1 to {MAX_ADAPTER_DIGEST} bytes"
        )));
    }
    if load.adapters.len() > MAX_ADAPTERS {
        return Err(Error::Unsupported(format!(
            "it has {} adapters, and a model may have {MAX_ADAPTERS}",
            load.adapters.len()
        )));
    }
    Ok(())
}

/// The adapters of a load.
pub(crate) struct LoadedAdapters {
    /// The adapters that fit the weights.
    pub(crate) adapters: Adapters,
    /// The others.
    pub(crate) refused: Vec<RefusedAdapter>,
    /// The bytes of their files.
    pub(crate) memory: Option<MemoryPart>,
}

/// Loads the model and its adapters. `progress` gets the share that is done.
///
/// # Errors
/// [`Error::Unsupported`] with llama.cpp's reason.
pub(crate) fn weights(
    backend: &LlamaBackend,
    load: &Load,
    mut progress: impl FnMut(f32) + 'static,
) -> Result<(Model, LoadedAdapters), Error> {
    let (files, size) = files(load)?;
    if !load.settings.mmap {
        memory::check("the model", size)?;
    }

    let mut told = 0.0;
    let tell = move |fraction: f32| {
        if fraction >= told + PROGRESS_STEP {
            told = fraction;
            progress(fraction);
        }
    };
    ffi::log::take_first_error();
    let llama = open(backend, load, &files, tell)
        .ok_or_else(|| failure(native_reason(), Error::Unsupported))?;
    let mut model = Model::new(llama, load.chat_template.clone())?;
    let adapters = adapters(&mut model, load)?;
    Ok((model, adapters))
}

/// Loads the adapters that fit the model.
fn adapters(model: &mut Model, load: &Load) -> Result<LoadedAdapters, Error> {
    let (mut adapters, mut refused, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    for adapter in &load.adapters {
        let (path, size) = fs::descriptor(adapter.fd, "adapter")?;
        let digest = adapter.digest.clone();
        ffi::log::take_first_error();
        match model.llama.lora_adapter_init(path) {
            Ok(opened) => {
                adapters.push((digest, opened));
                bytes = bytes.saturating_add(size);
            }
            Err(_) => {
                let reason = native_reason();
                tracing::warn!(digest, reason, "an adapter does not fit the weights");
                refused.push(RefusedAdapter { digest, reason });
            }
        }
    }
    let device = || backend::memory_device(load.settings.gpu_layers != 0);
    Ok(LoadedAdapters {
        adapters: Adapters::new(adapters),
        refused,
        memory: (bytes > 0).then(|| MemoryPart {
            kind: MemoryKind::Adapters,
            device: device(),
            bytes,
        }),
    })
}

/// Paths of the files of the weights, the first part first, and their bytes together.
fn files(load: &Load) -> Result<(Vec<PathBuf>, u64), Error> {
    let mut files = Vec::new();
    let mut bytes = 0_u64;
    for fd in std::iter::once(&load.weights_fd).chain(&load.shard_fds) {
        let (path, size) = fs::descriptor(*fd, "weights")?;
        files.push(path);
        bytes = bytes.saturating_add(size);
    }
    Ok((files, bytes))
}

/// `None` when llama.cpp cannot.
fn open(
    native: &LlamaBackend,
    load: &Load,
    files: &[PathBuf],
    mut tell: impl FnMut(f32) + 'static,
) -> Option<LlamaModel> {
    let whole = match files {
        [only] if load.settings.host_experts == 0 => Some(only),
        _ => None,
    };
    let Some(only) = whole else {
        let settings = parts::Settings {
            mmap: load.settings.mmap,
            main_gpu: load.settings.main_gpu,
            gpu_layers: load.settings.gpu_layers,
            devices: backend::devices(load.settings.gpu_layers != 0),
            host_experts: load.settings.host_experts,
        };
        return parts::load(native, files, &settings, &mut tell);
    };
    let mut params = LlamaModelParams::default()
        .with_use_mmap(load.settings.mmap)
        .with_main_gpu(load.settings.main_gpu)
        .with_progress_callback(move |share| {
            tell(share);
            true
        });
    if let Ok(layers) = u32::try_from(load.settings.gpu_layers) {
        params = params.with_n_gpu_layers(layers);
    }
    if let Some(devices) = backend::devices(load.settings.gpu_layers != 0) {
        params = params.with_devices(&devices).ok()?;
    }
    LlamaModel::load_from_file(native, only, &params).ok()
}

/// Opens the projector, where the model has one.
///
/// # Errors
/// [`Error::Unsupported`] with llama.cpp's reason, and for a projector that takes no images.
pub(crate) fn projector<'m>(
    model: &'m Model,
    load: &Load,
    pulse: &Arc<Pulse>,
) -> Result<Option<Projector<'m>>, Error> {
    let Some(wanted) = &load.projector else {
        return Ok(None);
    };
    let (path, size) = fs::descriptor(wanted.fd, "projector")?;
    memory::check("the projector", size)?;
    if let Some(kind) = kind(&path).filter(|kind| UNALIGNED.contains(&kind.as_str())) {
        return Err(Error::Unsupported(format!(
            "projectors of the type '{kind}' are not supported yet"
        )));
    }
    ffi::log::take_first_error();
    let (threads, witness) = (threads(load), Arc::clone(pulse));
    let projector = Projector::open(
        &path,
        &model.llama,
        threads,
        load.settings.gpu_layers != 0,
        witness,
    );
    let projector = projector.ok_or_else(|| {
        Error::Unsupported(format!(
            "its projector cannot be used with it: {}",
            native_reason()
        ))
    })?;
    if !projector.sees() {
        return Err(Error::Unsupported(
            "its projector is made for sound, which is not supported yet".into(),
        ));
    }
    Ok(Some(projector))
}

/// The type that a projector's file states.
fn kind(path: &Path) -> Option<String> {
    let gguf = GgufContext::from_file(path)?;
    let said = |key: &str| {
        let at = gguf.find_key(key);
        let is_text = at >= 0 && gguf.kv_type(at) == llama_cpp_sys_2::GGUF_TYPE_STRING;
        is_text.then(|| gguf.val_str(at).map(String::from))?
    };
    said("clip.projector_type").or_else(|| said("clip.vision.projector_type"))
}

/// Makes the context: the KV cache and the compute buffers. Setting `stop` ends a decode call early.
///
/// # Errors
/// [`Error::OutOfMemory`] before anything is taken; [`Error::Internal`] with llama.cpp's reason.
pub(crate) fn context<'m>(
    model: &'m Model,
    load: &Load,
    projector: Option<&Projector<'_>>,
    stop: Arc<AtomicBool>,
) -> Result<Memory<'m>, Error> {
    let trained = model.trained_context();
    if trained > 0 && load.settings.context > trained {
        tracing::warn!(
            context = load.settings.context,
            trained,
            "the context is longer than the model was trained with"
        );
    }
    // Pictures that are computed in one call decide how long the longest one is.
    let whole = projector.is_some_and(Projector::is_whole);
    let least = if whole { WHOLE_PICTURE } else { 1 };
    context_of(model, load, sequences(&model.llama, load), least, stop)
}

/// The same with a number of sequences, and with so many tokens at least that the kernels take at once.
///
/// # Errors
/// See [`context`].
pub(crate) fn context_of<'m>(
    model: &'m Model,
    load: &Load,
    sequences: u32,
    least: u32,
    stop: Arc<AtomicBool>,
) -> Result<Memory<'m>, Error> {
    memory::check(
        "the context",
        memory::kv_bytes(&model.llama, load.settings.context, load.settings.kv_type),
    )?;
    let settings = Settings {
        cells: load.settings.context,
        batch: load.settings.batch.max(least),
        micro_batch: load.settings.batch.clamp(1, MICRO_BATCH).max(least),
        sequences,
        outputs: sequences,
        threads: threads(load),
        kv_type: load.settings.kv_type,
    };
    ffi::log::take_first_error();
    let context = Context::new(&model.llama, settings, stop)
        .ok_or_else(|| failure(native_reason(), Error::Internal))?;
    backend::check_splits(context.splits(), load.settings.gpu_layers != 0)?;
    Ok(Memory::new(context, &model.llama))
}

/// Threads that compute.
pub(crate) fn threads(load: &Load) -> i32 {
    let threads = match load.settings.threads {
        0 => threads::best(),
        wanted => wanted,
    };
    i32::try_from(threads).expect("checked against a small limit")
}

/// How many sequences the cache has: running ones, and some finished ones.
pub(crate) fn sequences(model: &LlamaModel, load: &Load) -> u32 {
    // Recurrent states are large and allocated from the start.
    let kept = if model.is_recurrent() || model.is_hybrid() {
        0
    } else {
        KEPT
    };
    (load.sequences + kept).min(MAX_SEQUENCES)
}

/// Cells that a request may use.
///
/// # Errors
/// [`Error::Invalid`] for fewer than [`MIN_CONTEXT`].
pub(crate) fn held(wanted: Option<u32>, there: usize) -> Result<usize, Error> {
    match wanted {
        Some(wanted) if wanted < MIN_CONTEXT => Err(Error::Invalid(format!(
            "the context is {wanted}, but must be at least {MIN_CONTEXT}"
        ))),
        Some(wanted) => Ok(there.min(wanted as usize)),
        None => Ok(there),
    }
}

/// llama.cpp says in words only that a device has too little memory.
fn failure(reason: String, other: impl FnOnce(String) -> Error) -> Error {
    match reason.contains("allocate") {
        true => Error::DeviceMemory(reason),
        false => other(reason),
    }
}

/// Why llama.cpp did not do what it was asked last.
pub(crate) fn native_reason() -> String {
    ffi::log::take_first_error().unwrap_or_else(|| "llama.cpp gives no reason".into())
}

#[cfg(test)]
mod tests {
    use runner_protocol::{Adapter, KvType, LoadSettings, Speculation};

    use super::*;

    fn load() -> Load {
        Load {
            weights_fd: 3,
            shard_fds: Vec::new(),
            adapters: Vec::new(),
            sequences: 4,
            settings: LoadSettings {
                context: 2048,
                batch: 512,
                threads: 0,
                gpu_layers: -1,
                host_experts: 0,
                main_gpu: 0,
                mmap: true,
                kv_type: KvType::F16,
            },
            chat_template: None,
            draft_fd: None,
            speculation: Speculation::Off,
            projector: None,
        }
    }

    /// Makes one setting wrong.
    type Spoil = fn(&mut Load);

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong: [(&str, Spoil); 10] = [
            ("context", |l| l.settings.context = 3),
            ("context", |l| l.settings.context = 2_000_000_000),
            ("sequences", |l| l.sequences = 0),
            ("sequences", |l| l.sequences = 257),
            ("batch", |l| l.settings.batch = 0),
            ("batch", |l| l.settings.batch = 65_537),
            ("batch", |l| l.settings.batch = 3),
            ("threads", |l| l.settings.threads = 513),
            ("gpu_layers", |l| l.settings.gpu_layers = -2),
            ("main_gpu", |l| l.settings.main_gpu = -1),
        ];
        assert!(check(&load()).is_ok());
        for (name, spoil) in wrong {
            let mut load = load();
            spoil(&mut load);
            let error = check(&load).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn adapters_are_checked() {
        let mut load = load();
        let adapter = |digest: &str| Adapter {
            fd: 4,
            digest: digest.to_owned(),
        };
        for digest in [String::new(), "a".repeat(MAX_ADAPTER_DIGEST + 1)] {
            load.adapters = vec![adapter(&digest)];
            assert!(matches!(check(&load), Err(Error::Invalid(_))));
        }
        load.adapters = vec![adapter("a"); MAX_ADAPTERS];
        assert!(check(&load).is_ok());
        load.adapters.push(adapter("a"));
        assert!(matches!(check(&load), Err(Error::Unsupported(_))));
    }

    #[test]
    fn descriptors_that_are_no_file_are_refused() {
        for fd in [-1, 0, 2, 1_000_000] {
            assert!(
                matches!(fs::descriptor(fd, "weights"), Err(Error::Invalid(_))),
                "{fd}"
            );
        }
    }
}
