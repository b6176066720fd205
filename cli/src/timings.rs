//! Timings and token counts of an answer, as a table.

use std::time::Duration;

use api::Timings;

use crate::text;

/// The table, one value per line.
pub(crate) fn timing_table(timings: &Timings) -> String {
    let duration = |nanoseconds| text::duration(Duration::from_nanos(nanoseconds));
    let rate = |count: u32, nanoseconds: u64| match nanoseconds {
        0 => "-".to_owned(),
        _ => format!(
            "{:.2} tokens/s",
            f64::from(count) * 1e9 / nanoseconds as f64
        ),
    };
    let remembered = match timings.cached_tokens {
        0 => String::new(),
        count => format!(" ({count} cached)"),
    };
    // Cached tokens were not computed, so they do not count for the rate.
    let computed = timings
        .prompt_eval_count
        .saturating_sub(timings.cached_tokens);
    let mut rows = vec![
        ("total duration", duration(timings.total_duration)),
        ("load duration", duration(timings.load_duration)),
        (
            "prompt eval count",
            format!("{} tokens{remembered}", timings.prompt_eval_count),
        ),
        (
            "prompt eval duration",
            duration(timings.prompt_eval_duration),
        ),
        (
            "prompt eval rate",
            rate(computed, timings.prompt_eval_duration),
        ),
        ("eval count", format!("{} tokens", timings.eval_count)),
        ("eval duration", duration(timings.eval_duration)),
        ("eval rate", rate(timings.eval_count, timings.eval_duration)),
    ];
    if timings.drafted_tokens > 0 {
        let share = f64::from(timings.accepted_tokens) / f64::from(timings.drafted_tokens);
        rows.push((
            "drafts accepted",
            format!(
                "{} of {} tokens ({:.0} %)",
                timings.accepted_tokens,
                timings.drafted_tokens,
                share * 100.0
            ),
        ));
    }
    if let Some(seed) = timings.seed {
        rows.push(("seed", seed.to_string()));
    }
    rows.iter()
        .map(|(name, value)| format!("{:22}{value}\n", format!("{name}:")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_a_table() {
        let timings = Timings {
            total_duration: 2_500_000_000,
            load_duration: 120_000_000,
            prompt_eval_count: 30,
            prompt_eval_duration: 200_000_000,
            eval_count: 100,
            eval_duration: 2_000_000_000,
            cached_tokens: 10,
            drafted_tokens: 48,
            accepted_tokens: 36,
            seed: Some(42),
            ..Timings::default()
        };
        insta::assert_snapshot!(timing_table(&timings), @r"
        total duration:       2.50s
        load duration:        120.0ms
        prompt eval count:    30 tokens (10 cached)
        prompt eval duration: 200.0ms
        prompt eval rate:     100.00 tokens/s
        eval count:           100 tokens
        eval duration:        2.00s
        eval rate:            50.00 tokens/s
        drafts accepted:      36 of 48 tokens (75 %)
        seed:                 42
        ");
        let nothing = timing_table(&Timings::default());
        assert!(
            !nothing.contains("NaN") && !nothing.contains("inf"),
            "{nothing}"
        );
    }
}
