//! The program `slm-runner`: one loaded model. The library `engine` tells what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::process::run()
}
