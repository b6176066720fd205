//! The settings of a load that a request or its model names.

use runner_protocol::LoadSettings;

/// Settings that a request or its model names, the context aside. A loaded model keeps the settings that neither names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettingOverrides {
    /// See [`LoadSettings::batch`].
    pub batch: Option<u32>,
    /// See [`LoadSettings::threads`].
    pub threads: Option<u32>,
    /// See [`LoadSettings::gpu_layers`].
    pub gpu_layers: Option<i32>,
    /// See [`LoadSettings::main_gpu`].
    pub main_gpu: Option<i32>,
    /// See [`LoadSettings::mmap`].
    pub mmap: Option<bool>,
}

impl SettingOverrides {
    /// These settings, and the others from `base`.
    #[must_use]
    pub fn over(self, base: LoadSettings) -> LoadSettings {
        LoadSettings {
            context: base.context,
            batch: self.batch.unwrap_or(base.batch),
            threads: self.threads.unwrap_or(base.threads),
            gpu_layers: self.gpu_layers.unwrap_or(base.gpu_layers),
            host_experts: base.host_experts,
            main_gpu: self.main_gpu.unwrap_or(base.main_gpu),
            mmap: self.mmap.unwrap_or(base.mmap),
            kv_type: base.kv_type,
        }
    }

    /// Whether a model that was loaded with these settings has all that is named.
    #[must_use]
    pub fn is_met_by(self, loaded: LoadSettings) -> bool {
        self.over(loaded) == loaded
    }
}

#[cfg(test)]
mod tests {
    use runner_protocol::KvType;

    use super::*;

    #[test]
    fn only_what_is_named_must_be_met() {
        let loaded = LoadSettings {
            context: 4096,
            batch: 512,
            threads: 0,
            gpu_layers: -1,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        };
        assert!(SettingOverrides::default().is_met_by(loaded));
        let same = SettingOverrides {
            batch: Some(512),
            threads: Some(0),
            gpu_layers: Some(-1),
            main_gpu: Some(0),
            mmap: Some(true),
        };
        assert!(same.is_met_by(loaded));
        let others = [
            SettingOverrides {
                batch: Some(1),
                ..same
            },
            SettingOverrides {
                threads: Some(1),
                ..same
            },
            SettingOverrides {
                gpu_layers: Some(1),
                ..same
            },
            SettingOverrides {
                main_gpu: Some(1),
                ..same
            },
            SettingOverrides {
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
