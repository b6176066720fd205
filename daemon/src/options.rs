//! Joins the parameters of request, model and configuration, and translates them for the runner.

use modelfile::Parameters;
use modelfile::parameter::{Error as Wrong, Kind};
use runner_protocol::{
    Adaptive, Dry, KvType, LoadSettings, MIN_CONTEXT, Mirostat, Overflow, Sampling,
};
use serde_json::{Map, Value};

use crate::config::{Config, ModelSettings};
use crate::error::Error;
use crate::scheduler::SettingOverrides;

/// The configured defaults, for parameters that neither request nor model sets.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Context in tokens.
    pub context: u32,
    /// CPU threads; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 for as many as fit.
    pub gpu_layers: i32,
    /// Type of keys and values in the KV cache.
    pub kv_type: KvType,
    /// Whether the same request gives the same text, whatever runs beside it.
    pub deterministic: bool,
}

impl Defaults {
    /// The settings of a model, and the settings for all models where it has none.
    pub fn of(config: &Config, model: &ModelSettings) -> Self {
        Self {
            context: model.context_length.unwrap_or(config.context_length),
            threads: model.threads.unwrap_or(config.threads),
            gpu_layers: model.gpu_layers.unwrap_or(config.gpu_layers),
            kv_type: model.kv_cache_type.unwrap_or(config.kv_cache_type),
            deterministic: model.deterministic.unwrap_or(config.deterministic),
        }
    }
}

/// The parameters of one request, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedOptions {
    /// Parameters of the sampler.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` until the context is full.
    pub max_tokens: Option<u32>,
    /// Stop texts.
    pub stop: Vec<String>,
    /// Most tokens of one draft; `None` lets the engine choose.
    pub draft: Option<u32>,
    /// What happens to a prompt that does not fit the context, if the request allows to cut it.
    pub overflow: Overflow,
    /// Whether the same request gives the same text, whatever runs beside it.
    pub deterministic: bool,
    /// The load settings that the request or its model sets.
    pub required: SettingOverrides,
    /// The same with the defaults, for a model that is not loaded yet. Its context limits prompt and answer together, also if
    /// the model is loaded with a larger one.
    pub load: LoadSettings,
    /// Whether the request or its model names the context.
    pub names_context: bool,
}

/// Reads the options of a request. Unknown names are logged and ignored, because clients send options of other servers; a wrong
/// value is an error.
///
/// # Errors
/// [`Error::Invalid`] with the option and its valid values.
pub fn read(options: Option<&Map<String, Value>>) -> Result<Parameters, Error> {
    let Some(options) = options else {
        return Ok(Parameters::default());
    };
    let (parameters, problems) = Parameters::from_json_lenient(options);
    for problem in problems {
        if !problem.is_ignorable() {
            return Err(Error::Invalid(option_problem(&problem)));
        }
        tracing::warn!("ignored an option: {problem}");
    }
    Ok(parameters)
}

/// The mistake in an option. It begins with the words of Ollama, by which clients recognize it.
fn option_problem(problem: &Wrong) -> String {
    let Wrong::Invalid { spec, found } = problem else {
        return format!("option {problem}");
    };
    let kind = match spec.kind {
        Kind::Int(_) => "integer",
        Kind::Float(_) => "float32",
        Kind::Bool => "boolean",
        Kind::TextList => "array",
    };
    format!(
        "option \"{}\" must be of type {kind}: {}, not {found}",
        spec.name, spec.kind
    )
}

/// Sets one parameter by a field of the request that may have another name, such as `max_tokens` for `num_predict`. Null leaves it
/// as it is.
///
/// # Errors
/// [`Error::Field`] with the name of the field and its valid values.
pub fn set(
    parameters: &mut Parameters,
    field: &str,
    parameter: &str,
    value: &Value,
) -> Result<(), Error> {
    parameters
        .set_json(parameter, value)
        .map_err(|error| match error {
            Wrong::Invalid { spec, found } => {
                Error::field(field, format!("must be {}, not {found}", spec.kind))
            }
            other => Error::field(field, other.to_string()),
        })
}

/// Sets a parameter for each of these fields: the name of the field, the name of the parameter, and the value. Of two fields for one
/// parameter, the later one counts.
///
/// # Errors
/// As [`set`].
pub fn set_all<'a>(
    parameters: &mut Parameters,
    fields: impl IntoIterator<Item = (&'static str, &'static str, &'a Value)>,
) -> Result<(), Error> {
    fields
        .into_iter()
        .try_for_each(|(field, parameter, value)| set(parameters, field, parameter, value))
}

/// Joins the parameters of a request with those of its model and the defaults.
///
/// `trained` is the context length that the model was trained with, if that is known; it limits the context.
pub fn resolve(
    request: &Parameters,
    model: &Parameters,
    trained: Option<u64>,
    defaults: Defaults,
) -> ResolvedOptions {
    let set = request.merged_over(model);
    let usual = Sampling::default();
    let or = |value: Option<f64>, usual: f32| value.map_or(usual, |value| value as f32);
    let longest = trained
        .and_then(|trained| u32::try_from(trained).ok())
        .unwrap_or(u32::MAX)
        .max(MIN_CONTEXT);
    let required = SettingOverrides {
        batch: set.num_batch(),
        threads: set.num_thread(),
        gpu_layers: set.num_gpu(),
        main_gpu: set.main_gpu().and_then(|gpu| i32::try_from(gpu).ok()),
        mmap: set.use_mmap(),
    };
    ResolvedOptions {
        sampling: Sampling {
            seed: set.seed().and_then(seed).map(u64::from),
            temperature: or(set.temperature(), usual.temperature),
            top_k: set.top_k().unwrap_or(usual.top_k),
            top_p: or(set.top_p(), usual.top_p),
            min_p: or(set.min_p(), usual.min_p),
            typical_p: or(set.typical_p(), usual.typical_p),
            repeat_last_n: set.repeat_last_n().unwrap_or(usual.repeat_last_n),
            repeat_penalty: or(set.repeat_penalty(), usual.repeat_penalty),
            presence_penalty: or(set.presence_penalty(), usual.presence_penalty),
            frequency_penalty: or(set.frequency_penalty(), usual.frequency_penalty),
            top_n_sigma: or(set.top_n_sigma(), usual.top_n_sigma),
            xtc_probability: or(set.xtc_probability(), usual.xtc_probability),
            xtc_threshold: or(set.xtc_threshold(), usual.xtc_threshold),
            dynatemp_range: or(set.dynatemp_range(), usual.dynatemp_range),
            dynatemp_exponent: or(set.dynatemp_exponent(), usual.dynatemp_exponent),
            dry: dry(&set),
            mirostat: mirostat(&set),
            adaptive: adaptive(&set),
            // Logit biases are no parameters.
            logit_bias: usual.logit_bias,
        },
        max_tokens: set.num_predict().and_then(|most| u32::try_from(most).ok()),
        stop: set.stop().unwrap_or_default().to_vec(),
        draft: set.draft_num_predict(),
        overflow: match u32::try_from(set.num_keep().unwrap_or(4)) {
            Ok(keep) => Overflow::Truncate { keep },
            // A negative number keeps the whole prompt, so nothing may be cut.
            Err(_) => Overflow::Refuse,
        },
        deterministic: defaults.deterministic,
        required,
        names_context: set.num_ctx().is_some(),
        load: required.over(LoadSettings {
            context: set
                .num_ctx()
                .unwrap_or(defaults.context)
                .clamp(MIN_CONTEXT, longest),
            batch: 512,
            threads: defaults.threads,
            gpu_layers: defaults.gpu_layers,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: defaults.kv_type,
        }),
    }
}

/// The lower 32 bits of the seed, as in Ollama; `None` for −1, which draws a random seed.
fn seed(asked: i64) -> Option<u32> {
    (asked != -1).then_some((asked & i64::from(u32::MAX)) as u32)
}

/// The default sequence breakers of DRY.
const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

fn dry(set: &Parameters) -> Option<Dry> {
    let multiplier = set.dry_multiplier().filter(|number| *number > 0.0)?;
    let breakers = || BREAKERS.iter().map(|text| (*text).to_owned()).collect();
    Some(Dry {
        multiplier: multiplier as f32,
        base: set.dry_base().unwrap_or(1.75) as f32,
        allowed_length: set.dry_allowed_length().unwrap_or(2),
        last_n: set.dry_penalty_last_n().unwrap_or(64),
        breakers: set
            .dry_sequence_breakers()
            .map_or_else(breakers, <[String]>::to_vec),
    })
}

fn mirostat(set: &Parameters) -> Option<Mirostat> {
    let version = u8::try_from(set.mirostat()?).ok()?;
    (version > 0).then(|| Mirostat {
        version,
        tau: set.mirostat_tau().unwrap_or(5.0) as f32,
        eta: set.mirostat_eta().unwrap_or(0.1) as f32,
    })
}

fn adaptive(set: &Parameters) -> Option<Adaptive> {
    let target = set.adaptive_target().filter(|number| *number >= 0.0)?;
    Some(Adaptive {
        target: target as f32,
        decay: set.adaptive_decay().unwrap_or(0.9) as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DEFAULTS: Defaults = Defaults {
        context: 4096,
        threads: 0,
        gpu_layers: -1,
        kv_type: KvType::F16,
        deterministic: false,
    };

    fn parameters(value: Value) -> Parameters {
        read(value.as_object()).unwrap()
    }

    fn resolved(request: Value, model: Value, trained: Option<u64>) -> ResolvedOptions {
        resolve(&parameters(request), &parameters(model), trained, DEFAULTS)
    }

    #[test]
    fn an_error_has_the_name_of_the_field() {
        let mut parameters = Parameters::default();
        let mut set = |value: Value| set(&mut parameters, "max_tokens", "num_predict", &value);
        set(json!(5)).unwrap();
        set(json!(null)).unwrap();
        let error = set(json!("many")).unwrap_err();
        assert_eq!(error.param(), Some("max_tokens"));
        assert!(error.to_string().contains("must be"), "{error}");
        assert_eq!(parameters.num_predict(), Some(5));
    }

    #[test]
    fn a_request_overrides_its_model_and_that_the_defaults() {
        let all = resolved(
            json!({"temperature": 0, "stop": ["a"]}),
            json!({"temperature": 1, "top_k": 7, "stop": ["b", "c"]}),
            None,
        );
        assert_eq!(all.sampling.temperature, 0.0);
        assert_eq!(all.sampling.top_k, 7);
        assert_eq!(all.sampling.top_p, 0.9);
        assert_eq!(all.stop, ["a"]);
        assert_eq!(all.load.context, 4096);
        assert_eq!(all.overflow, Overflow::Truncate { keep: 4 });
    }

    #[test]
    fn the_defaults_are_those_of_the_table_of_parameters() {
        let none = resolved(json!({}), json!({}), None);
        assert_eq!(none.sampling, Sampling::default());
        let on = json!({"dry_multiplier": 1, "mirostat": 2, "adaptive_target": 0.5});
        let on = resolved(on, json!({}), None).sampling;
        let (dry, mirostat, adaptive) =
            (on.dry.unwrap(), on.mirostat.unwrap(), on.adaptive.unwrap());
        assert_eq!(dry.breakers, ["\n", ":", "\"", "*"]);
        for spec in modelfile::parameter::specs() {
            use modelfile::parameter::DefaultValue::{Float, Int};
            let found = match spec.name {
                "temperature" => f64::from(none.sampling.temperature),
                "top_k" => f64::from(none.sampling.top_k),
                "top_p" => f64::from(none.sampling.top_p),
                "min_p" => f64::from(none.sampling.min_p),
                "typical_p" => f64::from(none.sampling.typical_p),
                "repeat_last_n" => f64::from(none.sampling.repeat_last_n),
                "repeat_penalty" => f64::from(none.sampling.repeat_penalty),
                "presence_penalty" => f64::from(none.sampling.presence_penalty),
                "frequency_penalty" => f64::from(none.sampling.frequency_penalty),
                "top_n_sigma" => f64::from(none.sampling.top_n_sigma),
                "xtc_probability" => f64::from(none.sampling.xtc_probability),
                "xtc_threshold" => f64::from(none.sampling.xtc_threshold),
                "dynatemp_range" => f64::from(none.sampling.dynatemp_range),
                "dynatemp_exponent" => f64::from(none.sampling.dynatemp_exponent),
                "dry_base" => f64::from(dry.base),
                "dry_allowed_length" => f64::from(dry.allowed_length),
                "dry_penalty_last_n" => f64::from(dry.last_n),
                "mirostat_tau" => f64::from(mirostat.tau),
                "mirostat_eta" => f64::from(mirostat.eta),
                "adaptive_decay" => f64::from(adaptive.decay),
                "num_batch" => f64::from(none.load.batch),
                _ => continue,
            };
            let expected = match spec.default {
                Int(number) => number as f64,
                Float(number) => number,
                _ => panic!("{} has no number", spec.name),
            };
            assert!((found - expected).abs() < 1e-6, "{}", spec.name);
        }
    }

    #[test]
    fn negative_limits_mean_none() {
        assert_eq!(
            resolved(json!({"num_predict": -1}), json!({}), None).max_tokens,
            None
        );
        assert_eq!(
            resolved(json!({"num_predict": -2}), json!({}), None).max_tokens,
            None
        );
        assert_eq!(
            resolved(json!({"num_predict": 0}), json!({}), None).max_tokens,
            Some(0)
        );
        assert_eq!(
            resolved(json!({"seed": -1}), json!({}), None).sampling.seed,
            None
        );
        assert_eq!(
            resolved(json!({"seed": 5}), json!({}), None).sampling.seed,
            Some(5)
        );
        assert_eq!(
            resolved(json!({"num_keep": -1}), json!({}), None).overflow,
            Overflow::Refuse
        );
    }

    #[test]
    fn any_whole_number_is_a_seed() {
        let seed = |seed: Value| {
            resolved(json!({"seed": seed}), json!({}), None)
                .sampling
                .seed
        };
        for (asked, expected) in [
            (json!(-1), None),
            (json!(-1.0), None),
            (json!(null), None),
            (json!(0), Some(0)),
            (json!(4_294_967_295_u64), Some(u32::MAX)),
            (json!(4_294_967_301_u64), Some(5)),
            (json!(1_764_430_000_123_i64), Some(3_493_408_763)),
            (json!(1_764_430_000_123.0), Some(3_493_408_763)),
            (json!(-2), Some(4_294_967_294)),
            (json!(i64::MIN), Some(0)),
            (json!(1e18), Some(2_808_348_672)),
        ] {
            assert_eq!(seed(asked.clone()), expected.map(u64::from), "{asked}");
        }
        for wrong in [json!(1.5), json!("1"), json!(1e19), json!(u64::MAX)] {
            let options = json!({"seed": wrong});
            let error = read(options.as_object()).unwrap_err().to_string();
            assert!(error.contains("a whole number of 64 bits"), "{error}");
        }
    }

    #[test]
    fn settings_of_a_load_are_required_by_request_and_model_only() {
        let none = resolved(json!({}), json!({}), None);
        assert_eq!(none.required, SettingOverrides::default());
        assert_eq!(none.load.gpu_layers, DEFAULTS.gpu_layers);
        let some = resolved(
            json!({"num_batch": 32, "use_mmap": false}),
            json!({"num_thread": 2, "num_gpu": 3, "main_gpu": 1, "num_batch": 8}),
            None,
        );
        let required = SettingOverrides {
            batch: Some(32),
            threads: Some(2),
            gpu_layers: Some(3),
            main_gpu: Some(1),
            mmap: Some(false),
        };
        assert_eq!(some.required, required);
        assert_eq!(some.load, required.over(none.load));
    }

    #[test]
    fn a_sampler_that_is_off_is_left_out() {
        let off = json!({
            "dry_multiplier": 0, "mirostat": 0, "adaptive_target": -1, "top_n_sigma": -1, "dry_base": 3, "mirostat_tau": 2,
        });
        assert_eq!(resolved(off, json!({}), None).sampling, Sampling::default());
    }

    #[test]
    fn all_parameters_of_dry_and_mirostat_are_read() {
        let sampling = resolved(
            json!({
                "dry_multiplier": 0.8, "dry_base": 2, "dry_allowed_length": 3, "dry_penalty_last_n": -1,
                "dry_sequence_breakers": ["x"], "xtc_probability": 0.5, "top_n_sigma": 1.5, "dynatemp_range": 0.25,
            }),
            json!({"mirostat": 1, "mirostat_tau": 4, "mirostat_eta": 0.5, "dry_sequence_breakers": ["y"]}),
            None,
        )
        .sampling;
        let dry = Dry {
            multiplier: 0.8,
            base: 2.0,
            allowed_length: 3,
            last_n: -1,
            breakers: vec!["x".into()],
        };
        assert_eq!(sampling.dry, Some(dry));
        let mirostat = Mirostat {
            version: 1,
            tau: 4.0,
            eta: 0.5,
        };
        assert_eq!(sampling.mirostat, Some(mirostat));
        assert_eq!(
            (
                sampling.xtc_probability,
                sampling.top_n_sigma,
                sampling.dynatemp_range
            ),
            (0.5, 1.5, 0.25)
        );
        let none = resolved(
            json!({"dry_multiplier": 1, "dry_sequence_breakers": []}),
            json!({}),
            None,
        );
        assert!(none.sampling.dry.unwrap().breakers.is_empty());
    }

    #[test]
    fn the_context_is_capped_at_the_trained_context() {
        assert_eq!(
            resolved(json!({"num_ctx": 9000}), json!({}), Some(2048))
                .load
                .context,
            2048
        );
        assert_eq!(
            resolved(json!({}), json!({}), Some(2048)).load.context,
            2048
        );
        assert_eq!(
            resolved(json!({}), json!({"num_ctx": 100}), Some(2048))
                .load
                .context,
            100
        );
        assert_eq!(
            resolved(json!({"num_ctx": 9000}), json!({}), None)
                .load
                .context,
            9000
        );
        assert_eq!(resolved(json!({}), json!({}), Some(0)).load.context, 4);
    }

    #[test]
    fn a_wrong_value_is_an_error_and_an_unknown_name_is_not() {
        let error = read(json!({"temperature": "hot"}).as_object())
            .unwrap_err()
            .to_string();
        assert!(error.contains("temperature"), "{error}");
        assert!(read(json!({"num_ctx": 0}).as_object()).is_err());
        assert!(
            read(json!({"tfs_z": 1, "f16_kv": true, "whatever": []}).as_object())
                .unwrap()
                .is_empty()
        );
    }
}
