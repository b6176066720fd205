//! Chooses one of the variants of a model: quality first, within the memory and above a floor of speed.
//!
//! Of two quantizations of one model the larger one is better, up to about eight bits for each weight. Weights of 16 and 32 bits compute
//! what those of eight bits compute, in twice the memory and time, so they are taken only where nothing smaller is there.
//! The floor never leads below the usual variant: what is smaller than that one answers worse, not only faster.

use registry::Variant;

use crate::memory::Bytes;

/// What one variant would take and do on this machine, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Estimate {
    /// Bytes on all devices when it is loaded.
    pub(crate) memory: Option<u64>,
    /// Tokens per second of one answer.
    pub(crate) speed: Option<f64>,
}

/// What a variant has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// Bytes that models may take on all devices; `None` where the system does not tell.
    pub(crate) memory: Option<u64>,
    /// Bytes of the accelerators; `None` without any.
    pub(crate) accelerators: Option<u64>,
    /// The floor of tokens per second.
    pub(crate) speed: f64,
}

/// Whether a variant keeps to the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// It does, or nothing is known that says otherwise.
    Good,
    /// It needs more memory than there is.
    TooLarge { needs: u64, have: u64 },
    /// It is slower than the floor, in tokens per second.
    TooSlow { speed: f64, floor: f64 },
}

impl Verdict {
    pub(crate) fn of(estimate: &Estimate, bounds: &Bounds) -> Self {
        match (estimate.memory, bounds.memory) {
            (Some(needs), Some(have)) if needs > have => return Self::TooLarge { needs, have },
            _ => {}
        }
        match estimate.speed {
            Some(speed) if speed < bounds.speed => Self::TooSlow {
                speed,
                floor: bounds.speed,
            },
            _ => Self::Good,
        }
    }

    fn reason(self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::TooLarge { needs, have } => Some(format!(
                "needs {} of the {} that models may take here",
                Bytes(needs),
                Bytes(have)
            )),
            Self::TooSlow {
                speed: found,
                floor,
            } => Some(format!(
                "would write about {}, and `min_tokens_per_second` is {floor}",
                speed(found)
            )),
        }
    }
}

/// The chosen variant, and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// Its index.
    pub(crate) index: usize,
    /// Why, in words that follow its name and a colon.
    pub(crate) reason: String,
}

/// Chooses one of at least two variants. `estimates` has one for each.
pub(crate) fn choose(
    variants: &[Variant],
    estimates: &[Estimate],
    bounds: &Bounds,
) -> Option<Choice> {
    let order = by_quality(variants);
    let usual = variants.iter().position(|variant| variant.is_usual)?;
    let verdict = |index: usize| {
        let is_larger = variants[index].size > variants[usual].size;
        let memory = match (bounds.accelerators, estimates[index].speed) {
            // Layers in main memory would make it slow, and nothing tells how slow.
            (Some(all), None) if is_larger => Some(all),
            _ => bounds.memory,
        };
        Verdict::of(&estimates[index], &Bounds { memory, ..*bounds })
    };
    let floor_from = order.iter().position(|index| *index == usual)?;
    let takes = |place: usize| match verdict(order[place]) {
        Verdict::Good => true,
        Verdict::TooSlow { .. } => place >= floor_from,
        Verdict::TooLarge { .. } => false,
    };
    let Some(place) = (0..order.len()).find(|place| takes(*place)) else {
        let index = *order.iter().min_by_key(|index| variants[**index].size)?;
        let reason = verdict(index).reason().unwrap_or_default();
        return Some(Choice {
            index,
            reason: format!(
                "none of {} variants fits; the smallest {reason}",
                order.len()
            ),
        });
    };
    let index = order[place];
    let passed = order[..place].last().map(|better| {
        let why = verdict(*better).reason().unwrap_or_default();
        format!("{} {why}", variants[*better].name)
    });
    let mut reason = passed.unwrap_or_else(|| match estimates[index].memory {
        Some(_) => format!("the best of {} variants fits", order.len()),
        None => format!("the best of {} variants", order.len()),
    });
    let estimate = &estimates[index];
    let known = [
        estimate
            .memory
            .map(|bytes| format!("takes {}", Bytes(bytes))),
        estimate
            .speed
            .map(|found| format!("writes about {}", speed(found))),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    if !known.is_empty() {
        reason = format!("{reason}; it {}", known.join(" and "));
    }
    Some(Choice { index, reason })
}

/// Tokens per second with two digits.
fn speed(tokens: f64) -> String {
    match tokens {
        10.0.. => format!("{tokens:.0} tokens/s"),
        _ => format!("{tokens:.1} tokens/s"),
    }
}

/// The indexes of the variants, the best first.
fn by_quality(variants: &[Variant]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..variants.len()).collect();
    order.sort_by_key(|index| {
        let variant = &variants[*index];
        let size = i128::from(variant.size.unwrap_or(0));
        // Quantized ones first, the largest first; then unquantized ones, the smallest first.
        match is_quantized(variant) {
            true => (0, -size),
            false => (1, size),
        }
    });
    order
}

/// Whether its weights have fewer than 16 bits. A name that tells nothing counts as quantized, as nearly all published weights are.
fn is_quantized(variant: &Variant) -> bool {
    let full = ["F16", "BF16", "FP16", "F32", "FP32"];
    let is_converted = variant.format == registry::WeightFormat::Safetensors;
    !is_converted && !full.contains(&variant.quantization.as_str())
}

#[cfg(test)]
mod tests {
    use registry::WeightFormat;

    use super::*;

    const GB: u64 = 1_000_000_000;

    /// Variants of a model of eight billion weights; Q4_K_M is the usual one.
    fn eight_billion() -> Vec<Variant> {
        let all = [
            ("Q2_K", 3_200),
            ("Q4_K_M", 4_900),
            ("Q6_K", 6_600),
            ("Q8_0", 8_500),
            ("BF16", 16_100),
        ];
        let all = all.map(|(name, megabytes)| Variant {
            name: name.to_owned(),
            quantization: name.to_owned(),
            format: WeightFormat::Gguf,
            size: Some(megabytes * 1_000_000),
            digest: None,
            is_usual: name == "Q4_K_M",
            here: false,
        });
        all.to_vec()
    }

    /// The choice on a machine with so much memory and bandwidth, in gigabytes.
    fn chosen(variants: &[Variant], memory: Option<u64>, bandwidth: Option<f64>) -> String {
        let estimates: Vec<Estimate> = variants
            .iter()
            .map(|variant| Estimate {
                memory: variant.size.map(|size| size + GB),
                speed: variant
                    .size
                    .zip(bandwidth)
                    .map(|(size, bandwidth)| bandwidth * 1e9 / size as f64),
            })
            .collect();
        let bounds = Bounds {
            memory: memory.map(|gigabytes| gigabytes * GB),
            accelerators: None,
            speed: 8.0,
        };
        let choice = choose(variants, &estimates, &bounds).expect("there are some");
        format!("{}: {}", variants[choice.index].name, choice.reason)
    }

    #[test]
    fn the_best_that_fits_and_is_fast_enough_is_taken_with_the_reason() {
        let all = eight_billion();
        assert_eq!(
            chosen(&all, Some(64), Some(200.0)),
            "Q8_0: the best of 5 variants fits; it takes 9.5 GB and writes about 24 tokens/s"
        );
        assert_eq!(
            chosen(&all, Some(8), Some(200.0)),
            "Q6_K: Q8_0 needs 9.5 GB of the 8.0 GB that models may take here; it takes 7.6 GB and writes about 30 tokens/s"
        );
        assert_eq!(
            chosen(&all, Some(64), Some(60.0)),
            "Q6_K: Q8_0 would write about 7.1 tokens/s, and `min_tokens_per_second` is 8; it takes 7.6 GB and writes about 9.1 tokens/s"
        );
        assert_eq!(
            chosen(&all, None, None),
            "Q8_0: the best of 5 variants fits; it takes 9.5 GB"
        );
    }

    #[test]
    fn the_floor_leads_to_the_usual_one_at_the_least_and_memory_below_it() {
        let all = eight_billion();
        assert_eq!(
            chosen(&all, Some(64), Some(10.0)),
            "Q4_K_M: Q6_K would write about 1.5 tokens/s, and `min_tokens_per_second` is 8; it takes 5.9 GB and writes about 2.0 tokens/s"
        );
        assert_eq!(
            chosen(&all, Some(5), Some(10.0)),
            "Q2_K: Q4_K_M needs 5.9 GB of the 5.0 GB that models may take here; it takes 4.2 GB and writes about 3.1 tokens/s"
        );
        assert_eq!(
            chosen(&all, Some(2), Some(10.0)),
            "Q2_K: none of 5 variants fits; the smallest needs 4.2 GB of the 2.0 GB that models may take here"
        );
    }

    #[test]
    fn a_variant_above_the_usual_one_fits_the_accelerator_or_has_a_known_speed() {
        let all = eight_billion();
        let chosen = |gigabytes: u64, speed: Option<f64>| {
            let estimates: Vec<Estimate> = all
                .iter()
                .map(|variant| Estimate {
                    memory: variant.size,
                    speed,
                })
                .collect();
            let bounds = Bounds {
                memory: Some((64 + gigabytes) * GB),
                accelerators: Some(gigabytes * GB),
                speed: 8.0,
            };
            let choice = choose(&all, &estimates, &bounds).expect("there are some");
            all[choice.index].name.clone()
        };
        assert_eq!(chosen(24, None), "Q8_0");
        assert_eq!(chosen(7, None), "Q6_K");
        assert_eq!(chosen(2, None), "Q4_K_M");
        assert_eq!(chosen(2, Some(9.0)), "Q8_0");
    }

    #[test]
    fn unquantized_weights_are_taken_only_where_there_are_no_others() {
        let mut all = eight_billion();
        all.retain(|variant| variant.name == "BF16" || variant.name == "Q4_K_M");
        assert!(chosen(&all, Some(64), None).starts_with("Q4_K_M: "));
        let full = |name: &str, size, format| Variant {
            name: name.to_owned(),
            quantization: name.to_owned(),
            format,
            size: Some(size),
            is_usual: name == "F32",
            ..all[0].clone()
        };
        let both = [
            full("F32", 2 * GB, WeightFormat::Safetensors),
            full("F16", GB, WeightFormat::Gguf),
        ];
        assert!(chosen(&both, Some(64), None).starts_with("F16: "));
    }

    proptest::proptest! {
        /// Whatever sizes a place tells, one is chosen, and it fits if any does.
        #[test]
        fn one_is_always_chosen(sizes in proptest::collection::vec(proptest::option::of(0..u64::MAX / 2), 1..12), usual in 0_usize..12, have in 0..u64::MAX) {
            let variants: Vec<Variant> = sizes.iter().enumerate().map(|(number, size)| Variant {
                size: *size,
                is_usual: number == usual % sizes.len(),
                ..eight_billion()[number % 5].clone()
            }).collect();
            let estimates: Vec<Estimate> = sizes.iter().map(|size| Estimate { memory: *size, speed: None }).collect();
            let bounds = Bounds { memory: Some(have), accelerators: None, speed: 8.0 };
            let choice = choose(&variants, &estimates, &bounds).expect("one");
            let fits = |index: usize| Verdict::of(&estimates[index], &bounds) == Verdict::Good;
            proptest::prop_assert!(fits(choice.index) || !(0..sizes.len()).any(fits));
        }
    }
}
