//! The tables of docs/scale.md. Pure.
//!
//! In: the sections as JSON. Out: Markdown: a row for each figure, and one for each size of fleet.

use std::fmt::Write as _;

use serde_json::Value;

use crate::figures::{self, Sections, short};

const MEGABYTE: f64 = 1_000_000.0;

/// All tables, with a line of what was measured in front of each.
pub fn tables(sections: &Sections) -> String {
    let mut text = all_figures(sections);
    if let Some(growth) = sections.get("growth") {
        text.push_str(&sizes(growth));
        text.push_str(&policies(growth));
    }
    text
}

fn all_figures(sections: &Sections) -> String {
    let measured = figures::figures(sections);
    let mut text = "| figure | measured | limit |\n|---|---|---|\n".to_owned();
    for figure in figures::all() {
        let Some(figure_measured) = measured.get(&figure.name()) else { continue };
        let limit = figure.limit.map_or_else(String::new, short);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "| {} | {} | {limit} |", figure.what, short(*figure_measured));
    }
    text
}

/// Fleets of growing size, and the one that is a fit.
fn sizes(growth: &Value) -> String {
    let mut text =
        "\n| nodes | all is right after | after all evidence flips | CPU of the operator \
                    | most memory |\n|---|---|---|---|---|\n"
            .to_owned();
    for size in growth["sizes"].as_array().into_iter().flatten() {
        let seconds = |name: &str| short_of(&size[name], 1.0);
        let _ = writeln!(
            text,
            "| {} | {} s | {} s | {} s | {} MB |",
            size["nodes"],
            seconds("converge_seconds"),
            seconds("flip_seconds"),
            seconds("operator_cpu_seconds"),
            short_of(&size["peak_rss_bytes"], MEGABYTE)
        );
    }
    let fit = |name: &str, unit| short_of(&growth[name]["at_100000_by_fit"], unit);
    let _ = writeln!(
        text,
        "| 100,000 by fit | {} s | | {} s | {} MB |",
        fit("time", 1.0),
        fit("cpu", 1.0),
        fit("memory", MEGABYTE)
    );
    let line = &growth["memory_line"];
    let _ = writeln!(
        text,
        "\nMemory: {} MB, and {} kB for each node.",
        short_of(&line["intercept"], MEGABYTE),
        short_of(&line["slope"], 1000.0)
    );
    text
}

/// What a change of a node costs with growing numbers of policies.
fn policies(growth: &Value) -> String {
    let mut text =
        "\n| policies | CPU s / 1,000 changes | p50 | p99 |\n|---|---|---|---|\n".to_owned();
    for (name, what) in [("policies", ""), ("bystanders", ", of which one selects the node")] {
        for change in growth[name].as_array().into_iter().flatten() {
            let number = |name: &str| short_of(&change[name], 1.0);
            let _ = writeln!(
                text,
                "| {}{what} | {} | {} ms | {} ms |",
                change["policies"],
                number("operator_cpu_seconds_per_1000_changes"),
                number("label_p50_ms"),
                number("label_p99_ms")
            );
        }
    }
    text
}

/// A number in that unit with one digit after the point where it is large.
fn short_of(value: &Value, unit: f64) -> String {
    let Some(number) = value.as_f64().map(|number| number / unit) else {
        return "?".to_owned();
    };
    if number >= 10.0 { short((number * 10.0).round() / 10.0) } else { short(number) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_figure_and_each_size_has_a_row_and_what_is_missing_a_question_mark() {
        let sections = Sections::from([
            ("start".to_owned(), json!({"ratio": 1.5})),
            (
                "growth".to_owned(),
                json!({
                    "sizes": [{"nodes": 5000, "converge_seconds": 14.27, "flip_seconds": 20,
                        "operator_cpu_seconds": 7.5, "peak_rss_bytes": 60_000_000}],
                    "memory_line": {"intercept": 11_000_000.0, "slope": 9_800.0},
                    "policies": [{"policies": 1, "operator_cpu_seconds_per_1000_changes": 0.5,
                        "label_p50_ms": 5, "label_p99_ms": 25}],
                }),
            ),
        ]);
        let text = tables(&sections);
        for row in [
            "| all lists / a bare client's lists | 1.5 | 1.2 |\n",
            "| 5000 | 14.3 s | 20 s | 7.5 s | 60 MB |\n",
            "| 100,000 by fit | ? s | | ? s | ? MB |\n",
            "Memory: 11 MB, and 9.8 kB for each node.\n",
            "| 1 | 0.5 | 5 ms | 25 ms |\n",
        ] {
            assert!(text.contains(row), "{row} is not in\n{text}");
        }
    }
}
