//! Compiles the BPF programs of `probe-ebpf/` into `OUT_DIR/probe.o`, which the canary's loader
//! includes.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let ebpf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../probe-ebpf");
    for input in ["src", "Cargo.toml", "Cargo.lock", "build.sh", "toolchain.sh"] {
        println!("cargo::rerun-if-changed={}", ebpf.join(input).display());
    }
    println!("cargo::rerun-if-env-changed=BPF_TOOLCHAIN");
    let Some(out) = env::var_os("OUT_DIR") else {
        println!("cargo::error=OUT_DIR is not set: run this through cargo");
        return ExitCode::FAILURE;
    };
    let script = ebpf.join("build.sh");
    match Command::new(&script).arg(Path::new(&out).join("probe.o")).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!(
                "cargo::error={} ended with {status}; what it said stands above",
                script.display()
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cargo::error=cannot run {}: {error}", script.display());
            ExitCode::FAILURE
        }
    }
}
