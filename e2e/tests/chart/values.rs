//! What each value changes in the rendered objects.

use e2e::helm::Helm;
use serde_json::{Value, json};

use crate::objects::{Objects, is_hook};
use crate::render;

/// Renders with one `--set-json` for each value.
fn with(values: &[&str]) -> Objects {
    let flags: Vec<&str> = values.iter().flat_map(|value| ["--set-json", value]).collect();
    let [three, four] = Helm::ALL.map(|helm| render(helm, &flags).unwrap());
    assert_eq!(three.0, four.0);
    three
}

fn images(objects: &Objects) -> Vec<&str> {
    let pods = [objects.operator(), objects.probe()];
    pods.map(|pod| pod["containers"][0]["image"].as_str().unwrap()).to_vec()
}

#[test]
fn images_have_a_registry_and_a_tag_or_a_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let by_digest = format!("operator.image.digest=\"{digest}\"");
    let version = env!("CARGO_PKG_VERSION");
    for (values, expected) in [
        (vec![], ["lsm-ready/operator:VERSION", "lsm-ready/node-probe:VERSION"]),
        (
            vec!["image.registry=\"r.example:5000/mirror\""],
            [
                "r.example:5000/mirror/lsm-ready/operator:VERSION",
                "r.example:5000/mirror/lsm-ready/node-probe:VERSION",
            ],
        ),
        (
            vec!["operator.image.tag=\"2\"", "probe.image.repository=\"x/probe\""],
            ["lsm-ready/operator:2", "x/probe:VERSION"],
        ),
        (
            vec![by_digest.as_str(), "image.registry=\"r\""],
            ["r/lsm-ready/operator@DIGEST", "r/lsm-ready/node-probe:VERSION"],
        ),
    ] {
        let expected =
            expected.map(|image| image.replace("VERSION", version).replace("DIGEST", &digest));
        assert_eq!(images(&with(&values)), expected, "{values:?}");
    }
}

/// The Job of the hook and the pod of the test pull the operator's image too.
#[test]
fn every_pod_gets_the_secrets_for_pulling_and_the_policy() {
    let objects = with(&["image.pullSecrets=[{\"name\": \"s\"}]", "image.pullPolicy=\"Always\""]);
    let mut pods = vec![objects.operator(), objects.probe()];
    pods.push(&objects.get("Job lsm-ready-system/lsm-ready-cleanup")["spec"]["template"]["spec"]);
    pods.push(&objects.get("Pod lsm-ready-system/lsm-ready-verify")["spec"]);
    for pod in pods {
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "s"}]));
        assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    }
}

fn tolerates(pod: &Value, key: &str) -> bool {
    pod["tolerations"].as_array().unwrap().iter().any(|toleration| {
        toleration["operator"] == "Exists"
            && (toleration["key"] == key || toleration.get("key").is_none())
    })
}

/// Without it, a node that we taint would never be proved again, or an operator never start.
#[test]
fn our_own_taints_are_tolerated_whatever_the_values_say() {
    let keys = [
        "lsmready.io/not-ready",
        "readiness.k8s.io/lsmready.io-not-ready",
        "startup-taint.cluster-autoscaler.kubernetes.io/lsmready",
    ];
    let own = "[{\"key\": \"a\", \"operator\": \"Exists\"}]";
    let (operator, probe) =
        (format!("operator.tolerations={own}"), format!("probe.tolerations={own}"));
    for values in [vec![], vec![operator.as_str(), &probe], vec!["probe.tolerations=[]"]] {
        let objects = with(&values);
        for key in keys {
            assert!(tolerates(objects.operator(), key), "{values:?} {key}");
            assert!(tolerates(objects.probe(), key), "{values:?} {key}");
            assert!(tolerates(&objects.get("Pod lsm-ready-system/lsm-ready-verify")["spec"], key));
        }
        assert_eq!(tolerates(objects.probe(), "other"), values.is_empty());
    }
}

#[test]
fn the_operators_options_are_environment_variables_where_they_are_set() {
    let objects = with(&[
        "operator.breaker={\"percent\": 50, \"minNodes\": 7}",
        "operator.log=\"debug\"",
        "operator.logFormat=\"json\"",
        "patching.allowedPrograms=[\"tetragon\", \"guard\"]",
    ]);
    let variables = objects.operator()["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| {
        let variable = variables.iter().find(|variable| variable["name"] == name);
        variable.map(|variable| variable["value"].clone())
    };
    assert_eq!(value("LSM_READY_BREAKER_PERCENT"), Some(json!("50")));
    assert_eq!(value("LSM_READY_BREAKER_MIN_NODES"), Some(json!("7")));
    assert_eq!(value("LSM_READY_LOG"), Some(json!("debug")));
    assert_eq!(value("LSM_READY_LOG_FORMAT"), Some(json!("json")));
    assert_eq!(value("LSM_READY_ALLOWED_PROGRAMS"), Some(json!("tetragon,guard")));
    // The operator asks for the mount, and the API server allows it, for the same programs.
    let policy = objects.get("ValidatingAdmissionPolicy lsm-ready-operator-on-daemonsets");
    let variables = policy["spec"]["variables"].as_array().unwrap();
    let expression = |name: &str| {
        let found = variables.iter().find(|variable| variable["name"] == name);
        found.unwrap()["expression"].as_str().unwrap().to_owned()
    };
    assert!(
        expression("isAgent").ends_with("in ['tetragon', 'guard']"),
        "{}",
        expression("isAgent")
    );
    assert!(expression("agentImage").starts_with("'^(.*/)?(tetragon|guard)(-(ci|"));
}

#[test]
fn more_autoscalers_may_add_our_taints() {
    let objects = with(&["reserve.autoscalers=[\"system:serviceaccount:a:b\"]"]);
    let policy = objects.get("ValidatingAdmissionPolicy lsm-ready-reserved");
    let variables = policy["spec"]["variables"].as_array().unwrap();
    let list = variables.iter().find(|variable| variable["name"] == "autoscalers").unwrap();
    let list = list["expression"].as_str().unwrap();
    let names: Vec<&str> = list.split('\'').skip(1).step_by(2).collect();
    assert_eq!(names.last(), Some(&"system:serviceaccount:a:b"));
    assert!(names.contains(&"system:serviceaccount:karpenter:karpenter") && list.ends_with("']"));
}

#[test]
fn rights_in_tetragons_namespaces_follow_the_values() {
    let bindings = |objects: &Objects| -> Vec<String> {
        let roles = ["agents", "events", "restarting", "patching"];
        let is_ours =
            |key: &&String| roles.iter().any(|role| key.ends_with(&format!("/lsm-ready-{role}")));
        let keys = objects.0.keys().filter(|key| key.starts_with("RoleBinding "));
        keys.filter(is_ours).map(|key| key["RoleBinding ".len()..].to_owned()).collect()
    };
    let objects = with(&["tetragon.namespaces=[\"a\", \"default\"]"]);
    assert_eq!(
        bindings(&objects),
        [
            "a/lsm-ready-agents",
            "a/lsm-ready-events",
            "a/lsm-ready-restarting",
            "default/lsm-ready-agents",
            "default/lsm-ready-events",
            "default/lsm-ready-restarting",
            "lsm-ready-system/lsm-ready-events",
        ]
    );
    let objects = with(&["patching.namespaces=[\"kube-system\"]", "patching.evictions=false"]);
    assert_eq!(
        bindings(&objects),
        [
            "default/lsm-ready-events",
            "kube-system/lsm-ready-agents",
            "kube-system/lsm-ready-events",
            "kube-system/lsm-ready-patching",
            "lsm-ready-system/lsm-ready-events",
        ]
    );
    assert!(!objects.has("ClusterRoleBinding lsm-ready-patching"));
    assert!(!objects.has("ClusterRole lsm-ready-restarting"));
    let objects = with(&["tetragon.readPolicies=false"]);
    let rules = objects.get("ClusterRole lsm-ready-operator")["rules"].to_string();
    assert!(!rules.contains("cilium.io") && rules.contains("daemonsets"), "{rules}");
}

#[test]
fn the_cleanup_keeps_what_helm_keeps() {
    let arguments = |objects: &Objects| {
        let job = objects.get("Job lsm-ready-system/lsm-ready-cleanup");
        job["spec"]["template"]["spec"]["containers"][0]["args"].clone()
    };
    let objects = with(&[]);
    let expected =
        ["cleanup", "--namespace=lsm-ready-system", "--keep=namespace,crds", "--at-most=150"];
    assert_eq!(arguments(&objects), json!(expected));
    let objects = with(&["crds.keep=false", "cleanup.deadlineSeconds=600"]);
    let expected = ["cleanup", "--namespace=lsm-ready-system", "--keep=namespace", "--at-most=570"];
    assert_eq!(arguments(&objects), json!(expected));
    assert_eq!(
        objects.get("Job lsm-ready-system/lsm-ready-cleanup")["spec"]["activeDeadlineSeconds"],
        600
    );
    let crd = objects.get("CustomResourceDefinition lsmnodes.lsmready.io");
    assert!(crd["metadata"]["annotations"].get("helm.sh/resource-policy").is_none());
}

/// Its rights exist only while Helm uninstalls.
#[test]
fn the_rights_of_the_cleanup_are_hooks_and_can_be_left_out() {
    let cleanup = |objects: &Objects| -> Vec<bool> {
        let ours = objects.0.iter().filter(|(key, _)| key.ends_with("lsm-ready-cleanup"));
        ours.map(|(_, object)| is_hook(object)).collect()
    };
    assert_eq!(cleanup(&with(&[])), [true; 4]);
    assert!(cleanup(&with(&["cleanup.onUninstall=false"])).is_empty());
}

#[test]
fn pods_get_what_the_values_say_about_them() {
    let pod = "{\"podAnnotations\": {\"a\": \"b\"}, \"podLabels\": {\"c\": \"d\"}, \
        \"affinity\": {\"nodeAffinity\": {}}, \"priorityClassName\": \"\", \
        \"nodeSelector\": {\"pool\": \"x\"}, \"extraArgs\": [\"--new-option=1\"], \
        \"resources\": {\"limits\": {\"memory\": \"1Gi\"}}}";
    let (operator, probe) = (format!("operator={pod}"), format!("probe={pod}"));
    let objects = with(&[&operator, &probe]);
    for key in [
        "Deployment lsm-ready-system/lsm-ready-operator",
        "DaemonSet lsm-ready-system/lsm-ready-probe",
    ] {
        let template = &objects.get(key)["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"], json!({"a": "b"}), "{key}");
        assert_eq!(template["metadata"]["labels"]["c"], "d", "{key}");
        let spec = &template["spec"];
        assert_eq!(spec["affinity"], json!({"nodeAffinity": {}}), "{key}");
        assert!(spec.get("priorityClassName").is_none(), "{key}");
        assert_eq!(spec["nodeSelector"]["pool"], "x", "{key}");
        let container = &spec["containers"][0];
        let arguments = container["args"].as_array().unwrap();
        assert_eq!(arguments.last().unwrap(), "--new-option=1", "{key}");
        assert_eq!(container["resources"]["limits"]["memory"], "1Gi", "{key}");
    }
    // The test looks only at nodes on which the probe runs.
    let verify = objects.get("Pod lsm-ready-system/lsm-ready-verify");
    let selector = "--node-selector=kubernetes.io/os=linux,pool=x";
    assert_eq!(verify["spec"]["containers"][0]["args"], json!(["verify", selector]));
}
