//! Generates docs/reasons.md from the table. `make docs` writes the page.

use std::fmt::Write as _;

use super::{Reason, Source};

const INTRO: &str = "<!-- Generated from crds/src/reason/table.rs by `make docs`. Do not edit. -->

# Reasons: why a node is ready, not ready, or unknown

These codes are in `LsmNode.status.reason`, in the Node's condition `lsmready.io/LsmBpfReady`, in
`LsmPolicy.status.reasons`, in events, and in the output of `node-probe check`. They are stable: alert
on them. `node-probe explain CODE` prints the same texts as this page.

The fix for a particular node, with its own `lsm=` list and boot loader, is in `status.fix` of its
LsmNode. The advice on this page is general. A node is *not ready* where a trial failed, and *unknown*
where the trial could not be made.
";

const SECTIONS: [(Source, &str); 3] = [
    (Source::Probe, "From the probe"),
    (Source::Policy, "From a requirement of a policy or of `node-probe check`"),
    (Source::Texts, "From recorded texts: `node-probe check --from`"),
];

/// The whole page as Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = INTRO.to_owned();
    for (source, title) in SECTIONS {
        let reasons: Vec<Reason> =
            Reason::ALL.iter().copied().filter(|reason| reason.source() == source).collect();
        push(
            &mut page,
            format_args!(
                "\n## {title}\n\n| reason | meaning | state of the node |\n|---|---|---|\n"
            ),
        );
        for reason in &reasons {
            push(
                &mut page,
                format_args!(
                    "| `{reason}` | {} | {} |\n",
                    cell(reason.meaning()),
                    reason.node_is()
                ),
            );
        }
        for reason in &reasons {
            push(&mut page, format_args!("\n### {reason}\n\n{}\n\n", reason.meaning()));
            push(&mut page, format_args!("- **How to tell it apart:** {}\n", reason.distinguish()));
            push(&mut page, format_args!("- **What to do:** {}\n", reason.remedy()));
        }
    }
    page
}

/// Escapes bars, which would end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    page.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_row_and_a_section() {
        let page = page();
        for reason in Reason::ALL {
            assert_eq!(page.matches(&format!("\n| `{reason}` |")).count(), 1, "{reason}");
            assert_eq!(page.matches(&format!("\n### {reason}\n")).count(), 1, "{reason}");
        }
    }
}
