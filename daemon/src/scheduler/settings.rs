//! Settings that hold for as long as a model is loaded, and which of them somebody asks for.

/// Settings of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most tokens in one decode call.
    pub batch: u32,
    /// CPU threads; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 as many as fit.
    pub gpu_layers: i32,
    /// Device for a model that lies on one GPU.
    pub main_gpu: i32,
    /// Map the file instead of reading it.
    pub mmap: bool,
}

/// The same, as far as request and model say them. What they do not say is left as it is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// See [`Settings::batch`].
    pub batch: Option<u32>,
    /// See [`Settings::threads`].
    pub threads: Option<u32>,
    /// See [`Settings::gpu_layers`].
    pub gpu_layers: Option<i32>,
    /// See [`Settings::main_gpu`].
    pub main_gpu: Option<i32>,
    /// See [`Settings::mmap`].
    pub mmap: Option<bool>,
}

impl Said {
    /// What is said, and the rest from `others`.
    #[must_use]
    pub fn over(self, others: Settings) -> Settings {
        Settings {
            batch: self.batch.unwrap_or(others.batch),
            threads: self.threads.unwrap_or(others.threads),
            gpu_layers: self.gpu_layers.unwrap_or(others.gpu_layers),
            main_gpu: self.main_gpu.unwrap_or(others.main_gpu),
            mmap: self.mmap.unwrap_or(others.mmap),
        }
    }

    /// Whether a model that was loaded with these settings has all that is said.
    #[must_use]
    pub fn is_met_by(self, loaded: Settings) -> bool {
        self.over(loaded) == loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_must_be_met() {
        let loaded = Settings {
            batch: 512,
            threads: 0,
            gpu_layers: -1,
            main_gpu: 0,
            mmap: true,
        };
        assert!(Said::default().is_met_by(loaded));
        let same = Said {
            batch: Some(512),
            threads: Some(0),
            gpu_layers: Some(-1),
            main_gpu: Some(0),
            mmap: Some(true),
        };
        assert!(same.is_met_by(loaded));
        let others = [
            Said {
                batch: Some(1),
                ..same
            },
            Said {
                threads: Some(1),
                ..same
            },
            Said {
                gpu_layers: Some(1),
                ..same
            },
            Said {
                main_gpu: Some(1),
                ..same
            },
            Said {
                mmap: Some(false),
                ..same
            },
        ];
        for other in others {
            assert!(!other.is_met_by(loaded), "{other:?}");
            assert!(other.is_met_by(other.over(loaded)), "{other:?}");
        }
    }
}
