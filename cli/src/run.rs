//! The life of one command: parse the command line, find the daemon, run the command, return the exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime;

use crate::args::{Cli, Command};
use crate::commands;
use crate::context::Context;
use crate::env::Process;
use crate::error::Report;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::mistake;
use crate::output::Output;

/// Runs `slm` with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    if commands::completions::complete() {
        return ExitCode::SUCCESS;
    }
    run(std::env::args_os()).into()
}

/// Runs `slm` with `arguments`, program name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return mistake::tell(&error, &arguments),
    };
    let out = Output::new(cli.global.output_mode(), &Process);
    let done = Context::resolve(&cli.global, out.clone(), &Process)
        .and_then(|context| perform(context, cli.command));
    match done {
        Ok(exit) => exit,
        Err(error) => {
            let report = Report::of(&error);
            out.report(&report);
            report.exit
        }
    }
}

fn perform(context: Context, command: Command) -> anyhow::Result<Exit> {
    // One worker beside this thread: the prompt blocks this thread while it waits for keys, and the
    // cancel of an answer must reach the daemon meanwhile.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let done = runtime.block_on(dispatch(context, command));
    // A read of standard input may never end, so shutdown does not wait for it.
    runtime.shutdown_background();
    done
}

async fn dispatch(context: Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        // A conversation handles Ctrl-C itself.
        Command::Run(args) => commands::run::run(context, args).await,
        Command::Push(args) => commands::push::run(&context, &args).await,
        Command::Login(args) => commands::login::run(&context, &args).await,
        Command::Logout(args) => commands::login::logout(&context, &args).await,
        Command::Pull(args) => commands::pull::run(&context, &args).await,
        Command::Jobs(args) => commands::jobs::run(&context, &args).await,
        Command::Search(args) => commands::search::run(&context, &args).await,
        Command::Create(args) => until_ctrl_c(commands::create::run(&context, &args)).await,
        Command::List(args) => until_ctrl_c(commands::list::run(&context, &args)).await,
        Command::Ps(args) => until_ctrl_c(commands::ps::run(context, &args)).await,
        Command::Show(args) => until_ctrl_c(commands::show::run(&context, &args)).await,
        Command::Cp(args) => until_ctrl_c(commands::cp::run(&context, &args)).await,
        Command::Rm(args) => until_ctrl_c(commands::rm::run(&context, &args)).await,
        Command::Load(args) => until_ctrl_c(commands::load::load(&context, &args)).await,
        Command::Pin(args) => until_ctrl_c(commands::load::pin(&context, &args)).await,
        Command::Unpin(args) => until_ctrl_c(commands::load::unpin(context, &args)).await,
        Command::Plan(args) => until_ctrl_c(commands::plan::run(context, &args)).await,
        Command::Why(args) => until_ctrl_c(commands::why::run(context, &args)).await,
        Command::Devices(args) => until_ctrl_c(commands::devices::run(&context, &args)).await,
        Command::Doctor => until_ctrl_c(commands::doctor::run(context)).await,
        Command::Gc => until_ctrl_c(commands::gc::run(&context)).await,
        Command::Stop(args) => until_ctrl_c(commands::stop::run(context, &args)).await,
        // The editor gets Ctrl-C itself.
        Command::Config(args) => commands::config::run(context, &args).await,
        Command::Serve(args) => until_ctrl_c(commands::serve::run(&context, &args)).await,
        Command::Launch(args) => until_ctrl_c(commands::launch::run(&context, &args)).await,
        Command::Status => until_ctrl_c(commands::status::run(context)).await,
        Command::Logs(args) => until_ctrl_c(commands::logs::run(&context, &args)).await,
        Command::Verify(args) => until_ctrl_c(commands::verify::run(&context, &args)).await,
        Command::Version => until_ctrl_c(commands::version::run(context)).await,
        Command::Completions(args) => commands::completions::run(&context.out, &args),
        Command::Reference(args) => commands::reference::run(&context.out, &args),
    }
}
