//! `slm config edit`: the file in an editor, checked before it is written.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{applied_whole, slmd};
use crate::context::Context;
use crate::env::{self, Environment as _};
use crate::error::{Failure, Report};
use crate::exit::Exit;
use crate::fs;

/// The text of a file that is made for the editor.
const EMPTY: &str = "# Settings of slmd; `slm config get` lists the keys with their values.\n";

/// The editor if the environment names none.
const USUAL: &str = "vi";

/// Opens a copy of the file in the editor, until it has no mistake or the user gives up.
pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let before = slmd::text(context)?;
    let copy = Copy::make(context, if before.is_empty() { EMPTY } else { &before })?;
    loop {
        open(&copy.path)?;
        let text = copy.text()?;
        if text == before || (before.is_empty() && text == EMPTY) {
            context.out.note("nothing changed");
            return Ok(Exit::Ok);
        }
        let Err(error) = slmd::run(context, &["replace"], &text) else {
            return applied_whole(context).await;
        };
        if !std::io::stdin().is_terminal() {
            return Err(error);
        }
        context.out.report(&Report::of(&error));
        if !again(context)? {
            return Ok(Exit::Failed);
        }
    }
}

/// Asks whether to edit the text with the mistake again.
fn again(context: &Context) -> anyhow::Result<bool> {
    context
        .out
        .note("press Enter to edit it again, or x and Enter to leave without a change");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok(read > 0 && !answer.trim().eq_ignore_ascii_case("x"))
}

/// Waits until the editor ends. The shell splits the command of the environment, which may have arguments.
#[expect(
    clippy::disallowed_methods,
    reason = "the editor has this terminal, and this function waits for it"
)]
fn open(path: &Path) -> anyhow::Result<()> {
    let named = [env::VISUAL, env::EDITOR];
    let named = named.iter().find_map(|name| env::Process.value(name));
    let mut script = named.unwrap_or_else(|| USUAL.into());
    script.push(" \"$1\"");
    let status = Command::new("sh")
        .arg("-c")
        .arg(&script)
        .arg("sh")
        .arg(path)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let message = format!("the editor ended with an error ({status}); nothing is written");
            Err(Failure::new(message)
                .hint("set EDITOR to an editor, such as EDITOR=nano")
                .code("editor_failed")
                .into())
        }
        Err(error) => Err(Failure::new(format!("cannot run the editor: {error}")).into()),
    }
}

/// A copy of the file for the editor, which is removed with this value.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn make(context: &Context, text: &str) -> anyhow::Result<Self> {
        let folder = context.home.root().join("run");
        fs::make_private_folder(&folder)?;
        let path = folder.join(format!("config-{}.yaml", std::process::id()));
        fs::write_private(&path, text)?;
        Ok(Self { path })
    }

    fn text(&self) -> anyhow::Result<String> {
        let bytes = fs::read(&self.path, 1 << 20)?;
        String::from_utf8(bytes)
            .map_err(|_| Failure::new("the edited text is not UTF-8; nothing is written").into())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // A copy that stays is no harm.
        let _ = fs::remove(&self.path);
    }
}
