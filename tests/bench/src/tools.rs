//! llama.cpp's own benchmark programs: its library without a server.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Bench;
use super::statistics::Samples;
use super::subject::Subject;
use installer::process;

/// Tokens per second of llama-bench: prefill and decode.
///
/// # Errors
/// It is not built, failed, or has an unexpected output.
pub(super) fn llama_bench(
    bench: &Bench,
    subject: &Subject,
    prompt: usize,
    answer: u32,
) -> Result<(f64, f64)> {
    let said = process::quiet(
        bench
            .peer
            .command("llama-bench")?
            .arg("-m")
            .arg(&subject.weights)
            .args(["-t", &bench.threads.to_string()])
            .args(["-p", &prompt.to_string(), "-n", &answer.to_string()])
            .args(["-r", "1", "-o", "jsonl"]),
    )?;
    let rate = |tested: &str| {
        lines(&said)
            .find(|line| line[tested].as_u64().is_some_and(|tokens| tokens > 0))
            .and_then(|line| line["avg_ts"].as_f64())
            .with_context(|| format!("llama-bench gives no rate for {tested}"))
    };
    Ok((rate("n_prompt")?, rate("n_gen")?))
}

/// Tokens of all answers per second of llama-batched-bench, prefill included.
/// `None` if it is not built.
///
/// # Errors
/// It failed, or has an unexpected output.
pub(super) fn batched_bench(
    bench: &Bench,
    subject: &Subject,
    streams: usize,
    prompt: usize,
    answer: u32,
) -> Result<Samples> {
    let Ok(mut command) = bench.peer.command("llama-batched-bench") else {
        return Ok(Samples::default());
    };
    let cells = streams * (prompt + answer as usize);
    let said = process::quiet(
        command
            .arg("-m")
            .arg(&subject.weights)
            .args(["-t", &bench.threads.to_string()])
            .args(["-c", &cells.next_multiple_of(256 * streams).to_string()])
            .args(["-npp", &prompt.to_string(), "-ntg", &answer.to_string()])
            .args(["-npl", &streams.to_string()])
            .args(["--output-format", "jsonl"]),
    )?;
    let result = lines(&said)
        .next()
        .context("llama-batched-bench gives no result")?;
    let seconds = result["t"]
        .as_f64()
        .context("the result of llama-batched-bench has no time")?;
    let tokens = streams as f64 * f64::from(answer);
    Ok([tokens / seconds].into_iter().collect())
}

/// The lines of an output that are JSON objects.
fn lines(said: &str) -> impl Iterator<Item = Value> {
    said.lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn results_are_found_between_messages() {
        let said =
            "loading\n\n{\"n_prompt\": 512, \"avg_ts\": 7.5}\n{broken\n| a | b |\n{\"n_gen\": 8}\n";
        let found: Vec<_> = lines(said).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["avg_ts"], 7.5);
        assert_eq!(found[1]["n_gen"], 8);
    }
}
