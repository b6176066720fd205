//! Saved states: what the daemon hands in before a model loads, and what is handed out before it is unloaded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    Bytes, Event, HostCacheSetup, Load, MAX_STATE_PART, MAX_STATES, State,
    state::{Head, MAX_BUILD, MAX_MODEL_KEY, Saved},
};

use crate::{
    cache::{host_cache::HostCache, read_ahead::ReadAhead, slots::EvictedSeq},
    error::Error,
    model::{Model, adapters::AdapterNames, backend},
    outbox::count,
    system::{fs, memory},
};

/// Share of the available memory for states, if the daemon does not say how much.
const SHARE: u64 = 16;

/// What was handed in before the model was loaded.
#[derive(Debug)]
pub(crate) struct StateImport {
    /// Key of the model of these states.
    model: String,
    /// Bytes of memory for states.
    memory: u64,
    /// Saved states, with their indices; `None` for one whose head cannot be read.
    states: Vec<(u32, Option<Arc<Saved>>)>,
    /// The first state is read while the model loads: the first request most likely continues it.
    ahead: Option<ReadAhead>,
}

/// What is handed out.
#[derive(Debug, Default)]
pub(crate) struct StateExport {
    /// Key of the model; without one, nothing is handed out.
    model: Option<String>,
    build: String,
    /// The adapters of its runner.
    adapters: AdapterNames,
    /// The state that was handed out last.
    state: Vec<u8>,
}

impl StateImport {
    /// Opens the files and reads their heads. `read` begins to read the first of them, if it fits the memory for states.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a number is out of its range, or a descriptor is no open file.
    pub(crate) fn open(
        setup: HostCacheSetup,
        read: impl FnOnce(Arc<Saved>) -> ReadAhead,
    ) -> Result<Self, Error> {
        if !(1..=MAX_MODEL_KEY).contains(&setup.model.len()) || setup.files.len() > MAX_STATES {
            return Err(Error::Invalid(format!(
                "a model has a key of at most {MAX_MODEL_KEY} bytes and at most {MAX_STATES} saved states"
            )));
        }
        let open = |(index, &fd): (u32, &i32)| {
            let (path, _) = fs::descriptor(fd, "saved state")?;
            let opened = fs::open(&path).map_err(Into::into).and_then(Saved::open);
            if let Err(error) = &opened {
                tracing::warn!(index, %error, "a saved state is not used");
            }
            Ok((index, opened.ok().map(Arc::new)))
        };
        let states: Result<Vec<_>, Error> = (0..).zip(&setup.files).map(open).collect();
        let states = states?;
        let free = || memory::available().unwrap_or(0) / SHARE;
        let memory = setup.memory.unwrap_or_else(free);
        let first = states.first().and_then(|(_, saved)| saved.clone());
        Ok(Self {
            model: setup.model,
            memory,
            ahead: first.filter(|first| first.head().bytes <= memory).map(read),
            states,
        })
    }

    /// How many heads could be read.
    pub(crate) fn readable(&self) -> u32 {
        let readable = self.states.iter().filter(|(_, saved)| saved.is_some());
        count(readable.count())
    }

    /// The host cache with the states that fit this model. States with adapters that are not loaded are passed over; the others are
    /// refused.
    pub(crate) fn into_cache(
        mut self,
        model: &Model,
        load: &Load,
        adapters: &AdapterNames,
        now: Instant,
    ) -> (HostCache, StateExport) {
        let mut host_cache = HostCache::new(self.memory);
        let build = build(model, load);
        for (index, saved) in self.states {
            let ours = |saved: &Arc<Saved>| {
                let head = saved.head();
                head.model == self.model
                    && head.build == build
                    && model.checked(&head.tokens).is_ok()
            };
            match saved.filter(ours) {
                Some(saved) => {
                    let Some(scales) = adapters.scales_of(&saved.head().adapters) else {
                        continue;
                    };
                    let age = Duration::from_secs(index.into());
                    let used = now.checked_sub(age).unwrap_or(now);
                    let ahead = self.ahead.take_if(|_| index == 0);
                    host_cache.add_file(index, saved, scales, ahead, used);
                }
                None => host_cache.refuse_file(index),
            }
        }
        let export = StateExport {
            model: Some(self.model),
            build,
            adapters: adapters.clone(),
            state: Vec::new(),
        };
        (host_cache, export)
    }
}

impl StateExport {
    /// Whether states are handed out at all.
    pub(crate) fn is_allowed(&self) -> bool {
        self.model.is_some()
    }

    /// Hands out a state, or says that there is none.
    pub(crate) fn export_state(&mut self, evicted: Option<EvictedSeq>) -> Event {
        self.state = Vec::new();
        let (Some(evicted), Some(model)) = (evicted, &self.model) else {
            return Event::State(None);
        };
        let EvictedSeq {
            tokens,
            scales,
            state,
            instead_of,
        } = evicted;
        self.state = state;
        let head = Head {
            model: model.clone(),
            build: self.build.clone(),
            adapters: self.adapters.named(&scales),
            tokens: tokens.into_iter().map(|LlamaToken(token)| token).collect(),
            bytes: self.state.len() as u64,
        };
        Event::State(Some(Box::new(State { head, instead_of })))
    }

    /// Bytes of the state that was handed out last.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has no such byte.
    pub(crate) fn part(&self, offset: u64) -> Result<Event, Error> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.state.get(offset..));
        let rest = rest.ok_or_else(|| {
            let bytes = self.state.len();
            Error::Invalid(format!(
                "the state has {bytes} bytes, and none at {offset}; hand one out first"
            ))
        })?;
        let part = rest[..rest.len().min(MAX_STATE_PART)].to_vec();
        Ok(Event::StatePart(Bytes(part)))
    }
}

/// What decides the layout of a state besides model and tokens: the build of llama.cpp and the device.
fn build(model: &Model, load: &Load) -> String {
    let device = backend::device(load.settings.gpu_layers != 0);
    let device = match device.starts_with("CPU") {
        // All CPU modules have the same layout.
        true => "CPU",
        false => &device,
    };
    let reach = if is_stretched(model, load.settings.context) {
        "stretched"
    } else {
        "as trained"
    };
    let engine = backend::engine();
    let package = env!("SLM_LLAMA_PACKAGE");
    let kv_type = load.settings.kv_type.name();
    let mut build = format!("{engine} ({package}), {kv_type}, {reach}, {device}");
    build.truncate(build.floor_char_boundary(MAX_BUILD));
    build
}

/// Whether positions are scaled, because the context is longer than the model was first trained with.
fn is_stretched(model: &Model, context: u32) -> bool {
    let said = |key: &str| model.llama.meta_val_str(key).ok();
    let architecture = said("general.architecture").unwrap_or_default();
    said(&format!(
        "{architecture}.rope.scaling.original_context_length"
    ))
    .and_then(|length| length.parse().ok())
    .is_some_and(|length: u32| context > length)
}
