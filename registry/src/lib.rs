//! Everything on disk, and everything that moves models.
//!
//! A model is a name that points to a manifest; a manifest lists blobs; a blob is a file named by its SHA-256 and never changes.
//! [`Registry`] is the only door: it opens the folder, and every operation on models is one of its methods.
//!
//! Pure modules come first ([`name`], [`digest`], [`relpath`], [`manifest`], [`config`], [`gguf`], [`convert`], [`translate`],
//! [`memory`], [`facts`]), then the disk (`fs`, `store`, `index`, which only this crate sees), then the operations, then where models come from:
//! what people ask for ([`mod@reference`]), the places that may have it ([`source`], [`remote`]), how it is brought here ([`http`],
//! [`transfer`]), and [`pull`] over them all; [`variants`] lists what they have of one model.
//! Nothing here knows HTTP serving, runners, terminals or environment variables.

mod ahead;
pub mod catalog;
mod child;
pub mod config;
pub mod convert;
pub mod credentials;
pub mod digest;
pub mod error;
pub mod facts;
mod fs;
pub mod gguf;
mod host;
pub mod http;
mod index;
mod key;
pub mod manifest;
pub mod memory;
pub mod mirrors;
pub mod model;
pub mod name;
mod portable;
pub mod progress;
pub mod pull;
pub mod push;
pub mod reference;
pub mod relpath;
pub mod remote;
mod renderers;
mod resolve;

mod registry;
pub mod search;
mod shard;
pub mod source;
mod store;
pub mod transfer;
pub mod translate;
mod unpack;
pub mod variants;

pub use ahead::RemoteHeaders;
pub use digest::Digest;
pub use error::{Damage, Error, Result};
pub use key::ModelKey;
pub use model::{Capability, Details, Model, ModelEntry, OpenBlob, Ready, Shown};
pub use name::ModelName;
pub use progress::{Progress, Reporter, Stage};
pub use reference::Reference;
pub use registry::{
    AdaptedModel, Base, Create, DamagedBlob, DamagedModel, FileNames, GcReport, ItemPage,
    ItemQuery, LoggedIn, MeasuredMemory, ModelMemory, ModelRef, NewLogin, NewState, Options, Put,
    Registry, SavedConversation, SavedItem, SavedJob, SavedJobs, SavedResponse, SavedState,
    StateId, VerifyOptions, VerifyReport, Weights,
};
pub use relpath::RelPath;
pub use store::{Step, StepHook};
pub use variants::{Variant, Variants, WeightFormat};
