//! Properties of reading Tetragon's policies, for arbitrary JSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::read;
use crate::tracing_policy::TracingPolicy;

/// JSON with the field names of policies, so that the reader goes deeper than the first field.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("file_open")),
    ];
    let words = prop::sample::select(vec![
        "metadata",
        "name",
        "labels",
        "spec",
        "lsmhooks",
        "hook",
        "selectors",
        "matchActions",
        "imaHash",
        "macros",
        "selectorsMacros",
        "nodeSelector",
        "matchLabels",
        "matchExpressions",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(words.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_causes_a_panic(spec in any_json(), whole in any_json()) {
        let _ = read(&spec);
        let _ = TracingPolicy::from_file(&whole);
    }

    /// Each valid entry is required, or the requirements are incomplete.
    #[test]
    fn no_required_hook_is_lost(entries in prop::collection::vec(any_json(), 0..4),
        names in prop::collection::vec("[a-z_]{1,20}", 1..4)) {
        let named = names.iter().map(|name| json!({ "hook": name }));
        let all: Vec<Value> = named.chain(entries).collect();
        let policy = read(&json!({ "lsmhooks": all })).ok();
        if let Some(policy) = policy.filter(|policy| policy.required_hooks.is_complete()) {
            for entry in &all {
                let mut required = policy.required_hooks.iter();
                prop_assert!(required.any(|required| entry["hook"] == required.hook.as_str()));
            }
        }
    }
}
