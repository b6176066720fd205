//! Lists of processors and nodes as the Linux kernel writes them: `0-3,8,10-11`.

/// Most numbers of a list: more than any machine has processors.
const MAX: usize = 8192;

/// The numbers of a list, in its order; a malformed part is left out.
pub(crate) fn numbers(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|part| {
        let part = part.trim();
        match part.split_once('-') {
            Some((first, last)) => Some(first.parse().ok()?..=last.parse().ok()?),
            None => {
                let number: u32 = part.parse().ok()?;
                Some(number..=number)
            }
        }
    });
    ranges.flatten().take(MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_numbers_are_read_within_a_limit() {
        assert_eq!(numbers("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(numbers(""), [0_u32; 0]);
        assert_eq!(numbers("x,2,3-,5-4"), [2]);
        assert_eq!(numbers("0-4294967295").len(), MAX);
    }
}
