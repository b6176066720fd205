//! The wire: request, response, stream-event and error bodies, and route paths.
//!
//! Pure data, no behaviour. The shapes are Ollama's where Ollama has them, so that its clients work unchanged;
//! what is ours in addition is marked as such.
//! Durations are in nanoseconds, sizes in bytes, times in RFC 3339.
//!
//! A stream is NDJSON: one object and a newline per event. A failure before the first event is an HTTP status with an
//! [`ErrorBody`]; after it, the `ErrorBody` is the last line. A stream that ends without its final event
//! (`done: true`, or `status: "success"`) was cut, and is an error for the client.

pub mod anthropic;
mod cloud;
mod config;
mod device;
mod doctor;
pub mod duration;
mod embed;
mod error;
mod event;
mod generate;
mod health;
mod job;
pub mod layout;
mod load;
mod model;
pub mod openai;
mod plan;
mod progress;
mod push;
pub mod routes;
mod token;
mod variant;

use serde::{Deserialize, Deserializer};

/// The version of Ollama whose Modelfiles, manifests and weights slm understands. `REQUIRES` in a Modelfile names such a version.
pub const OLLAMA: &str = "0.33.0";

pub use cloud::{CloudStatus, RecommendationsResponse, StatusResponse};
pub use config::{
    ConfigApplies, ConfigMistake, ConfigModel, ConfigOrigin, ConfigResponse, ConfigSetting,
    ConfigWatching,
};
pub use device::{
    BackendFacts, CacheFacts, DeviceFacts, DevicesResponse, DiskFacts, HostMemory, MeasuredFacts,
    NumaNodeFacts, ProcessorFacts, ProductFacts,
};
pub use doctor::{DoctorResponse, Finding, FindingLevel};
pub use embed::{
    Document, EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, RankedDocument,
    RerankRequest, RerankResponse, Texts, Usage,
};
pub use error::ErrorBody;
pub use event::{Event, EventFacts, EventKind, WhyResponse};
pub use generate::{
    AdapterScale, ChatEvent, ChatRequest, DebugInfo, DoneReason, Function, FunctionCall,
    GenerateEvent, GenerateRequest, KeepAlive, Logprob, Message, RenderedPrompt, Think, Timings,
    TokenLogprob, Tool, ToolCall, Unload,
};
pub use health::HealthResponse;
pub use job::{Job, JobKind, JobState, JobsResponse, Priority};
pub use load::{LoadRequest, LoadResponse, UnloadRequest, UnloadResponse, UnpinResponse};
pub use model::{
    AdoptRequest, CopyRequest, CreateRequest, DeleteRequest, Explanation, ExplanationFile,
    FoundModel, License, LoadedModel, LoadedPart, ModelDetails, ModelSummary, PsResponse,
    PullRequest, SearchRequest, SearchResponse, ShowRequest, ShowResponse, TagsResponse,
    TensorInfo, VerifyRequest, VersionResponse,
};
pub use plan::{PlanChoice, PlanDevice, PlanPart, PlanRequest, PlanResponse};
pub use progress::{AdoptMethod, Adopted, Damage, GcReport, Progress, VerifyReport};
pub use push::{
    KnownLogin, LoginRequest, LoginResponse, LoginsRequest, LoginsResponse, LogoutRequest,
    LogoutResponse, PushFormat, PushRequest, Pushed,
};
pub use token::{
    DetokenizeRequest, DetokenizeResponse, TemplateResponse, TokenizeRequest, TokenizeResponse,
};
pub use variant::{ModelVariant, VariantsRequest, VariantsResponse};

/// Reads `null` as the default: some clients send it for an empty field.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
