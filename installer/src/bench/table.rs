//! Putting a measured table into a page, between two markers, and touching nothing else.

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- begin: cargo xtask bench -->";
const END: &str = "<!-- end: cargo xtask bench -->";

/// The page with what stood between the markers replaced by `content`.
///
/// # Errors
/// The markers are missing or in the wrong order.
pub(super) fn fill(page: &str, content: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("the page has no line `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the page has no line `{END}` after `{BEGIN}`"))?;
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        content.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nrest\n");
        let filled = fill(&page, "new").expect("the markers are there");
        assert_eq!(filled, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nrest\n"));
        assert_eq!(
            fill(&filled, "new").expect("the markers are still there"),
            filled
        );
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        assert!(fill("# Title\n", "new").is_err());
        assert!(fill(&format!("{END}\n{BEGIN}\n"), "new").is_err());
    }
}
