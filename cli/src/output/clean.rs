//! Foreign text, made safe for a terminal.

/// Removes characters that control a terminal or hide text.
///
/// These are all control characters except newline and tab (escape sequences start with one), and the
/// marks of writing direction, which can make text look different from its content.
/// Each character is judged alone, so a stream can be cleaned piece by piece.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|&c| !is_unsafe(c)).collect()
}

fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_control_characters() {
        assert_eq!(clean("\u{1b}]0;title\u{7}red\u{1b}[31m"), "]0;titlered[31m");
        assert_eq!(clean("c1 \u{9b}31m \u{85}del\u{7f}"), "c1 31m del");
        assert_eq!(clean("a\r\nb\tc"), "a\nb\tc");
        assert_eq!(clean("user\u{202e}nimda\u{202c}"), "usernimda");
    }

    #[test]
    fn letters_of_all_scripts_stay() {
        let text = "héllo 你好 مرحبا 👩\u{200d}💻";
        assert_eq!(clean(text), text);
    }
}
