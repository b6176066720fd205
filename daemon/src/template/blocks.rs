//! Checks that all actions and blocks of a template are closed.
//!
//! The parser of gotmpl closes open blocks at the end of the source, and a part of the prompt would be missing. So the first word of
//! each action is checked here.

use super::Error;

/// What is open at the end of the source.
enum Open {
    /// The action itself.
    Action,
    /// A string in the action.
    Text,
}

/// Checks a template.
///
/// # Errors
/// [`Error::Syntax`] with the line of an open action or block, or of an unmatched `else` or `end`.
pub(super) fn check(source: &str) -> Result<(), Error> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let (mut line, mut rest) = (1, source);
    while let Some((text, after)) = rest.split_once("{{") {
        line += lines(text);
        let (action, behind) = split_action(after).map_err(|what| match what {
            Open::Action => syntax(line, "`{{` is never closed"),
            Open::Text => syntax(line, "a text in `{{ … }}` is never closed"),
        })?;
        match word(action) {
            word @ ("if" | "range" | "with" | "define" | "block") => open.push((line, word)),
            word @ "else" if open.is_empty() => return Err(surplus(line, word)),
            word @ "end" if open.pop().is_none() => return Err(surplus(line, word)),
            _ => {}
        }
        line += lines(action);
        rest = behind;
    }
    match open.last() {
        None => Ok(()),
        Some((line, word)) => Err(syntax(
            *line,
            &format!("`{{{{ {word} … }}}}` has no `{{{{ end }}}}`"),
        )),
    }
}

fn syntax(line: usize, what: &str) -> Error {
    Error::Syntax(format!("line {line}: {what}"))
}

fn surplus(line: usize, word: &str) -> Error {
    syntax(line, &format!("`{{{{ {word} }}}}` belongs to nothing"))
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The first word of an action, after a trim marker.
fn word(action: &str) -> &str {
    let action = action.strip_prefix('-').unwrap_or(action).trim_start();
    let end = action.find(|character: char| !character.is_alphanumeric());
    &action[..end.unwrap_or(action.len())]
}

/// Splits the rest of an action from the source after it. Strings and comments in it may contain `}}`.
fn split_action(source: &str) -> Result<(&str, &str), Open> {
    let inside = source.strip_prefix('-').unwrap_or(source).trim_start();
    let comment = inside.strip_prefix("/*").map(|comment| {
        let end = comment.find("*/").ok_or(Open::Action)?;
        Ok(source.len() - comment.len() + end + 2)
    });
    let mut at = comment.transpose()?.unwrap_or(0);
    loop {
        let step = source[at..]
            .find(['"', '`', '\'', '}'])
            .ok_or(Open::Action)?;
        at += step;
        let rest = &source[at..];
        if let Some(behind) = rest.strip_prefix("}}") {
            return Ok((&source[..at], behind));
        }
        at += match rest.as_bytes()[0] {
            b'}' => 1,
            quote => text_length(rest, quote).ok_or(Open::Text)?,
        };
    }
}

/// Length of a string with its quotes. Only raw strings contain line ends and plain backslashes.
fn text_length(source: &str, quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in source.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            _ if byte == quote => return Some(at + 1),
            b'\\' if quote != b'`' => escaped = true,
            b'\n' if quote != b'`' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclosed_block_is_named_with_its_line() {
        for (source, expected) in [
            ("a\n{{ .Prompt ", "line 2: `{{` is never closed"),
            ("a\n{{/* b", "line 2: `{{` is never closed"),
            (
                "{{ \"open }}\n",
                "line 1: a text in `{{ … }}` is never closed",
            ),
            (
                "{{ if .A }}\n{{ range .B }}\n{{ end }}",
                "line 1: `{{ if … }}` has no `{{ end }}`",
            ),
            (
                "x\n{{- range .B }}y",
                "line 2: `{{ range … }}` has no `{{ end }}`",
            ),
            (
                "{{ if .A }}{{ end }}\n{{ end }}",
                "line 2: `{{ end }}` belongs to nothing",
            ),
            ("{{ else }}", "line 1: `{{ else }}` belongs to nothing"),
        ] {
            let error = check(source).unwrap_err().to_string();
            assert_eq!(error, expected, "{source}");
        }
    }

    #[test]
    fn texts_and_comments_may_hold_anything() {
        for source in [
            "",
            "no actions }} at all",
            "{{/* {{ if */}}",
            "{{- /* }} */ -}}",
            "{{ \"}}\\\"}}\" }}",
            "{{ `}}\n}}` }}",
            "{{ '}' }}",
            "{{ iffy }}{{ .end }}{{ ending }}",
            "{{ if .A }}{{ else if .B }}{{ else }}{{ end }}",
            "{{ define \"a\" }}{{ end }}{{ block \"b\" . }}{{ end }}",
            "{{ range $i, $m := .Messages }}{{ with $m }}{{ end }}{{- end -}}",
        ] {
            assert!(check(source).is_ok(), "{source}");
        }
    }
}
