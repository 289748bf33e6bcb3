//! Compiles the BPF program of `ebpf/` into `OUT_DIR/agent.o`, with the script that compiles the
//! node probe's program.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (ebpf, script) = (here.join("ebpf"), here.join("../../probe-ebpf/build.sh"));
    for input in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", ebpf.join(input).display());
    }
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rerun-if-env-changed=BPF_TOOLCHAIN");
    let Some(out) = env::var_os("OUT_DIR") else {
        println!("cargo::error=OUT_DIR is not set: run this through cargo");
        return ExitCode::FAILURE;
    };
    match Command::new(&script)
        .arg(Path::new(&out).join("agent.o"))
        .arg(&ebpf)
        .arg("agent")
        .status()
    {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!(
                "cargo::error={} ended with {status}; its messages are above",
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
