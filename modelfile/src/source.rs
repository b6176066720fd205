//! Whether a `FROM` value is a path or a model name, and the model name that a path gives.

/// The kind of a `FROM` value, by its spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A path. If nothing exists there, that is an error and not a name to pull.
    Path,
    /// Possibly a model name. A file or directory of the same spelling goes first; the caller looks
    /// for it, as Ollama does.
    Name,
}

/// Extensions of weights files, which names of models do not have.
const WEIGHT_SUFFIXES: [&str; 5] = [".gguf", ".safetensors", ".bin", ".pth", ".pt"];

impl Source {
    /// Classifies a `FROM` value by its spelling alone.
    ///
    /// A path is a value that starts with `/`, `\`, `~` or a drive such as `C:\` or `C:/`; is
    /// `.` or `..` or starts with one of them and a separator; holds a backslash or white space;
    /// ends with a separator; or ends like a weights file (`.gguf`, `.safetensors`, `.bin`,
    /// `.pth`, `.pt`, in any case) and holds no `:`. The last condition keeps names whose tag is
    /// a file name, such as `hf.co/someone/model-GGUF:model-Q8_0.gguf`, which hub names allow.
    pub fn classify(value: &str) -> Self {
        let is_path = value.starts_with(['/', '~'])
            || value.contains('\\')
            || value.contains(char::is_whitespace)
            || value.ends_with('/')
            || matches!(value, "." | "..")
            || value.starts_with("./")
            || value.starts_with("../")
            || starts_with_drive(value)
            || ends_like_weights(value);
        if is_path { Self::Path } else { Self::Name }
    }
}

/// The model name that a file or folder gives: its own name without `.gguf`, in lower case, with `-` for each character that a
/// model name cannot have. `None` where nothing is left.
pub fn name_of_file(file: &str) -> Option<String> {
    let stem = match file.rsplit_once('.') {
        Some((stem, end)) if end.eq_ignore_ascii_case("gguf") => stem,
        _ => file,
    };
    let plain: String = stem
        .chars()
        .map(|c| match c {
            '-' | '_' | '.' => c,
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '-',
        })
        .take(80)
        .collect();
    let plain = plain.trim_matches(['-', '.']);
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// `C:/…`; a backslash is tested before.
fn starts_with_drive(value: &str) -> bool {
    matches!(value.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic())
}

fn ends_like_weights(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    !lower.contains(':') && WEIGHT_SUFFIXES.iter().any(|suffix| lower.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_name() {
        let name = name_of_file;
        assert_eq!(
            name("My Model.Q4_K_M.GGUF").as_deref(),
            Some("my-model.q4_k_m")
        );
        assert_eq!(name("all-MiniLM").as_deref(), Some("all-minilm"));
        assert_eq!(name("….gguf"), None);
    }

    #[test]
    fn written_as_a_path() {
        for value in [
            "/abs/model.gguf",
            "./rel",
            "../up",
            ".",
            "..",
            "~",
            "~/models/x",
            "~someone/x",
            "model.gguf",
            "sub/MODEL.GGUF",
            "weights.safetensors",
            "dir/",
            "my model",
            r"C:\m\x",
            "C:/m/x",
            r"sub\model",
        ] {
            assert_eq!(Source::classify(value), Source::Path, "{value}");
        }
    }

    #[test]
    fn can_be_a_name() {
        for value in [
            "llama3.2",
            "llama3:latest",
            "library/llama3:7b-instruct-q4_K_M",
            "models/mine",
            "localhost:5000/a/b:c",
            "hf.co/someone/model-GGUF:model-Q8_0.gguf",
            "smollm2@sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ] {
            assert_eq!(Source::classify(value), Source::Name, "{value}");
        }
    }
}
