//! The corpus: each `NAME.modelfile`, with the result of parsing it in `NAME.expected`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use modelfile::{Instruction, Parsed, parse_bytes};

use crate::fuzz_body::parse_anything;

/// The pairs as (name, bytes of the text, path of the expected result).
#[expect(clippy::disallowed_methods, reason = "the corpus is a folder")]
fn corpus() -> Vec<(String, Vec<u8>, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut pairs: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus folder is there")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "modelfile")
        })
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read(&path).expect("the text can be read");
            (name, text, path.with_extension("expected"))
        })
        .collect();
    pairs.sort();
    pairs
}

/// The whole result of parsing, as text.
fn describe(outcome: &Result<Parsed, modelfile::Diagnostics>) -> String {
    let mut text = String::new();
    match outcome {
        Ok(Parsed {
            modelfile,
            warnings,
        }) => {
            text.push_str("== value ==\n");
            for instruction in &modelfile.instructions {
                writeln!(text, "{}", describe_instruction(instruction))
                    .expect("a string takes all");
            }
            if !warnings.is_empty() {
                write!(text, "== warnings ==\n{warnings}\n").expect("a string takes all");
            }
            write!(text, "== printed ==\n{modelfile}").expect("a string takes all");
        }
        Err(findings) => write!(text, "== findings ==\n{findings}\n").expect("a string takes all"),
    }
    text
}

fn describe_instruction(instruction: &Instruction) -> String {
    let keyword = instruction.keyword();
    match instruction {
        Instruction::From(text)
        | Instruction::Draft(text)
        | Instruction::Adapter(text)
        | Instruction::Template(text)
        | Instruction::System(text)
        | Instruction::License(text)
        | Instruction::Renderer(text)
        | Instruction::Parser(text) => format!("{keyword} {text:?}"),
        Instruction::Requires(version) => format!("{keyword} {version}"),
        Instruction::Parameter(parameter) => {
            format!("{keyword} {} {:?}", parameter.name(), parameter.value())
        }
        Instruction::Message(message) => {
            format!("{keyword} {} {:?}", message.role, message.content)
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus is a folder")]
fn each_text_parses_to_its_expected_result() {
    let drafts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("modelfile-corpus");
    let mut wrong = Vec::new();
    for (name, text, expected) in corpus() {
        let became = describe(&parse_bytes(&text));
        if std::fs::read_to_string(&expected).ok().as_deref() != Some(&became) {
            std::fs::create_dir_all(&drafts).expect("the build folder can be written");
            std::fs::write(drafts.join(format!("{name}.expected")), &became)
                .expect("it can be written");
            wrong.push(format!("--- {name}\n{became}"));
        }
    }
    let drafts = drafts.display();
    assert!(
        wrong.is_empty(),
        "{}\nif this is right, copy it from {drafts}",
        wrong.join("\n")
    );
}

#[test]
fn each_text_is_parsed_without_panic_when_it_is_cut() {
    let corpus = corpus();
    assert!(
        corpus.len() > 80,
        "the corpus has shrunk to {}",
        corpus.len()
    );
    for (_, text, _) in &corpus {
        parse_anything(text);
        // The text cut at some two hundred offsets must not panic.
        let step = text.len().div_ceil(200).max(1);
        (0..text.len())
            .step_by(step)
            .for_each(|end| parse_anything(&text[..end]));
    }
}
