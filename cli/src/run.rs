//! The life of one command: read the command line, find the daemon, do it, say how it ended.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime;

use crate::args::{Cli, Command, Global};
use crate::client::{Addresses, Client, Starter};
use crate::commands;
use crate::env::{Environment, Process};
use crate::error::Report;
use crate::exit::Exit;
use crate::home::Home;
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

/// Runs `slm` with `arguments`, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return mistake::tell(&error, &arguments),
    };
    let out = Output::new(cli.global.tone(), &Process);
    let done = Context::resolve(&cli.global, out.clone(), &Process)
        .and_then(|context| context.perform(cli.command));
    match done {
        Ok(exit) => exit,
        Err(error) => {
            let report = Report::of(&error);
            out.report(&report);
            report.exit
        }
    }
}

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where to print.
    pub(crate) out: Output,
    /// Whom to ask.
    pub(crate) client: Client,
    /// Where the client keeps its own few files.
    pub(crate) home: Home,
}

impl Context {
    pub(crate) fn resolve(
        global: &Global,
        out: Output,
        environment: &dyn Environment,
    ) -> anyhow::Result<Self> {
        let home = Home::resolve(global.home.as_deref(), environment)?;
        let addresses = Addresses::resolve(global.host.as_deref(), &home, environment)?;
        let starter = (!global.no_start).then(|| Starter::new(home.clone(), out.clone()));
        Ok(Self {
            out,
            client: Client::new(addresses, starter),
            home,
        })
    }

    fn perform(self, command: Command) -> anyhow::Result<Exit> {
        // One worker beside this thread: the prompt blocks this one while it waits for keys, and an
        // answer that was called off must reach the daemon meanwhile.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let done = runtime.block_on(self.dispatch(command));
        // A read of standard input may never end, and is nothing to wait for.
        runtime.shutdown_background();
        done
    }

    async fn dispatch(self, command: Command) -> anyhow::Result<Exit> {
        match command {
            // A conversation decides itself what Ctrl-C calls off.
            Command::Run(args) => commands::run::run(self, args).await,
            Command::Push(args) => commands::push::run(&self, &args).await,
            Command::Login(args) => commands::login::run(&self, &args).await,
            Command::Logout(args) => commands::login::logout(&self, &args).await,
            Command::Pull(args) => commands::pull::run(&self, &args).await,
            Command::Jobs(args) => commands::jobs::run(&self, &args).await,
            Command::Search(args) => commands::search::run(&self, &args).await,
            Command::Create(args) => until_ctrl_c(commands::create::run(&self, &args)).await,
            Command::List(args) => until_ctrl_c(commands::list::run(&self, &args)).await,
            Command::Ps => until_ctrl_c(commands::ps::run(self)).await,
            Command::Show(args) => until_ctrl_c(commands::show::run(&self, &args)).await,
            Command::Cp(args) => until_ctrl_c(commands::cp::run(&self, &args)).await,
            Command::Rm(args) => until_ctrl_c(commands::rm::run(&self, &args)).await,
            Command::Stop(args) => until_ctrl_c(commands::stop::run(self, &args)).await,
            Command::Serve(args) => until_ctrl_c(commands::serve::run(&self, &args)).await,
            Command::Status => until_ctrl_c(commands::status::run(self)).await,
            Command::Logs(args) => until_ctrl_c(commands::logs::run(&self, &args)).await,
            Command::Verify(args) => until_ctrl_c(commands::verify::run(&self, &args)).await,
            Command::Version => until_ctrl_c(commands::version::run(self)).await,
            Command::Completions(args) => commands::completions::run(&self.out, &args),
            Command::Reference(args) => commands::reference::run(&self.out, &args),
        }
    }
}
