//! `file:PATH` instead of a model's name: a local file or folder that becomes a model.

use std::path::{Path, PathBuf};

use super::create;
use crate::context::Context;
use crate::error::Failure;
use crate::fs;

/// The prefix of such a name.
const SCHEME: &str = "file:";

/// Creates the model if `name` is `file:PATH`, and returns its name; returns any other name unchanged.
pub(crate) async fn made(context: &Context, name: &str) -> anyhow::Result<String> {
    let Some(path) = path_of(name)? else {
        return Ok(name.to_owned());
    };
    let path = fs::canonical(&path)?;
    let made = name_of(&path)?;
    create::of_path(context, &made, &path).await?;
    Ok(made)
}

/// The path in `file:PATH` or `file:///PATH`; `None` for any other name.
fn path_of(name: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(rest) = name.strip_prefix(SCHEME) else {
        return Ok(None);
    };
    let path = match rest.strip_prefix("//") {
        Some(path) if !path.starts_with('/') => {
            return Err(Failure::usage(format!(
                "`{name}` names a file on another machine; a local path is written `file:{path}` or `file:///{path}`"
            )));
        }
        Some(path) => path,
        None => rest,
    };
    match path {
        "" => Err(Failure::usage(
            "after `file:` comes a path, such as `file:./model.gguf`",
        )),
        path => Ok(Some(PathBuf::from(path))),
    }
}

/// The name of the model from a file or folder.
fn name_of(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    modelfile::name_of_file(&name).ok_or_else(|| {
        Failure::new(format!("no name can be made of `{name}`"))
            .hint("`slm create NAME` makes a model of a file under any name: a Modelfile with FROM and the path")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_distinguished_from_names() {
        let path = |name| path_of(name).map(|path| path.map(|path| path.display().to_string()));
        assert!(matches!(path("phi4-mini"), Ok(None)));
        for (name, expected) in [
            ("file:m.gguf", "m.gguf"),
            ("file:./a b/m.gguf", "./a b/m.gguf"),
            ("file:/x/m.gguf", "/x/m.gguf"),
            ("file:///x/m.gguf", "/x/m.gguf"),
        ] {
            assert_eq!(path(name).ok().flatten().as_deref(), Some(expected));
        }
        for name in ["file:", "file://host/m.gguf"] {
            assert!(path(name).is_err(), "{name}");
        }
    }
}
