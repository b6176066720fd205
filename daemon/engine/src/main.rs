//! The runner process: see the library for the story.

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::process::run()
}
