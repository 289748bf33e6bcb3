//! The figures that a run is judged by: what they are called, where they are in the sections'
//! files, and their limits. Pure.
//!
//! In: the sections as JSON, and the figures of an earlier run. Out: a row for each figure, and
//! what got worse. All figures are such that less is better. Those that depend on the machine are
//! not compared with an earlier run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What was measured, by the section's name.
pub type Sections = BTreeMap<String, Value>;
/// Figures by their names, as `bench/baseline.json` has them.
pub type Figures = BTreeMap<String, f64>;

/// A figure is worse if it is larger than this times its baseline.
const TOLERANCE: f64 = 1.1;

/// Whether a figure can be compared with that of another run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compared {
    /// A ratio within one run, a number of writes, or memory.
    Yes,
    /// It is a time of the clock, or CPU time.
    No,
}
use Compared::{No, Yes};

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The section, and the place in it.
    pub section: &'static str,
    pub pointer: &'static str,
    /// For people.
    pub what: &'static str,
    pub limit: Option<f64>,
    pub compared: Compared,
}

type Row = (&'static str, &'static str, Option<f64>, Compared);

/// All figures of a section, as (place, what, limit, compared).
const SECTIONS: &[(&str, &[Row])] = &[
    (
        "scale",
        &[
            ("/ratio", "start until all is right / raw patches", Some(1.25), Yes),
            ("/patch_ratio", "first write until all is right / raw patches", Some(1.15), Yes),
            ("/cpu_ratio", "the same in CPU time of all three programs", None, Yes),
            ("/flip_ratio", "all evidence flips / raw patches and reports", Some(1.15), Yes),
            ("/peak_rss_kb_per_node", "most memory / nodes, kB", Some(12.0), Yes),
            ("/steady_writes", "writes at rest", Some(0.0), Yes),
            ("/restart_writes", "writes after a crash", Some(0.0), Yes),
            ("/leader_change_writes", "writes when the leader changes", Some(0.0), Yes),
            ("/node_writes_per_node", "Node writes / nodes at a start", Some(2.0), Yes),
            ("/policy_writes_in_a_second", "writes of one policy in a second", Some(1.0), Yes),
        ],
    ),
    (
        "latency",
        &[
            ("/label_ms/p50", "report to label, p50, ms", Some(20.0), No),
            ("/p99_above_server_ms", "report to label, p99 above the server, ms", Some(50.0), No),
            ("/missing", "labels that never came", Some(0.0), Yes),
            ("/node_writes_per_change", "Node writes / changes", Some(2.0), Yes),
            ("/operator_cpu_seconds_per_1000_changes", "CPU s / 1,000 changes", None, No),
        ],
    ),
    (
        "joining",
        &[
            ("/label_ms/p50", "a node joins: report to label, p50, ms", None, No),
            ("/slowest_above_server_ms", "the slowest of 50 above the server, ms", Some(100.0), No),
            ("/node_writes_per_join", "Node writes / joins", Some(3.0), Yes),
        ],
    ),
    ("start", &[("/ratio", "all lists / a bare client's lists", Some(1.2), Yes)]),
    (
        "growth",
        &[
            ("/time/exponent", "time grows with nodes ^", Some(1.05), Yes),
            ("/memory/exponent", "memory grows with nodes ^", Some(1.05), Yes),
            ("/bystanders_ratio", "CPU of a change, 99 other policies / none", Some(1.1), Yes),
        ],
    ),
    (
        "probes",
        &[
            ("/rest/writes_per_second", "writes of the probes at rest, per second", None, Yes),
            ("/rest/watches", "watches of the probes", Some(0.0), Yes),
            ("/rest/reads_per_second", "reads of the probes at rest, per second", None, Yes),
            ("/rest/api_server_cpu_share", "CPUs of the API server for them", None, No),
            ("/api_server_kb_per_probe", "memory of the API server / probes, kB", None, No),
            ("/reboot/requests/throttled", "throttled when all boot", None, Yes),
            ("/reboot/requests_per_probe", "requests of a probe when all boot", None, Yes),
        ],
    ),
    ("nfd", &[("/operator_over_nfd", "time of a write / that of NFD's master", Some(1.0), Yes)]),
    (
        "bad-input",
        &[
            (
                "/everything/operator_cpu_seconds_per_1000_changes",
                "100 policies for all: CPU s / 1,000 changes",
                None,
                No,
            ),
            ("/everything/peak_rss_kb_per_node", "the same: most memory / nodes, kB", None, Yes),
            ("/everything/node_writes_per_change", "the same: Node writes / changes", None, Yes),
            ("/throttled/requests_per_write", "429: requests / writes", Some(2.0), No),
            ("/throttled/node_writes_per_node", "429: Node writes / nodes", Some(2.0), Yes),
            ("/flapping/writes_per_change", "labels flap: writes / changes", Some(1.0), No),
            (
                "/flapping/p99_above_server_ms",
                "the same: others' p99 above the server, ms",
                None,
                No,
            ),
            ("/flapping/p99_ratio", "others' p99 / beside an annotation", Some(1.5), No),
            ("/flapping/missing", "the same: labels that never came", Some(0.0), Yes),
            ("/forgotten/node_writes_per_change", "410: Node writes / changes", Some(2.0), Yes),
            ("/forgotten/seconds/max", "410: seconds until all is right", None, No),
        ],
    ),
    ("check", &[("/ratio", "a check / a bare loader", Some(1.5), Yes)]),
    (
        "node",
        &[
            ("/probe_resident_kib", "memory of a probe, KiB", Some(10_240.0), Yes),
            ("/looks_cpu_seconds_a_day", "CPU s a day of a probe's looks", None, No),
            ("/checks_cpu_seconds_a_day", "the same of its checks, emulated", None, No),
            ("/start_to_report_ms/median", "start to report of a probe, emulated, ms", None, No),
            ("/image_kib/node-probe", "image of the probe, KiB", Some(8_192.0), Yes),
            ("/image_kib/operator", "image of the operator, KiB", Some(12_288.0), Yes),
        ],
    ),
    (
        "cluster",
        &[
            ("/evidence_to_label_ms/max", "three nodes: report to label, ms", Some(1000.0), No),
            ("/policy_to_patch_ms/max", "policy to mount, ms", Some(1000.0), No),
            ("/writes_in_a_minute_at_rest", "writes of a cluster at rest", Some(0.0), Yes),
            ("/operator_resident_kib", "memory of its operator, KiB", Some(40_960.0), Yes),
        ],
    ),
    (
        "demo",
        &[
            ("/seconds", "the demonstration, s", Some(240.0), No),
            ("/cluster_seconds", "of which the cluster, s", Some(90.0), No),
        ],
    ),
];

/// All figures, in the order of the table.
pub fn all() -> impl Iterator<Item = Figure> {
    SECTIONS.iter().flat_map(|(section, rows)| {
        rows.iter().map(|(pointer, what, limit, compared)| Figure {
            section,
            pointer,
            what,
            limit: *limit,
            compared: *compared,
        })
    })
}

/// The names of all sections.
pub fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(section, _)| *section)
}

impl Figure {
    /// The name in `bench/baseline.json`.
    pub fn name(&self) -> String {
        format!("{}{}", self.section, self.pointer.replace('/', "."))
    }

    fn of(&self, sections: &Sections) -> Option<f64> {
        sections.get(self.section)?.pointer(self.pointer)?.as_f64()
    }

    fn is_over(&self, measured: f64) -> bool {
        self.limit.is_some_and(|limit| measured > limit)
    }
}

/// The figures of those sections that were measured.
pub fn figures(sections: &Sections) -> Figures {
    all().filter_map(|figure| Some((figure.name(), figure.of(sections)?))).collect()
}

/// Those that another run can be compared with.
pub fn baseline(figures: &Figures) -> Figures {
    let compared = all().filter(|figure| figure.compared == Yes);
    compared.filter_map(|figure| Some((figure.name(), *figures.get(&figure.name())?))).collect()
}

/// The figures as a table, with their limits and those of the baseline.
pub fn table(figures: &Figures, baseline: &Figures) -> String {
    let mut table = format!("{:<48} {:>10} {:>8} {:>10}\n", "", "measured", "limit", "baseline");
    for figure in all() {
        let Some(measured) = figures.get(&figure.name()) else { continue };
        let limit = figure.limit.map_or_else(String::new, short);
        let before = baseline.get(&figure.name()).copied().map_or_else(String::new, short);
        let verdict = if figure.is_over(*measured) { "  OVER" } else { "" };
        let (what, measured) = (figure.what, short(*measured));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{what:<48} {measured:>10} {limit:>8} {before:>10}{verdict}");
    }
    table
}

/// The figures that are over their limits, a line for each.
pub fn over(figures: &Figures) -> Vec<String> {
    let over = all().filter_map(|figure| {
        let measured = *figures.get(&figure.name())?;
        let line = || {
            let limit = figure.limit.map_or_else(String::new, short);
            format!("over its limit: {}: {}, the limit is {limit}", figure.what, short(measured))
        };
        figure.is_over(measured).then(line)
    });
    over.collect()
}

/// What got worse by more than a tenth, a line for each.
pub fn worse(figures: &Figures, baseline: &Figures) -> Vec<String> {
    let worse = all().filter(|figure| figure.compared == Yes).filter_map(|figure| {
        let (now, then) = (figures.get(&figure.name())?, baseline.get(&figure.name())?);
        let is_worse = *now > *then * TOLERANCE && now - then > 1e-6;
        let percent = if *then > 0.0 {
            format!(" (+{:.0} %)", 100.0 * (now / then - 1.0))
        } else {
            String::new()
        };
        let (what, now, then) = (figure.what, short(*now), short(*then));
        is_worse.then(|| format!("worse: {what}: {now}, was {then}{percent}"))
    });
    worse.collect()
}

/// At most three digits after the point.
pub fn short(figure: f64) -> String {
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(name: &str, figure: f64) -> Figures {
        Figures::from([(name.to_owned(), figure)])
    }

    #[test]
    fn figures_are_found_in_their_sections_and_what_was_not_measured_is_left_out() {
        let sections = Sections::from([(
            "latency".to_owned(),
            json!({"label_ms": {"p50": 6.5}, "missing": 0}),
        )]);
        let figures = figures(&sections);
        assert_eq!(figures.get("latency.label_ms.p50"), Some(&6.5));
        assert_eq!(figures.len(), 2);
        assert_eq!(table(&figures, &Figures::new()).lines().count(), 3);
    }

    #[test]
    fn worse_is_more_than_a_tenth_above_the_baseline() {
        let baseline = one("scale.ratio", 2.0);
        assert_eq!(worse(&one("scale.ratio", 2.19), &baseline), Vec::<String>::new());
        assert_eq!(
            worse(&one("scale.ratio", 2.5), &baseline),
            ["worse: start until all is right / raw patches: 2.5, was 2 (+25 %)"]
        );
    }

    #[test]
    fn one_write_at_rest_is_worse_than_none() {
        let none = one("scale.steady_writes", 0.0);
        assert_eq!(worse(&none, &none), Vec::<String>::new());
        assert_eq!(
            worse(&one("scale.steady_writes", 1.0), &none),
            ["worse: writes at rest: 1, was 0"]
        );
    }

    #[test]
    fn a_time_of_the_clock_is_not_compared_with_another_run() {
        let (now, then) = (one("latency.label_ms.p50", 9.0), one("latency.label_ms.p50", 3.0));
        assert_eq!(worse(&now, &then), Vec::<String>::new());
        assert_eq!(baseline(&now), Figures::new());
        assert_eq!(baseline(&one("scale.ratio", 1.0)).len(), 1);
    }

    #[test]
    fn a_figure_over_its_limit_is_marked_and_named() {
        let figures = one("scale.ratio", 1.26);
        let table = table(&figures, &Figures::new());
        assert!(table.ends_with("OVER\n"), "{table}");
        assert_eq!(
            over(&figures),
            ["over its limit: start until all is right / raw patches: 1.26, the limit is 1.25"]
        );
        assert_eq!(over(&one("scale.ratio", 1.25)), Vec::<String>::new());
    }

    #[test]
    fn names_are_unique_and_fit_into_the_table() {
        let names: std::collections::BTreeSet<_> = all().map(|figure| figure.name()).collect();
        assert_eq!(names.len(), all().count());
        assert!(all().all(|figure| figure.what.len() <= 48));
    }
}
