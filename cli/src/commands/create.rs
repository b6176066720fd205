//! `slm create`: creates a model from a Modelfile.
//!
//! The client parses the Modelfile, because it can show every mistake at its line and has the files
//! that the Modelfile names. The daemon gets the weights as blobs and the rest as values.

mod watch;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api::{CreateRequest, License, Progress, routes};
use modelfile::{Diagnostics, MOST_FINDINGS, Modelfile, Parameters, Severity};
use serde_json::json;

use crate::answer;
use crate::args::Create;
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::replaced::{NameTarget, with_replaced};
use crate::weights::{Base, PathRoots, Sender};
use crate::{env, fs, params, text};

/// Creates the model, once or after each change of its files.
pub(crate) async fn run(context: &Context, args: &Create) -> anyhow::Result<Exit> {
    match args.watch {
        true => watch::run(context, args).await,
        false => once(context, args).await,
    }
}

/// Creates the model, and reports how its weights got into the store.
async fn once(context: &Context, args: &Create) -> anyhow::Result<Exit> {
    let out = &context.out;
    let parameters = params::parse(&args.params, out)?;
    let recipe = read(out, &args.file)?;
    check_version(&recipe)?;
    let roots = PathRoots {
        folder: folder_of(&args.file)?,
        home: env::home_folder(&env::Process),
    };
    let base = Base::resolve(recipe.from(), &roots)?;
    check_quantize(args, &base)?;
    let shadow = shadow(&recipe, &roots, &base);
    if let Some(shadow) = &shadow {
        out.note(&format!("note: {shadow}"));
    }
    let made = make(context, args, &recipe, &parameters, &roots, base).await;
    match shadow {
        Some(shadow) => made.context(shadow),
        None => made,
    }
}

/// Creates a model from a file or folder, as a Modelfile with one `FROM` does.
pub(crate) async fn of_path(context: &Context, name: &str, path: &Path) -> anyhow::Result<()> {
    let from = format!("FROM {}\n", path.display());
    let recipe = modelfile::parse_bytes(from.as_bytes())
        .map_err(|_| {
            Failure::new(format!(
                "`{}` cannot be written in a Modelfile",
                path.display()
            ))
        })?
        .modelfile;
    let roots = PathRoots {
        folder: PathBuf::from("."),
        home: None,
    };
    let base = Base::resolve(recipe.from(), &roots)?;
    let args = Create {
        name: name.to_owned(),
        file: PathBuf::from("-"),
        params: Vec::new(),
        quantize: None,
        no_pull: true,
        watch: false,
    };
    let parameters = Parameters::default();
    make(context, &args, &recipe, &parameters, &roots, base).await?;
    Ok(())
}

/// A note that `FROM` means a folder whose name could be a model's.
fn shadow(recipe: &Modelfile, roots: &PathRoots, base: &Base) -> Option<String> {
    let (value, folder) = recipe
        .from()
        .find_map(|value| Some((value, roots.shadow(value)?)))?;
    let folder = folder.display();
    (!matches!(base, Base::Model(_))).then(|| {
        format!(
            "`FROM {value}` means the folder `{folder}` here; `{value}:latest` would mean the model"
        )
    })
}

/// Sends the weights, and lets the daemon create the model.
async fn make(
    context: &Context,
    args: &Create,
    recipe: &Modelfile,
    parameters: &Parameters,
    roots: &PathRoots,
    base: Base,
) -> anyhow::Result<Exit> {
    let Context { client, out, .. } = context;
    let adapters = roots.weights(recipe.adapters(), "ADAPTER")?;
    let drafts = roots.weights(recipe.drafts(), "DRAFT")?;

    let mut sender = Sender::new(client, out.clone());
    let mut request = request(&args.name, recipe, parameters);
    match base {
        Base::Model(name) => request.from = Some(name),
        Base::Files(files) => request.files = sender.send(&files).await?,
        Base::Folder(files) => request.files = Some(sender.send_folder(&files).await?),
    }
    request.quantize.clone_from(&args.quantize);
    request.pull = args.no_pull.then_some(false);
    request.adapters = sender.send(&adapters).await?;
    request.draft_files = sender.send(&drafts).await?;

    let before = NameTarget::of(client, &args.name).await;
    let mut view = out.progress();
    let mut events = client.stream::<Progress>(routes::CREATE, &request).await?;
    let mut last = None;
    while let Some(event) = events.next().await? {
        // With `--json`, the last event names the replaced model too.
        if out.json() && event.status == "success" {
            last = Some(event);
        } else {
            view.update(&event)?;
        }
    }
    drop(view);
    let replaced = before.replaced(client).await;
    if let Some(last) = last {
        let mut last = serde_json::to_value(last)?;
        last["replaced"] = json!(replaced);
        out.json_line(&last)?;
    }
    let message = format!("created `{}`", args.name);
    out.note(&with_replaced(&message, replaced.as_deref()));
    Ok(Exit::Ok)
}

/// Reads the Modelfile, and shows every mistake as a compiler does.
fn read(out: &Output, path: &Path) -> anyhow::Result<Modelfile> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a longer text is refused and not cut.
        let mut stdin = std::io::stdin()
            .lock()
            .take(modelfile::MAX_BYTES as u64 + 1);
        stdin.read_to_end(&mut bytes).map_err(|error| {
            Failure::new(format!(
                "cannot read the Modelfile from standard input: {error}"
            ))
        })?;
        ("<standard input>".to_owned(), bytes)
    } else {
        (path.display().to_string(), read_file(path)?)
    };
    match modelfile::parse_bytes(&bytes) {
        Ok(parsed) => {
            if !parsed.warnings.is_empty() {
                out.note(&parsed.warnings.render(&name));
            }
            Ok(parsed.modelfile)
        }
        Err(mistakes) => {
            let message = format!(
                "there {} in `{name}`\n\n{}",
                counted(&mistakes),
                mistakes.render(&name)
            );
            Err(Failure::new(message).code("modelfile_invalid").into())
        }
    }
}

/// The number of errors and of warnings, in words.
fn counted(findings: &Diagnostics) -> String {
    let of = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let errors = match of(Severity::Error) {
        1 => "is an error".to_owned(),
        count if count > MOST_FINDINGS => format!("are at least {MOST_FINDINGS} errors"),
        count => format!("are {count} errors"),
    };
    match of(Severity::Warning) {
        0 => errors,
        count => format!("{errors} and {}", text::count(count as u64, "warning")),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path, modelfile::MAX_BYTES).map_err(|error| {
        if error.is_missing() {
            Failure::new(format!("there is no Modelfile at `{}`", path.display()))
                .hint("write one, for example `FROM smollm2` and a line `SYSTEM …`, and name it with -f")
                .code("modelfile_missing")
                .into()
        } else {
            error.into()
        }
    })
}

/// The folder that relative paths start from: the Modelfile's, or the current one for standard input.
fn folder_of(file: &Path) -> anyhow::Result<PathBuf> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && file != Path::new("-") => parent,
        _ => Path::new("."),
    };
    Ok(fs::canonical(folder)?)
}

fn check_version(recipe: &Modelfile) -> Result<(), Failure> {
    let ours = semver::Version::parse(api::OLLAMA).expect("three numbers");
    match recipe.requires() {
        Some(required) if *required > ours => Err(Failure::new(format!(
            "the Modelfile requires Ollama {required}, and this version of slm corresponds to Ollama {ours}"
        ))
        .hint("update slm, or remove the REQUIRES line if the model is known to run")
        .code("version_too_old")),
        _ => Ok(()),
    }
}

/// Refuses `--quantize` without a conversion, before any file is read.
fn check_quantize(args: &Create, base: &Base) -> Result<(), Failure> {
    match (&args.quantize, base) {
        (None, _) | (_, Base::Folder(_)) => Ok(()),
        (Some(kind), _) => Err(Failure::new(format!(
            "`--quantize {kind}` needs a folder of safetensors in FROM"
        ))
        .hint("leave it out; a GGUF file or a model keeps its quantization")
        .code("unsupported")),
    }
}

/// The request: the recipe without the weights.
fn request(name: &str, recipe: &Modelfile, over: &Parameters) -> CreateRequest {
    let parameters = over.merged_over(&recipe.parameters());
    let messages: Vec<_> = recipe
        .messages()
        .map(|message| answer::message(message.role.as_str(), &message.content))
        .collect();
    let mut licenses: Vec<String> = recipe.licenses().map(str::to_owned).collect();
    CreateRequest {
        model: name.to_owned(),
        template: recipe.template().map(str::to_owned),
        license: match licenses.len() {
            0 => None,
            1 => licenses.pop().map(License::One),
            _ => Some(License::Many(licenses)),
        },
        system: recipe.system().map(str::to_owned),
        parameters: (!parameters.is_empty()).then(|| parameters.to_json()),
        messages: (!messages.is_empty()).then_some(messages),
        renderer: recipe.renderer().map(str::to_owned),
        parser: recipe.parser().map(str::to_owned),
        requires: recipe.requires().map(ToString::to_string),
        ..CreateRequest::default()
    }
}
