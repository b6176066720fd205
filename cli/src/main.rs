//! The program `slm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
