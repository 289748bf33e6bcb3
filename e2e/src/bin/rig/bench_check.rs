//! What a check costs, in a virtual machine.
//!
//! Out: the time of a check beside that of a bare loader that climbs the same rungs, the CPU time
//! of a check, and what an attached canary costs the prctl(2) of other processes. Expects the
//! static node-probe and its example `bare`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::paths;
use e2e::stock_kernel::{self, Arch};
use e2e::vm::{self, How, Machine, Securityfs};
use serde_json::{Value, json};

use crate::Failure;

const ROUNDS: u32 = 4;
/// The script measures five runs at a time: the clock of the machine counts hundredths of a second.
const RUNS: u32 = 5;
const SCRIPT: &str = r#"
five() { for i in 1 2 3 4 5; do "$@" >/dev/null || exit 1; done; }
now() { cut -d " " -f 1 /proc/uptime; }
# Hundredths of a second that children of this shell have used, in user and kernel mode.
used() { read -r stat </proc/$$/stat; set -- ${stat##*) }; echo $((${14} + ${15})); }
five node-probe check; five bare once
for round in 1 2 3 4; do
    begun=$(now) before=$(used)
    five node-probe check
    echo check "$begun" "$(now)"; echo cpu "$before" "$(used)"
    begun=$(now); five bare once; echo bare "$begun" "$(now)"
done
echo prctl "$(bare prctl)"
"#;

/// Measures, prints the figures beside their limit, and writes them to `check.json` in `out`.
pub fn run(out: &Path) -> Result<(), Failure> {
    let static_programs = [("node-probe", "/bin/node-probe"), ("examples/bare", "/bin/bare")];
    let machine = Machine {
        kernel: stock_kernel::fetch(Arch::Amd64, "6.12")?.image(),
        append: "lsm=landlock,bpf".to_owned(),
        memory: 512,
        files: static_programs
            .map(|(name, target)| (paths::static_program(name), target.to_owned()))
            .to_vec(),
        securityfs: Securityfs::Mounted,
        timeout: Duration::from_mins(2),
    };
    let mut stdout = Vec::new();
    let ended = vm::run(&machine, &["sh", "-c", SCRIPT].map(str::to_owned), &mut stdout)?;
    let text = String::from_utf8(stdout)?;
    if ended.how != How::Exited(0) {
        return Err(
            format!("the machine ended with {:?}: {text}\n{}", ended.how, ended.console).into()
        );
    }
    let figures = figures(&text)?;
    println!("{figures}\nratio limit 1.5");
    Ok(fs::write(out.join("check.json"), format!("{figures}\n"))?)
}

fn figures(text: &str) -> Result<Value, Failure> {
    let seconds = |name: &str| -> f64 {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().split_once(' '));
        lines
            .filter_map(|(begun, ended)| {
                Some(ended.parse::<f64>().ok()? - begun.parse::<f64>().ok()?)
            })
            .sum()
    };
    let (check, bare) = (seconds("check "), seconds("bare "));
    // The same lines with hundredths of a second.
    let cpu = seconds("cpu ") / 100.0;
    let milliseconds = |seconds: f64| (1000.0 * seconds / f64::from(ROUNDS * RUNS)).floor();
    let prctl =
        text.lines().find_map(|line| line.strip_prefix("prctl ")).ok_or("no figure of prctl")?;
    Ok(json!({
        "check_ms": milliseconds(check),
        "check_cpu_ms": milliseconds(cpu),
        "bare_ms": milliseconds(bare),
        "ratio": (100.0 * check / bare).round() / 100.0,
        "runs": ROUNDS * RUNS,
        "prctl": serde_json::from_str::<Value>(prctl)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_means_of_all_rounds() {
        let text = "check 1.00 2.00\ncpu 10 60\nbare 2.00 3.00\ncheck 3.00 5.00\ncpu 60 210\n\
                    prctl {\"ns\": 7}\n";
        let figures = figures(text).unwrap();
        assert_eq!((&figures["check_ms"], &figures["ratio"]), (&json!(150.0), &json!(3.0)));
        assert_eq!(figures["check_cpu_ms"], json!(100.0));
        assert_eq!(figures["prctl"]["ns"], 7);
    }
}
