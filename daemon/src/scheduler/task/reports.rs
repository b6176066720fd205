//! Reports of runners and leases: a lease was released, a load has ended, a runner has exited.

use std::sync::Arc;
use std::time::Duration;

use api::{EventFacts, EventKind};
use runner_protocol::{Loaded, MemoryKind, Sandbox, SandboxLevel};
use supervisor::{Cause, Exit};
use tokio::time::Instant;

use super::super::entry::{Entry, Ready, State, Waiter};
use super::super::{LoadRequest, LoadedRunner, OnCpu, Unloading};
use super::{Notice, Task};
use crate::duration::nanos;
use crate::error::Error;
use crate::memory::{Bytes, DeviceId, Need, Usage};

impl Task {
    pub(super) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Released { entry } => self.released(entry),
            Notice::Loaded { entry, result } => self.loaded(entry, *result),
            Notice::Exited { entry, exit } => self.exited(entry, &exit),
        }
    }

    fn released(&mut self, id: u64) {
        if let Some(State::Ready(ready)) = self.table.get_mut(&id).map(|entry| &mut entry.state) {
            ready.leases -= 1;
            if ready.leases == 0 {
                ready.idle_since = Instant::now();
            }
        }
    }

    fn loaded(&mut self, id: u64, result: Result<LoadedRunner, Error>) {
        let Some(entry) = self.table.get_mut(&id) else {
            // The load was cancelled; dropping the runner ends it.
            return;
        };
        let State::Loading { waiters, since, .. } = &mut entry.state else {
            return;
        };
        let waiters = std::mem::take(waiters);
        let since = *since;
        match result {
            Err(error) => self.failed(id, waiters, &error),
            Ok(LoadedRunner {
                runner,
                loaded,
                adapters,
                saver,
                device_reason,
            }) => {
                tracing::info!(
                    model = %entry.request.name,
                    pid = runner.pid(),
                    context = loaded.context,
                    device = %loaded.device,
                    reason = device_reason,
                    took = ?since.elapsed(),
                    "loaded"
                );
                self.events.record(
                    &entry.request.name,
                    EventKind::Loaded,
                    loaded_text(&loaded, &device_reason, since.elapsed()),
                    EventFacts {
                        context: Some(loaded.context),
                        bytes: Some(loaded.resident_bytes + loaded.device_bytes),
                        device: Some(loaded.device.clone()),
                        load_duration: Some(nanos(since.elapsed())),
                        ..EventFacts::default()
                    },
                );
                let key = entry.request.key.clone();
                self.popularity
                    .loaded(&key, since.elapsed(), Instant::now());
                entry.need = entry.need.max(&measured(&loaded));
                warn_of_gaps(&entry.request, &runner.hello().sandbox);
                let exited = runner.exited();
                let notices = self.notices.clone();
                self.tasks.spawn(async move {
                    let exit = exited.await;
                    let _ = notices.send(Notice::Exited { entry: id, exit });
                });
                entry.state = State::Ready(Box::new(Ready {
                    runner,
                    loaded,
                    adapters,
                    saver,
                    device_reason,
                    leases: 0,
                    last_user: entry.request.crash_key(),
                    idle_since: Instant::now(),
                    load_time: since.elapsed(),
                }));
                // An adapter of another model that could not be opened is loaded for the requests of that model, which report why.
                let (served, others): (Vec<_>, Vec<_>) = waiters
                    .into_iter()
                    .partition(|waiter| entry.has_adapters_of(&waiter.request));
                let name = entry.request.name.clone();
                let (replaced, others): (Vec<_>, Vec<_>) = others
                    .into_iter()
                    .partition(|waiter| waiter.request.name == name);
                for waiter in replaced {
                    self.refuse(waiter, Error::Replaced(name.to_string()));
                }
                self.pending.splice(0..0, others);
                self.keep_spares();
                for waiter in served {
                    self.grant(id, waiter);
                }
            }
        }
    }

    /// A load failed. On an accelerator, the CPU is tried; when memory was too short, unloads the idle models and tries once more.
    fn failed(&mut self, id: u64, waiters: Vec<Waiter>, error: &Error) {
        let Some(entry) = self.table.remove(&id) else {
            return;
        };
        let error = match error {
            Error::Accelerator { source, .. } => match entry.request.fallback.clone() {
                Some(cpu) => return self.fall_back(entry, waiters, &cpu, error),
                None => source.as_ref(),
            },
            error => error,
        };
        tracing::warn!(model = %entry.request.name, "cannot load: {}", crate::error::chain(error));
        let name = entry.request.name.clone();
        let text = format!("cannot be loaded: {}", error.message());
        self.record_error(&name, EventKind::LoadFailed, text, error);
        if error.lacks_memory() && !entry.is_second_try {
            let may_go = |entry: &Entry| entry.is_idle() && !self.is_pinned(entry);
            let idle = self.table.iter().filter(|(_, entry)| may_go(entry));
            let idle: Vec<u64> = idle.map(|(id, _)| *id).collect();
            if !idle.is_empty() {
                for id in &idle {
                    self.stop(*id, format!("'{name}' needs its memory"));
                }
                self.second_tries.insert(entry.request.key, idle);
                self.pending.splice(0..0, waiters);
                return;
            }
        }
        // Files or adapters of one model may be at fault: each model of the base is loaded apart, and gets its own error.
        let may_be_of_one =
            matches!(error, Error::Store(_) | Error::Replaced(_)) || error.is_runner_crash();
        let are_several = waiters.iter().any(|waiter| waiter.request.name != name);
        if may_be_of_one && are_several {
            let apart = waiters.into_iter().map(|waiter| Waiter {
                request: waiter.request.apart(),
                ..waiter
            });
            self.pending.splice(0..0, apart);
            return;
        }
        if error.is_runner_crash() {
            let key = entry.request.crash_key();
            self.breaker.crashed(&key, Instant::now());
        }
        for waiter in waiters {
            let error = waiter.request.with_reasons(error.clone());
            let _ = waiter.reply.send(Err(error));
        }
    }

    /// The requests of a load that failed on an accelerator wait for a load on the CPU.
    fn fall_back(&mut self, entry: Entry, waiters: Vec<Waiter>, cpu: &OnCpu, error: &Error) {
        let name = &entry.request.name;
        tracing::warn!(model = %name, "{}; the CPU is tried", crate::error::chain(error));
        let text = format!("{}; the CPU is tried", error.message());
        self.record_error(name, EventKind::LoadFailed, text, error);
        let reason = error.to_string();
        if entry.is_shrunk {
            let request = entry.request.on_cpu(cpu, &reason);
            self.shrunk.push((request, entry.keep_alive));
        }
        let waiters = waiters.into_iter().map(|waiter| {
            let own = waiter.request.fallback.clone();
            let own = own.unwrap_or_else(|| Arc::new(cpu.clone()));
            Waiter {
                request: waiter.request.on_cpu(&own, &reason),
                ..waiter
            }
        });
        self.pending.splice(0..0, waiters);
    }

    fn exited(&mut self, id: u64, exit: &Exit) {
        let Some(mut entry) = self.table.remove(&id) else {
            return;
        };
        for reply in entry.gone.drain(..) {
            let _ = reply.send(Unloading::Done);
        }
        if matches!(entry.state, State::Stopping) || matches!(exit.cause, Cause::Stopped) {
            tracing::info!(model = %entry.request.name, "unloaded");
            self.record(&entry.request.name, EventKind::Unloaded, "unloaded");
            return;
        }
        // The streams of active requests end in an error by themselves.
        tracing::warn!(model = %entry.request.name, stderr = ?exit.stderr, "the runner {exit}");
        let text = format!("the runner {exit}");
        self.record(&entry.request.name, EventKind::Crashed, text);
        // Which request crashed it is not known; the last one is the likeliest.
        let key = match &entry.state {
            State::Ready(ready) => ready.last_user.clone(),
            State::Loading { .. } | State::Stopping => entry.request.crash_key(),
        };
        self.breaker.crashed(&key, Instant::now());
    }
}

/// The memory that a runner measured: the sizes of its buffers, or its resident bytes where it reports none. Resident bytes would
/// count a mapped file twice that was copied into another layout.
fn measured(loaded: &Loaded) -> Need {
    if loaded.memory.is_empty() {
        return Need {
            usage: Usage::of_host(loaded.resident_bytes),
            mapped: 0,
        };
    }
    let mut need = Need::default();
    for part in &loaded.memory {
        let device = DeviceId::new(&part.device);
        let sum = need.usage.on(&device).saturating_add(part.bytes);
        need.usage = need.usage.with(device, sum);
        if part.kind == MemoryKind::MappedWeights {
            need.mapped = need.mapped.saturating_add(part.bytes);
        }
    }
    need
}

/// What a load took and where the model is.
fn loaded_text(loaded: &Loaded, reason: &str, took: Duration) -> String {
    let device = match (loaded.device.as_str(), reason) {
        ("", _) => String::new(),
        (device, "") => format!(" on {device}"),
        (device, reason) => format!(" on {device} ({reason})"),
    };
    let bytes = Bytes(loaded.resident_bytes.saturating_add(loaded.device_bytes));
    format!(
        "loaded in {:.2} s{device}, with a context of {} tokens and {bytes}",
        took.as_secs_f64(),
        loaded.context
    )
}

/// Logs the gaps in the sandbox of a runner.
fn warn_of_gaps(request: &LoadRequest, sandbox: &Sandbox) {
    let (level, lacks) = (sandbox.level.name(), &sandbox.lacks);
    if sandbox.level < SandboxLevel::Full && !lacks.is_empty() {
        tracing::warn!(model = %request.name, level, lacks, "the runner is not fully confined");
    } else if !lacks.is_empty() {
        tracing::info!(model = %request.name, level, lacks, "the runner could be confined more strictly");
    }
}
