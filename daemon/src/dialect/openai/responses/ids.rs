//! Ids of responses and items. The id of a generated item contains the id of its response, so that a reference to the item finds it.

use crate::random;

/// Hexadecimal digits of a random number.
const DIGITS: usize = 32;
/// Hexadecimal digits of the place of an item.
const PLACE: usize = 4;

/// `PREFIX_` and 128 random bits.
pub(super) fn new(prefix: &str) -> String {
    format!("{prefix}_{:016x}{:016x}", random::bits(), random::bits())
}

/// The id of the item at this place in the output of a response.
pub(super) fn of_item(prefix: &str, response: &str, place: usize) -> String {
    let digits = response
        .split_once('_')
        .map_or(response, |(_, digits)| digits);
    format!("{prefix}_{digits}{place:04x}")
}

/// The id of the response that generated this item.
pub(super) fn response_of(item: &str) -> Option<String> {
    let (_, digits) = item.split_once('_')?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let response = digits.get(..DIGITS).filter(|_| is_hex)?;
    (digits.len() == DIGITS + PLACE).then(|| format!("resp_{response}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_leads_to_its_response() {
        let response = new("resp");
        let item = of_item("msg", &response, 10);
        assert!(item.starts_with("msg_") && item.ends_with("000a"), "{item}");
        assert_eq!(response_of(&item), Some(response));
        for other in ["msg_", "msg_1", "x", &new("msg")] {
            assert_eq!(response_of(other), None, "{other}");
        }
    }
}
