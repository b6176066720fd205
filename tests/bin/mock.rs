//! The mock runner, built fresh for the tests.

fn main() -> std::process::ExitCode {
    runner_mock::main()
}
