//! Generates docs/reasons.md from the table. `make docs` writes the page.

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

const TABLE_HEAD: &str = "| reason | meaning | state of the node |\n|---|---|---|\n";

/// The whole page as Markdown.
#[must_use]
pub fn page() -> String {
    let sections = SECTIONS.map(|(source, title)| {
        let reasons: Vec<Reason> =
            Reason::ALL.iter().copied().filter(|reason| reason.source() == source).collect();
        let rows: String = reasons.iter().copied().map(row).collect();
        let details: String = reasons.iter().copied().map(detail).collect();
        format!("\n## {title}\n\n{TABLE_HEAD}{rows}{details}")
    });
    INTRO.to_owned() + &sections.concat()
}

fn row(reason: Reason) -> String {
    format!("| `{reason}` | {} | {} |\n", cell(reason.meaning()), reason.node_is())
}

fn detail(reason: Reason) -> String {
    format!(
        "\n### {reason}\n\n{}\n\n- **How to tell it apart:** {}\n- **What to do:** {}\n",
        reason.meaning(),
        reason.distinguish(),
        reason.remedy()
    )
}

/// Escapes bars, which would end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
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
