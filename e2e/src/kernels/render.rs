//! The comparison as text: a line for each case, then the counts. Wrong answers are marked with
//! `!`.

use std::fmt::Write as _;

use super::Comparison;
use super::expect::Answer;
use super::judge::{Count, Row};
use super::kills::{Kills, Met};

/// The whole text. Its last line is the result.
pub fn render(comparison: &Comparison) -> String {
    let mut text = cases(&comparison.cases);
    text.push('\n');
    for kills in &comparison.kills {
        line(&mut text, &killed(kills));
    }
    text.push('\n');
    text.push_str(&counts(comparison));
    for fault in faults(comparison) {
        line(&mut text, &format!("WRONG {fault}"));
    }
    let Count { false_ready, false_not_ready, .. } = comparison.counts.ours;
    line(
        &mut text,
        &format!(
            "\n{} passed, {} failed\nkernels: {} cases: false_ready {false_ready}, false_not_ready {false_not_ready}, \
         wrong_reason {}",
            comparison.passed(),
            comparison.failed(),
            comparison.cases.len(),
            comparison.counts.wrong_reason
        ),
    );
    text
}

fn killed(kills: &Kills) -> String {
    let met = |Met { kills, running, with_loaded }: Met, what: &str| {
        format!(
            "{kills} {what} at random moments ({running} still running, {with_loaded} with something loaded)"
        )
    };
    let left = if kills.faults.is_empty() { "nothing was left loaded" } else { "NOT CLEAN" };
    let attached = if kills.while_attached { "one check while attached, " } else { "" };
    format!(
        "{}: killed {attached}{} and {}, seed {}: {left}",
        kills.kernel,
        met(kills.checks, "checks"),
        met(kills.daemons, "daemons"),
        kills.seed
    )
}

fn line(text: &mut String, content: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{content}").ok();
}

const HEAD: [&str; 7] = [
    "boot parameters",
    "asked from",
    "truth",
    "node-probe check",
    "lsm list",
    "BTF, config",
    "load, attach",
];

fn cases(rows: &[Row]) -> String {
    let table: Vec<[String; 7]> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = table.iter().map(|cells| cells[column].len());
        cells.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    let mut kernel = "";
    for (row, cells) in rows.iter().zip(&table) {
        if row.kernel != kernel {
            kernel = &row.kernel;
            line(&mut text, &format!("\nLinux {kernel}"));
            line(&mut text, &aligned(&HEAD, &widths));
        }
        line(&mut text, &aligned(&cells.each_ref().map(String::as_str), &widths));
    }
    text
}

fn aligned(cells: &[&str; 7], widths: &[usize; 7]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

fn cells(row: &Row) -> [String; 7] {
    let way = |ready: bool| {
        let answer = if ready { "ready" } else { "not ready" };
        if ready == row.truth { answer.to_owned() } else { format!("{answer} !") }
    };
    let answer = match row.answer {
        Answer::Ready => "ready",
        Answer::NotReady => "not ready",
        Answer::Unknown => "not known",
    };
    let mark = if row.is_right() { "" } else { " !" };
    [
        if row.parameters.is_empty() { "(none)".to_owned() } else { row.parameters.to_owned() },
        row.place.name().to_owned(),
        (if row.truth { "denies" } else { "does not" }).to_owned(),
        format!("{answer}: {} {}{mark}", row.evidence, row.reason),
        way(row.ways.lsm_list),
        way(row.ways.btf_and_config),
        way(row.ways.load_and_attach),
    ]
}

/// How often each way is wrong, and how often something kept it from trying.
fn counts(comparison: &Comparison) -> String {
    let counts = &comparison.counts;
    let ways = [
        ("node-probe check", counts.ours, counts.wrong_reason.to_string()),
        ("grep bpf /sys/kernel/security/lsm", counts.lsm_list, String::new()),
        ("BTF exists, CONFIG_BPF_LSM=y", counts.btf_and_config, String::new()),
        ("load and attach, without firing", counts.load_and_attach, String::new()),
    ];
    let mut text =
        format!("{:34}  false_ready  false_not_ready  of these hindered  wrong_reason\n", "");
    for (name, count, wrong_reason) in ways {
        let Count { false_ready, false_not_ready, hindered } = count;
        let numbers =
            format!("{false_ready:11}  {false_not_ready:15}  {hindered:17}  {wrong_reason:>12}");
        line(&mut text, format!("{name:34}  {numbers}").trim_end());
    }
    text
}

/// Everything that makes the run fail, in words.
fn faults(comparison: &Comparison) -> Vec<String> {
    let of_case = |row: &Row| {
        let faults: Vec<&String> = row.wrong_reason.iter().chain(&row.faults).collect();
        (!row.is_right()).then(|| {
            format!("{} {:?} {}: {faults:?}", row.kernel, row.parameters, row.place.name())
        })
    };
    let mut all: Vec<String> = comparison.cases.iter().filter_map(of_case).collect();
    for kills in &comparison.kills {
        all.extend(kills.faults.iter().map(|fault| format!("{} {fault}", kills.kernel)));
    }
    all.extend(comparison.failures.iter().cloned());
    all
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::super::judge::{Counts, Ways};
    use super::*;

    fn row(answer: Answer, truth: bool) -> Row {
        Row {
            kernel: "6.1".to_owned(),
            parameters: "",
            place: Place::Host,
            truth,
            answer,
            evidence: "Denied".to_owned(),
            reason: "CanaryDenied".to_owned(),
            ways: Ways { lsm_list: false, btf_and_config: true, load_and_attach: true },
            wrong_reason: None,
            faults: Vec::new(),
        }
    }

    fn comparison(cases: Vec<Row>) -> Comparison {
        Comparison { counts: Counts::of(&cases), cases, ..Comparison::default() }
    }

    #[test]
    fn wrong_answers_are_marked_and_counted() {
        let text = render(&comparison(vec![row(Answer::Ready, true), row(Answer::Ready, false)]));
        assert!(
            text.contains(
                "denies    ready: Denied CanaryDenied    not ready !  ready        ready"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "does not  ready: Denied CanaryDenied !  not ready    ready !      ready !"
            ),
            "{text}"
        );
        assert!(text.contains("WRONG 6.1 \"\" host"), "{text}");
        assert!(
            text.ends_with("1 passed, 1 failed\nkernels: 2 cases: false_ready 1, false_not_ready 0, wrong_reason 0\n")
        );
    }

    #[test]
    fn a_boot_without_cases_makes_the_run_fail() {
        let comparison =
            Comparison { failures: vec!["6.1 died".to_owned()], ..Comparison::default() };
        assert_eq!((comparison.passed(), comparison.failed()), (0, 1));
        assert!(render(&comparison).contains("WRONG 6.1 died"));
    }
}
