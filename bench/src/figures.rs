//! The figures that a run is judged by: what they are called, where they are in the sections'
//! files, and their limits. Pure.
//!
//! In: the sections as JSON, and the figures of an earlier run. Out: a row for each figure, and
//! what got worse. All figures are such that less is better, and most are ratios within one run, so
//! that runs on other machines can be compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What was measured, by the section's name.
pub type Sections = BTreeMap<String, Value>;
/// Figures by their names, as `bench/baseline.json` has them.
pub type Figures = BTreeMap<String, f64>;

/// A figure is worse if it is larger than this times its baseline.
const TOLERANCE: f64 = 1.1;

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The section, and the place in it.
    pub section: &'static str,
    pub pointer: &'static str,
    /// For people.
    pub what: &'static str,
    pub limit: Option<f64>,
}

const fn figure(
    section: &'static str,
    pointer: &'static str,
    what: &'static str,
    limit: Option<f64>,
) -> Figure {
    Figure { section, pointer, what, limit }
}

/// All figures, in the order of the table.
pub const ALL: [Figure; 26] = [
    figure("scale", "/ratio", "start until all is right / raw patches", Some(1.25)),
    figure("scale", "/patch_ratio", "first write until all is right / raw patches", Some(1.15)),
    figure("scale", "/cpu_ratio", "the same in CPU time of all three programs", None),
    figure("scale", "/flip_ratio", "all evidence flips / raw patches and reports", Some(1.25)),
    figure("scale", "/peak_rss_kb_per_node", "most memory / nodes, kB", Some(12.0)),
    figure("scale", "/steady_writes", "writes at rest", Some(0.0)),
    figure("scale", "/restart_writes", "writes after a crash", Some(0.0)),
    figure("scale", "/leader_change_writes", "writes when the leader changes", Some(0.0)),
    figure("scale", "/node_writes_per_node", "Node writes / nodes at a start", Some(2.0)),
    figure("scale", "/policy_writes_in_a_second", "writes of one policy in a second", Some(1.0)),
    figure("latency", "/label_ms/p50", "report to label, p50, ms", Some(20.0)),
    figure(
        "latency",
        "/p99_above_server_ms",
        "report to label, p99 above the server, ms",
        Some(50.0),
    ),
    figure("latency", "/missing", "labels that never came", Some(0.0)),
    figure("latency", "/node_writes_per_change", "Node writes / changes", Some(2.0)),
    figure("latency", "/operator_cpu_seconds_per_1000_changes", "CPU s / 1,000 changes", None),
    figure("start", "/ratio", "all lists / a bare client's lists", Some(1.2)),
    figure("growth", "/time/exponent", "time grows with nodes ^", Some(1.05)),
    figure("growth", "/memory/exponent", "memory grows with nodes ^", Some(1.05)),
    figure("growth", "/bystanders_ratio", "CPU of a change, 100 other policies / none", Some(1.1)),
    figure("probes", "/rest/writes_per_second", "writes of the probes at rest, per second", None),
    figure("probes", "/rest/watches", "watches of the probes", Some(0.0)),
    figure("probes", "/reboot/requests/throttled", "throttled when all boot", None),
    figure("probes", "/reboot/requests_per_probe", "requests of a probe when all boot", None),
    figure("nfd", "/operator_over_nfd", "time of a write / that of NFD's master", Some(1.0)),
    figure("check", "/ratio", "a check / a bare loader", Some(1.5)),
    figure("cluster", "/writes_in_a_minute_at_rest", "writes of a cluster at rest", Some(0.0)),
];

impl Figure {
    /// The name in `bench/baseline.json`.
    pub fn name(&self) -> String {
        format!("{}{}", self.section, self.pointer.replace('/', "."))
    }

    fn of(&self, sections: &Sections) -> Option<f64> {
        sections.get(self.section)?.pointer(self.pointer)?.as_f64()
    }
}

/// The figures of those sections that were measured.
pub fn figures(sections: &Sections) -> Figures {
    ALL.iter().filter_map(|figure| Some((figure.name(), figure.of(sections)?))).collect()
}

/// The figures as a table, with their limits and those of the baseline.
pub fn table(figures: &Figures, baseline: &Figures) -> String {
    let mut table = format!("{:<48} {:>10} {:>8} {:>10}\n", "", "measured", "limit", "baseline");
    for figure in ALL {
        let Some(measured) = figures.get(&figure.name()) else { continue };
        let limit = figure.limit.map_or_else(String::new, short);
        let before = baseline.get(&figure.name()).copied().map_or_else(String::new, short);
        let verdict =
            if figure.limit.is_some_and(|limit| *measured > limit) { "  OVER" } else { "" };
        let (what, measured) = (figure.what, short(*measured));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{what:<48} {measured:>10} {limit:>8} {before:>10}{verdict}");
    }
    table
}

/// What got worse by more than a tenth, a line for each.
pub fn worse(figures: &Figures, baseline: &Figures) -> Vec<String> {
    let worse = ALL.iter().filter_map(|figure| {
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

fn short(figure: f64) -> String {
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
    fn a_figure_over_its_limit_is_marked() {
        let table = table(&one("scale.ratio", 1.26), &Figures::new());
        assert!(table.ends_with("OVER\n"), "{table}");
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(Figure::name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
