//! Names of the shards of a split model.

/// Splits `name-00001-of-00003` into name, number and count (llama.cpp's `llama_split_path`).
pub(crate) fn parse(stem: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| {
        let fits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<usize>().ok()).flatten()
    };
    let (number, count) = (digits(number)?, digits(count)?);
    (number >= 1 && number <= count).then_some((name, number, count))
}
