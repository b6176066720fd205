//! Writes a measured part into a page, between its two markers, and changes nothing else.

use anyhow::{Context, Result};

/// The page with the text between the markers of `part` replaced by `content`.
///
/// # Errors
/// The markers are missing or in the wrong order.
pub(super) fn fill(page: &str, part: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- begin: cargo xtask bench {part} -->"),
        format!("<!-- end: cargo xtask bench {part} -->"),
    );
    let (before, rest) = page
        .split_once(&begin)
        .with_context(|| format!("the page has no line `{begin}`"))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("the page has no line `{end}` after `{begin}`"))?;
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        content.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::parts::Part;
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_of_the_part_changes() {
        let markers = |part: &str, content: &str| {
            format!(
                "<!-- begin: cargo xtask bench {part} -->{content}<!-- end: cargo xtask bench {part} -->"
            )
        };
        let page = |content: &str| {
            format!(
                "# Title\n{}\nbetween\n{}\nrest\n",
                markers("swap", content),
                markers("memory", "\nold\n")
            )
        };
        let filled = fill(&page("\nold\n"), "swap", "new").expect("the markers are there");
        assert_eq!(filled, page("\n\nnew\n\n"));
        assert_eq!(
            fill(&filled, "swap", "new").expect("the markers are still there"),
            filled
        );
    }

    #[test]
    fn a_page_without_markers_is_not_changed() {
        assert!(fill("# Title\n", "swap", "new").is_err());
        let reversed =
            "<!-- end: cargo xtask bench swap -->\n<!-- begin: cargo xtask bench swap -->\n";
        assert!(fill(reversed, "swap", "new").is_err());
    }

    #[test]
    fn every_part_has_markers_on_the_page() {
        let page = include_str!("../../../docs/benchmarks.md");
        for part in Part::all() {
            fill(page, part.name(), "new").expect("docs/benchmarks.md has a place for it");
        }
    }
}
