//! The judgement of what was measured.
//!
//! In: the measurements of a boot. Out: a [`Row`] for each case, and the [`Counts`] of all rows.

use serde::Serialize;

use super::expect::{Answer, Expected, expect, promised};
use super::machines::{Measured, Report, Truth};
use super::{Boot, Place};
use crate::stock_kernel::Kernel;

const SCHEMA: &str = "lsmready.io/check/v1";
const RUNGS: [&str; 4] = ["Loaded", "Attached", "Fired", "Denied"];

/// The answers of three common ways: true is "ready".
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Ways {
    /// `grep bpf /sys/kernel/security/lsm`.
    pub lsm_list: bool,
    /// `/sys/kernel/btf/vmlinux` exists and the kernel's configuration has CONFIG_BPF_LSM=y.
    pub btf_and_config: bool,
    /// An LSM program is loaded and attached, and never fired.
    pub load_and_attach: bool,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `uname -r`.
    pub kernel: String,
    /// The boot parameters.
    pub parameters: &'static str,
    /// Where the question was asked.
    pub place: Place,
    /// Whether something can be denied.
    pub truth: bool,
    /// Our answer.
    pub answer: Answer,
    /// The highest rung that node-probe proved.
    pub evidence: String,
    /// Our reason.
    pub reason: String,
    /// The other ways' answers.
    pub ways: Ways,
    /// What is wrong in answer, evidence, reason or fix, if anything.
    pub wrong_reason: Option<String>,
    /// Other faults.
    pub faults: Vec<String>,
}

impl Row {
    /// Whether our answer is "ready", and nothing can be denied.
    pub fn is_false_ready(&self) -> bool {
        self.answer == Answer::Ready && !self.truth
    }

    /// Whether our answer is "not ready", and something can be denied.
    pub fn is_false_not_ready(&self) -> bool {
        self.answer == Answer::NotReady && self.truth
    }

    /// Whether nothing of ours is wrong.
    pub fn is_right(&self) -> bool {
        !self.is_false_ready()
            && !self.is_false_not_ready()
            && self.wrong_reason.is_none()
            && self.faults.is_empty()
    }
}

/// How often a way is wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Count {
    /// Answers of "ready" where nothing can be denied.
    pub false_ready: usize,
    /// Answers of "not ready" where something can be denied.
    pub false_not_ready: usize,
    /// How many of both come from places that keep a process from trying.
    pub hindered: usize,
}

impl Count {
    fn of(
        rows: &[Row],
        false_ready: &dyn Fn(&Row) -> bool,
        false_not_ready: &dyn Fn(&Row) -> bool,
    ) -> Self {
        let number = |wrong: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wrong(row)).count();
        let hindered = |row: &Row| {
            row.place.hindrance().is_some() && (false_ready(row) || false_not_ready(row))
        };
        Self {
            false_ready: number(false_ready),
            false_not_ready: number(false_not_ready),
            hindered: number(&hindered),
        }
    }
}

/// How often each way is wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// `node-probe check`.
    pub ours: Count,
    /// How often it gives a wrong reason.
    pub wrong_reason: usize,
    /// [`Ways::lsm_list`].
    pub lsm_list: Count,
    /// [`Ways::btf_and_config`].
    pub btf_and_config: Count,
    /// [`Ways::load_and_attach`].
    pub load_and_attach: Count,
}

impl Counts {
    /// Counts the wrong answers in these rows.
    pub fn of(rows: &[Row]) -> Self {
        let way = |ready: fn(&Ways) -> bool| {
            let false_ready = move |row: &Row| ready(&row.ways) && !row.truth;
            let false_not_ready = move |row: &Row| !ready(&row.ways) && row.truth;
            Count::of(rows, &false_ready, &false_not_ready)
        };
        Self {
            ours: Count::of(rows, &Row::is_false_ready, &Row::is_false_not_ready),
            wrong_reason: rows.iter().filter(|row| row.wrong_reason.is_some()).count(),
            lsm_list: way(|ways| ways.lsm_list),
            btf_and_config: way(|ways| ways.btf_and_config),
            load_and_attach: way(|ways| ways.load_and_attach),
        }
    }
}

/// Judges the cases of one boot. Fails where there is no truth of the host, where nothing hinders
/// the truth program.
pub fn rows(kernel: &Kernel, boot: &Boot, measured: &[Measured]) -> Result<Vec<Row>, String> {
    let host = measured.iter().find(|measured| measured.place == Place::Host);
    let host = host
        .and_then(|host| host.truth.as_ref())
        .ok_or("the truth program printed nothing on the host")?;
    Ok(measured.iter().map(|measured| row(kernel, boot, measured, host)).collect())
}

fn row(kernel: &Kernel, boot: &Boot, measured: &Measured, on_host: &Truth) -> Row {
    let place = measured.place;
    let here = measured.truth.clone().unwrap_or_default();
    let truth = if place.hindrance().is_some() { on_host } else { &here };
    let answer = match measured.exit {
        0 => Answer::Ready,
        1 => Answer::NotReady,
        _ => Answer::Unknown,
    };
    let text = |field: fn(&Report) -> &String| {
        measured.report.as_ref().map_or_else(String::new, |report| field(report).clone())
    };
    let expected = expect(kernel, boot, place, truth);
    Row {
        kernel: kernel.release.clone(),
        parameters: boot.parameters,
        place,
        truth: truth.denied,
        answer,
        evidence: text(|report| &report.evidence),
        reason: text(|report| &report.reason),
        ways: Ways {
            lsm_list: measured.lsm_list,
            btf_and_config: measured.btf_and_config,
            load_and_attach: here.loaded && here.attached,
        },
        wrong_reason: wrong_reason(measured, answer, &expected),
        faults: faults(kernel, boot, measured, truth),
    }
}

fn wrong_reason(measured: &Measured, answer: Answer, expected: &Expected) -> Option<String> {
    let Some(report) = &measured.report else {
        return Some("there is no report".to_owned());
    };
    let said = (answer, report.evidence.as_str(), report.reason.as_str());
    let right = (expected.answer, expected.evidence, expected.reason);
    if said != right {
        return Some(format!("{said:?} where it is {right:?}"));
    }
    (!expected.fix.is(&report.fix))
        .then(|| format!("the fix {:?} where it is {:?}", report.fix, expected.fix))
}

/// Everything else that is documented or promised, and does not hold.
fn faults(kernel: &Kernel, boot: &Boot, measured: &Measured, truth: &Truth) -> Vec<String> {
    let mut faults = Vec::new();
    if truth.denied != promised(kernel, boot, measured.place) {
        faults.push(format!("the truth contradicts the boot parameters: {truth:?}"));
    }
    if let Some(code) = measured.exit_attached.filter(|code| (*code == 0) != truth.attached) {
        faults.push(format!(
            "--require attached ends with {code}, and attached is {}",
            truth.attached
        ));
    }
    let Some(report) = &measured.report else {
        return faults;
    };
    if report.schema != SCHEMA {
        faults.push(format!("the schema is {:?}", report.schema));
    }
    faults.extend(rung_faults(report, measured.exit));
    let reads = if boot.forbids_kernel_reads() { "Fail" } else { "Pass" };
    if measured.place.hindrance().is_none() {
        faults.extend(outcome_fault(report, "KernelReads", reads));
    }
    faults
}

/// The rungs up to the evidence must pass, the next one must say why the evidence is no higher, and
/// the rungs above must be unknown.
fn rung_faults(report: &Report, exit: u8) -> Vec<String> {
    let proved = RUNGS.iter().position(|rung| *rung == report.evidence).map_or(0, |rung| rung + 1);
    let outcome = |rung: usize| match rung {
        _ if rung < proved => "Pass",
        _ if rung == proved && exit == 1 => "Fail",
        _ => "Unknown",
    };
    RUNGS
        .iter()
        .enumerate()
        .filter_map(|(rung, name)| outcome_fault(report, name, outcome(rung)))
        .collect()
}

fn outcome_fault(report: &Report, name: &str, right: &str) -> Option<String> {
    let said =
        report.checks.iter().find(|check| check.name == name).map(|check| check.outcome.as_str());
    (said != Some(right)).then(|| format!("check {name} is {said:?}, not {right}"))
}

#[cfg(test)]
mod tests {
    use super::super::machines::Check;
    use super::*;
    use crate::stock_kernel::tests::kernel;

    const WITH: Boot = Boot { parameters: "lsm=yama,bpf", places: &Place::ALL };
    const WITHOUT: Boot = Boot { parameters: "lsm=yama", places: &Place::ALL };

    fn report(evidence: &str, reason: &str, fix: &str, outcomes: [&str; 4]) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            evidence: evidence.to_owned(),
            reason: reason.to_owned(),
            fix: fix.to_owned(),
            checks: RUNGS
                .into_iter()
                .zip(outcomes)
                .chain([("KernelReads", "Pass")])
                .map(|(name, outcome)| Check { name: name.into(), outcome: outcome.into() })
                .collect(),
        }
    }

    fn ready() -> Measured {
        Measured {
            place: Place::Host,
            exit: 0,
            exit_attached: Some(0),
            report: Some(report("Denied", "CanaryDenied", "", ["Pass"; 4])),
            truth: Some(Truth { loaded: true, attached: true, denied: true, ..Truth::default() }),
            lsm_list: true,
            btf_and_config: true,
        }
    }

    fn silent() -> Measured {
        let fix = "Boot with lsm=yama,bpf in place of lsm=yama. And so on.";
        Measured {
            exit: 1,
            report: Some(report(
                "Attached",
                "BpfNotInLsmList",
                fix,
                ["Pass", "Pass", "Fail", "Unknown"],
            )),
            truth: Some(Truth { loaded: true, attached: true, ..Truth::default() }),
            lsm_list: false,
            ..ready()
        }
    }

    fn judged(boot: &Boot, measured: Measured) -> Row {
        rows(&kernel("6.12.1"), boot, &[measured]).unwrap().remove(0)
    }

    #[test]
    fn right_answers_are_judged_right() {
        assert!(judged(&WITH, ready()).is_right());
        assert!(judged(&WITHOUT, silent()).is_right());
    }

    #[test]
    fn each_false_answer_is_counted_for_its_way() {
        let false_ready = judged(&WITHOUT, Measured { truth: silent().truth, ..ready() });
        let false_not_ready = judged(&WITH, Measured { truth: ready().truth, ..silent() });
        let counts = Counts::of(&[false_ready, false_not_ready, judged(&WITHOUT, silent())]);
        assert_eq!(counts.ours, Count { false_ready: 1, false_not_ready: 1, hindered: 0 });
        assert_eq!(counts.wrong_reason, 2);
        assert_eq!(counts.lsm_list, Count { false_ready: 1, false_not_ready: 1, hindered: 0 });
        assert_eq!(
            counts.btf_and_config,
            Count { false_ready: 2, false_not_ready: 0, hindered: 0 }
        );
        assert_eq!(
            counts.load_and_attach,
            Count { false_ready: 2, false_not_ready: 0, hindered: 0 }
        );
    }

    #[test]
    fn an_answer_of_not_known_is_wrong_where_nothing_hinders_the_probe() {
        let row = judged(&WITH, Measured { exit: 2, ..ready() });
        assert!(row.wrong_reason.is_some() && !row.is_false_not_ready());
    }

    #[test]
    fn a_hindered_probe_has_to_say_that_it_does_not_know() {
        let fix = "give the container the capabilities BPF and PERFMON";
        let unknown = report("None", "MissingCapability", fix, ["Unknown"; 4]);
        let hindered = Measured {
            place: Place::Nobody,
            exit: 2,
            exit_attached: None,
            report: Some(unknown),
            truth: None,
            ..ready()
        };
        let judged = |hindered: Measured| {
            rows(&kernel("6.1"), &WITH, &[ready(), hindered]).unwrap().remove(1)
        };
        let row = judged(hindered.clone());
        assert!(row.is_right() && row.truth && !row.ways.load_and_attach, "{row:?}");
        let row = judged(Measured { exit: 1, ..hindered });
        assert_eq!(
            Counts::of(&[row]).ours,
            Count { false_ready: 0, false_not_ready: 1, hindered: 1 }
        );
    }

    #[test]
    fn every_fault_is_found() {
        let with_report = |change: fn(&mut Report)| {
            let mut measured = ready();
            change(measured.report.as_mut().unwrap());
            judged(&WITH, measured)
        };
        assert!(!with_report(|report| report.schema.clear()).is_right());
        assert!(!with_report(|report| report.fix = "Reboot.".to_owned()).is_right());
        assert!(!with_report(|report| report.checks[1].outcome = "Unknown".to_owned()).is_right());
        assert!(!with_report(|report| report.checks.truncate(4)).is_right());
        assert!(!judged(&WITH, Measured { exit_attached: Some(1), ..ready() }).is_right());
        assert!(!judged(&WITH, Measured { report: None, ..ready() }).is_right());
        assert!(!judged(&WITHOUT, ready()).is_right(), "a truth that cannot be");
        assert!(rows(&kernel("6.1"), &WITH, &[Measured { truth: None, ..ready() }]).is_err());
    }
}
