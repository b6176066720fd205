//! Models whose weights are split into several files.
//!
//! Each file states its number, the number of files and of tensors; only the first has other metadata.

use crate::{
    Digest,
    error::{Error, Result},
    facts::{Facts, Split},
    gguf::harmless,
};

/// The names of the files that a request calls its blobs by, for messages.
#[derive(Debug, Clone, Default)]
pub struct FileNames(Vec<(Digest, String)>);

impl FileNames {
    /// Adds a file's name.
    pub fn note(&mut self, digest: Digest, name: &str) {
        self.0.push((digest, harmless(name.as_bytes())));
    }

    /// The names of a blob's files, or else its digest.
    pub(super) fn of(&self, digest: &Digest) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .filter(|(known, _)| known == digest)
            .map(|(_, name)| name.as_str())
            .collect();
        match names.is_empty() {
            true => format!("blob {digest}"),
            false => names.join(" and "),
        }
    }
}

/// Checks that files of weights, sorted by their numbers, are one model.
///
/// # Errors
/// [`Error::Invalid`] names the surplus file or the missing part.
pub(super) fn check(files: &[(Digest, &Facts)], file_names: &FileNames) -> Result<()> {
    fault(files, file_names).map_or(Ok(()), |reason| Err(Error::Invalid { reason }))
}

fn fault(files: &[(Digest, &Facts)], file_names: &FileNames) -> Option<String> {
    let [(first, facts), others @ ..] = files else {
        return Some("none of the files holds weights".into());
    };
    let Some(split) = facts.split.filter(|split| split.count > 1) else {
        return others.first().map(|(second, _)| {
            format!(
                "several files hold weights, and they are not the parts of one model: {}, {}",
                file_names.of(first),
                file_names.of(second)
            )
        });
    };
    stranger(files, split, file_names)
        .or_else(|| twice(files, split, file_names))
        .or_else(|| missing(files, split, file_names))
        .or_else(|| miscounted(files, split, file_names))
}

/// A file that states other numbers of files or tensors than the first one.
fn stranger(files: &[(Digest, &Facts)], whole: Split, file_names: &FileNames) -> Option<String> {
    files.iter().find_map(|(digest, facts)| {
        let name = file_names.of(digest);
        match facts.split {
            Some(part) if (part.count, part.tensors) != (whole.count, whole.tensors) => Some(format!(
                "{name} is a part of another model than {}: it is one of {} files with {} tensors together, not of {} with {}",
                file_names.of(&files[0].0), part.count, part.tensors, whole.count, whole.tensors
            )),
            Some(part) if part.number >= part.count => Some(format!(
                "{name} says that it is part {} of {}",
                part.number + 1,
                part.count
            )),
            Some(_) => None,
            None => Some(format!("{name} is no part of a split model")),
        }
    })
}

fn twice(files: &[(Digest, &Facts)], whole: Split, file_names: &FileNames) -> Option<String> {
    files.windows(2).find_map(|pair| {
        let [(first, a), (second, b)] = pair else {
            return None;
        };
        let number = a.split.map(|part| part.number);
        (number == b.split.map(|part| part.number)).then(|| {
            format!(
                "{} and {} are both part {} of {}",
                file_names.of(first),
                file_names.of(second),
                number.map_or(0, |number| number + 1),
                whole.count
            )
        })
    })
}

fn missing(files: &[(Digest, &Facts)], whole: Split, file_names: &FileNames) -> Option<String> {
    let has = |number| {
        let mut parts = files.iter().filter_map(|(_, facts)| facts.split);
        parts.any(|part| part.number == number)
    };
    let number = (0..whole.count).find(|number| !has(*number))?;
    Some(format!(
        "the model is split into {} files, and part {} is missing beside {}",
        whole.count,
        number + 1,
        file_names.of(&files[0].0)
    ))
}

/// Parts of different models can state the same numbers; their tensors rarely add up then.
fn miscounted(files: &[(Digest, &Facts)], whole: Split, file_names: &FileNames) -> Option<String> {
    let tensors = files.iter().fold(0_u64, |sum, (_, facts)| {
        sum.saturating_add(facts.tensor_count)
    });
    (tensors != whole.tensors).then(|| {
        format!(
            "the files beside {} are not all parts of its model: they hold {tensors} tensors together, and it has {}",
            file_names.of(&files[0].0),
            whole.tensors
        )
    })
}

#[cfg(test)]
mod tests {
    use gguf_writer::tiny;

    use super::*;
    use crate::gguf;

    fn facts(bytes: &[u8]) -> Facts {
        let mut file = std::io::Cursor::new(bytes);
        gguf::read(&mut file, bytes.len() as u64)
            .expect("a good file")
            .facts()
    }

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    /// What is said of files `a`, `b`, … in this order.
    fn said(files: &[Vec<u8>]) -> String {
        let facts: Vec<Facts> = files.iter().map(|bytes| facts(bytes)).collect();
        let mut file_names = FileNames::default();
        for (number, letter) in ('a'..).take(files.len()).enumerate() {
            file_names.note(digest(number), &format!("{letter}.gguf"));
        }
        let files: Vec<_> = facts
            .iter()
            .enumerate()
            .map(|(number, facts)| (digest(number), facts))
            .collect();
        fault(&files, &file_names).unwrap_or_default()
    }

    #[test]
    fn files_that_are_no_model_together_are_named() {
        let three = tiny::writer(1).split(3);
        let two = tiny::writer(1).split(2);
        let other = tiny::writer(1)
            .tensor(gguf_writer::Tensor::f32("extra.weight", &[1], &[1.0]))
            .split(3);
        let whole = tiny::llama(1);
        let of = |files: &[&Vec<u8>]| said(&files.iter().copied().cloned().collect::<Vec<_>>());
        assert_eq!(of(&[&three[0], &three[1], &three[2]]), "");
        assert_eq!(of(&[&whole]), "");
        assert_eq!(
            of(&[&whole, &whole]),
            "several files hold weights, and they are not the parts of one model: a.gguf, b.gguf"
        );
        assert_eq!(
            of(&[&three[0], &three[2]]),
            "the model is split into 3 files, and part 2 is missing beside a.gguf"
        );
        assert_eq!(
            of(&[&three[1], &three[2]]),
            "the model is split into 3 files, and part 1 is missing beside a.gguf"
        );
        assert_eq!(
            of(&[&three[0], &three[1], &three[1], &three[2]]),
            "b.gguf and c.gguf are both part 2 of 3"
        );
        assert_eq!(
            of(&[&three[0], &two[1]]),
            "b.gguf is a part of another model than a.gguf: it is one of 2 files with 21 tensors together, not of 3 with 21"
        );
        assert_eq!(
            of(&[&three[0], &other[1], &three[2]]),
            "b.gguf is a part of another model than a.gguf: it is one of 3 files with 22 tensors together, not of 3 with 21"
        );
    }

    #[test]
    fn parts_whose_tensors_do_not_add_up_are_not_one_model() {
        // The same numbers, dealt out in another way.
        let three = tiny::writer(1).split(3);
        let patched = tiny::writer(1)
            .kv("split.no", 1_u16)
            .kv("split.count", 3_u16)
            .kv("split.tensors.count", 21_i32)
            .to_bytes();
        let files = [three[0].clone(), patched, three[2].clone()];
        assert_eq!(
            said(&files),
            "the files beside a.gguf are not all parts of its model: they hold 35 tensors together, and it has 21"
        );
    }
}
