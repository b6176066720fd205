//! Word wrap of text that arrives in pieces. `textwrap` needs a whole paragraph, so it cannot wrap a stream.

use unicode_width::UnicodeWidthChar as _;

/// Breaks lines between words so that none is wider than the terminal.
///
/// A word is held back until it is complete, so printed text never moves.
/// Lines between ` ``` ` fences stay unchanged, so that copied code stays code.
#[derive(Debug)]
pub(crate) struct Wrap {
    width: usize,
    column: usize,
    word: String,
    word_width: usize,
    /// The first characters of the model's line, to recognise a fence.
    head: String,
    fenced: bool,
    joined: bool,
}

const FENCE: &str = "```";
const JOINER: char = '\u{200d}';
const TAB: usize = 8;

impl Wrap {
    /// Wraps at `width` columns, at least 20: less is unreadable.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: width.max(20),
            column: 0,
            word: String::new(),
            word_width: 0,
            head: String::new(),
            fenced: false,
            joined: false,
        }
    }

    /// Takes the next piece, and returns the text to print now.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            self.take(c, &mut out);
        }
        out
    }

    /// Returns the text that was held back.
    pub(crate) fn finish(&mut self) -> String {
        let mut out = String::new();
        self.place_word(&mut out);
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        if c == '\n' {
            self.end_line(out);
            return;
        }
        if self.head.len() < FENCE.len() && !(self.head.is_empty() && c == ' ') {
            self.head.push(c);
        }
        if self.fenced {
            out.push(c);
        } else if c == ' ' || c == '\t' {
            self.place_word(out);
            self.place_space(c, out);
        } else {
            self.grow_word(c, out);
        }
    }

    fn end_line(&mut self, out: &mut String) {
        self.place_word(out);
        out.push('\n');
        self.column = 0;
        if self.head == FENCE {
            self.fenced = !self.fenced;
        }
        self.head.clear();
    }

    fn place_space(&mut self, c: char, out: &mut String) {
        let width = if c == '\t' {
            TAB - self.column % TAB
        } else {
            1
        };
        // A space behind the last column becomes the next line break.
        if self.column + width <= self.width {
            out.push(c);
            self.column += width;
        }
    }

    fn grow_word(&mut self, c: char, out: &mut String) {
        let width = c.width().unwrap_or(0);
        // Scripts with wide letters have no spaces between words: a line may break before each letter.
        if width > 1 && !self.joined {
            self.place_word(out);
        }
        // A word as wide as the line cannot wait for its end.
        if self.word_width + width > self.width {
            self.place_word(out);
        }
        self.word.push(c);
        self.word_width += width;
        self.joined = c == JOINER;
    }

    fn place_word(&mut self, out: &mut String) {
        if self.column > 0 && self.column + self.word_width > self.width {
            // The space before the word stays invisible at the end of the line.
            out.push('\n');
            self.column = 0;
        }
        out.push_str(&self.word);
        self.column += self.word_width;
        self.word.clear();
        self.word_width = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wraps at 20 columns, whole and letter by letter, with the same result.
    fn check(text: &str, expected: &str) {
        let mut wrap = Wrap::new(20);
        let whole = wrap.push(text) + &wrap.finish();
        let mut wrap = Wrap::new(20);
        let mut pieces: String = text.chars().map(|c| wrap.push(&c.to_string())).collect();
        pieces.push_str(&wrap.finish());
        assert_eq!(whole, pieces, "in pieces it must be the same");
        assert_eq!(whole, expected);
    }

    #[test]
    fn lines_break_between_words() {
        check(
            "The sky is blue because air scatters it.",
            "The sky is blue \nbecause air scatters\nit.",
        );
    }

    #[test]
    fn a_line_of_exactly_the_width_is_not_broken() {
        check("12345678901234567890\nx", "12345678901234567890\nx");
        check("1234567890 234567890 x", "1234567890 234567890\nx");
    }

    #[test]
    fn a_word_longer_than_the_line_is_cut() {
        check(
            "see aaaaaaaaaabbbbbbbbbbcccc end",
            "see \naaaaaaaaaabbbbbbbbbb\ncccc end",
        );
    }

    #[test]
    fn indents_and_blank_lines_stay() {
        check("- one\n\n  - two\n", "- one\n\n  - two\n");
    }

    #[test]
    fn wide_letters_count_twice_and_break_anywhere() {
        check("天空为什么是蓝色的呢因为", "天空为什么是蓝色的呢\n因为");
    }

    #[test]
    fn joined_emoji_are_not_torn() {
        let person = "👩\u{200d}💻";
        check(&person.repeat(4), &person.repeat(4));
    }

    #[test]
    fn code_between_fences_stays_unchanged() {
        let code = "```rust\nlet a_long_line = of_code(that, must, stay);\n```\n";
        check(code, code);
        check(
            &format!("{code}aaaaaaaaaa bbbbbbbbbb cc"),
            &format!("{code}aaaaaaaaaa \nbbbbbbbbbb cc"),
        );
    }
}
