//! Settings are checked here before anything is computed with them: the daemon checks them too, but a runner trusts no input.

use runner_protocol::{MAX_BIASES, MAX_BREAKER_BYTES, MAX_BREAKERS, MAX_TOP_LOGPROBS, Sampling};

use crate::error::Error;

/// Largest shift of a score.
const MAX_SHIFT: f32 = 1000.0;

/// Checks all settings.
///
/// # Errors
/// [`Error::Invalid`] names the one that is out of its range.
pub(super) fn sampling(sampling: &Sampling, vocabulary: usize) -> Result<(), Error> {
    let mut ranges = vec![
        ("temperature", sampling.temperature, 0.0..=100.0),
        ("top_p", sampling.top_p, 0.0..=1.0),
        ("min_p", sampling.min_p, 0.0..=1.0),
        ("typical_p", sampling.typical_p, 0.0..=1.0),
        ("repeat_penalty", sampling.repeat_penalty, 0.01..=100.0),
        (
            "presence_penalty",
            sampling.presence_penalty,
            -100.0..=100.0,
        ),
        (
            "frequency_penalty",
            sampling.frequency_penalty,
            -100.0..=100.0,
        ),
        ("top_n_sigma", sampling.top_n_sigma, 0.0..=100.0),
        ("xtc_probability", sampling.xtc_probability, 0.0..=1.0),
        ("xtc_threshold", sampling.xtc_threshold, 0.0..=1.0),
        ("dynatemp_range", sampling.dynatemp_range, 0.0..=100.0),
        ("dynatemp_exponent", sampling.dynatemp_exponent, 0.0..=100.0),
    ];
    if let Some(dry) = &sampling.dry {
        ranges.push(("dry_multiplier", dry.multiplier, 0.0..=100.0));
        ranges.push(("dry_base", dry.base, 1.0..=100.0));
        look_back("dry_penalty_last_n", dry.last_n)?;
        breakers(&dry.breakers)?;
    }
    if let Some(mirostat) = &sampling.mirostat {
        ranges.push(("mirostat", f32::from(mirostat.version), 1.0..=2.0));
        ranges.push(("mirostat_tau", mirostat.tau, 0.0..=100.0));
        ranges.push(("mirostat_eta", mirostat.eta, 0.0..=1.0));
    }
    if let Some(adaptive) = &sampling.adaptive {
        ranges.push(("adaptive_target", adaptive.target, 0.0..=1.0));
        ranges.push(("adaptive_decay", adaptive.decay, 0.0..=0.99));
    }
    for (name, value, range) in ranges {
        // NaN is in no range.
        if !range.contains(&value) {
            return Err(Error::Invalid(format!(
                "{name} is {value}, but must lie between {} and {}",
                range.start(),
                range.end()
            )));
        }
    }
    look_back("repeat_last_n", sampling.repeat_last_n)?;
    biases(sampling, vocabulary)
}

/// Checks how many alternatives are asked for.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn logprobs(wanted: Option<u32>) -> Result<(), Error> {
    match wanted {
        Some(top) if top > MAX_TOP_LOGPROBS => Err(Error::Invalid(format!(
            "top_logprobs is {top}, but must lie between 0 and {MAX_TOP_LOGPROBS}"
        ))),
        _ => Ok(()),
    }
}

fn look_back(name: &str, last_n: i32) -> Result<(), Error> {
    if last_n < -1 {
        return Err(Error::Invalid(format!(
            "{name} is {last_n}, but must be −1 or more"
        )));
    }
    Ok(())
}

fn breakers(breakers: &[String]) -> Result<(), Error> {
    let fits = |text: &String| (1..=MAX_BREAKER_BYTES).contains(&text.len());
    if breakers.len() > MAX_BREAKERS || !breakers.iter().all(fits) {
        return Err(Error::Invalid(format!(
            "dry_sequence_breakers must be at most {MAX_BREAKERS} texts of 1 to {MAX_BREAKER_BYTES} bytes"
        )));
    }
    Ok(())
}

fn biases(sampling: &Sampling, vocabulary: usize) -> Result<(), Error> {
    let biases = &sampling.logit_bias;
    if biases.len() > MAX_BIASES {
        return Err(Error::Invalid(format!(
            "logit_bias names {} tokens, but at most {MAX_BIASES} are allowed",
            biases.len()
        )));
    }
    for bias in biases {
        if !usize::try_from(bias.token).is_ok_and(|token| token < vocabulary) {
            return Err(Error::Invalid(format!(
                "logit_bias names the token {}, which is none of the model's {vocabulary}",
                bias.token
            )));
        }
        let allowed = bias.shift == f32::NEG_INFINITY || bias.shift.abs() <= MAX_SHIFT;
        if !allowed {
            return Err(Error::Invalid(format!(
                "logit_bias of the token {} is {}, but must lie between −{MAX_SHIFT} and {MAX_SHIFT}",
                bias.token, bias.shift
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use runner_protocol::{Adaptive, Bias, Dry, Mirostat};

    use super::*;

    fn dry() -> Dry {
        Dry {
            multiplier: 0.8,
            base: 1.75,
            allowed_length: 2,
            last_n: -1,
            breakers: vec!["\n".into()],
        }
    }

    fn mirostat() -> Mirostat {
        Mirostat {
            version: 2,
            tau: 5.0,
            eta: 0.1,
        }
    }

    fn bias(token: i32, shift: f32) -> Vec<Bias> {
        vec![Bias { token, shift }]
    }

    /// Makes one setting wrong.
    type Spoil = fn(&mut Sampling);

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong: [(&str, Spoil); 26] = [
            ("temperature", |s| s.temperature = f32::NAN),
            ("temperature", |s| s.temperature = -0.1),
            ("top_p", |s| s.top_p = 1.1),
            ("min_p", |s| s.min_p = f32::INFINITY),
            ("typical_p", |s| s.typical_p = -1.0),
            ("repeat_penalty", |s| s.repeat_penalty = 0.0),
            ("presence_penalty", |s| {
                s.presence_penalty = f32::NEG_INFINITY
            }),
            ("frequency_penalty", |s| s.frequency_penalty = f32::NAN),
            ("repeat_last_n", |s| s.repeat_last_n = -2),
            ("top_n_sigma", |s| s.top_n_sigma = -1.0),
            ("xtc_probability", |s| s.xtc_probability = 2.0),
            ("xtc_threshold", |s| s.xtc_threshold = f32::NAN),
            ("dynatemp_range", |s| s.dynatemp_range = -1.0),
            ("dynatemp_exponent", |s| s.dynatemp_exponent = 101.0),
            ("dry_multiplier", |s| {
                s.dry = Some(Dry {
                    multiplier: -1.0,
                    ..dry()
                })
            }),
            ("dry_base", |s| s.dry = Some(Dry { base: 0.5, ..dry() })),
            ("dry_penalty_last_n", |s| {
                s.dry = Some(Dry {
                    last_n: -2,
                    ..dry()
                })
            }),
            ("dry_sequence_breakers", |s| {
                s.dry = Some(Dry {
                    breakers: vec![String::new()],
                    ..dry()
                })
            }),
            ("mirostat", |s| {
                s.mirostat = Some(Mirostat {
                    version: 3,
                    ..mirostat()
                })
            }),
            ("mirostat_tau", |s| {
                s.mirostat = Some(Mirostat {
                    tau: f32::NAN,
                    ..mirostat()
                })
            }),
            ("mirostat_eta", |s| {
                s.mirostat = Some(Mirostat {
                    eta: 1.5,
                    ..mirostat()
                })
            }),
            ("adaptive_target", |s| {
                s.adaptive = Some(Adaptive {
                    target: -1.0,
                    decay: 0.5,
                })
            }),
            ("adaptive_decay", |s| {
                s.adaptive = Some(Adaptive {
                    target: 0.5,
                    decay: 1.0,
                })
            }),
            ("logit_bias names the token -1", |s| {
                s.logit_bias = bias(-1, 0.0)
            }),
            ("logit_bias names the token 10", |s| {
                s.logit_bias = bias(10, 0.0)
            }),
            ("logit_bias of the token 3", |s| {
                s.logit_bias = bias(3, f32::NAN)
            }),
        ];
        for (name, spoil) in wrong {
            let mut settings = Sampling::default();
            spoil(&mut settings);
            let error = sampling(&settings, 10).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
        assert!(logprobs(Some(21)).is_err());
    }

    #[test]
    fn edges_of_the_ranges_are_accepted() {
        let settings = Sampling {
            top_p: 0.0,
            min_p: 1.0,
            typical_p: 0.0,
            top_k: u32::MAX,
            repeat_last_n: i32::MAX,
            repeat_penalty: 1.1,
            dry: Some(dry()),
            mirostat: Some(mirostat()),
            logit_bias: bias(9, f32::NEG_INFINITY),
            ..Sampling::default()
        };
        assert!(sampling(&settings, 10).is_ok());
        assert!(logprobs(Some(20)).is_ok() && logprobs(None).is_ok());
    }
}
