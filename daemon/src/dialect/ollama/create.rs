//! `POST /api/create`: makes a model from a base and a recipe.

use std::collections::BTreeMap;
use std::str::FromStr;

use api::{CreateRequest, ErrorBody, License, Progress};
use axum::extract::State;
use axum::response::Response;
use modelfile::{Message, Parameters, Role};
use registry::convert::Format;
use registry::{
    Base, Create, Digest, FileNames, ModelName, ModelRef, Reference, Registry, RelPath, Reporter,
    Stage, Weights,
};

use super::stream_progress;
use crate::app::App;
use crate::blocking;
use crate::error::Error;
use crate::extract::{Json, LARGE, digest_of, model_name};
use crate::template::Template;
use crate::{progress, requirements, unsupported};

/// Creates a model from a base or from files.
///
/// The answer is a stream of progress; the recipe is checked before its first line. *Detach*: the create continues, and a second
/// client with the same recipe joins it. *Cancel* if the base has to be pulled first: the pull ends when the last client
/// disconnects.
#[utoipa::path(
    post,
    path = api::routes::CREATE,
    request_body = CreateRequest,
    responses(
        (status = 200, description = "Lines of progress; with `stream: false` only the last one", content((Progress = "application/x-ndjson"), (Progress = "application/json"))),
        (status = "4XX", description = "A field is wrong, or a base or a blob is not in the store", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<CreateRequest, LARGE>,
) -> Result<Response, Error> {
    let (stream, may_pull) = (request.stream, request.pull != Some(false));
    let Recipe { create, warnings } = blocking::run(move || read(request)).await??;
    let missing = match &create.from {
        Base::Model(base) if may_pull => to_fetch(&app, base).await?,
        _ => None,
    };
    let key = format!("create {create:?}");
    let App {
        registry,
        sources,
        operations,
        variants,
        ..
    } = app;
    if let Some(base) = missing {
        let lines = operations.join_attached(key, move |reporter| async move {
            let base = Reference::of(&base);
            let base = variants.decide(base, false, &reporter).await;
            registry
                .pull(&base, false, &sources.now(), &reporter)
                .await?;
            make(&registry, create, warnings, &reporter).await
        });
        return stream_progress(lines, stream).await;
    }
    let lines = operations.join_detached(key, move |reporter| async move {
        make(&registry, create, warnings, &reporter).await
    });
    stream_progress(lines, stream).await
}

async fn make(
    registry: &Registry,
    create: Create,
    warnings: Vec<String>,
    reporter: &Reporter,
) -> Result<Progress, Error> {
    for warning in warnings {
        reporter.stage(Stage::Warning(warning));
    }
    registry.create(create, reporter).await?;
    Ok(progress::success())
}

/// The base, if it is not in the store and can be pulled: a catalog has it, or its name has a host. `None` for any other base; the
/// create reports a missing one.
async fn to_fetch(app: &App, base: &ModelRef) -> Result<Option<ModelName>, Error> {
    match app.registry.model(&base.name).await {
        Err(registry::Error::NotFound { .. }) => {}
        _ => return Ok(None),
    }
    let (catalog, _) = app.registry.catalog().await?;
    let is_known =
        catalog.resolve(&base.name).is_some() || base.name.host() != registry::name::DEFAULT_HOST;
    Ok(is_known.then(|| base.name.clone()))
}

/// A recipe that passed all checks.
#[derive(Debug)]
struct Recipe {
    create: Create,
    /// Warnings about valid parts that are probably mistakes.
    warnings: Vec<String>,
}

/// Checks a recipe.
fn read(request: CreateRequest) -> Result<Recipe, Error> {
    unsupported::in_create(&request)?;
    requirements::version(request.requires.as_deref())?;
    let name = model_name(request.name())?;
    let file_names = file_names(&request)?;
    let is_folder = unsupported::is_folder(&request);
    let from = match (request.from.filter(|from| !from.is_empty()), request.files) {
        (Some(from), files) if files.as_ref().is_none_or(BTreeMap::is_empty) => {
            Base::Model(base(&from)?)
        }
        (None, Some(files)) if is_folder => {
            Base::Folder(folder(files, request.quantize.as_deref())?)
        }
        (None, files) if files.as_ref().is_some_and(|files| !files.is_empty()) => {
            Base::Blobs(digests(files)?)
        }
        (Some(_), _) => return Err(Error::Invalid("give 'from' or 'files', not both".into())),
        (None, _) => {
            return Err(Error::Invalid(
                "neither 'from' nor 'files' was given".into(),
            ));
        }
    };
    let given = request.template.as_deref().filter(|text| !text.is_empty());
    let template = given.map(Template::parse).transpose();
    let template = template.map_err(|source| Error::Template {
        whose: "the template of the recipe",
        source,
    })?;
    let mut warnings = template.map_or_else(Vec::new, |template| template.warnings().to_vec());
    let parameters = parameters(request.parameters.unwrap_or_default(), &mut warnings)?;
    let mut drafts = digests(request.draft_files)?;
    if drafts.len() > 1 {
        return Err(Error::Unsupported("a draft model of several files".into()));
    }
    let create = Create {
        adapters: digests(request.adapters)?,
        draft: drafts.pop(),
        template: request.template,
        system: request.system,
        parameters,
        messages: messages(request.messages.unwrap_or_default())?,
        licenses: match request.license {
            None => Vec::new(),
            Some(License::One(text)) => vec![text],
            Some(License::Many(texts)) => texts,
        },
        requires: request.requires,
        renderer: request.renderer,
        parser: request.parser,
        file_names,
        ..Create::new(name, from)
    };
    Ok(Recipe { create, warnings })
}

/// `name` or `name@sha256:<hex>`.
fn base(from: &str) -> Result<ModelRef, Error> {
    let (name, digest) = match from.split_once('@') {
        Some((name, digest)) => (name, Some(digest_of(digest)?)),
        None => (from, None),
    };
    Ok(ModelRef {
        name: model_name(name)?,
        digest,
    })
}

/// The safetensors files to convert, and the target format.
fn folder(files: BTreeMap<String, String>, quantize: Option<&str>) -> Result<Weights, Error> {
    let format = match quantize.filter(|name| !name.is_empty()) {
        None => Format::default(),
        Some(name) => Format::find(name).ok_or_else(|| {
            let name: String = name.chars().take(20).collect();
            Error::Unsupported(format!("quantize {name:?}, other than f16 and f32,"))
        })?,
    };
    let files = files.iter().map(|(name, digest)| {
        let path = RelPath::parse(name).map_err(registry::Error::from)?;
        Ok((path, digest_of(digest)?))
    });
    Ok(Weights {
        files: files.collect::<Result<_, Error>>()?,
        format,
    })
}

/// The blobs in the order of their file names, so that the shards of a split model come in order.
fn digests(files: Option<BTreeMap<String, String>>) -> Result<Vec<Digest>, Error> {
    files
        .unwrap_or_default()
        .values()
        .map(|text| digest_of(text))
        .collect()
}

/// The file names that the request has for its blobs.
fn file_names(request: &CreateRequest) -> Result<FileNames, Error> {
    let mut file_names = FileNames::default();
    let files = [&request.files, &request.adapters, &request.draft_files];
    for (name, digest) in files.into_iter().flatten().flatten() {
        file_names.note(digest_of(digest)?, name);
    }
    Ok(file_names)
}

/// Reads parameters. A retired parameter is a warning, as in a Modelfile; any other mistake is an error.
fn parameters(
    object: serde_json::Map<String, serde_json::Value>,
    warnings: &mut Vec<String>,
) -> Result<Parameters, Error> {
    let (parameters, problems) = Parameters::from_json_lenient(&object);
    for problem in problems {
        let hint = problem.hint();
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        let text = format!("{problem}{hint}");
        match problem {
            modelfile::parameter::Error::Retired(_) => warnings.push(text),
            _ => return Err(Error::Invalid(text)),
        }
    }
    Ok(parameters)
}

fn messages(messages: Vec<api::Message>) -> Result<Vec<Message>, Error> {
    messages
        .into_iter()
        .map(|message| {
            let role =
                Role::from_str(&message.role).map_err(|error| Error::Invalid(error.to_string()))?;
            Ok(Message {
                role,
                content: message.content,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

    fn recipe(json: serde_json::Value) -> Result<Create, Error> {
        read(serde_json::from_value(json).unwrap()).map(|recipe| recipe.create)
    }

    fn refused(json: serde_json::Value, expected: &str) {
        let error = recipe(json.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }

    #[test]
    fn a_base_is_a_name_a_name_with_a_digest_or_files() {
        let by_name = recipe(json!({"model": "m", "from": "base"})).unwrap();
        assert!(matches!(
            by_name.from,
            Base::Model(ModelRef { digest: None, .. })
        ));
        let pinned = recipe(json!({"name": "m", "from": format!("base@{DIGEST}")})).unwrap();
        assert!(matches!(
            pinned.from,
            Base::Model(ModelRef {
                digest: Some(_),
                ..
            })
        ));
        let files = recipe(json!({"model": "m", "files": {"a.gguf": DIGEST}})).unwrap();
        assert!(matches!(files.from, Base::Blobs(blobs) if blobs.len() == 1));
    }

    #[test]
    fn a_folder_of_safetensors_is_converted_as_asked() {
        let folder = |quantize: Option<&str>| {
            let files = json!({"model.safetensors": DIGEST, "1_Pooling/config.json": DIGEST});
            json!({"model": "m", "files": files, "quantize": quantize})
        };
        for (quantize, expected) in [
            (None, Format::F16),
            (Some(""), Format::F16),
            (Some("F16"), Format::F16),
            (Some("f32"), Format::F32),
        ] {
            let Base::Folder(weights) = recipe(folder(quantize)).unwrap().from else {
                panic!("a folder");
            };
            assert_eq!((weights.format, weights.files.len()), (expected, 2));
        }
        refused(
            folder(Some("q4_0")),
            "quantize \"q4_0\", other than f16 and f32, is not supported",
        );
        refused(
            json!({"model": "m", "files": {"../model.safetensors": DIGEST}}),
            "not a path inside a folder",
        );
        refused(
            json!({"model": "m", "files": {"model.safetensors": "md5:12"}}),
            "digest",
        );
    }

    #[test]
    fn a_bad_recipe_is_refused_before_anything_is_done() {
        refused(json!({}), "model is required");
        refused(json!({"model": "m"}), "neither 'from' nor 'files'");
        refused(
            json!({"model": "m", "from": "b", "files": {"a": DIGEST}}),
            "not both",
        );
        refused(json!({"model": "../m", "from": "b"}), "not a model name");
        refused(json!({"model": "m", "from": "b@sha256:12"}), "digest");
        refused(json!({"model": "m", "files": {"a": "md5:12"}}), "digest");
        refused(
            json!({"model": "m", "from": "b", "template": "{{ if }}"}),
            "template",
        );
        refused(
            json!({"model": "m", "from": "b", "parameters": {"temprature": 1}}),
            "did you mean `temperature`?",
        );
        refused(
            json!({"model": "m", "from": "b", "parameters": {"temperature": -1}}),
            "temperature",
        );
        refused(
            json!({"model": "m", "from": "b", "messages": [{"role": "robot", "content": ""}]}),
            "role must be",
        );
        refused(
            json!({"model": "m", "from": "b", "quantize": "q4_0"}),
            "quantize of anything but a folder of safetensors is not supported",
        );
    }
}
