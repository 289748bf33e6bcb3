//! What a container may do, for each form of a security context.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

use super::*;

fn template(context: &Value, pod: &Value) -> PodTemplateSpec {
    let mut spec = json!({"containers": [{"name": "tetragon", "securityContext": context}]});
    for (field, value) in pod.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(json!({"spec": spec})).unwrap()
}

fn mounts(context: &Value, pod: &Value) -> Result<(), Obstacle> {
    let template = template(context, pod);
    let spec = template.spec.clone().unwrap();
    may_mount(&template, &spec, &spec.containers[0])
}

fn effective(capabilities_: &Value) -> Capabilities {
    let template = template(&json!({ "capabilities": capabilities_ }), &json!({}));
    capabilities(&template.spec.unwrap().containers[0])
}

#[test]
fn capabilities_are_resolved_as_runtimes_do() {
    // add, drop, and which of SYS_ADMIN, CHOWN and BPF are effective.
    for (add, drop, expected) in [
        (json!([]), json!([]), [false, true, false]),
        (json!(null), json!(null), [false, true, false]),
        (json!(["SYS_ADMIN"]), json!([]), [true, true, false]),
        (json!(["SYS_ADMIN"]), json!(["ALL"]), [true, false, false]),
        (json!(["sys_admin", "Bpf"]), json!(["all"]), [true, false, true]),
        (json!(["CAP_SYS_ADMIN", "cap_bpf"]), json!(["ALL"]), [true, false, true]),
        (json!(["ALL"]), json!([]), [true, true, true]),
        (json!(["all"]), json!(["SYS_ADMIN"]), [false, true, true]),
        (json!(["ALL"]), json!(["CAP_SYS_ADMIN"]), [false, true, true]),
        // With ALL in both, only capabilities that `add` names are effective.
        (json!(["ALL"]), json!(["ALL"]), [false, false, false]),
        (json!(["ALL", "BPF"]), json!(["ALL"]), [false, false, true]),
        // A capability that is added and dropped by name is dropped.
        (json!(["SYS_ADMIN"]), json!(["SYS_ADMIN"]), [false, true, false]),
        (json!([]), json!(["CHOWN"]), [false, false, false]),
    ] {
        let found = effective(&json!({"add": add, "drop": drop}));
        assert_eq!(
            ["SYS_ADMIN", "CHOWN", "BPF"].map(|name| found.has(name)),
            expected,
            "add {add} drop {drop}"
        );
    }
}

#[test]
fn a_privileged_container_has_all_capabilities_whatever_it_drops() {
    let template =
        template(&json!({"privileged": true, "capabilities": {"drop": ["ALL"]}}), &json!({}));
    assert_eq!(
        capabilities(&template.spec.unwrap().containers[0]),
        Capabilities::AllBut(BTreeSet::new())
    );
}

fn none() -> Value {
    json!({})
}

fn privileged() -> Value {
    json!({"privileged": true})
}

fn sys_admin() -> Value {
    json!({"capabilities": {"add": ["SYS_ADMIN"]}})
}

fn sys_admin_and(field: &str, value: Value) -> Value {
    let mut context = sys_admin();
    context[field] = value;
    context
}

/// The fields of a pod with that security context.
fn pod_with(context: &Value) -> Value {
    json!({ "securityContext": context })
}

/// Asserts for each security context of container and pod that the container may mount securityfs,
/// or that the obstacle has that text.
fn assert_mounts<const N: usize>(cases: [(Value, Value, Result<(), &str>); N]) {
    for (context, pod, expected) in cases {
        let found = mounts(&context, &pod).map_err(|obstacle| obstacle.to_string());
        match expected {
            Ok(()) => assert_eq!(found, Ok(()), "{context} {pod}"),
            Err(part) => {
                let obstacle = found.unwrap_err();
                assert!(obstacle.contains(part), "{context} {pod} {obstacle}");
            }
        }
    }
}

#[test]
fn mounting_requires_sys_admin() {
    assert_mounts([
        (privileged(), none(), Ok(())),
        (sys_admin(), none(), Ok(())),
        (none(), none(), Err("no SYS_ADMIN")),
        (json!({"privileged": false}), none(), Err("no SYS_ADMIN")),
        (json!(null), none(), Err("no SYS_ADMIN")),
        (json!({"capabilities": {"add": ["BPF", "PERFMON"]}}), none(), Err("no SYS_ADMIN")),
        (sys_admin_and("allowPrivilegeEscalation", json!(false)), none(), Ok(())),
        (sys_admin_and("procMount", json!("Default")), none(), Ok(())),
    ]);
}

#[test]
fn a_user_namespace_prevents_mounting() {
    // A privileged container is root only in its own user namespace.
    assert_mounts([
        (privileged(), json!({"hostUsers": false}), Err("hostUsers: false")),
        (sys_admin(), json!({"hostUsers": false}), Err("hostUsers: false")),
        (sys_admin(), json!({"hostUsers": true}), Ok(())),
    ]);
}

#[test]
fn mounting_requires_root() {
    let user = |user: i64| json!({ "runAsUser": user });
    assert_mounts([
        (sys_admin_and("runAsUser", json!(1000)), none(), Err("runAsUser: 1000")),
        (sys_admin_and("runAsUser", json!(0)), pod_with(&user(1000)), Ok(())),
        (sys_admin(), pod_with(&user(1000)), Err("runAsUser: 1000")),
        (sys_admin(), pod_with(&json!({"runAsNonRoot": true})), Err("runAsNonRoot")),
        (
            sys_admin_and("runAsNonRoot", json!(false)),
            pod_with(&json!({"runAsNonRoot": true})),
            Ok(()),
        ),
        (json!({"privileged": true, "runAsUser": 1}), none(), Err("runAsUser: 1")),
    ]);
}

#[test]
fn an_unknown_seccomp_profile_may_prevent_mounting() {
    let local = json!({"type": "Localhost", "localhostProfile": "p"});
    let of_pod = || pod_with(&json!({ "seccompProfile": local }));
    let with = |profile: Value| sys_admin_and("seccompProfile", profile);
    assert_mounts([
        (with(json!({"type": "RuntimeDefault"})), none(), Ok(())),
        (with(json!({"type": "Unconfined"})), of_pod(), Ok(())),
        (with(local.clone()), none(), Err("Localhost p")),
        (sys_admin(), of_pod(), Err("Localhost p")),
        (privileged(), of_pod(), Ok(())),
    ]);
}

#[test]
fn an_app_armor_profile_may_prevent_mounting() {
    let local = json!({"type": "Localhost", "localhostProfile": "p"});
    let default = || pod_with(&json!({"appArmorProfile": {"type": "RuntimeDefault"}}));
    let with = |profile: Value| sys_admin_and("appArmorProfile", profile);
    assert_mounts([
        (with(json!({"type": "Unconfined"})), none(), Ok(())),
        (with(json!({"type": "RuntimeDefault"})), none(), Err("RuntimeDefault")),
        (sys_admin(), default(), Err("RuntimeDefault")),
        (privileged(), default(), Ok(())),
        (
            json!({"privileged": true, "appArmorProfile": local}),
            none(),
            Err("AppArmor profile (p)"),
        ),
    ]);
}

#[test]
fn the_older_annotation_sets_a_profile() {
    let annotated = |value: &str| {
        let mut template = template(&json!({}), &json!({}));
        let annotations = [(format!("{APP_ARMOR_ANNOTATION}tetragon"), value.to_owned())];
        template.metadata.get_or_insert_default().annotations = Some(annotations.into());
        let spec = template.spec.clone().unwrap();
        app_armor(&template, &spec, &spec.containers[0])
    };
    assert_eq!(annotated("unconfined"), AppArmor::Unconfined);
    assert_eq!(annotated("runtime/default"), AppArmor::RuntimeDefault);
    assert_eq!(annotated("localhost/tetragon"), AppArmor::Localhost("tetragon".into()));
}

#[test]
fn the_default_app_armor_profile_confines_unprivileged_containers_that_are_not_unconfined() {
    for (context, expected) in [
        (json!({}), true),
        (json!({"privileged": true}), false),
        (json!({"appArmorProfile": {"type": "Unconfined"}}), false),
        (json!({"appArmorProfile": {"type": "RuntimeDefault"}}), true),
        (json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}), false),
    ] {
        let template = template(&context, &json!({}));
        let spec = template.spec.clone().unwrap();
        assert_eq!(
            is_confined_by_default(&template, &spec, &spec.containers[0]),
            expected,
            "{context}"
        );
    }
}
