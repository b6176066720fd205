//! `slm serve`: runs the daemon in this terminal, stops it, or prints a unit for it.

mod stop;
mod unit;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::args::Serve;
use crate::client::{Error, program_beside_us};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fs;

/// Runs, stops, or prints the unit.
pub(crate) async fn run(context: &Context, args: &Serve) -> anyhow::Result<Exit> {
    if args.stop {
        return stop::run(context).await;
    }
    let program = program_beside_us();
    if !matches!(fs::kind(&program)?, Some(fs::Kind::File(_))) {
        return Err(Error::NoProgram(program).into());
    }
    if args.print_unit {
        return unit::run(context, &program);
    }
    become_daemon(context, args, &program)
}

/// Replaces this process by the daemon, so that signals and service managers reach it directly.
///
/// Returns only on failure.
#[expect(
    clippy::disallowed_methods,
    reason = "this process becomes the daemon, so there is no child"
)]
fn become_daemon(
    context: &Context,
    args: &Serve,
    program: &std::path::Path,
) -> anyhow::Result<Exit> {
    let mut command = Command::new(program);
    if context.home.is_chosen() {
        command.arg("--home").arg(context.home.root());
    }
    let error = command.args(&args.options).exec();
    Err(Failure::new(format!("cannot run `{}`: {error}", program.display())).into())
}
