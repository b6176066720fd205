//! Which product is the fastest on this machine: measured, chosen, and passed on as text.
//!
//! A matrix of weights is multiplied with the weights as they are in the file, by llama.cpp's kernels or by ours, or with weights that
//! were packed when the model was loaded, for llama.cpp's tiles or for AMX. All are right, and which is fastest depends on the processor,
//! the type of the weights and the number of inputs.

use std::{fmt, str::FromStr};

/// Types of weights that are measured. They are those of most models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weights {
    /// 4 bits, in blocks of 32.
    Q4_0,
    /// 4 bits, in blocks of 256.
    Q4K,
    /// 6 bits, in blocks of 256.
    Q6K,
    /// 8 bits, in blocks of 32.
    Q8_0,
    /// Half precision.
    F16,
}

impl Weights {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Q4_0, Self::Q4K, Self::Q6K, Self::Q8_0, Self::F16];

    /// Its name in llama.cpp.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
            Self::Q8_0 => "Q8_0",
            Self::F16 => "F16",
        }
    }

    /// Bits of one weight, with its share of the scales of its block.
    fn bits(self) -> f64 {
        match self {
            Self::Q4_0 | Self::Q4K => 4.5,
            Self::Q6K => 6.5625,
            Self::Q8_0 => 8.5,
            Self::F16 => 16.0,
        }
    }
}

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By llama.cpp, with the weights as they are in the file.
    Plain,
    /// By the kernels of this crate, with the same weights.
    Ours,
    /// By llama.cpp, with weights packed for its tiles (`CPU_REPACK`).
    Repack,
    /// By llama.cpp, with weights packed for AMX.
    Amx,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Ours, Self::Repack, Self::Amx];

    /// Its name, such as `repack`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ours => "ours",
            Self::Repack => "repack",
            Self::Amx => "amx",
        }
    }
}

/// The time of one product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    /// Type of its weights.
    pub weights: Weights,
    /// Number of its inputs.
    pub columns: u32,
    /// How it was computed.
    pub way: Way,
    /// Nanoseconds of one thread for each input and each 1,000 weights.
    pub nanoseconds: f32,
    /// The next shortest time of the same product, as a multiple of it.
    pub spread: f32,
}

/// How products with one type of weights are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The type of weights.
    pub weights: Weights,
    /// The way of small batches; of all, where the weights are packed.
    pub few: Way,
    /// The way of large batches: `few`, or [`Way::Plain`] or [`Way::Ours`] where the weights are not packed.
    pub many: Way,
}

/// The number of inputs from which a batch is large, see `GEMM_MIN_COLUMNS` in `shim/kernels/module.h`.
const MANY: u32 = 32;

/// A way must be faster than the one without a measurement by this factor, so that noise decides nothing.
const BETTER: f64 = 0.95;

/// Times are alike within this factor.
const ALIKE: f32 = 1.2;

/// Tokens of prompt and answer of the request whose time is compared.
const PROMPT: f64 = 512.0;
const ANSWER: f64 = 256.0;

/// The fastest choice for each type of weights that was measured in more than one way. `bandwidth` is the
/// number of bytes per second that a thread reads from memory, or zero.
///
/// It compares the time of a request with a prompt of 512 tokens and an answer of 256, which is computed alone, with three others or
/// with fifteen others. A product never takes less time than reading its weights from memory.
pub fn choose(times: &[Time], bandwidth: f64) -> Vec<Choice> {
    Weights::ALL
        .iter()
        .filter_map(|weights| {
            let times = Times {
                weights: *weights,
                times,
                bandwidth,
            };
            times.choose()
        })
        .collect()
}

/// The times of one type of weights.
struct Times<'times> {
    weights: Weights,
    times: &'times [Time],
    bandwidth: f64,
}

impl Times<'_> {
    /// Nanoseconds of one token and 1,000 weights in a batch of this size; `None` if it was not measured.
    fn of(&self, way: Way, columns: u32) -> Option<f64> {
        let time = self
            .times
            .iter()
            .find(|time| (time.weights, time.way, time.columns) == (self.weights, way, columns))?;
        let read = match self.bandwidth > 0.0 {
            true => 1000.0 * self.weights.bits() / 8.0 / self.bandwidth * 1e9,
            false => 0.0,
        };
        Some(f64::from(time.nanoseconds).max(read / f64::from(columns)))
    }

    fn answer(&self, way: Way) -> Option<f64> {
        let alone = self.of(way, 1)?;
        Some(ANSWER * (2.0 * alone + self.of(way, 4)? + self.of(way, 16)?) / 4.0)
    }

    fn prompt(&self, way: Way) -> Option<f64> {
        Some(PROMPT * (self.of(way, 64)? + self.of(way, 512)?) / 2.0)
    }

    /// The faster of the two ways with unpacked weights, unless they are about as fast.
    fn unpacked(&self, time: impl Fn(Way) -> Option<f64>) -> Option<(Way, f64)> {
        let plain = time(Way::Plain)?;
        match time(Way::Ours) {
            Some(ours) if ours <= plain / BETTER => Some((Way::Ours, ours)),
            _ => Some((Way::Plain, plain)),
        }
    }

    fn choose(&self) -> Option<Choice> {
        let (few, answer) = self.unpacked(|way| self.answer(way))?;
        let (many, prompt) = self.unpacked(|way| self.prompt(way))?;
        let choice = |few, many| Choice {
            weights: self.weights,
            few,
            many,
        };
        let mut all = vec![(choice(few, many), answer + prompt)];
        for way in [Way::Repack, Way::Amx] {
            let time = self.answer(way).zip(self.prompt(way));
            all.extend(time.map(|(answer, prompt)| (choice(way, way), answer + prompt)));
        }
        let usual = *all.iter().max_by_key(|(choice, _)| self.rank(choice.few))?;
        let best = *all.iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
        Some(if best.1 < usual.1 * BETTER {
            best.0
        } else {
            usual.0
        })
    }

    /// Rank of a way to multiply while no measurement decides: AMX, then repacked weights, then weights as they are in the file.
    /// Repacked Q4_K ranks last, because our kernels were written for Q4_K as it is in the file.
    fn rank(&self, way: Way) -> u8 {
        match way {
            Way::Amx => 3,
            Way::Repack if self.weights != Weights::Q4K => 2,
            Way::Plain | Way::Ours => 1,
            Way::Repack => 0,
        }
    }
}

impl fmt::Display for Choice {
    /// `Q4_0=repack`, or `Q8_0=ours/plain` where small and large batches differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.weights.name(), self.few.name())?;
        match self.many == self.few {
            true => Ok(()),
            false => write!(f, "/{}", self.many.name()),
        }
    }
}

/// A text that is no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAChoice;

impl fmt::Display for NotAChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a choice of products has the form Q4_0=repack or Q8_0=ours/plain")
    }
}

impl std::error::Error for NotAChoice {}

impl FromStr for Choice {
    type Err = NotAChoice;

    fn from_str(text: &str) -> Result<Self, NotAChoice> {
        let way = |name: &str| Way::ALL.into_iter().find(|way| way.name() == name);
        let (weights, ways) = text.split_once('=').ok_or(NotAChoice)?;
        let (few, many) = ways.split_once('/').unwrap_or((ways, ways));
        let choice = Self {
            weights: Weights::ALL
                .into_iter()
                .find(|known| known.name() == weights)
                .ok_or(NotAChoice)?,
            few: way(few).ok_or(NotAChoice)?,
            many: way(many).ok_or(NotAChoice)?,
        };
        let packed = |way| matches!(way, Way::Repack | Way::Amx);
        let mixed = choice.few != choice.many && (packed(choice.few) || packed(choice.many));
        if mixed { Err(NotAChoice) } else { Ok(choice) }
    }
}

/// Whether other programs disturbed a measurement so little that it can decide: the two shortest times of most products are alike.
pub fn is_quiet(times: &[Time]) -> bool {
    let alike = times.iter().filter(|time| time.spread < ALIKE).count();
    !times.is_empty() && alike * 10 >= times.len() * 9
}

/// Whether a batch of this size is large.
pub fn is_many(columns: u32) -> bool {
    columns >= MANY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of all batch sizes in each of these ways.
    fn times(weights: Weights, ways: &[(Way, f32, f32)]) -> Vec<Time> {
        let columns = [1, 4, 16, 64, 512];
        ways.iter()
            .flat_map(|(way, few, many)| {
                columns.map(|columns| Time {
                    weights,
                    columns,
                    way: *way,
                    nanoseconds: if is_many(columns) { *many } else { *few },
                    spread: 1.0,
                })
            })
            .collect()
    }

    #[track_caller]
    fn check(weights: Weights, ways: &[(Way, f32, f32)], expected: &str) {
        let chosen = choose(&times(weights, ways), 1e18);
        let texts: Vec<String> = chosen.iter().map(Choice::to_string).collect();
        assert_eq!(texts.join(","), expected);
        for choice in chosen {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn the_fastest_way_is_chosen() {
        use Way::*;
        check(
            Weights::Q4_0,
            &[(Plain, 10.0, 10.0), (Repack, 5.0, 4.0)],
            "Q4_0=repack",
        );
        check(
            Weights::Q4_0,
            &[(Plain, 5.0, 4.0), (Repack, 10.0, 10.0)],
            "Q4_0=plain",
        );
        check(
            Weights::Q8_0,
            &[(Plain, 10.0, 3.0), (Ours, 5.0, 4.0)],
            "Q8_0=ours/plain",
        );
        check(
            Weights::Q4K,
            &[
                (Plain, 10.0, 9.0),
                (Ours, 5.0, 9.0),
                (Repack, 6.0, 3.0),
                (Amx, 6.0, 1.0),
            ],
            "Q4_K=amx",
        );
        check(Weights::Q6K, &[(Ours, 1.0, 1.0)], "");
    }

    #[test]
    fn a_difference_of_a_few_percent_changes_nothing() {
        use Way::*;
        check(
            Weights::Q4_0,
            &[(Plain, 4.9, 4.9), (Repack, 5.0, 5.0)],
            "Q4_0=repack",
        );
        check(
            Weights::Q4K,
            &[(Plain, 5.0, 5.0), (Repack, 4.9, 4.9)],
            "Q4_K=plain",
        );
        check(
            Weights::Q4K,
            &[(Plain, 4.9, 4.9), (Ours, 5.0, 5.0)],
            "Q4_K=ours",
        );
    }

    #[test]
    fn answers_are_as_slow_as_memory() {
        use Way::*;
        let times = times(Weights::Q4K, &[(Plain, 10.0, 10.0), (Repack, 1.0, 9.9)]);
        assert_eq!(choose(&times, 1e18)[0].few, Repack);
        // 562.5 bytes at 10 GB/s take 56 ns, whatever computes.
        assert_eq!(choose(&times, 1e9)[0].few, Plain);
    }

    #[test]
    fn a_disturbed_measurement_is_known() {
        let mut times = times(
            Weights::F16,
            &[(Way::Plain, 1.0, 1.0), (Way::Ours, 1.0, 1.0)],
        );
        times[3].spread = 7.0;
        assert!(is_quiet(&times));
        times[4].spread = 1.3;
        assert!(!is_quiet(&times));
        assert!(!is_quiet(&[]));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "Q4_0",
            "Q4_0=",
            "Q9=plain",
            "Q4_0=repack/plain",
            "Q4_0=ours/amx",
            "Q4_0=ours/plain/x",
        ] {
            assert_eq!(text.parse::<Choice>(), Err(NotAChoice), "{text}");
        }
    }
}
