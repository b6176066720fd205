//! Selects the files of a repository that make the model: one quantization with all its parts, and its projector.

use super::Error;
use crate::reference::Choice;
use crate::shard;

/// Most variants of one listing.
const MOST_VARIANTS: usize = 64;

/// Precisions of projectors, the best first.
const PROJECTORS: [&str; 5] = ["f16", "bf16", "q8_0", "f32", ""];

/// A file of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// The selected files, as indexes of the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picked {
    /// The weights, in the order of their parts.
    pub(crate) weights: Vec<usize>,
    pub(crate) projector: Option<usize>,
    /// What was selected and why, for people.
    pub(crate) steps: Vec<String>,
}

/// The files of one quantization.
#[derive(Debug)]
struct Group {
    /// The path without the number of the part.
    stem: String,
    /// The quantization in the name, in capitals; empty where there is none.
    quantization: String,
    /// Parts by number, from 1; one for a file that is not split.
    parts: Vec<(usize, usize)>,
    /// How many there are by the names.
    count: usize,
}

/// Chooses from a listing.
///
/// The rule for [`Choice::Usual`] is that of the hub's own endpoint for Ollama: Q4_K_M, else another Q4, else the first.
///
/// # Errors
/// [`Error::NoSuchFile`] or [`Error::Incomplete`], with `place` as the name of the repository.
pub(crate) fn pick(files: &[Listed], choice: &Choice, place: &str) -> Result<Picked, Error> {
    let groups = groups(files);
    let no_such = |wanted: Option<String>| {
        let mut choices: Vec<String> = Vec::new();
        for group in &groups {
            let name = if group.quantization.is_empty() {
                file_name(&group.stem).to_owned()
            } else {
                group.quantization.clone()
            };
            if !choices.contains(&name) {
                choices.push(name);
            }
        }
        Error::NoSuchFile {
            place: place.to_owned(),
            wanted,
            choices,
        }
    };
    let (group, why) = match choice {
        Choice::Usual => {
            let named = |quantization: &str| {
                groups
                    .iter()
                    .find(|group| group.quantization == quantization)
            };
            let only = (groups.len() == 1).then(|| groups.first()).flatten();
            let found = only.map(|group| (group, "the only weights"));
            let found = found.or_else(|| named("Q4_K_M").map(|group| (group, "the usual one")));
            let found = found.or_else(|| {
                let four = groups
                    .iter()
                    .find(|group| group.quantization.starts_with("Q4"));
                four.map(|group| (group, "there is no Q4_K_M"))
            });
            found
                .or_else(|| {
                    groups
                        .first()
                        .map(|group| (group, "the first, as there is no Q4"))
                })
                .ok_or_else(|| no_such(None))?
        }
        Choice::Of(wanted) => (
            find(&groups.iter().collect::<Vec<_>>(), wanted)
                .ok_or_else(|| no_such(Some(wanted.clone())))?,
            "asked for",
        ),
        Choice::Variant(file, wanted) => {
            let of = file.clone().map_or(Choice::Usual, Choice::File);
            let weights = pick(files, &of, place)?.weights;
            let same_model = of_model(&groups, weights[0]);
            (
                find(&same_model, wanted).ok_or_else(|| no_such(Some(wanted.clone())))?,
                "asked for",
            )
        }
        Choice::File(file) => {
            let asked = file.as_str();
            let index = files.iter().position(|listed| listed.path == asked);
            let found = groups
                .iter()
                .find(|group| group.parts.iter().any(|(_, at)| Some(*at) == index));
            match (found, index) {
                (Some(group), _) => (group, "asked for"),
                // A projector or the like, which is selected by its full name only.
                (None, Some(index)) => {
                    return Ok(Picked {
                        weights: vec![index],
                        projector: None,
                        steps: vec![format!("{asked}: asked for")],
                    });
                }
                (None, None) => return Err(no_such(Some(asked.to_owned()))),
            }
        }
    };
    let weights = whole(group, files, place)?;
    let first = &files[weights[0]].path;
    let parts = match weights.len() {
        1 => String::new(),
        count => format!(" in {count} parts"),
    };
    let others = groups.len() - 1;
    let of = match others {
        0 => String::new(),
        _ => format!(", out of {} quantizations", groups.len()),
    };
    let mut steps = vec![format!("{first}{parts}: {why}{of}")];
    let projector = projector(files, folder(&group.stem));
    if let Some(index) = projector {
        steps.push(format!(
            "{}: the projector for images goes along",
            files[index].path
        ));
    }
    Ok(Picked {
        weights,
        projector,
        steps,
    })
}

/// A variant of a listing: one quantization of the model that a choice means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedVariant {
    /// What [`Choice::Variant`] takes for it.
    pub(crate) name: String,
    /// The quantization in its name, in capitals; empty where there is none.
    pub(crate) quantization: String,
    /// Bytes of all its files, with the projector.
    pub(crate) size: u64,
    /// The first file of its weights, as an index of the listing, if there is only one.
    pub(crate) only: Option<usize>,
    /// Whether the choice itself takes it.
    pub(crate) is_usual: bool,
}

/// The quantizations of the model that a choice takes, in the order of the listing. Files of other models in the repository, whose
/// names differ by more than the quantization, and incomplete ones are left out.
///
/// # Errors
/// As [`pick`].
pub(crate) fn variants(
    files: &[Listed],
    choice: &Choice,
    place: &str,
) -> Result<Vec<ListedVariant>, Error> {
    let usual = pick(files, choice, place)?.weights[0];
    let all = groups(files);
    let mut variants: Vec<ListedVariant> = Vec::new();
    let mut groups = of_model(&all, usual);
    let at = groups.iter().position(|group| group.has(usual));
    if let Some(at) = at.filter(|at| *at >= MOST_VARIANTS) {
        groups.swap(at, MOST_VARIANTS - 1);
    }
    groups.truncate(MOST_VARIANTS);
    for group in groups {
        let Ok(weights) = whole(group, files, place) else {
            continue;
        };
        let is_named = |name: &str| {
            let mut variants = variants.iter();
            variants.any(|known| known.name.eq_ignore_ascii_case(name))
        };
        let name = match group.quantization.as_str() {
            "" => file_name(&group.stem),
            // The first file with a quantization is found by it.
            taken if is_named(taken) => file_name(&group.stem),
            free => free,
        };
        let projector = projector(files, folder(&group.stem));
        let size = weights.iter().chain(&projector);
        variants.push(ListedVariant {
            name: name.to_owned(),
            quantization: group.quantization.clone(),
            size: size.fold(0, |sum, index| sum.saturating_add(files[*index].size)),
            only: (weights.len() == 1).then_some(weights[0]),
            is_usual: group.has(usual),
        });
    }
    Ok(variants)
}

/// The groups of the model that a file belongs to.
fn of_model(groups: &[Group], file: usize) -> Vec<&Group> {
    let own = groups.iter().find(|group| group.has(file));
    let own = own.map(Group::model);
    let is_own = |group: &&Group| Some(group.model()) == own;
    groups.iter().filter(is_own).collect()
}

/// The group that a name means: a path, a quantization, the name of a file or of its folder.
fn find<'a>(groups: &[&'a Group], wanted: &str) -> Option<&'a Group> {
    let same = |text: &str| text.eq_ignore_ascii_case(wanted);
    // A name in the store is the end of a path, with hyphens for slashes.
    let is_path = |group: &Group| {
        let flat = group.stem.replace('/', "-");
        let end = flat.len().saturating_sub(80);
        same(&group.stem) || same(&flat) || flat.get(end..).is_some_and(same)
    };
    let first = |is: &dyn Fn(&Group) -> bool| groups.iter().copied().find(|group| is(group));
    first(&is_path)
        .or_else(|| first(&|group| same(&group.quantization)))
        .or_else(|| first(&|group| same(file_name(&group.stem)) || same(folder(&group.stem))))
}

impl Group {
    /// Whether it has the file with this index.
    fn has(&self, file: usize) -> bool {
        self.parts.iter().any(|(_, index)| *index == file)
    }

    /// The name of the model: that of the file without the quantization, and without the marks that go with one.
    fn model(&self) -> String {
        let words = file_name(&self.stem).split(['-', '.']);
        let words = words.map(str::to_ascii_lowercase);
        let is_mark = |word: &str| {
            word.eq_ignore_ascii_case(&self.quantization) || matches!(word, "ud" | "i1" | "imat")
        };
        words
            .filter(|word| !is_mark(word))
            .collect::<Vec<_>>()
            .join("-")
    }
}

/// The parts of a group in order, if all are there.
fn whole(group: &Group, files: &[Listed], place: &str) -> Result<Vec<usize>, Error> {
    let mut parts = group.parts.clone();
    parts.sort_unstable();
    let numbers: Vec<usize> = parts.iter().map(|(number, _)| *number).collect();
    if numbers != (1..=group.count).collect::<Vec<_>>() {
        return Err(Error::Incomplete {
            place: place.to_owned(),
            name: files[parts[0].1].path.clone(),
            found: parts.len(),
            count: group.count,
        });
    }
    Ok(parts.into_iter().map(|(_, index)| index).collect())
}

/// The weights of a listing, one group for each quantization.
fn groups(files: &[Listed]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let Some(stem) = weights(&file.path) else {
            continue;
        };
        let (stem, number, count) = shard::parse(stem).unwrap_or((stem, 1, 1));
        let same = groups
            .iter_mut()
            .find(|group| group.stem == stem && group.count == count);
        match same {
            Some(group) => group.parts.push((number, index)),
            None => groups.push(Group {
                stem: stem.to_owned(),
                quantization: quantization(stem),
                parts: vec![(number, index)],
                count,
            }),
        }
    }
    groups
}

/// The path of weights without its extension; `None` for other files.
fn weights(path: &str) -> Option<&str> {
    let stem = stem(path)?;
    let name = file_name(stem).to_ascii_lowercase();
    let other = ["mmproj", "mtp-", "imatrix", "ggml-vocab"];
    let is_other = other.iter().any(|begin| name.starts_with(begin)) || name.contains("mmproj");
    (!is_other).then_some(stem)
}

fn stem(path: &str) -> Option<&str> {
    let end = path.len().checked_sub(".gguf".len())?;
    path.get(end..)?
        .eq_ignore_ascii_case(".gguf")
        .then(|| &path[..end])
}

/// The quantization in a name, in capitals: its last word that is one; empty where there is none.
pub(crate) fn quantization(stem: &str) -> String {
    let words = stem.split(['-', '.', '/']);
    let found = words
        .rev()
        .map(str::to_ascii_uppercase)
        .find(|word| is_quantization(word));
    found.unwrap_or_default()
}

fn is_quantization(word: &str) -> bool {
    if matches!(
        word,
        "F16" | "BF16" | "F32" | "FP16" | "FP32" | "MXFP4" | "TQ1_0" | "TQ2_0" | "I2_S"
    ) {
        return true;
    }
    let rest = word.strip_prefix("IQ").or_else(|| word.strip_prefix('Q'));
    rest.is_some_and(|rest| {
        let mut characters = rest.chars();
        characters.next().is_some_and(|c| c.is_ascii_digit())
            && characters.next() == Some('_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The projector beside the weights, else the one at the top.
fn projector(files: &[Listed], beside: &str) -> Option<usize> {
    let all: Vec<(usize, &str)> = files
        .iter()
        .enumerate()
        .filter_map(|(index, file)| Some((index, stem(&file.path)?)))
        .filter(|(_, stem)| file_name(stem).to_ascii_lowercase().contains("mmproj"))
        .collect();
    let best = |place: &str| {
        PROJECTORS.iter().find_map(|precision| {
            let fits = |(_, stem): &&(usize, &str)| {
                let words = file_name(stem).to_ascii_lowercase();
                folder(stem) == place
                    && (precision.is_empty()
                        || words.split(['-', '.']).any(|word| word == *precision))
            };
            all.iter().find(fits).map(|(index, _)| *index)
        })
    };
    best(beside).or_else(|| best(""))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::FileName;

    fn list(paths: &[&str]) -> Vec<Listed> {
        let listed = paths.iter().map(|path| Listed {
            path: (*path).to_owned(),
            size: 1,
        });
        listed.collect()
    }

    fn picked(paths: &[&str], choice: &Choice) -> Vec<String> {
        let files = list(paths);
        let picked = pick(&files, choice, "a/b").unwrap_or_else(|error| panic!("{error}"));
        let all = picked.weights.iter().chain(&picked.projector);
        all.map(|index| files[*index].path.clone()).collect()
    }

    fn of(text: &str) -> Choice {
        Choice::Of(text.to_owned())
    }

    #[test]
    fn the_usual_one_is_q4_k_m_else_a_q4_else_the_first() {
        let usual = |paths: &[&str]| picked(paths, &Choice::Usual);
        assert_eq!(
            usual(&["m-Q2_K.gguf", "m-Q4_0.gguf", "m-q4_k_m.gguf"]),
            ["m-q4_k_m.gguf"]
        );
        assert_eq!(
            usual(&["m-Q2_K.gguf", "m-IQ4_XS.gguf", "m-Q4_K_S.gguf"]),
            ["m-Q4_K_S.gguf"]
        );
        assert_eq!(
            usual(&["README.md", "m-Q8_0.gguf", "m-F16.gguf"]),
            ["m-Q8_0.gguf"]
        );
        assert_eq!(usual(&["ggml-model-i2_s.gguf"]), ["ggml-model-i2_s.gguf"]);
    }

    #[test]
    fn a_quantization_or_a_file_is_found_as_it_is_asked_for() {
        let paths = ["Q6/m.Q6_K.gguf", "m-Q8_0.gguf", "special.gguf"];
        assert_eq!(picked(&paths, &of("q6_k")), ["Q6/m.Q6_K.gguf"]);
        assert_eq!(picked(&paths, &of("Q6")), ["Q6/m.Q6_K.gguf"]);
        assert_eq!(picked(&paths, &of("special")), ["special.gguf"]);
        assert_eq!(picked(&paths, &of("Q6-m.Q6_K")), ["Q6/m.Q6_K.gguf"]);
        let file = Choice::File(FileName::parse("m-Q8_0.gguf").expect("a path"));
        assert_eq!(picked(&paths, &file), ["m-Q8_0.gguf"]);
    }

    #[test]
    fn all_parts_come_in_order_or_none() {
        let paths = [
            "m-Q8_0-00002-of-00003.gguf",
            "m-Q8_0-00001-of-00003.gguf",
            "m-Q8_0-00003-of-00003.gguf",
        ];
        assert_eq!(
            picked(&paths, &Choice::Usual),
            [
                "m-Q8_0-00001-of-00003.gguf",
                "m-Q8_0-00002-of-00003.gguf",
                "m-Q8_0-00003-of-00003.gguf"
            ]
        );
        let second = Choice::File(FileName::parse(paths[0]).expect("a path"));
        assert_eq!(picked(&paths, &second).len(), 3);
        let error = pick(&list(&paths[..2]), &Choice::Usual, "a/b").expect_err("one is missing");
        assert_eq!(
            error.to_string(),
            "a/b has only 2 of the 3 parts of m-Q8_0-00001-of-00003.gguf"
        );
        assert_eq!(
            picked(&["best-of-breed.gguf"], &Choice::Usual),
            ["best-of-breed.gguf"]
        );
    }

    #[test]
    fn a_projector_goes_along_and_is_never_the_model() {
        let paths = [
            "Q6/m-Q6_K.gguf",
            "mmproj-F32.gguf",
            "mmproj-F16.gguf",
            "mtp-m-Q4_K_M.gguf",
        ];
        assert_eq!(
            picked(&paths, &Choice::Usual),
            ["Q6/m-Q6_K.gguf", "mmproj-F16.gguf"]
        );
        let beside = ["Q6/m-Q6_K.gguf", "Q6/m-mmproj-f32.gguf", "mmproj-F16.gguf"];
        assert_eq!(
            picked(&beside, &Choice::Usual),
            ["Q6/m-Q6_K.gguf", "Q6/m-mmproj-f32.gguf"]
        );
        assert!(pick(&list(&["mmproj-F16.gguf"]), &Choice::Usual, "a/b").is_err());
    }

    #[test]
    fn the_variants_are_the_quantizations_of_one_model() {
        let files = list(&[
            "README.md",
            "m-4b-Q2_K.gguf",
            "m-4b-Q4_K_M.gguf",
            "m-4b-UD-Q4_K_XL.gguf",
            "BF16/m-4b-BF16-00001-of-00002.gguf",
            "BF16/m-4b-BF16-00002-of-00002.gguf",
            "m-4b-Q6_K-00001-of-00002.gguf",
            "other/m-4b-Q4_K_M.gguf",
            "m-1b-Q4_K_M.gguf",
            "mmproj-F16.gguf",
        ]);
        let found = variants(&files, &Choice::Usual, "a/b").expect("there are some");
        let shown: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.name.as_str(),
                    it.quantization.as_str(),
                    it.size,
                    it.only.is_some(),
                    it.is_usual,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("Q2_K", "Q2_K", 2, true, false),
                ("Q4_K_M", "Q4_K_M", 2, true, true),
                ("Q4_K_XL", "Q4_K_XL", 2, true, false),
                ("BF16", "BF16", 3, false, false),
                ("m-4b-Q4_K_M", "Q4_K_M", 2, true, false),
            ]
        );
        // A quantization is searched among the files of that model.
        let one = FileName::parse("m-1b-Q4_K_M.gguf").expect("a path");
        let of = |file: Option<&FileName>, name: &str| {
            let choice = Choice::Variant(file.cloned(), name.to_owned());
            pick(&files, &choice, "a/b").map(|picked| files[picked.weights[0]].path.clone())
        };
        assert_eq!(of(None, "q4_k_m").expect("it is there"), "m-4b-Q4_K_M.gguf");
        let picked = of(Some(&one), "Q4_K_M").expect("it is there");
        assert_eq!(picked, "m-1b-Q4_K_M.gguf");
        assert!(of(Some(&one), "Q2_K").is_err());
        // A file names the model, whatever else is there.
        let file = Choice::File(FileName::parse("m-1b-Q4_K_M.gguf").expect("a path"));
        let found = variants(&files, &file, "a/b").expect("there is one");
        assert_eq!(found.len(), 1);
        assert!(variants(&list(&["README.md"]), &Choice::Usual, "a/b").is_err());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let files = list(&["m-Q4_K_M.gguf", "m-Q8_0.gguf", "odd.gguf"]);
        let error = pick(&files, &of("Q5_K_M"), "a/b").expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "a/b has no file for \"Q5_K_M\"; there are Q4_K_M, Q8_0, odd"
        );
        let error = pick(&list(&["README.md"]), &Choice::Usual, "a/b").expect_err("there is none");
        assert_eq!(error.to_string(), "a/b has no weights in GGUF");
    }
}
