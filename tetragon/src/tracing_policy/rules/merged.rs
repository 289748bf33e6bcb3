//! A selector together with the macros that it uses.
//!
//! In: a selector and `spec.selectorsMacros`. Out: the lists of both, and what is wrong with the
//! macros.

use serde_json::{Map, Value};

use super::list;
use crate::tracing_policy::diagnostic::quoted;

/// The lists of a selector that a macro can have too.
const FIELDS: [&str; 12] = [
    "matchPIDs",
    "matchArgs",
    "matchData",
    "matchActions",
    "matchReturnArgs",
    "matchReturnActions",
    "matchBinaries",
    "matchParentBinaries",
    "matchNamespaces",
    "matchNamespaceChanges",
    "matchCapabilities",
    "matchCapabilityChanges",
];

/// The lists of a selector and of its macros.
#[derive(Default)]
pub struct Merged<'a> {
    lists: Vec<NamedList<'a>>,
    /// What is wrong with the macros.
    pub problems: Vec<Problem>,
}

struct NamedList<'a> {
    name: &'static str,
    path: String,
    entries: &'a [Value],
}

/// A field, and what is wrong with it.
pub struct Problem {
    pub path: String,
    pub rule: String,
}

/// One list of a selector.
#[derive(Clone, Copy)]
pub struct List<'a> {
    /// Where it is in the policy. Empty if the selector does not have the list.
    pub path: &'a str,
    pub entries: &'a [Value],
}

impl<'a> Merged<'a> {
    /// The selector at that path, with its macros.
    pub fn of(
        selector: &'a Map<String, Value>,
        path: &str,
        macros: Option<&'a Map<String, Value>>,
    ) -> Self {
        let mut merged = Self::default();
        for name in FIELDS {
            merged.push(name, path, list(selector, name));
        }
        for name in list(selector, "macros").iter().filter_map(Value::as_str) {
            match macros.and_then(|macros| macros.get(name)).and_then(Value::as_object) {
                Some(called) => merged.add_macro(called, name, path),
                None => merged.problems.push(Problem {
                    path: format!("{path}.macros"),
                    rule: format!("{} is not defined in spec.selectorsMacros", quoted(name)),
                }),
            }
        }
        merged
    }

    fn push(&mut self, name: &'static str, path: &str, entries: &'a [Value]) {
        if !entries.is_empty() {
            self.lists.push(NamedList { name, path: format!("{path}.{name}"), entries });
        }
    }

    fn add_macro(&mut self, called: &'a Map<String, Value>, name: &str, path: &str) {
        let place = format!("spec.selectorsMacros.{name}");
        if !list(called, "macros").is_empty() {
            let rule = "a macro cannot use other macros".to_owned();
            self.problems.push(Problem { path: format!("{place}.macros"), rule });
        }
        for field in FIELDS {
            let entries = list(called, field);
            let is_present = self.lists.iter().any(|known| known.name == field);
            if is_present && !entries.is_empty() {
                let rule =
                    format!("macro {} has {field} too; only one of them may have it", quoted(name));
                self.problems.push(Problem { path: format!("{path}.{field}"), rule });
            } else {
                self.push(field, &place, entries);
            }
        }
    }

    /// The list with that name.
    #[must_use]
    pub fn get(&self, name: &str) -> List<'_> {
        self.lists.iter().find(|list| list.name == name).map_or(
            List { path: "", entries: &[] },
            |list| List { path: &list.path, entries: list.entries },
        )
    }

    /// The entries of the list with that name.
    #[must_use]
    pub fn entries(&self, name: &str) -> &'a [Value] {
        self.lists.iter().find(|list| list.name == name).map_or(&[], |list| list.entries)
    }
}
