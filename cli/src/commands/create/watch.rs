//! `slm create --watch`: creates the model anew whenever the Modelfile or a local file that it names changes.
//!
//! The files are compared by their stamps several times a second, which works on every file system. A mistake is shown, and the
//! model stays as it was. A loaded model is replaced without losing a request: running answers end on the old weights, and the new
//! ones are loaded before the old ones leave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{LoadRequest, LoadResponse, PsResponse, routes};
use serde_json::json;

use super::{folder_of, once, read_file};
use crate::args::Create;
use crate::context::Context;
use crate::error::{Failure, Report};
use crate::exit::Exit;
use crate::weights::{Base, PathRoots};
use crate::{env, fs};

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(300);

/// The stamp of each file; `None` while the file is missing.
type Stamps = Vec<Option<fs::FileStamp>>;

/// Creates the model now and after each change, until Ctrl-C.
pub(super) async fn run(context: &Context, args: &Create) -> anyhow::Result<Exit> {
    if args.file == Path::new("-") {
        return Err(Failure::usage("`--watch` needs the Modelfile in a file")
            .hint("name it with -f")
            .into());
    }
    let mut files = vec![args.file.clone()];
    loop {
        files = named(args).unwrap_or(files);
        // Before the files are read, so that a change in between is seen.
        let seen = stamps(&files);
        let was_loaded = is_loaded(context, &args.name).await;
        match once(context, args).await {
            Ok(_) if was_loaded => load(context, &args.name).await?,
            Ok(_) => {}
            Err(error) => {
                let report = Report::of(&error);
                if report.exit != Exit::Failed {
                    return Err(error);
                }
                context.out.report(&report);
                context
                    .out
                    .note(&format!("`{}` stays as it was", args.name));
            }
        }
        context
            .out
            .note("watching its files; Ctrl-C ends the watch");
        changed(&files, seen).await;
    }
}

/// The Modelfile and the local files that it names; `None` if it has a mistake.
fn named(args: &Create) -> Option<Vec<PathBuf>> {
    let bytes = read_file(&args.file).ok()?;
    let recipe = modelfile::parse_bytes(&bytes).ok()?.modelfile;
    let roots = PathRoots {
        folder: folder_of(&args.file).ok()?,
        home: env::home_folder(&env::Process),
    };
    let mut files = vec![args.file.clone()];
    match Base::resolve(recipe.from(), &roots).ok()? {
        Base::Model(_) => {}
        Base::Files(weights) => files.extend(weights),
        Base::Folder(folder) => files.extend(folder.into_iter().map(|file| file.path)),
    }
    files.extend(roots.weights(recipe.adapters(), "ADAPTER").ok()?);
    files.extend(roots.weights(recipe.drafts(), "DRAFT").ok()?);
    Some(files)
}

/// Waits until a file has another stamp, and then until no stamp changes any more.
async fn changed(files: &[PathBuf], mut before: Stamps) {
    let mut has_changed = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamps(files);
        if now == before && has_changed {
            return;
        }
        has_changed |= now != before;
        before = now;
    }
}

fn stamps(files: &[PathBuf]) -> Stamps {
    files.iter().map(|file| fs::file_stamp(file)).collect()
}

async fn is_loaded(context: &Context, name: &str) -> bool {
    let loaded: Result<PsResponse, _> = context.client.get(routes::PS).await;
    // Without an answer there is nothing to replace.
    let models = loaded.map(|loaded| loaded.models).unwrap_or_default();
    models.iter().any(|model| model.name == full(name))
}

/// Loads the new model, and lets the old one of this name leave.
async fn load(context: &Context, name: &str) -> anyhow::Result<()> {
    let request = LoadRequest {
        model: name.to_owned(),
        replace: true,
        ..LoadRequest::default()
    };
    let loading: Result<LoadResponse, _> = context.client.post(routes::LOAD, &request).await;
    match loading {
        Ok(_) if context.out.json() => context.out.json_line(&json!({"loaded": name}))?,
        Ok(_) => context.out.note(&format!("loaded the new `{name}`")),
        // The model is created; the next request tries the load again.
        Err(error) => context.out.report(&Report::of(&error.into())),
    }
    Ok(())
}

/// The name with its tag, as lists have it.
fn full(name: &str) -> String {
    let model = name.rsplit('/').next().unwrap_or(name);
    match model.contains(':') {
        true => name.to_owned(),
        false => format!("{name}:latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_counts_when_the_files_are_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Modelfile");
        fs::write_private(&path, "FROM a\n").unwrap();
        let files = [path.clone()];
        let seen = stamps(&files);
        assert_eq!(seen, stamps(&files));
        fs::write_private(&path, "FROM another\n").unwrap();
        assert_ne!(seen, stamps(&files));
        let begun = tokio::time::Instant::now();
        changed(&files, seen).await;
        assert_eq!(begun.elapsed(), 2 * LOOK);
        fs::remove(&path).unwrap();
        assert_eq!(stamps(&files), [None]);
    }

    #[test]
    fn the_modelfile_and_its_local_files_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Modelfile");
        let args = |file: PathBuf| Create {
            name: "m".to_owned(),
            file,
            params: Vec::new(),
            quantize: None,
            no_pull: true,
            watch: true,
        };
        fs::write_private(&path, "FROM ./w.gguf\nADAPTER ./a.gguf\n").unwrap();
        for name in ["w.gguf", "a.gguf"] {
            fs::write_private(&folder.path().join(name), "GGUF").unwrap();
        }
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            let names = files.iter().filter_map(|file| file.file_name());
            names.map(|name| name.display().to_string()).collect()
        };
        let files = named(&args(path.clone())).unwrap();
        assert_eq!(names(files), ["Modelfile", "w.gguf", "a.gguf"]);
        fs::write_private(&path, "FROM smollm2\n").unwrap();
        assert_eq!(names(named(&args(path.clone())).unwrap()), ["Modelfile"]);
        fs::write_private(&path, "FORM smollm2\n").unwrap();
        assert_eq!(named(&args(path)), None);
    }

    #[test]
    fn a_name_has_its_tag() {
        for (name, expected) in [
            ("m", "m:latest"),
            ("m:small", "m:small"),
            ("box:5000/a/m", "box:5000/a/m:latest"),
        ] {
            assert_eq!(full(name), expected);
        }
    }
}
