//! Bar plots in SVG, for a handful of medians.
//!
//! A page is a column of panels.
//! Each panel is one figure with its own scale from zero, a bar per program, and a line from the smallest to the largest run.
//! A plotting library would add compile time for two shapes and some text.

use std::fmt::Write;

use super::row::Better;

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
const TITLE: f64 = 36.0;
const PANEL_TITLE: f64 = 24.0;
const BAR: f64 = 16.0;
const BAR_STEP: f64 = 22.0;
const PANEL_GAP: f64 = 14.0;
/// Start of the bars; names are left of it.
const LEFT: f64 = 200.0;
/// End of the longest bar; numbers are right of it.
const RIGHT: f64 = 620.0;
/// Ours, then what it is compared with.
const COLOURS: [&str; 4] = ["#1f6feb", "#8b949e", "#b08d57", "#6e7781"];

/// One figure.
#[derive(Debug)]
pub(super) struct Panel {
    /// What it is, with its unit.
    pub(super) title: String,
    /// Which way is better.
    pub(super) better: Better,
    /// Digits behind the point.
    pub(super) decimals: usize,
    /// One per program, ours first.
    pub(super) bars: Vec<Bar>,
}

/// One program's figure.
#[derive(Debug)]
pub(super) struct Bar {
    /// The program.
    pub(super) name: String,
    /// Length of the bar.
    pub(super) median: f64,
    /// Start of its line.
    pub(super) smallest: f64,
    /// End of its line.
    pub(super) largest: f64,
}

/// The whole picture.
pub(super) fn svg(title: &str, panels: &[Panel]) -> String {
    let height = TITLE + panels.iter().map(Panel::height).sum::<f64>() + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#24292f\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        title = escaped(title)
    );
    text(
        &mut out,
        MARGIN,
        24.0,
        "font-size=\"16\" font-weight=\"bold\"",
        title,
    );
    let mut top = TITLE;
    for panel in panels {
        panel.draw(top, &mut out);
        top += panel.height();
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn height(&self) -> f64 {
        PANEL_TITLE + self.bars.len() as f64 * BAR_STEP + PANEL_GAP
    }

    fn draw(&self, top: f64, out: &mut String) {
        let better = match self.better {
            Better::More => "longer is better",
            Better::Less => "shorter is better",
        };
        text(out, MARGIN, top + 16.0, "font-weight=\"bold\"", &self.title);
        text(
            out,
            WIDTH - MARGIN,
            top + 16.0,
            "text-anchor=\"end\" fill=\"#57606a\"",
            better,
        );
        let longest = self.bars.iter().map(|bar| bar.largest).fold(0.0, f64::max);
        for (index, bar) in self.bars.iter().enumerate() {
            let top = top + PANEL_TITLE + index as f64 * BAR_STEP;
            let colour = COLOURS[index.min(COLOURS.len() - 1)];
            self.draw_bar(bar, top, colour, longest, out);
        }
    }

    fn draw_bar(&self, bar: &Bar, top: f64, colour: &str, longest: f64, out: &mut String) {
        let scale = |value: f64| LEFT + (RIGHT - LEFT) * share(value, longest);
        let (base, middle) = (top + 12.0, top + BAR / 2.0);
        text(out, LEFT - 8.0, base, "text-anchor=\"end\"", &bar.name);
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>",
            scale(bar.median) - LEFT
        );
        let _ = writeln!(
            out,
            "<line x1=\"{:.1}\" y1=\"{middle}\" x2=\"{:.1}\" y2=\"{middle}\" stroke=\"#24292f\" stroke-width=\"1.5\"/>",
            scale(bar.smallest),
            scale(bar.largest)
        );
        let number = format!("{:.*}", self.decimals, bar.median);
        text(out, scale(bar.largest) + 8.0, base, "", &number);
    }
}

/// `value` divided by `whole`, clamped to 0 and 1.
fn share(value: f64, whole: f64) -> f64 {
    let share = value / whole;
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

fn text(out: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{}</text>",
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, median: f64) -> Bar {
        Bar {
            name: name.to_owned(),
            median,
            smallest: median - 1.0,
            largest: median + 1.0,
        }
    }

    fn panel(bars: Vec<Bar>) -> Panel {
        Panel {
            title: "rate, tokens/s".to_owned(),
            better: Better::More,
            decimals: 1,
            bars,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_medians_on_one_scale() {
        let plot = svg(
            "Streams",
            &[panel(vec![bar("slm", 99.0), bar("other", 49.0)])],
        );
        assert!(
            plot.contains("width=\"415.8\" height=\"16\" fill=\"#1f6feb\""),
            "{plot}"
        );
        assert!(
            plot.contains("width=\"205.8\" height=\"16\" fill=\"#8b949e\""),
            "{plot}"
        );
        assert!(plot.contains(">99.0</text>"), "{plot}");
        assert!(plot.ends_with("</svg>\n"));
    }

    #[test]
    fn each_panel_stands_below_the_one_before() {
        let one = svg("Streams", &[panel(vec![bar("slm", 1.0)])]);
        let two = svg(
            "Streams",
            &[panel(vec![bar("slm", 1.0)]), panel(vec![bar("slm", 1.0)])],
        );
        assert!(one.contains("height=\"112\""), "{one}");
        assert!(two.contains("height=\"172\""), "{two}");
    }

    #[test]
    fn names_cannot_break_out_of_the_picture() {
        let plot = svg("a < b & \"c\"", &[panel(vec![bar("<script>", 1.0)])]);
        assert!(!plot.contains("<script>"));
        assert!(plot.contains("a &lt; b &amp; &quot;c&quot;"));
    }

    #[test]
    fn nothing_measured_draws_no_nonsense() {
        let plot = svg(
            "Streams",
            &[panel(vec![bar("slm", f64::NAN), bar("other", 0.0)])],
        );
        assert!(plot.contains("width=\"0.0\""), "{plot}");
        assert!(!plot.contains("=\"NaN"), "{plot}");
    }
}
