//! The program `slmd`.

fn main() -> std::process::ExitCode {
    daemon::main()
}
