//! The operator's process: see [`lsm_ready_operator::run::process`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lsm_ready_operator::run::process::main()
}
