//! The program `slm`, built fresh for the tests.

fn main() -> std::process::ExitCode {
    cli::main()
}
