//! Which policies may select a Node, found by the Node's labels. So a change of a Node costs
//! nothing for the policies that do not select it.
//!
//! In: the selections of all policies, and the labels of a Node. Out: the policies that have to be
//! asked: a policy is found by one label, and may select by several.

use std::collections::HashMap;

use lsm_ready_crds::selection::{Labels, Selection};

/// The policies, by their place in a list.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Those that select only Nodes with a certain label: by its key, and then by its value.
    by_label: HashMap<String, HashMap<String, Vec<usize>>>,
    others: Vec<usize>,
}

impl Candidates {
    pub fn of<'a>(selections: impl IntoIterator<Item = &'a Selection>) -> Self {
        let mut all = Self::default();
        for (place, selection) in selections.into_iter().enumerate() {
            let Some((key, values)) = selection.needed_label() else {
                all.others.push(place);
                continue;
            };
            let by_value = all.by_label.entry(key).or_default();
            for value in values {
                by_value.entry(value).or_default().push(place);
            }
        }
        all
    }

    /// Those that may select a Node with these labels, in their order.
    pub fn of_node(&self, labels: &Labels) -> Vec<usize> {
        let mut found = self.others.clone();
        for (key, value) in labels {
            let places = self.by_label.get(key).and_then(|by_value| by_value.get(value));
            found.extend(places.into_iter().flatten());
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::selection::OS_LABEL;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::context::fixture::{any_labels, any_selection, selection};

    proptest! {
        #[test]
        fn every_policy_that_selects_a_node_is_found(
            selections in prop::collection::vec(any_selection(), 0..8),
            labels in any_labels(),
        ) {
            let found = Candidates::of(&selections).of_node(&labels);
            let selects = |place: &usize| selections[*place].selects(&labels);
            let selecting: Vec<usize> = (0..selections.len()).filter(selects).collect();
            let asked: Vec<usize> = found.iter().copied().filter(selects).collect();
            prop_assert_eq!(asked, selecting);
        }
    }

    #[test]
    fn a_policy_for_other_nodes_is_not_asked() {
        let other = json!({"matchLabels": {"pool": "b"}});
        let on_linux = json!({"matchLabels": {"pool": "b", OS_LABEL: "linux"}});
        let here = json!({"matchExpressions": [{"key": "pool", "operator": "In",
            "values": ["a", "b"]}]});
        let selections = [other, here, Value::Null, on_linux].map(|it| selection(&it));
        let labels =
            [("pool", "a"), (OS_LABEL, "linux")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(Candidates::of(&selections).of_node(&labels.into()), [1, 2]);
    }
}
