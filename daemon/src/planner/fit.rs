//! Chooses how a model is loaded, so that it fits the memory that there is.
//!
//! What the request, the Modelfile or the configuration names is kept. The rest is given up in this order, and only as far as needed:
//! experts on accelerators, layers on accelerators, the host cache, slots, the precision of the KV cache, the context, and then precision again.
//! `docs/memory.md` gives the reasons for the order.

use registry::memory::MemoryFacts;
use runner_protocol::KvType;

use crate::memory::Bytes;

use super::offload::layer_count;
use super::{
    Capacity, DeviceId, Files, LayerShare, LoadPlan, Machine, Offload, Prediction, joined, predict,
};

/// A smaller context than this is of no use; a larger one is halved down to it.
const LEAST_CONTEXT: u32 = 2048;
/// Fewer slots than this are given up last.
const LEAST_SEQUENCES: u32 = 1;

/// What may not be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fixed {
    /// The context was asked for.
    pub context: bool,
    /// The type of the KV cache was asked for.
    pub kv_type: bool,
    /// The number of slots was asked for.
    pub sequences: bool,
    /// The number of layers on accelerators was asked for.
    pub layers: bool,
    /// The size of the host cache was asked for.
    pub host_cache: bool,
}

/// How a model is loaded, and why so.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Settings, slots and offload.
    pub plan: LoadPlan,
    /// What it will take.
    pub prediction: Prediction,
    /// What was decided, for people, one sentence each.
    pub reasons: Vec<String>,
}

/// Why a model cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Bytes of main memory that the smallest choice needs.
    pub needed: u64,
    /// Bytes of main memory that can be had.
    pub have: u64,
    /// What would help, one sentence each.
    pub help: Vec<String>,
}

/// Chooses the first plan that fits, in the order of the concessions.
///
/// # Errors
/// [`Impossible`] with what the smallest plan needs.
pub fn fit(
    files: &Files<'_>,
    wish: &LoadPlan,
    fixed: Fixed,
    machine: &Machine,
) -> Result<Placement, Impossible> {
    let model = joined(files.weights);
    let mut smallest = u64::MAX;
    for plan in concessions(&model, wish, fixed) {
        match place(files, &model, &plan, fixed, machine) {
            Ok((plan, prediction)) => {
                let mut reasons = placed(&model, &plan, &prediction, machine);
                reasons.extend(conceded(wish, &plan, machine));
                return Ok(Placement {
                    plan,
                    prediction,
                    reasons,
                });
            }
            Err(needed) => smallest = smallest.min(needed),
        }
    }
    Err(Impossible {
        needed: smallest,
        have: machine.host.free,
        help: help(wish, fixed, machine, smallest),
    })
}

/// The wish, and plans that take less and less.
fn concessions(model: &MemoryFacts, wish: &LoadPlan, fixed: Fixed) -> Vec<LoadPlan> {
    let mut plans = vec![wish.clone()];
    let mut last = wish.clone();
    let mut push = |last: &LoadPlan| plans.push(last.clone());
    if !fixed.host_cache && last.host_cache > 0 {
        last.host_cache = 0;
        push(&last);
    }
    if !fixed.sequences {
        while last.sequences > LEAST_SEQUENCES {
            last.sequences /= 2;
            push(&last);
        }
    }
    let has_cells = model.each_layer().any(|layer| layer.key_width > 0);
    let coarser = |last: &LoadPlan, kind: KvType| {
        let rows = |layer: &registry::memory::LayerFacts| {
            let row = |values| kind.row_bytes(values).is_some();
            row(layer.key_width) && row(layer.value_width)
        };
        !fixed.kv_type && has_cells && last.settings.kv_type < kind && model.each_layer().all(rows)
    };
    if coarser(&last, KvType::Q8_0) {
        last.settings.kv_type = KvType::Q8_0;
        push(&last);
    }
    if !fixed.context {
        while last.settings.context > LEAST_CONTEXT {
            last.settings.context = (last.settings.context / 2).max(LEAST_CONTEXT);
            push(&last);
        }
    }
    if coarser(&last, KvType::Q4_0) {
        last.settings.kv_type = KvType::Q4_0;
        push(&last);
    }
    plans
}

/// Places the layers of a plan; the bytes of main memory that it needs where they do not fit.
fn place(
    files: &Files<'_>,
    model: &MemoryFacts,
    plan: &LoadPlan,
    fixed: Fixed,
    machine: &Machine,
) -> Result<(LoadPlan, Prediction), u64> {
    let layers = layer_count(model);
    let attempt = |offload: Offload| {
        let plan = LoadPlan {
            offload,
            ..plan.clone()
        };
        let prediction = predict(files, &plan, machine);
        (plan, prediction)
    };
    let on_accelerators = |prediction: &Prediction| {
        let mut devices = machine.accelerators.iter();
        devices.all(|device| prediction.on(&device.id) <= device.memory.free)
    };
    let wanted = Offload::of(plan.settings.gpu_layers, model, machine);
    let (first, first_prediction) = attempt(wanted.clone());
    let fits_all = on_accelerators(&first_prediction);
    let (mut plan, mut prediction) = (first, first_prediction);
    if !fits_all && !fixed.layers {
        let has_experts = model.each_layer().any(|layer| layer.experts.bytes() > 0);
        let with_experts_out = |count| {
            attempt(Offload {
                experts_on_host: count,
                ..wanted.clone()
            })
        };
        let most = if has_experts { layers } else { 0 };
        let moved = least(most, |count| on_accelerators(&with_experts_out(count).1));
        (plan, prediction) = match moved {
            Some(count) => with_experts_out(count),
            None => {
                // The fewer layers, the less; so the most that fit are searched from below.
                let all = wanted.count();
                let fewer = |left: u32| {
                    let count = i32::try_from(all - left).unwrap_or(0);
                    let offload = Offload::of(count, model, machine);
                    let experts_on_host = if has_experts { layers } else { 0 };
                    attempt(Offload {
                        experts_on_host,
                        ..offload
                    })
                };
                let left = least(all, |left| on_accelerators(&fewer(left).1));
                fewer(left.unwrap_or(all))
            }
        };
    }
    let host = prediction.host();
    if on_accelerators(&prediction) && host <= machine.host.free {
        plan.settings.gpu_layers = i32::try_from(plan.offload.count()).unwrap_or(i32::MAX);
        plan.settings.host_experts = host_experts(&plan.offload, layers);
        return Ok((plan, prediction));
    }
    Err(host)
}

/// The least number up to `most` that passes the test, by bisection; `None` if `most` fails it. The test must be monotone: a number that
/// passes makes every larger number pass.
fn least(most: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
    if !holds(most) {
        return None;
    }
    let (mut no, mut yes) = (0, most);
    while no < yes {
        let middle = no + (yes - no) / 2;
        match holds(middle) {
            true => yes = middle,
            false => no = middle + 1,
        }
    }
    Some(yes)
}

/// The number of first layers whose experts stay in main memory, as the runner counts them.
fn host_experts(offload: &Offload, layers: u32) -> u32 {
    if offload.experts_on_host == 0 {
        return 0;
    }
    let on_host = (layers + 1).saturating_sub(offload.count());
    (on_host + offload.experts_on_host).min(layers)
}

/// Where the model is.
fn placed(
    model: &MemoryFacts,
    plan: &LoadPlan,
    prediction: &Prediction,
    machine: &Machine,
) -> Vec<String> {
    let layers = layer_count(model);
    let room = |device: &DeviceId, memory: Capacity| {
        format!(
            "{} of {} free",
            Bytes(prediction.on(device)),
            Bytes(memory.free)
        )
    };
    let mut reasons = Vec::new();
    for LayerShare { device, count } in &plan.offload.layers {
        let memory = machine
            .accelerators
            .iter()
            .find(|known| known.id == *device);
        let memory = memory.map(|known| known.memory).unwrap_or_default();
        let (all, room) = (layers + 1, room(device, memory));
        reasons.push(format!("{count} of {all} layers on {device}: {room}"));
    }
    if plan.offload.experts_on_host > 0 {
        let count = plan.offload.experts_on_host.min(layers);
        reasons.push(format!("the experts of {count} layers stay in main memory, because the accelerator has no room for them"));
    }
    let host = DeviceId::host();
    reasons.push(format!("main memory: {}", room(&host, machine.host)));
    reasons
}

/// The plans that take less and less, with what each gives up of the wish, for a caller that knows what can be freed.
pub fn smaller(
    files: &Files<'_>,
    wish: &LoadPlan,
    fixed: Fixed,
    machine: &Machine,
) -> Vec<(LoadPlan, Prediction, Vec<String>)> {
    let model = joined(files.weights);
    let plans = concessions(&model, wish, fixed).into_iter().skip(1);
    plans
        .map(|plan| {
            let prediction = predict(files, &plan, machine);
            let changes = changes(wish, &plan);
            (plan, prediction, changes)
        })
        .collect()
}

/// What was given up, and why.
fn conceded(wish: &LoadPlan, plan: &LoadPlan, machine: &Machine) -> Vec<String> {
    let free = Bytes(machine.host.free);
    let changes = changes(wish, plan).into_iter();
    changes
        .map(|change| format!("{change}, because {free} of main memory are free"))
        .collect()
}

/// What was given up.
fn changes(wish: &LoadPlan, plan: &LoadPlan) -> Vec<String> {
    let mut reasons = Vec::new();
    if plan.host_cache < wish.host_cache {
        reasons.push("no host cache".to_owned());
    }
    if plan.sequences < wish.sequences {
        reasons.push(format!(
            "{} slots instead of {}",
            plan.sequences, wish.sequences
        ));
    }
    if plan.settings.kv_type != wish.settings.kv_type {
        let (now, before) = (plan.settings.kv_type.name(), wish.settings.kv_type.name());
        reasons.push(format!("a KV cache of type {now} instead of {before}"));
    }
    if plan.settings.context < wish.settings.context {
        let (now, before) = (plan.settings.context, wish.settings.context);
        reasons.push(format!("a context of {now} tokens instead of {before}"));
    }
    reasons
}

fn help(wish: &LoadPlan, fixed: Fixed, machine: &Machine, needed: u64) -> Vec<String> {
    let mut help = Vec::new();
    if fixed.context && wish.settings.context > LEAST_CONTEXT {
        help.push("ask for a smaller context, for example with num_ctx".to_owned());
    }
    if fixed.kv_type && wish.settings.kv_type != KvType::Q4_0 {
        help.push("set kv_cache_type to q8_0 or q4_0".to_owned());
    }
    if fixed.sequences && wish.sequences > LEAST_SEQUENCES {
        help.push("set parallel to a smaller number".to_owned());
    }
    if needed <= machine.host.total {
        help.push("unload other models, or end programs that take memory".to_owned());
    }
    help.push("take a smaller model, or a quantization with fewer bits".to_owned());
    help
}
