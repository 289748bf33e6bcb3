//! What was found and removed, and what was not.

use std::collections::BTreeMap;
use std::fmt;

/// As many errors are printed.
const MAX_ERRORS: usize = 20;
/// As many names of one kind are printed.
const MAX_NAMES: usize = 5;

/// What a cleanup did. In a dry run: what it would do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// The names of the objects, by kind: of Nodes and DaemonSets that were changed, and of other
    /// objects that were deleted.
    pub done: BTreeMap<&'static str, Vec<String>>,
    /// What was not possible: the object, and why.
    pub failed: BTreeMap<String, String>,
}

impl Report {
    /// Notes an object from which something was removed, or which was deleted.
    pub fn did(&mut self, kind: &'static str, name: String) {
        let names = self.done.entry(kind).or_default();
        if let Err(position) = names.binary_search(&name) {
            names.insert(position, name);
        }
    }

    /// Notes what failed.
    pub fn failed(&mut self, object: String, why: impl fmt::Display) {
        self.failed.insert(object, why.to_string());
    }

    /// Adds what another report says.
    pub fn add(&mut self, other: Self) {
        for (kind, names) in other.done {
            for name in names {
                self.did(kind, name);
            }
        }
        self.failed.extend(other.failed);
    }

    /// Whether there was nothing to do.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty()
    }

    /// One line for each kind, for example `Node: 2 (n1, n2)`.
    pub fn lines(&self) -> String {
        let line = |(kind, names): (&&str, &Vec<String>)| {
            let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>();
            let more = if names.len() > MAX_NAMES { ", …" } else { "" };
            format!("  {kind}: {} ({}{more})\n", names.len(), shown.join(", "))
        };
        self.done.iter().map(line).collect()
    }

    /// One line for each error, at most [`MAX_ERRORS`].
    pub fn errors(&self) -> String {
        let shown = self.failed.iter().take(MAX_ERRORS);
        let mut lines: Vec<String> =
            shown.map(|(object, why)| format!("  {object}: {why}\n")).collect();
        if self.failed.len() > MAX_ERRORS {
            lines.push(format!("  … {} in all\n", self.failed.len()));
        }
        lines.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted_and_few_are_shown() {
        let mut report = Report::default();
        (0..7).for_each(|number| report.did("Node", format!("n{number}")));
        report.did("Node", "n0".into());
        report.did("DaemonSet", "kube-system/tetragon".into());
        let wanted = "  DaemonSet: 1 (kube-system/tetragon)\n  Node: 7 (n0, n1, n2, n3, n4, …)\n";
        assert_eq!(report.lines(), wanted);
    }

    #[test]
    fn errors_name_the_object() {
        let mut report = Report::default();
        (0..25).for_each(|number| report.failed(format!("Node n{number:02}"), "no right"));
        let text = report.errors();
        assert!(text.starts_with("  Node n00: no right\n"), "{text}");
        assert!(text.ends_with("  … 25 in all\n"), "{text}");
        assert_eq!(text.lines().count(), MAX_ERRORS + 1);
    }
}
