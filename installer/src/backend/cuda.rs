//! CUDA: the compiler, and the kinds of GPUs that it compiles for.

use anyhow::Result;

use installer::{process, say};

use super::needs;

/// Names the compiler where it is not on the path, and compiles for the GPUs of this machine alone, in a fraction of the time.
///
/// Without a GPU at hand, llama.cpp's list is taken: all that the toolkit knows.
///
/// # Errors
/// None.
pub(super) fn options() -> Result<Vec<String>> {
    let mut options = Vec::new();
    if let Some(compiler) = needs::tool("nvcc", &["/usr/local/cuda/bin", "/opt/cuda/bin"]) {
        options.push(format!("-DCMAKE_CUDA_COMPILER={}", compiler.display()));
    }
    let mut question = process::command("nvidia-smi");
    question.args(["--query-gpu=compute_cap", "--format=csv,noheader"]);
    match process::quiet(&mut question).map(|said| architectures(&said)) {
        Ok(Some(list)) => {
            say::line(&format!("compiling for the GPUs of this machine: {list}"));
            options.push(format!("-DCMAKE_CUDA_ARCHITECTURES={list}"));
        }
        _ => say::line("no GPU of NVIDIA is here; compiling for all kinds, which takes long"),
    }
    Ok(options)
}

/// `90-real;86-real` of lines such as `9.0`; `None` if no line is a compute capability.
fn architectures(said: &str) -> Option<String> {
    let mut all: Vec<String> = said
        .lines()
        .filter_map(|line| {
            let (major, minor) = line.trim().split_once('.')?;
            let number: u32 = format!("{major}{minor}").parse().ok()?;
            Some(format!("{number}-real"))
        })
        .collect();
    all.sort();
    all.dedup();
    (!all.is_empty()).then(|| all.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_gpu_is_compiled_for_once() {
        assert_eq!(
            architectures("9.0\n8.6\n9.0\n").as_deref(),
            Some("86-real;90-real")
        );
        assert_eq!(architectures("12.0\n").as_deref(), Some("120-real"));
        assert_eq!(architectures("[N/A]\n"), None);
        assert_eq!(architectures(""), None);
    }
}
