//! Path components that some operating system does not allow; a store may move between machines.

/// Device names of Windows; a file cannot have one of them as the part before its first dot.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks one component against rules that some other system has: reserved device names, a trailing dot or space.
/// Returns how the sentence about it goes on.
pub(crate) fn check(component: &str) -> Result<(), &'static str> {
    if component.ends_with(['.', ' ']) {
        return Err("may not end with a dot or a space");
    }
    let stem = component
        .split('.')
        .next()
        .unwrap_or(component)
        .trim_end_matches(' ')
        .to_ascii_lowercase();
    let numbered = stem
        .strip_prefix("com")
        .or_else(|| stem.strip_prefix("lpt"))
        .is_some_and(|number| {
            matches!(
                number.chars().collect::<Vec<_>>()[..],
                ['0'..='9' | '¹' | '²' | '³']
            )
        });
    if RESERVED.contains(&stem.as_str()) || numbered {
        return Err("is a device name on Windows");
    }
    Ok(())
}
