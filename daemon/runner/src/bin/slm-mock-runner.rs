//! The mock runner as a program; see `runner::mock`.

fn main() -> std::process::ExitCode {
    runner::mock::main()
}
