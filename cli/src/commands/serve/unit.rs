//! `slm serve --print-unit`: the daemon as a systemd service.

use std::fmt::Write as _;
use std::path::Path;

use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Prints the unit, with a note where to put it.
pub(super) fn run(context: &Context, program: &Path) -> anyhow::Result<Exit> {
    let home = context.home.is_chosen().then(|| context.home.root());
    context.out.print(&unit(program, home)?)?;
    context.out.note(
        "put it at `~/.config/systemd/user/slmd.service`, then\n\
         `systemctl --user daemon-reload` and `systemctl --user enable --now slmd`",
    );
    Ok(Exit::Ok)
}

fn unit(program: &Path, home: Option<&Path>) -> Result<String, Failure> {
    let mut start = quoted(program)?;
    if let Some(home) = home {
        write!(start, " --home {}", quoted(home)?).expect("a string takes everything");
    }
    Ok(format!(
        "[Unit]\n\
         Description=slm, local language models\n\
         \n\
         [Service]\n\
         ExecStart={start}\n\
         Restart=on-failure\n\
         KillMode=mixed\n\
         TimeoutStopSec=120\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    ))
}

/// A path as one word of a unit's command line, with `%`, `$` and blanks escaped.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(|c: char| c.is_control()))
        .ok_or_else(|| Failure::new(format!("a unit cannot name `{}`", path.display())))?;
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_unit_looks_like() {
        let text = unit(
            Path::new("/usr/bin/slmd"),
            Some(Path::new("/my models/100%")),
        )
        .unwrap();
        insta::assert_snapshot!(text, @r#"
        [Unit]
        Description=slm, local language models

        [Service]
        ExecStart="/usr/bin/slmd" --home "/my models/100%%"
        Restart=on-failure
        KillMode=mixed
        TimeoutStopSec=120

        [Install]
        WantedBy=default.target
        "#);
    }
}
