//! The mount plan and what the agent's container may do: its capabilities, its user, its user
//! namespace and its profiles.

use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount;
use lsm_ready_tetragon::plan::{MountRequest, Need, NoNeed, Plan, owned, plan};
use lsm_ready_tetragon::privilege::Obstacle;
use lsm_ready_tetragon::refusal::Refusal;
use lsm_ready_tetragon::{patch, taken_back};
use serde_json::{Value, json};

use crate::releases::{agent, applied, parsed, release};

fn request(mount: Mount) -> MountRequest {
    MountRequest {
        container: "tetragon".into(),
        patch: mount,
        suggest: Mount::Never,
        without_securityfs: Vec::new(),
    }
}

fn auto(object: &Value) -> Plan {
    plan(&parsed(object), &request(Mount::Auto))
}

fn with_context(name: &str, context: &Value) -> Value {
    let mut object = release(name);
    agent(&mut object)["securityContext"] = context.clone();
    object
}

#[test]
fn an_agent_that_may_mount_gets_no_mount() {
    // With only these capabilities, a real 1.7.0 mounted securityfs itself and denied.
    let capabilities = [
        "BPF",
        "PERFMON",
        "SYS_ADMIN",
        "SYS_RESOURCE",
        "SYSLOG",
        "SYS_PTRACE",
        "DAC_READ_SEARCH",
        "DAC_OVERRIDE",
    ];
    let tested = json!({"capabilities": {"drop": ["ALL"], "add": capabilities},
        "seccompProfile": {"type": "RuntimeDefault"}});
    for context in
        [tested, json!({"capabilities": {"add": ["SYS_ADMIN"]}}), json!({"privileged": true})]
    {
        assert!(
            matches!(
                auto(&with_context("v1.7", &context)),
                Plan::NotNeeded(NoNeed::MountsItself(_))
            ),
            "{context}"
        );
        assert!(
            matches!(
                auto(&with_context("v1.3", &context)),
                Plan::Patch { need: Need::Release(_), .. }
            ),
            "{context}"
        );
    }
}

#[test]
fn an_agent_that_may_not_mount_gets_the_mount_and_the_reason() {
    for (context, obstacle) in [
        (json!({}), Obstacle::NoSysAdmin),
        (json!({"capabilities": {"add": ["BPF"]}}), Obstacle::NoSysAdmin),
        (json!({"privileged": true, "runAsUser": 7}), Obstacle::NotRoot("runAsUser: 7".into())),
    ] {
        match auto(&with_context("v1.7", &context)) {
            Plan::Patch { need: Need::Unprivileged(_, found), .. } => {
                assert_eq!(found, obstacle, "{context}");
            }
            other => panic!("{context}: {other:?}"),
        }
    }
}

#[test]
fn an_agent_that_the_mount_would_break_or_not_help_is_refused() {
    let mut in_namespace = with_context("v1.3", &json!({}));
    in_namespace["spec"]["template"]["spec"]["hostUsers"] = json!(false);
    let confined = json!({"capabilities": {"add": ["SYS_ADMIN"]},
        "appArmorProfile": {"type": "RuntimeDefault"}});
    for mount in [Mount::Auto, Mount::Always] {
        assert_eq!(
            plan(&parsed(&in_namespace), &request(mount)),
            Plan::Refused(Refusal::UserNamespace)
        );
        for name in ["v1.3", "v1.7"] {
            let refused = plan(&parsed(&with_context(name, &confined)), &request(mount));
            assert_eq!(refused, Plan::Refused(Refusal::AppArmor("tetragon".into())), "{name}");
        }
    }
    // The default profile is not applied to a privileged container.
    let privileged = json!({"privileged": true, "appArmorProfile": {"type": "RuntimeDefault"}});
    assert!(matches!(auto(&with_context("v1.3", &privileged)), Plan::Patch { .. }));
}

fn marked(object: &Value, mark: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"][DAEMON_SET_LABEL] = json!(mark);
    object
}

#[test]
fn a_mount_that_was_taken_back_is_added_again_only_after_a_change() {
    let (object, always) = (release("v1.3"), request(Mount::Always));
    let mounted = parsed(&applied(&object, &patch::mount(&parsed(&object), "tetragon")));
    assert!(owned(&mounted));
    // The mark is made while the mount is there, and has to apply when it is gone.
    let mark = taken_back::mark(&mounted, &request(Mount::Auto));
    assert!(mark.len() <= 63, "{mark}");
    let taken = marked(&object, &mark);
    assert!(!owned(&parsed(&taken)));
    assert_eq!(auto(&taken), Plan::Refused(Refusal::TakenBack { container: "tetragon".into() }));
    // Another request, a changed pod template, or a label removed by hand.
    assert!(matches!(plan(&parsed(&taken), &always), Plan::Patch { .. }));
    let mut changed = taken.clone();
    agent(&mut changed)["image"] = json!("quay.io/cilium/tetragon:v1.3.1");
    assert!(matches!(auto(&changed), Plan::Patch { .. }));
    assert!(matches!(auto(&object), Plan::Patch { .. }));
    // Changes outside of the pod template do not count.
    let mut scaled = taken.clone();
    scaled["metadata"]["annotations"] = json!({"note": "x"});
    scaled["metadata"]["generation"] = json!(9);
    assert!(matches!(auto(&scaled), Plan::Refused(Refusal::TakenBack { .. })));
}

#[test]
fn the_mark_is_removed_when_no_policy_requests_a_mount() {
    let object = release("v1.3");
    let taken = marked(&object, &taken_back::mark(&parsed(&object), &request(Mount::Auto)));
    assert_eq!(plan(&parsed(&taken), &MountRequest::none()), Plan::Remove { superseded: None });
    let mut upgraded = taken.clone();
    agent(&mut upgraded)["image"] = json!("quay.io/cilium/tetragon:v1.7.0");
    assert!(matches!(auto(&upgraded), Plan::Remove { superseded: Some(NoNeed::MountsItself(_)) }));
}

#[test]
fn the_mark_is_the_same_for_empty_and_missing_lists() {
    let mut object = release("v1.3");
    object["spec"]["template"]["spec"].as_object_mut().unwrap().remove("volumes");
    agent(&mut object).as_object_mut().unwrap().remove("volumeMounts");
    let mut mounted = object.clone();
    mounted["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": SECURITYFS_VOLUME, "hostPath": {"path": "/x"}}]);
    agent(&mut mounted)["volumeMounts"] = json!([{"name": SECURITYFS_VOLUME, "mountPath": "/x"}]);
    let mark = |object: &Value| taken_back::mark(&parsed(object), &request(Mount::Auto));
    assert_eq!(mark(&mounted), mark(&object));
}
