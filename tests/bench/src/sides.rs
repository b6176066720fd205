//! The instructions of each side, as each reports them.

use anyhow::{Context, Result};

use super::Bench;
use super::daemon::loaded;
use super::stream::{Endpoint, Question};
use super::subject::Subject;
use installer::process;

/// The devices and instructions of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sides {
    /// slm: the device, with the variant of its module: `CPU (zen4)`.
    pub(super) slm: String,
    /// llama.cpp's programs: `AVX2, FMA, AVX512`; `None` if they are not built.
    pub(super) llama: Option<String>,
}

impl Sides {
    /// Lets both load a model and report.
    ///
    /// # Errors
    /// One of them fails, or does not report.
    pub(super) fn ask(bench: &Bench, subject: &Subject) -> Result<Self> {
        Ok(Self {
            slm: ours(bench, subject)?,
            llama: match bench.peer.command("llama-completion") {
                Ok(mut command) => {
                    command
                        .arg("-m")
                        .arg(&subject.weights)
                        .args(["-p", "a", "-n", "1", "-c", "64", "-no-cnv", "--no-warmup"])
                        .args(["-t", &bench.threads.to_string()]);
                    Some(instructions(&process::messages(&mut command)?)?)
                }
                Err(_) => None,
            },
        })
    }
}

fn ours(bench: &Bench, subject: &Subject) -> Result<String> {
    let daemon = bench.site.daemon(&[])?;
    Endpoint::slm(daemon.base(), &subject.name).ask(&Question {
        prompt: "a".to_owned(),
        tokens: 1,
        remember: false,
        settings: None,
    })?;
    let models = loaded(&daemon)?;
    let device = models.first().and_then(|model| model["device"].as_str());
    Ok(device.context("the daemon names no device")?.to_owned())
}

/// The features that are on in the line `system_info: n_threads = 2 | CPU : AVX2 = 1 | SVE = 0 | …`.
fn instructions(said: &str) -> Result<String> {
    let line = said.lines().find(|line| line.contains("system_info:"));
    let line = line.context("llama-completion does not say what it computes with")?;
    let on: Vec<&str> = line
        .split('|')
        .filter_map(|part| part.trim().strip_suffix(" = 1"))
        .map(|part| part.rsplit(" : ").next().unwrap_or(part))
        .collect();
    Ok(on.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_are_on_are_named() -> Result<()> {
        let said = "load: ok\nsystem_info: n_threads = 2 (n_threads_batch = 2) / 2 | CPU : SSE3 = 1 | AVX2 = 1 | SVE = 0 | AMX_INT8 = 1 | \n";
        assert_eq!(instructions(said)?, "SSE3, AVX2, AMX_INT8");
        assert!(instructions("load: ok\n").is_err());
        Ok(())
    }
}
