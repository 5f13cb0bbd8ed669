//! The program `tnas`; what it does is in `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tnas_cli::main()
}
