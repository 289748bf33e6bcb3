//! Every shape of a security context, and what a container may do with it.

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
fn capabilities_are_resolved_as_the_runtimes_do_it() {
    // add, drop, and which of SYS_ADMIN, CHOWN and BPF are in effect.
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
        // ALL in both comes to nothing but what is named.
        (json!(["ALL"]), json!(["ALL"]), [false, false, false]),
        (json!(["ALL", "BPF"]), json!(["ALL"]), [false, false, true]),
        // What is added and dropped by name is dropped.
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
fn a_privileged_container_has_all_of_them_whatever_it_drops() {
    let template =
        template(&json!({"privileged": true, "capabilities": {"drop": ["ALL"]}}), &json!({}));
    assert_eq!(
        capabilities(&template.spec.unwrap().containers[0]),
        Capabilities::AllBut(BTreeSet::new())
    );
}

#[test]
fn who_may_mount() {
    let (none, admin) = (json!({}), json!({"capabilities": {"add": ["SYS_ADMIN"]}}));
    let with = |field: &str, value: Value| {
        let mut context = admin.clone();
        context[field] = value;
        context
    };
    let privileged = json!({"privileged": true});
    let pods = |value: Value| json!({ "securityContext": value });
    let local = json!({"type": "Localhost", "localhostProfile": "p"});
    for (context, pod, expected) in [
        (privileged.clone(), none.clone(), Ok(())),
        (admin.clone(), none.clone(), Ok(())),
        (none.clone(), none.clone(), Err("no SYS_ADMIN")),
        (json!({"privileged": false}), none.clone(), Err("no SYS_ADMIN")),
        (json!(null), none.clone(), Err("no SYS_ADMIN")),
        (json!({"capabilities": {"add": ["BPF", "PERFMON"]}}), none.clone(), Err("no SYS_ADMIN")),
        (with("allowPrivilegeEscalation", json!(false)), none.clone(), Ok(())),
        (with("procMount", json!("Default")), none.clone(), Ok(())),
        // User namespaces: also a privileged container is root in its own only.
        (privileged.clone(), json!({"hostUsers": false}), Err("hostUsers: false")),
        (admin.clone(), json!({"hostUsers": false}), Err("hostUsers: false")),
        (admin.clone(), json!({"hostUsers": true}), Ok(())),
        // Users.
        (with("runAsUser", json!(1000)), none.clone(), Err("runAsUser: 1000")),
        (with("runAsUser", json!(0)), pods(json!({"runAsUser": 1000})), Ok(())),
        (admin.clone(), pods(json!({"runAsUser": 1000})), Err("runAsUser: 1000")),
        (admin.clone(), pods(json!({"runAsNonRoot": true})), Err("runAsNonRoot")),
        (with("runAsNonRoot", json!(false)), pods(json!({"runAsNonRoot": true})), Ok(())),
        (json!({"privileged": true, "runAsUser": 1}), none.clone(), Err("runAsUser: 1")),
        // Seccomp.
        (with("seccompProfile", json!({"type": "RuntimeDefault"})), none.clone(), Ok(())),
        (
            with("seccompProfile", json!({"type": "Unconfined"})),
            pods(json!({"seccompProfile": local})),
            Ok(()),
        ),
        (with("seccompProfile", local.clone()), none.clone(), Err("Localhost p")),
        (admin.clone(), pods(json!({"seccompProfile": local})), Err("Localhost p")),
        (privileged.clone(), pods(json!({"seccompProfile": local})), Ok(())),
        // AppArmor.
        (with("appArmorProfile", json!({"type": "Unconfined"})), none.clone(), Ok(())),
        (
            with("appArmorProfile", json!({"type": "RuntimeDefault"})),
            none.clone(),
            Err("RuntimeDefault"),
        ),
        (
            admin.clone(),
            pods(json!({"appArmorProfile": {"type": "RuntimeDefault"}})),
            Err("RuntimeDefault"),
        ),
        (privileged.clone(), pods(json!({"appArmorProfile": {"type": "RuntimeDefault"}})), Ok(())),
        (
            json!({"privileged": true, "appArmorProfile": local}),
            none.clone(),
            Err("AppArmor profile (p)"),
        ),
    ] {
        let found = mounts(&context, &pod);
        match expected {
            Ok(()) => assert_eq!(found, Ok(()), "{context} {pod}"),
            Err(part) => {
                assert!(
                    found.clone().is_err_and(|why| why.to_string().contains(part)),
                    "{context} {pod} {found:?}"
                );
            }
        }
    }
}

#[test]
fn the_older_annotation_names_a_profile_too() {
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
fn the_default_app_armor_profile_confines_the_unprivileged_who_do_not_decline_it() {
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
