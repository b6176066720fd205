//! Amounts of memory: a size such as `24GiB`, or a percentage of what a machine or device has.

use super::size;

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Bytes.
    Bytes(u64),
    /// Percent of the whole, 0 to 100.
    Percent(u8),
}

impl Share {
    /// The amount in bytes, of a whole of this size. Bytes may exceed the whole.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // No overflow: the quotient is at most `u64::MAX / 100`.
            Self::Percent(percent) => {
                let percent = u64::from(percent);
                whole / 100 * percent + whole % 100 * percent / 100
            }
        }
    }

    /// Reads a size or a percentage; `None` for `auto`.
    ///
    /// # Errors
    /// A message for people that shows the text and the accepted forms.
    pub(super) fn or_auto(text: &str) -> Result<Option<Self>, String> {
        if text == "auto" {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|problem| format!("{problem}, or auto"))
    }
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} must be a size such as 24GiB, or a percentage such as 80%");
        match text.strip_suffix('%') {
            Some(number) => {
                let number = number.trim_end();
                let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
                let percent = number.parse().ok().filter(|percent| *percent <= 100);
                percent
                    .filter(|_| is_number)
                    .map(Self::Percent)
                    .ok_or_else(wrong)
            }
            // `off` is a size elsewhere, but a budget of nothing helps nobody.
            None if text == "off" => Err(wrong()),
            None => size::read(text).map(Self::Bytes).map_err(|_| wrong()),
        }
    }
}

/// The budget of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBudget {
    /// Name of the device as the backends of llama.cpp have it, such as `CUDA0`.
    pub device: String,
    /// Memory of the device that all models together may take.
    pub budget: Share,
}

impl DeviceBudget {
    /// The budget of the device of this name, in any case.
    pub fn find(budgets: &[Self], device: &str) -> Option<Share> {
        let mut budgets = budgets.iter();
        let found = budgets.find(|budget| budget.device.eq_ignore_ascii_case(device));
        found.map(|budget| budget.budget)
    }
}

/// Reads the budgets of devices: `CUDA0=20GiB,Vulkan0=80%`.
///
/// # Errors
/// A message for people that shows the entry and the accepted form.
pub(super) fn devices(text: &str) -> Result<Vec<DeviceBudget>, String> {
    let mut budgets: Vec<DeviceBudget> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() {
            continue;
        }
        let (device, budget) = entry
            .split_once('=')
            .map(|(device, budget)| (device.trim(), budget.trim()))
            .filter(|(device, _)| !device.is_empty())
            .ok_or_else(|| {
                format!("{entry:?} must be a device and its budget, such as CUDA0=20GiB")
            })?;
        let budget = budget
            .parse()
            .map_err(|problem| format!("budget of {device}: {problem}"))?;
        let is_same = |other: &DeviceBudget| other.device.eq_ignore_ascii_case(device);
        if budgets.iter().any(is_same) {
            return Err(format!("{device} has two budgets; keep one of them"));
        }
        budgets.push(DeviceBudget {
            device: device.to_owned(),
            budget,
        });
    }
    Ok(budgets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percentages_are_read() {
        for (text, share) in [
            ("24GiB", Share::Bytes(24 << 30)),
            ("0", Share::Bytes(0)),
            ("80%", Share::Percent(80)),
            ("80 %", Share::Percent(80)),
            ("100%", Share::Percent(100)),
        ] {
            assert_eq!(text.parse(), Ok(share), "{text}");
        }
        assert_eq!(Share::or_auto("auto"), Ok(None));
        assert_eq!(Share::or_auto("1KiB"), Ok(Some(Share::Bytes(1024))));
    }

    #[test]
    fn an_invalid_amount_is_refused_with_examples() {
        for text in [
            "", "%", "101%", "-1%", "+1%", "1.5%", "300%", "off", "24GB", "x",
        ] {
            let error = Share::or_auto(text).expect_err(text);
            assert!(
                error.contains("24GiB") && error.ends_with("or auto"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_percentage_is_taken_of_the_whole_without_overflow() {
        assert_eq!(Share::Percent(80).of(1000), 800);
        assert_eq!(Share::Percent(50).of(99), 49);
        assert_eq!(Share::Percent(100).of(u64::MAX), u64::MAX);
        assert_eq!(Share::Percent(0).of(u64::MAX), 0);
        assert_eq!(Share::Bytes(7).of(3), 7);
    }

    #[test]
    fn devices_have_one_budget_each() {
        let budget = |device: &str, budget| DeviceBudget {
            device: device.into(),
            budget,
        };
        assert_eq!(
            devices("CUDA0=20GiB, Vulkan0 = 80%,"),
            Ok(vec![
                budget("CUDA0", Share::Bytes(20 << 30)),
                budget("Vulkan0", Share::Percent(80)),
            ])
        );
        assert_eq!(devices(""), Ok(vec![]));
        for (text, words) in [
            ("CUDA0", "such as CUDA0=20GiB"),
            ("=20GiB", "such as CUDA0=20GiB"),
            ("CUDA0=many", "budget of CUDA0: \"many\" must be a size"),
            ("CUDA0=1GiB,cuda0=2GiB", "cuda0 has two budgets"),
        ] {
            let error = devices(text).expect_err(text);
            assert!(error.contains(words), "{error}");
        }
    }
}
