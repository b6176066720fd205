//! Progress lines with the status texts of Ollama's API, which `slm` prints.

use api::Progress;
use registry::Stage;

/// The line for a report of the store.
pub(crate) fn line(progress: registry::Progress) -> Progress {
    let counted = progress.total > 0;
    Progress {
        status: status(&progress.stage),
        digest: progress.digest.map(|digest| digest.to_string()),
        total: counted.then_some(progress.total),
        completed: counted.then_some(progress.completed),
        ..Progress::default()
    }
}

/// The last line of a successful operation.
pub(crate) fn success() -> Progress {
    Progress {
        status: "success".to_owned(),
        ..Progress::default()
    }
}

fn status(stage: &Stage) -> String {
    match stage {
        Stage::ReadingCatalogs => "reading catalogs".to_owned(),
        Stage::Asking(place) => format!("asking {place}"),
        Stage::Chosen(what) => what.clone(),
        Stage::WaitingForPull(blob) => format!("waiting for another pull of {}", blob.short()),
        Stage::Pulling(blob) => format!("pulling {}", blob.short()),
        Stage::PullingAgain => {
            "the bytes that came are not the announced ones; fetching them once more".to_owned()
        }
        Stage::DownloadingPackage(requirement) => {
            format!("downloading Python package {requirement}")
        }
        Stage::DownloadingWeights => "downloading weights".to_owned(),
        Stage::Unpacking(file) => format!("unpacking {file}"),
        Stage::WaitingForFiles => "waiting for other files to be read".to_owned(),
        Stage::Copying => "copying".to_owned(),
        Stage::Hashing => "hashing".to_owned(),
        Stage::Verifying(blob) => format!("verifying {}", blob.short()),
        Stage::Translating(blob) => format!("translating {}", blob.short()),
        Stage::Warning(warning) => format!("warning: {warning}"),
        Stage::ReadingWeights => "parsing GGUF".to_owned(),
        Stage::Converting => "converting model".to_owned(),
        Stage::NewLayer(digest) => format!("creating new layer {digest}"),
        Stage::ExistingLayer(digest) => format!("using existing layer {digest}"),
        Stage::UnknownLayer(layer) => format!("{layer}; it is kept and not used"),
        Stage::UnknownRenderer(renderer) => format!(
            "the renderer {renderer:?} is not known, and the model has no template: it needs a TEMPLATE to chat"
        ),
        Stage::WritingManifest => "writing manifest".to_owned(),
        Stage::Unchanged => "the model is unchanged".to_owned(),
        Stage::ReadingManifest => "retrieving manifest".to_owned(),
        Stage::LeftOut(part) => format!("{part}; a ModelPack has no place for it"),
        Stage::Pushing(blob) => format!("pushing {}", blob.short()),
        Stage::PushingManifest => "pushing manifest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use registry::Digest;

    use super::*;

    #[test]
    fn a_line_has_the_status_of_ollama_and_counters_only_with_a_size() {
        let digest = Digest::of(b"");
        let report = |stage, digest, total| {
            let line = line(registry::Progress {
                stage,
                digest,
                total,
                completed: 1,
            });
            serde_json::to_string(&line).expect("a line")
        };
        assert_eq!(
            report(Stage::Pulling(digest), Some(digest), 9),
            format!(
                r#"{{"status":"pulling e3b0c44298fc","digest":"{digest}","total":9,"completed":1}}"#
            )
        );
        assert_eq!(
            report(Stage::ReadingManifest, None, 0),
            r#"{"status":"retrieving manifest"}"#
        );
    }
}
