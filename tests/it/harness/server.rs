//! A server of models for tests, and helpers for tests that kill the daemon.

use origin::{Origin, layer, manifest};
use tokio::runtime::Runtime;

/// A server on a runtime of its own thread, for synchronous tests.
pub(crate) struct Server {
    /// The server.
    pub(crate) origin: Origin,
    _runtime: Runtime,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("threads");
        let origin = runtime.block_on(Origin::start());
        Self {
            origin,
            _runtime: runtime,
        }
    }

    /// Adds the model `library/mine:latest` with a large layer of an unused kind.
    pub(crate) fn model(&self, weights: &[u8], large: &[u8]) {
        let config = br#"{"model_format":"gguf"}"#;
        for bytes in [config.as_slice(), weights, large] {
            self.origin.blob(bytes);
        }
        let layers = [layer("model", weights), layer("tensor", large)];
        self.origin
            .manifest("library/mine:latest", manifest(config, &layers));
    }
}

/// Number of kills of the daemon in pulls and in pushes; a soak run sets more, such as `SLM_KILLS=150`.
pub(crate) fn kills() -> u64 {
    std::env::var("SLM_KILLS").map_or(30, |text| text.parse().expect("a number"))
}

/// Pseudo-random numbers, the same in each run.
pub(crate) fn random() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}
