//! The program `slmd`, built fresh for the tests.

fn main() -> std::process::ExitCode {
    daemon::main()
}
