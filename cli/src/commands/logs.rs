//! `slm logs`: the log file of this home's daemon.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::args::Logs;
use crate::client::{Note, reach};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fs;
use crate::output::Output;

/// Bytes at the end of the log that are searched for its last lines.
const MOST_BYTES: u64 = 16 << 20;
/// Bytes of one read while following.
const PIECE: u64 = 64 << 10;
/// Interval of reads while following.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints the last lines, and with `--follow` the new ones. It needs no daemon.
pub(crate) async fn run(context: &Context, args: &Logs) -> anyhow::Result<Exit> {
    let path = context.home.log();
    warn_of_another(context).await;
    if !matches!(fs::kind(&path)?, Some(fs::Kind::File(_))) {
        let message = format!("there is no log at `{}`", path.display());
        let hint = "it exists once `slm` has started a daemon";
        return Err(Failure::new(message).hint(hint).code("log_missing").into());
    }
    let (text, end) = last_lines(&path, args.lines)?;
    show(&context.out, &text)?;
    if args.follow {
        follow(&context.out, &path, end).await?;
    }
    Ok(Exit::Ok)
}

/// Warns if the running daemon logs elsewhere.
async fn warn_of_another(context: &Context) {
    let note = Note::read(&context.home).ok().flatten();
    let elsewhere = note.is_some_and(|note| note.log.is_none());
    if elsewhere && reach(&context.home).await.is_ok() {
        context.out.note(
            "the daemon that runs now logs to the terminal or the service manager that started it,\n\
             for example `journalctl --user -u slmd`; this is the log of earlier ones",
        );
    }
}

/// The last `count` lines of the file, and its length.
fn last_lines(path: &Path, count: usize) -> anyhow::Result<(String, u64)> {
    let end = length(path)?;
    let bytes = fs::read_range(path, end.saturating_sub(MOST_BYTES), end)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok((text[last_start(&text, count)..].to_owned(), end))
}

/// Offset of the last `count` lines of `text`.
fn last_start(text: &str, count: usize) -> usize {
    let body = text.strip_suffix('\n').unwrap_or(text);
    match count {
        0 => text.len(),
        _ => body
            .rmatch_indices('\n')
            .nth(count - 1)
            .map_or(0, |(at, _)| at + 1),
    }
}

/// Prints new lines until the task is cancelled. A file that became shorter is read from its start.
async fn follow(out: &Output, path: &Path, mut from: u64) -> anyhow::Result<()> {
    loop {
        let end = length(path)?;
        if end < from {
            from = 0;
        }
        let bytes = fs::read_range(path, from, end.min(from.saturating_add(PIECE)))?;
        let whole = whole_lines(&bytes);
        if whole.is_empty() {
            tokio::time::sleep(PAUSE).await;
        } else {
            show(out, &String::from_utf8_lossy(whole))?;
            from += whole.len() as u64;
        }
    }
}

/// The printable part of a piece: its whole lines, or all of it if one line fills it.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => &bytes[..=end],
        None if bytes.len() as u64 == PIECE => bytes,
        None => &[],
    }
}

fn length(path: &Path) -> anyhow::Result<u64> {
    match fs::kind(path)? {
        Some(fs::Kind::File(length)) => Ok(length),
        _ => Err(Failure::new(format!("the log `{}` is gone", path.display())).into()),
    }
}

fn show(out: &Output, text: &str) -> anyhow::Result<()> {
    if out.json() {
        return text
            .lines()
            .try_for_each(|line| out.json_line(&json!({ "line": line })));
    }
    if text.is_empty() {
        return Ok(());
    }
    out.line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_text_are_found() {
        let last = |text: &'static str, count| &text[last_start(text, count)..];
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 1), "c");
        assert_eq!(last("a\nb\n", 9), "a\nb\n");
        assert_eq!(last("a\nb\n", 0), "");
        assert_eq!(last("", 3), "");
    }
}
