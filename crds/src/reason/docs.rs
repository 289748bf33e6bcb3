//! docs/reasons.md, made from the table. In: nothing. Out: the page, which `make docs` writes.

use std::fmt::Write as _;

use super::{Reason, Source};

const INTRO: &str = "\
<!-- Generated from crds/src/reason/table.rs by `make docs`. Do not edit. -->

# Reasons: why a node is ready, is not, or is not known to be

These codes stand in `LsmNode.status.reason`, in the Node's condition `lsmready.io/LsmBpfReady`, in `LsmPolicy.status.reasons`, in events
and in the output of `node-probe check`. They are stable: alert on them. `node-probe explain CODE` prints what stands here.

The fix for a particular node, with its own `lsm=` list and boot loader, stands beside the code: `status.fix` of its LsmNode.
The way out given here is the one where nothing is known of the machine. A node is *not ready* where something was tried and
failed, and *unknown* where it could not be tried.
";

const SECTIONS: [(Source, &str); 3] = [
    (Source::Probe, "From the probe"),
    (Source::Policy, "From what is required: by a policy, or of `node-probe check`"),
    (Source::Texts, "From recorded texts: `node-probe check --from`"),
];

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = INTRO.to_owned();
    for (source, title) in SECTIONS {
        let reasons: Vec<Reason> =
            Reason::ALL.iter().copied().filter(|reason| reason.source() == source).collect();
        push(
            &mut page,
            format_args!("\n## {title}\n\n| reason | it means | the node is |\n|---|---|---|\n"),
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
            push(
                &mut page,
                format_args!("- **Told from its neighbours:** {}\n", reason.distinguish()),
            );
            push(&mut page, format_args!("- **The way out:** {}\n", reason.remedy()));
        }
    }
    page
}

/// A bar would end a table's cell.
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
