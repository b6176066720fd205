//! The mock runner as a program; see `runner_mock`.

fn main() -> std::process::ExitCode {
    runner_mock::main()
}
