//! Cases of reading Tetragon's policies.

use lsm_ready_crds::policy::Require;
use serde_json::json;

use super::*;

mod properties;
mod refused;

fn read(spec: &Value) -> Result<TracingPolicy, Error> {
    TracingPolicy::from_file(&json!({"metadata": {"name": "p"}, "spec": spec}))
}

/// The required hooks: `name`, or `name!` if it has to accept sleepable programs.
fn hooks(spec: &Value) -> Result<Vec<String>, String> {
    let policy = read(spec).map_err(|error| error.to_string())?;
    Ok(policy
        .required_hooks
        .iter()
        .map(|found| format!("{}{}", found.hook, if found.sleepable { "!" } else { "" }))
        .collect())
}

fn with_action(hook: &str, action: &Value) -> Value {
    json!({"hook": hook, "selectors": [{"matchArgs": [{"index": 0, "operator": "Equal",
        "values": ["/etc/shadow"]}]},
        {"matchActions": [{"action": "Override", "argError": -1}, action]}]})
}

#[test]
fn a_policy_requires_the_hooks_of_its_entries() {
    let post = json!({"action": "Post", "imaHash": true});
    let cases = [
        ("none", json!({"kprobes": [{"call": "fd_install"}]}), vec![]),
        ("null counts as missing", json!({"lsmhooks": null}), vec![]),
        (
            "an action without a hash",
            json!({"lsmhooks": [with_action("file_open", &json!({"action": "Sigkill"}))]}),
            vec!["file_open"],
        ),
        ("a hash", json!({"lsmhooks": [with_action("file_open", &post)]}), vec!["file_open!"]),
        (
            "the stronger of two entries counts, in each order",
            json!({"lsmhooks": [{"hook": "file_open"}, with_action("file_open", &post),
                {"hook": "file_open"}]}),
            vec!["file_open!"],
        ),
        (
            "no hash",
            json!({"lsmhooks": [with_action("bprm_check_security", &json!({"action": "Post",
                "imaHash": false}))]}),
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
            "an unusual name is left for the kernel to refuse",
            json!({"lsmhooks": [{"hook": "bpf_lsm_file_open"}]}),
            vec!["bpf_lsm_file_open"],
        ),
    ];
    for (what, spec, wanted) in cases {
        assert_eq!(hooks(&spec), Ok(wanted.into_iter().map(str::to_owned).collect()), "{what}");
    }
}

/// The diagnostics of that severity, each with its releases.
fn found(object: &Value, severity: Severity) -> Vec<String> {
    let policy = TracingPolicy::from_file(object).unwrap();
    let found = policy.diagnostics.iter().filter(|found| found.severity == severity);
    found.map(|found| format!("{found} [{}]", found.releases)).collect()
}

fn file(spec: &Value) -> Value {
    json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": "p"}, "spec": spec})
}

fn selector(selector: &Value) -> Value {
    json!({"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file"}, {"index": 1,
        "type": "int"}],
        "selectors": [selector]}]})
}

#[test]
fn the_lists_of_macros_belong_to_the_selector() {
    let spec = |macros: Value, own: Value| {
        let mut spec = selector(&own);
        spec["selectorsMacros"] = macros;
        file(&spec)
    };
    let nested = spec(json!({"m": {"macros": ["n"]}, "n": {}}), json!({"macros": ["m"]}));
    assert!(found(&nested, Severity::Agent)[0].contains("a macro cannot use other macros"));
    let twice = spec(
        json!({"m": {"matchPIDs": [{"operator": "In", "values": [1]}]}}),
        json!({"macros": ["m"], "matchPIDs": [{"operator": "In", "values": [2]}]}),
    );
    assert!(found(&twice, Severity::Agent)[0].contains("macro \"m\" has matchPIDs too"));
    let action =
        spec(json!({"m": {"matchActions": [{"action": "GetUrl"}]}}), json!({"macros": ["m"]}));
    assert!(
        found(&action, Severity::Agent)[0]
            .starts_with("spec.selectorsMacros.m.matchActions[0].action: \"GetUrl\" is not")
    );
    let inert =
        spec(json!({"m": {"matchActions": [{"action": "Sigkill"}]}}), json!({"macros": ["m"]}));
    let inert = TracingPolicy::from_file(&inert).unwrap();
    assert_eq!(
        inert.text_verdict(Releases::only(Release::V1_7)),
        TextVerdict::DeniesNothing(InertReason::MonitorOnly)
    );
}

#[test]
fn a_policy_denies_only_with_an_enforcing_action_in_effect() {
    use InertReason::{MonitorMode, NoEnforcingAction, OverrideToZero, VoidHooks};
    let with = |hook: &str, action: Value, mode: &str| {
        file(&json!({"lsmhooks": [{"hook": hook, "selectors": [{"matchActions": [action]}]}],
            "options": [{"name": "policy-mode", "value": mode}]}))
    };
    let denies = json!({"action": "Override", "argError": -1});
    let cases = [
        ("file_open", denies.clone(), "enforce", None),
        ("file_open", json!({"action": "Sigkill"}), "enforce", None),
        ("task_free", json!({"action": "Sigkill"}), "enforce", None),
        ("file_open", json!({"action": "Signal", "argSig": 9}), "enforce", None),
        (
            "file_open",
            json!({"action": "Signal", "argSig": 15}),
            "enforce",
            Some(NoEnforcingAction),
        ),
        ("file_open", json!({"action": "Post"}), "enforce", Some(NoEnforcingAction)),
        ("file_open", json!({"action": "Override"}), "enforce", Some(OverrideToZero)),
        ("task_free", denies.clone(), "enforce", Some(VoidHooks)),
        ("file_open", denies.clone(), "monitor", Some(MonitorMode)),
    ];
    for (hook, action, mode, inert) in cases {
        let policy = TracingPolicy::from_file(&with(hook, action.clone(), mode)).unwrap();
        let wanted = inert.map_or(TextVerdict::Denies, TextVerdict::DeniesNothing);
        assert_eq!(
            policy.text_verdict(Releases::since(Release::V1_4)),
            wanted,
            "{hook} {action} {mode}"
        );
    }
    let monitor = TracingPolicy::from_file(&with("file_open", denies, "monitor")).unwrap();
    assert_eq!(
        monitor.denies_with(Releases::ALL),
        Releases::only(Release::V1_3),
        "v1.3 has no modes"
    );
    let answer =
        |spec: Value| TracingPolicy::from_file(&file(&spec)).unwrap().text_verdict(Releases::ALL);
    assert_eq!(answer(json!({})), TextVerdict::NoLsmHooks);
    assert_eq!(answer(json!({"kprobes": [{"call": "a"}]})), TextVerdict::NoLsmHooks);
}

#[test]
fn the_verdict_depends_on_the_releases_in_question() {
    let mut spec = selector(&json!({"macros": ["m"], "matchActions": [{"action": "Sigkill"}]}));
    spec["selectorsMacros"] = json!({"m": {}});
    let policy = TracingPolicy::from_file(&file(&spec)).unwrap();
    assert_eq!(policy.text_verdict(Releases::since(Release::V1_7)), TextVerdict::Denies);
    let refused = policy.text_verdict(Releases::until(Release::V1_6));
    assert!(
        matches!(&refused, TextVerdict::Refused(refused) if refused.to_string().contains("refused \
            by v1.3 to v1.6")),
        "{refused:?}"
    );
    let depends = policy.text_verdict(Releases::ALL);
    assert!(
        matches!(&depends, TextVerdict::Unknown(why) if why.contains("depends on Tetragon's \
            release")),
        "{depends:?}"
    );
    let resolve = json!({"lsmhooks": [{"hook": "a", "args": [{"index": 0, "type": "file",
        "resolve": "f_mode"}]}]});
    let resolve = TracingPolicy::from_file(&file(&resolve)).unwrap();
    assert!(matches!(
        resolve.text_verdict(Releases::since(Release::V1_4)),
        TextVerdict::Unknown(_)
    ));
}

#[test]
fn a_policy_that_the_api_server_accepted_is_not_refused_for_its_schema() {
    let of = |spec: Value| {
        let metadata = ObjectMeta { name: Some("p".into()), ..ObjectMeta::default() };
        TracingPolicy::from_cluster(&metadata, &spec).unwrap().text_verdict(Releases::ALL)
    };
    let denies = json!({"matchActions": [{"action": "Sigkill"}]});
    let hooks = json!([{"hook": "file_open", "selectors": [denies]}]);
    assert_eq!(of(json!({"lsmhooks": hooks})), TextVerdict::Denies);
    assert_eq!(
        of(json!({"lsmhooks": hooks, "nodeSelector": {}})),
        TextVerdict::Denies,
        "only main has this field"
    );
    let newer = of(json!({"lsmhooks": hooks, "sandbox": true}));
    assert!(
        matches!(&newer, TextVerdict::Unknown(why) if why.contains("spec.sandbox")),
        "{newer:?}"
    );
    let refused = of(json!({"lsmhooks": hooks, "kprobes": [{"call": "a"}]}));
    assert!(matches!(refused, TextVerdict::Refused(_)), "the rules of the agent still apply");
}

#[test]
fn a_policy_of_the_cluster_with_an_invalid_hook_is_an_error() {
    let metadata = ObjectMeta { name: Some("p".into()), ..ObjectMeta::default() };
    for (hooks, place) in [
        (json!({}), "spec.lsmhooks"),
        (json!([{"hook": 1}]), "spec.lsmhooks[0].hook"),
        (json!([{}]), "spec.lsmhooks[0].hook"),
    ] {
        assert_eq!(
            TracingPolicy::from_cluster(&metadata, &json!({"lsmhooks": hooks})).unwrap_err().path,
            place
        );
    }
}

#[test]
fn notes_name_what_the_author_should_know() {
    let hash = |hook: &str, field: &str| {
        json!({"hook": hook,
        "selectors": [{(field): [{"action": "Post", "imaHash": true}]}]})
    };
    let label = format!("{POLICY_LABEL_PREFIX}enforce");
    let cases = [
        (json!({"lsmhooks": [{"hook": "a"}, {"hook": "a"}]}), Some("second entry for \"a\"")),
        (
            json!({"lsmhooks": [hash("inode_unlink", "matchActions")]}),
            Some("gives no hash on inode_unlink"),
        ),
        (json!({"lsmhooks": [hash("file_open", "matchActions")]}), Some("from Linux 5.11 on")),
        (
            json!({"lsmhooks": [hash("file_open", "matchReturnActions")]}),
            Some("is ignored on LSM hooks"),
        ),
        (json!({"nodeSelector": {"matchLabels": {(label.clone()): "ready"}}}), Some("fails open")),
        (
            json!({"nodeSelector": {"matchExpressions": [{"key": label, "operator": "In",
                "values": ["ready"]}]}}),
            Some("NotIn, values: [not-ready]"),
        ),
        (
            json!({"nodeSelector": {"matchExpressions": [{"key": label, "operator": "NotIn",
                "values": ["not-ready"]}]}}),
            None,
        ),
        (json!({"lsmhooks": [{"hook": "a"}]}), None),
    ];
    for (spec, wanted) in cases {
        let found = found(&file(&spec), Severity::Note);
        match wanted {
            Some(wanted) => {
                assert!(found.iter().any(|found| found.contains(wanted)), "{wanted}: {found:?}");
            }
            None => assert_eq!(found, [""; 0], "{spec}"),
        }
    }
}

#[test]
fn a_policy_without_a_name_is_an_error() {
    let nameless = TracingPolicy::from_file(&json!({"spec": {}})).unwrap_err();
    assert_eq!(nameless.path, "metadata.name");
}

#[test]
fn a_hash_requires_a_sleepable_hook_from_linux_5_11_on() {
    let spec = json!({"lsmhooks": [with_action("file_open", &json!({"action": "Post",
        "imaHash": true}))]});
    let required = read(&spec).unwrap().required_hooks;
    let profile = |kernel: &str| {
        serde_json::from_value(json!({"kernel": kernel, "hooks": [], "sleepableHooks": []}))
            .unwrap()
    };
    for (kernel, sleepable) in [
        ("5.10.0-26-amd64 x86_64", false),
        ("5.11.0 x86_64", true),
        ("6.12 x86_64", true),
        ("odd", true),
    ] {
        let mut require = Require::default();
        required.add_to(&mut require, Some(&profile(kernel)));
        assert_eq!(
            (require.sleepable_hooks.len(), require.hooks.len()),
            if sleepable { (1, 0) } else { (0, 1) },
            "{kernel}"
        );
    }
}

#[test]
fn hooks_are_added_to_a_requirement_once() {
    let spec = json!({"lsmhooks": [{"hook": "task_alloc"}, with_action("file_open",
        &json!({"imaHash": true}))]});
    let required = read(&spec).unwrap().required_hooks;
    let mut require = Require { hooks: vec!["task_alloc".into()], ..Require::default() };
    required.add_to(&mut require, None);
    required.add_to(&mut require, None);
    assert_eq!(
        (require.hooks, require.sleepable_hooks),
        (vec!["task_alloc".to_owned()], vec!["file_open".to_owned()])
    );
    assert!(require.kernel_reads, "Tetragon's programs read kernel memory");
    let mut nothing = Require::default();
    read(&json!({})).unwrap().required_hooks.add_to(&mut nothing, None);
    assert_eq!(nothing, Require::default(), "a policy without hooks requires nothing");
}

#[test]
fn a_node_selector_selects_nodes_but_expressions_about_our_own_labels_do_not_count() {
    let selects = |selector: Value, labels: &[(&str, &str)]| {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        read(&json!({ "nodeSelector": selector })).unwrap().selects_node(&labels)
    };
    let own = format!("{POLICY_LABEL_PREFIX}enforce");
    assert!(selects(json!(null), &[]));
    assert!(selects(json!({}), &[]));
    assert!(selects(json!({"matchLabels": {"zone": "a"}}), &[("zone", "a")]));
    assert!(!selects(json!({"matchLabels": {"zone": "a"}}), &[("zone", "b")]));
    assert!(selects(json!({"matchLabels": {own.clone(): "ready"}}), &[(&own, "not-ready")]));
    assert!(!selects(
        json!({"matchLabels": {own.clone(): "ready", "zone": "a"}}),
        &[(&own, "ready")]
    ));
}

#[test]
fn policies_of_real_releases_require_file_open() {
    let Some(folder) = std::env::var_os("TETRAGON_MANIFESTS").map(std::path::PathBuf::from) else {
        eprintln!(
            "skipped: TETRAGON_MANIFESTS is not set to a folder with v1.3.0/policy-file-open.yaml"
        );
        return;
    };
    for release in ["v1.3.0", "v1.7.0"] {
        let text =
            std::fs::read_to_string(folder.join(release).join("policy-file-open.yaml")).unwrap();
        let policy = TracingPolicy::from_file(&serde_saphyr::from_str(&text).unwrap()).unwrap();
        assert_eq!(
            policy.required_hooks.iter().map(|required| required.hook.as_str()).collect::<Vec<_>>(),
            ["file_open"]
        );
    }
}
