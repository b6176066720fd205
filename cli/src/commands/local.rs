//! `file:PATH` in the place of a model's name: a file or folder of this machine that becomes a model.

use std::path::{Path, PathBuf};

use super::create;
use crate::error::Failure;
use crate::fs;
use crate::run::Context;

/// How such a name begins.
const SCHEME: &str = "file:";

/// Makes the model if `name` is `file:PATH`, and returns the name that it got; any other name is returned as it is.
pub(crate) async fn made(context: &Context, name: &str) -> anyhow::Result<String> {
    let Some(path) = path_of(name)? else {
        return Ok(name.to_owned());
    };
    let path = fs::canonical(&path)?;
    let made = name_of(&path)?;
    create::of_path(context, &made, &path).await?;
    Ok(made)
}

/// The path in `file:PATH`, `file:///PATH`; nothing for any other name.
fn path_of(name: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(rest) = name.strip_prefix(SCHEME) else {
        return Ok(None);
    };
    let path = match rest.strip_prefix("//") {
        Some(path) if !path.starts_with('/') => {
            return Err(Failure::usage(format!(
                "`{name}` names a file of another machine; a path of this one is written `file:{path}` or `file:///{path}`"
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

/// The name that a file or folder gives to its model.
fn name_of(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = match name.rsplit_once('.') {
        Some((stem, end)) if end.eq_ignore_ascii_case("gguf") => stem,
        _ => &name,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = stem
        .chars()
        .map(|c| {
            if plain(c) {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(80)
        .collect();
    match plain.trim_matches(['-', '.']) {
        "" => Err(Failure::new(format!("no name can be made of `{name}`"))
            .hint("`slm create NAME` makes a model of a file under any name: a Modelfile with FROM and the path")),
        plain => Ok(plain.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_names() {
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

    #[test]
    fn a_file_gives_its_name() {
        let name = |path| name_of(Path::new(path)).ok();
        assert_eq!(
            name("/x/My Model.Q4_K_M.GGUF").as_deref(),
            Some("my-model.q4_k_m")
        );
        assert_eq!(name("/x/all-MiniLM").as_deref(), Some("all-minilm"));
        assert_eq!(name("/x/….gguf"), None);
    }
}
