//! `POST /slm/v1/plan`: what a model would take, and whether that fits.

use api::{ErrorBody, PlanChoice, PlanDevice, PlanPart, PlanRequest, PlanResponse};
use axum::extract::State;
use registry::{ModelMemory, ModelName};
use runner_protocol::{KvType, MAX_CONTEXT, MAX_SEQUENCES, MIN_CONTEXT};

use crate::accelerators::DeviceMemory;
use crate::app::App;
use crate::config::Kernels;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};
use crate::memory::DeviceId;
use crate::needs;
use crate::planner::{
    Capacity, Files, Fixed, LoadPlan, Machine, Offload, Placement, Prediction, fit, predict,
    tokens_per_second,
};
use crate::scheduler::HOST_CACHE_SHARE;

/// Predicts the memory of a model by part and device and its tokens per second, and says what would be chosen for the memory that is free.
///
/// A model that is not in the store is looked up as by a pull, and only the headers of its files are fetched. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::PLAN,
    request_body = PlanRequest,
    responses(
        (status = 200, description = "The prediction", body = PlanResponse),
        (status = "4XX", description = "A field is wrong, or no source has this model", body = ErrorBody),
        (status = "5XX", description = "The source failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PlanRequest, SMALL>,
) -> Result<axum::Json<PlanResponse>, Error> {
    let accelerators = accelerators(&app, &request).await?;
    let found = Found::find(&app, &request).await?;
    let kernels = app.config.current().kernels != Kernels::Off;
    let machine = app.needs.free_machine(kernels, &accelerators).await;
    let wish = wish(&app, &request, &found.memory, &machine)?;
    let files = Files::of(&found.memory);
    let bandwidth = app.devices.bandwidth(wish.settings.threads);
    let shown = |plan: &LoadPlan, prediction: &Prediction, reasons| {
        let speed = tokens_per_second(&files, plan, &machine, &bandwidth);
        choice(plan, prediction, speed, reasons)
    };
    let asked = shown(&wish, &predict(&files, &wish, &machine), Vec::new());
    let fixed = Fixed {
        context: request.context.is_some(),
        kv_type: request.kv_type.is_some(),
        sequences: request.slots.is_some(),
        layers: false,
        host_cache: app.config.current().state_memory.is_some(),
    };
    let (fits, chosen, help) = match fit(&files, &wish, fixed, &machine) {
        Ok(placed) => (is_as_wished(&wish, &placed), Some(placed), Vec::new()),
        Err(impossible) => (false, None, impossible.help),
    };
    let chosen = chosen.map(|placed| shown(&placed.plan, &placed.prediction, placed.reasons));
    Ok(axum::Json(PlanResponse {
        model: request.model,
        place: found.place,
        fits,
        asked,
        chosen,
        devices: devices(&machine),
        help,
    }))
}

/// The devices of the plan, with the memory that their budgets leave: the devices in the request, or without any the devices of a load.
async fn accelerators(app: &App, request: &PlanRequest) -> Result<Vec<DeviceMemory>, Error> {
    let config = app.config.current();
    let devices = if request.device.is_empty() {
        let name = ModelName::parse(&request.model).ok();
        app.accelerators.for_model(&config, name.as_ref()).await?
    } else {
        let found = app.accelerators.devices_named(&request.device).await;
        found.map_err(|error| Error::field("device", error.to_string()))?
    };
    let devices = devices.into_iter();
    Ok(devices
        .map(|device| device.within(&config.device_budget))
        .collect())
}

/// The headers of a model, and where they were read.
struct Found {
    place: String,
    memory: ModelMemory,
}

impl Found {
    async fn find(app: &App, request: &PlanRequest) -> Result<Self, Error> {
        if let Ok(name) = ModelName::parse(&request.model) {
            match app.registry.model(&name).await {
                Ok(model) => {
                    return Ok(Self {
                        place: "the store".to_owned(),
                        memory: app.registry.model_memory(&model).await?,
                    });
                }
                Err(registry::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reference = reference(&request.model)?;
        let (reference, _) = app.variants.decided(reference, request.insecure).await;
        let sources = app.sources.now();
        let found = app
            .registry
            .remote_headers(&reference, request.insecure, &sources)
            .await?;
        Ok(Self {
            place: found.place,
            memory: found.memory,
        })
    }
}

/// The settings that were asked for, and those of the configuration.
fn wish(
    app: &App,
    request: &PlanRequest,
    memory: &ModelMemory,
    machine: &Machine,
) -> Result<LoadPlan, Error> {
    let config = app.config.current();
    let kv_type = match &request.kv_type {
        None => config.kv_cache_type,
        Some(name) => KvType::find(name).ok_or_else(|| {
            Error::Invalid(format!(
                "kv_type is {name:?}, and must be f16, q8_0 or q4_0"
            ))
        })?,
    };
    let mut plan = LoadPlan::of_config(&config, memory, machine);
    let context = request.context.unwrap_or(plan.settings.context);
    let sequences = request.slots.unwrap_or(plan.sequences);
    for (field, value, range) in [
        ("context", context, MIN_CONTEXT..=MAX_CONTEXT),
        ("slots", sequences, 1..=MAX_SEQUENCES),
    ] {
        if !range.contains(&value) {
            return Err(Error::Invalid(format!(
                "{field} is {value}, and must be between {} and {}",
                range.start(),
                range.end()
            )));
        }
    }
    plan.settings.context = context;
    plan.settings.kv_type = kv_type;
    plan.sequences = sequences;
    if !request.device.is_empty() {
        plan.settings.gpu_layers = -1;
        let model = memory.weights.first().cloned().unwrap_or_default();
        plan.offload = Offload::of(-1, &model, machine);
    }
    if config.state_memory.is_none() && needs::keeps_states(memory) {
        plan.host_cache = machine.host.free / HOST_CACHE_SHARE;
    }
    Ok(plan)
}

fn is_as_wished(wish: &LoadPlan, placed: &Placement) -> bool {
    let (wished, chosen) = (&wish.settings, &placed.plan.settings);
    (
        wished.context,
        wished.kv_type,
        wish.sequences,
        wish.host_cache,
    ) == (
        chosen.context,
        chosen.kv_type,
        placed.plan.sequences,
        placed.plan.host_cache,
    ) && wish.offload == placed.plan.offload
}

fn choice(
    plan: &LoadPlan,
    prediction: &Prediction,
    tokens_per_second: Option<f64>,
    reasons: Vec<String>,
) -> PlanChoice {
    let parts = prediction.parts().iter().map(|part| PlanPart {
        part: part.kind.name().to_owned(),
        device: part.device.to_string(),
        bytes: part.bytes,
    });
    PlanChoice {
        context: plan.settings.context,
        slots: plan.sequences,
        kv_type: plan.settings.kv_type.name().to_owned(),
        gpu_layers: plan.offload.count(),
        total: prediction.total(),
        parts: parts.collect(),
        tokens_per_second,
        reasons,
    }
}

fn devices(machine: &Machine) -> Vec<PlanDevice> {
    let device = |id: &DeviceId, memory: Capacity| PlanDevice {
        device: id.to_string(),
        total: memory.total,
        free: memory.free,
    };
    let host = device(&DeviceId::host(), machine.host);
    let others = machine.accelerators.iter();
    std::iter::once(host)
        .chain(others.map(|accelerator| device(&accelerator.id, accelerator.memory)))
        .collect()
}
