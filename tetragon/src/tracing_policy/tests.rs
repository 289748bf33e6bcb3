//! Tables and properties of reading Tetragon's policies.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(spec: &Value) -> Result<TracingPolicy, Error> {
    TracingPolicy::parse(&json!({"metadata": {"name": "p"}, "spec": spec}))
}

/// The hooks as `name` or `name!` where it has to be sleepable.
fn hooks(spec: &Value) -> Result<Vec<String>, String> {
    let policy = read(spec).map_err(|error| error.to_string())?;
    Ok(policy.asks.iter().map(|ask| format!("{}{}", ask.hook, if ask.sleepable { "!" } else { "" })).collect())
}

fn with_action(hook: &str, action: &Value) -> Value {
    json!({"hook": hook, "selectors": [{"matchArgs": [{"index": 0, "operator": "Equal", "values": ["/etc/shadow"]}]},
        {"matchActions": [{"action": "Override", "argError": -1}, action]}]})
}

#[test]
fn what_is_asked_for() {
    let post = json!({"action": "Post", "imaHash": true});
    let table = [
        ("none", json!({"kprobes": [{"call": "fd_install"}]}), vec![]),
        ("null is absent", json!({"lsmhooks": null}), vec![]),
        (
            "a file's opening",
            json!({"lsmhooks": [with_action("file_open", &json!({"action": "Sigkill"}))]}),
            vec!["file_open"],
        ),
        ("a hash", json!({"lsmhooks": [with_action("file_open", &post)]}), vec!["file_open!"]),
        (
            "the stronger of two entries counts, in either order",
            json!({"lsmhooks": [{"hook": "file_open"}, with_action("file_open", &post), {"hook": "file_open"}]}),
            vec!["file_open!"],
        ),
        (
            "no hash",
            json!({"lsmhooks": [with_action("bprm_check_security", &json!({"action": "Post", "imaHash": false}))]}),
            vec!["bprm_check_security"],
        ),
        (
            "a macro's action",
            json!({"selectorsMacros": {"hashed": {"matchActions": [post]}, "other": {}},
                "lsmhooks": [{"hook": "mmap_file", "selectors": [{"macros": ["hashed"]}]},
                    {"hook": "file_open", "selectors": [{"macros": ["other", "missing"]}]}]}),
            vec!["file_open", "mmap_file!"],
        ),
        (
            "odd names are kept for the kernel to refuse",
            json!({"lsmhooks": [{"hook": "bpf_lsm_file_open"}]}),
            vec!["bpf_lsm_file_open"],
        ),
    ];
    for (what, spec, wanted) in table {
        assert_eq!(hooks(&spec), Ok(wanted.into_iter().map(str::to_owned).collect()), "{what}");
    }
}

#[test]
fn what_cannot_be_read_is_told_by_its_place() {
    let long = "x".repeat(65);
    let table = [
        (json!(null), "spec: is missing"),
        (json!([]), "spec: is no object"),
        (json!({"lsmhooks": {}}), "spec.lsmhooks: is no list"),
        (json!({"lsmhooks": ["file_open"]}), "spec.lsmhooks[0]: is no object"),
        (json!({"lsmhooks": [{"hook": "file_open"}, null]}), "spec.lsmhooks[1]: is null"),
        (json!({"lsmhooks": [{}]}), "spec.lsmhooks[0].hook: is missing; write the name"),
        (json!({"lsmhooks": [{"hook": 1}]}), "spec.lsmhooks[0].hook: is no text"),
        (json!({"lsmhooks": [{"hook": ""}]}), "spec.lsmhooks[0].hook: \"\" can be no hook's name"),
        (json!({"lsmhooks": [{"hook": "file open"}]}), "\"file open\" can be no hook's name"),
        (json!({"lsmhooks": [{"hook": long}]}), "can be no hook's name"),
        (json!({"lsmhooks": [{"hook": "a", "selectors": 1}]}), "spec.lsmhooks[0].selectors: is no list"),
        (
            json!({"lsmhooks": [with_action("a", &json!({"imaHash": "yes"}))]}),
            "spec.lsmhooks[0].selectors[1].matchActions[1].imaHash: is neither true nor false",
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "selectors": [{"macros": [1]}]}]}),
            "selectors[0].macros: has something else",
        ),
        (json!({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}), "spec.nodeSelector: "),
        (json!({"nodeSelector": "all"}), "spec.nodeSelector: "),
    ];
    for (spec, wanted) in table {
        let error = hooks(&spec).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let nameless = TracingPolicy::parse(&json!({"spec": {}})).unwrap_err();
    assert_eq!(nameless.path, "metadata.name");
}

#[test]
fn it_becomes_part_of_a_requirement_once() {
    let spec = json!({"lsmhooks": [{"hook": "task_alloc"}, with_action("file_open", &json!({"imaHash": true}))]});
    let asks = read(&spec).unwrap().asks;
    let mut require = Require { hooks: vec!["task_alloc".into()], ..Require::default() };
    asks.add_to(&mut require);
    asks.add_to(&mut require);
    assert_eq!((require.hooks, require.sleepable_hooks), (vec!["task_alloc".to_owned()], vec!["file_open".to_owned()]));
    assert!(require.kernel_reads, "Tetragon's programs read kernel memory");
    let mut nothing = Require::default();
    read(&json!({})).unwrap().asks.add_to(&mut nothing);
    assert_eq!(nothing, Require::default(), "a policy without hooks asks for nothing");
}

#[test]
fn a_node_selector_narrows_and_our_own_labels_do_not() {
    let concerns = |selector: Value, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        read(&json!({ "nodeSelector": selector })).unwrap().concerns(&labels)
    };
    let own = format!("{POLICY_LABEL_PREFIX}enforce");
    assert!(concerns(json!(null), &[]));
    assert!(concerns(json!({}), &[]));
    assert!(concerns(json!({"matchLabels": {"zone": "a"}}), &[("zone", "a")]));
    assert!(!concerns(json!({"matchLabels": {"zone": "a"}}), &[("zone", "b")]));
    assert!(concerns(json!({"matchLabels": {own.clone(): "ready"}}), &[(&own, "not-ready")]));
    assert!(!concerns(json!({"matchLabels": {own.clone(): "ready", "zone": "a"}}), &[(&own, "ready")]));
}

#[test]
fn policies_of_real_releases() {
    let Some(folder) = std::env::var_os("TETRAGON_MANIFESTS").map(std::path::PathBuf::from) else {
        eprintln!("left out: TETRAGON_MANIFESTS is not set to a folder with v1.3.0/policy-file-open.yaml");
        return;
    };
    for release in ["v1.3.0", "v1.7.0"] {
        let text = std::fs::read_to_string(folder.join(release).join("policy-file-open.yaml")).unwrap();
        let policy = TracingPolicy::parse(&serde_saphyr::from_str(&text).unwrap()).unwrap();
        assert_eq!(policy.asks.iter().map(|ask| ask.hook.as_str()).collect::<Vec<_>>(), ["file_open"]);
    }
}

/// JSON with the words that are looked for, so that it gets past the first field.
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
    fn no_json_makes_it_panic(spec in any_json(), whole in any_json()) {
        let _ = read(&spec);
        let _ = TracingPolicy::parse(&whole);
    }

    /// Every entry is asked for, or the whole is an error.
    #[test]
    fn no_hook_is_lost(entries in prop::collection::vec(any_json(), 0..4), names in prop::collection::vec("[a-z_]{1,20}", 1..4)) {
        let named = names.iter().map(|name| json!({ "hook": name }));
        let all: Vec<Value> = named.chain(entries).collect();
        if let Ok(policy) = read(&json!({ "lsmhooks": all })) {
            for entry in &all {
                prop_assert!(policy.asks.iter().any(|ask| entry["hook"] == ask.hook.as_str()));
            }
        }
    }
}
