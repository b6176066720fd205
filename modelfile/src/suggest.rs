//! The nearest known word to a misspelt word.

/// The candidate nearest to `word`, if it is near enough to be a typing mistake.
///
/// One edit for every three letters begun is near enough; a swap of neighbours counts as one edit,
/// and case does not count. Long words are not compared: they are no typing mistakes, and hostile
/// text must not cost time.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LONGEST: usize = 40;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let allowed = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let words = ["FROM", "SYSTEM", "num_ctx", "temperature"];
        assert_eq!(nearest("FORM", words), Some("FROM"));
        assert_eq!(nearest("sytem", words), Some("SYSTEM"));
        assert_eq!(nearest("num_ctxx", words), Some("num_ctx"));
        assert_eq!(nearest("temprature", words), Some("temperature"));
        assert_eq!(nearest("BADCOMMAND", words), None);
        assert_eq!(nearest(&"F".repeat(1_000_000), words), None);
    }
}
