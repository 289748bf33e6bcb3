//! The commands as people run them: what they print, and their exit codes, for manifests in the
//! shape of Tetragon's charts.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

#[path = "../../tetragon/tests/releases/mod.rs"]
mod releases;

use std::io::Write;
use std::process::{Command, Stdio};

use kubectl_lsm::find::Wanted;
use proptest::prelude::*;
use releases::{add_mount, add_volume, agent, applied, host_path, parsed, release, without_ours};
use serde_json::{Value, json};

/// Exit code, standard output and standard error of `kubectl lsm-ready ARGS` with that on standard
/// input.
fn lsm(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lsm_ready"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The exit code and the JSON answer for that manifest.
fn mount(args: &[&str], input: &str) -> (i32, Value) {
    let (code, stdout, stderr) = lsm(&[&["mount", "-", "-o", "json"], args].concat(), input);
    assert_eq!(stderr, "");
    (code, serde_json::from_str(&stdout).unwrap())
}

/// The error message for wrong use.
fn wrong(args: &[&str], input: &str) -> String {
    let (code, stdout, stderr) = lsm(&[&["mount", "-"], args].concat(), input);
    assert_eq!((code, stdout.as_str()), (64, ""), "{stderr}");
    stderr
}

fn yaml(objects: &[&Value]) -> String {
    let document = |object: &&Value| {
        format!("---\n# Source: chart\n{}", serde_saphyr::to_string(object).unwrap())
    };
    objects.iter().map(document).collect::<Vec<_>>().concat()
}

fn other(kind: &str, name: &str, container: &Value) -> Value {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    })
}

/// What runs beside Tetragon's agent in a cluster: its operator, its hooks, and another program
/// that mounts BPF maps.
fn neighbours() -> [Value; 3] {
    let maps = json!([{"name": "bpf-maps", "mountPath": "/sys/fs/bpf"}]);
    [
        other(
            "Deployment",
            "tetragon-operator",
            &json!({
                "name": "tetragon-operator",
                "image": "quay.io/cilium/tetragon-operator:v1.3.0",
            }),
        ),
        other(
            "DaemonSet",
            "tetragon-rthooks",
            &json!({"name": "tetragon-rthooks", "image": "quay.io/cilium/tetragon-rthooks:v0.5"}),
        ),
        other(
            "DaemonSet",
            "cilium",
            &json!({
                "name": "cilium-agent",
                "image": "quay.io/cilium/cilium:v1.17.0",
                "volumeMounts": maps,
            }),
        ),
    ]
}

#[test]
fn each_decision_has_its_exit_code_and_reason() {
    let mut file = release("v1.3");
    add_volume(&mut file, host_path("lsm", "/sys/kernel/security/lsm", "File"));
    add_mount(&mut file, json!({"name": "lsm", "mountPath": "/sys/kernel/security/lsm"}));
    for (object, args, expected) in [
        (release("v1.7"), &[][..], (0, "NotNeeded", "MountsItself")),
        (release("v1.7"), &["--always"], (1, "Patch", "Always")),
        (release("v1.3"), &[], (1, "Patch", "Release")),
        (
            release("v1.3"),
            &["--container", "agent", "--daemon-set", "tetragon"],
            (2, "Refused", "ContainerNotFound"),
        ),
        (file, &[], (2, "Refused", "FileMount")),
    ] {
        let (code, answer) = mount(args, &yaml(&[&object]));
        let found =
            (code, answer["decision"].as_str().unwrap(), answer["reason"].as_str().unwrap());
        assert_eq!(found, expected, "{answer}");
        assert_eq!(answer["patch"].is_null(), expected.1 != "Patch");
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_agent_is_found_among_its_neighbours() {
    let agent = release("v1.3");
    let [operator, hooks, cilium] = neighbours();
    let all = [&operator, &hooks, &agent, &cilium];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
    let one_after_another = all.map(ToString::to_string).join("\n");
    for stream in [yaml(&all), yaml(&[&list]), list.to_string(), one_after_another] {
        let (code, answer) = mount(&[], &stream);
        assert_eq!((code, &answer["daemonSet"]["name"]), (1, &json!("tetragon")), "{stream}");
    }
    let said = wrong(&[], &yaml(&[&operator, &hooks, &cilium]));
    assert!(
        said.contains(
            "found no DaemonSet of Tetragon's agent (kube-system/tetragon-rthooks on line"
        ),
        "{said}"
    );
    assert!(wrong(&[], "").contains("it has no DaemonSet"));
}

#[test]
fn an_answer_that_cannot_be_written_cannot_be_judged() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lsm_ready"));
    let output = command.arg("helm-values").stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write the answer to standard output"), "{stderr}");
}

#[test]
fn several_daemon_sets_of_the_agent_require_a_choice() {
    let mut second = release("v1.7");
    second["metadata"]["namespace"] = json!("security");
    let stream = yaml(&[&release("v1.3"), &second]);
    let said = wrong(&[], &stream);
    assert!(said.contains("kube-system/tetragon on line 1, security/tetragon on line"), "{said}");
    assert!(wrong(&["--daemon-set", "tetragon"], &stream).contains("choose one"));
    assert_eq!(mount(&["--daemon-set", "security/tetragon"], &stream).0, 0);
    assert_eq!(mount(&["--daemon-set", "kube-system/tetragon"], &stream).0, 1);
    assert!(wrong(&["--daemon-set", "other"], &stream).contains("none of that name"));
}

#[test]
fn an_invalid_manifest_is_reported_with_its_place() {
    let good = yaml(&[&release("v1.3")]);
    let lines = good.lines().count();
    let said = wrong(&[], &format!("{good}---\na: [\n"));
    assert!(
        said.starts_with(&format!(
            "kubectl lsm-ready: -:{}: document 2 cannot be read: ",
            lines + 2
        )),
        "{said}"
    );
    let mut invalid = release("v1.3");
    invalid["spec"]["template"]["spec"]["containers"] = json!("none");
    let said = wrong(&[], &yaml(&[&invalid]));
    assert!(said.contains("-:1: document 1 is an invalid DaemonSet"), "{said}");
    let (code, _, said) = lsm(&["mount", "/nowhere/at/all.yaml"], "");
    assert_eq!(code, 64);
    assert!(said.contains("cannot read /nowhere/at/all.yaml"), "{said}");
    assert_eq!(lsm(&["mount"], "").0, 64);
}

/// With each printed snippet applied, the manifest needs no other mount.
#[test]
fn each_printed_snippet_is_enough() {
    let object = release("v1.3");
    let mut shown = object.clone();
    add_volume(&mut shown, host_path("host-securityfs", "/sys/kernel/security", "Directory"));
    add_mount(
        &mut shown,
        json!({"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}),
    );
    let (code, text, _) = lsm(&["mount", "-", "-o", "kustomize"], &yaml(&[&object]));
    assert_eq!(code, 1);
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    let patch: Value =
        serde_saphyr::from_str(kustomization["patches"][0]["patch"].as_str().unwrap()).unwrap();
    assert_eq!(applied(&object, &patch), shown);
    assert_eq!(mount(&[], &yaml(&[&shown])).1["reason"], "AlreadyMounted");
    let (_, text, _) = lsm(&["mount", "-", "-o", "kustomize"], &yaml(&[&shown]));
    assert!(
        text.starts_with("# no patch: volume host-securityfs shows securityfs to the agent"),
        "{text}"
    );
    let (_, text, _) = lsm(&["mount", "-"], &yaml(&[&object]));
    assert!(
        text.contains("DaemonSet kube-system/tetragon: the mount is needed (Release)"),
        "{text}"
    );
    assert!(text.contains("\n- Privileged: container tetragon is privileged"), "{text}");
    let (_, text, _) = lsm(&["mount", "-", "-o", "argo-cd"], &yaml(&[&object]));
    assert!(text.contains("  namespace: kube-system\n  name: tetragon\n"), "{text}");
}

/// The DaemonSet that the chart would render from those values: it copies the lists.
fn rendered(values: &Value) -> Value {
    let mut object = release("v1.3");
    for volume in values["extraVolumes"].as_array().into_iter().flatten() {
        add_volume(&mut object, volume.clone());
    }
    for mount in values["tetragon"]["extraVolumeMounts"].as_array().into_iter().flatten() {
        add_mount(&mut object, mount.clone());
    }
    object
}

#[test]
fn printed_values_contain_the_users_entries_and_the_mount() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, values: &Value| {
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, values.to_string()).unwrap();
        path
    };
    let scratch = json!({"name": "scratch", "emptyDir": {}});
    let first = file(
        "first",
        &json!({"extraVolumes": [{"name": "replaced"}], "tetragon": {"debug": true}}),
    );
    let second = file("second", &json!({"extraVolumes": [scratch]}));
    let (code, text, _) = lsm(&["helm-values", "-f", &first, "-f", &second], "");
    assert_eq!(code, 0);
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(values["extraVolumes"].as_array().unwrap().len(), 2);
    assert_eq!(values["extraVolumes"][0], scratch);
    assert_eq!(mount(&[], &yaml(&[&rendered(&values)])).1["reason"], "AlreadyMounted");

    let (code, text, _) = lsm(&["helm-values", "-f", &file("done", &values)], "");
    assert_eq!((code, text.lines().last()), (0, Some("{}")), "{text}");
    let host_path = json!({"extraHostPathMounts": [{"name": "s",
        "mountPath": "/sys/kernel/security", "readOnly": true}]});
    let (_, text, _) = lsm(&["helm-values", "-f", &file("host-path", &host_path)], "");
    assert!(
        text.contains(
            "# these values already have the mount: volume s is mounted at /sys/kernel/security \
             read-only"
        ),
        "{text}"
    );
    let taken = json!({"extraVolumes": [scratch],
        "tetragon": {"extraVolumeMounts": [{"name": "scratch", "mountPath": "/sys"}]}});
    assert_eq!(lsm(&["helm-values", "-f", &file("taken", &taken)], "").0, 2);
    assert_eq!(lsm(&["helm-values", "-f", "-"], "extraVolumes: 1").0, 64);
    let twice = json!({"extraVolumes": [{"name": "s",
        "hostPath": {"path": "/sys/kernel/security"}}],
        "extraHostPathMounts": [{"name": "s", "mountPath": "/sys/kernel/security",
            "readOnly": true}]});
    let (code, _, said) = lsm(&["helm-values", "-f", &file("twice", &twice)], "");
    assert_eq!(code, 2);
    assert!(said.contains("with these values the pod template has two volumes named s"), "{said}");
}

#[test]
fn old_charts_are_refused_and_notes_depend_on_the_version() {
    let (code, plain, _) = lsm(&["helm-values"], "");
    assert_eq!(code, 0);
    for (version, code) in [("1.2.0", 0), ("v1.3.0", 0), ("0.7.0", 64), ("newest", 64)] {
        let (found, text, _) = lsm(&["helm-values", "--chart-version", version], "");
        assert_eq!((found, text == plain), (code, code == 0), "{version} {text}");
    }
    for (version, note) in [
        ("1.7.0", "# Tetragon v1.7.0 mounts securityfs itself"),
        ("0.8.0", "# Tetragon v0.8.0 does not support lsmhooks"),
        ("1.1.2", "# Tetragon v1.1.2 does not support lsmhooks"),
    ] {
        let (_, text, _) = lsm(&["helm-values", "--chart-version", version], "");
        assert!(text.starts_with(note) && text.ends_with(&plain), "{text}");
    }
    let (_, json, _) = lsm(&["helm-values", "-o", "json"], "");
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        serde_saphyr::from_str::<Value>(&plain).unwrap()
    );
}

prop_compose! {
    /// A DaemonSet as values can change it: names, images, privilege, further volumes and sidecars.
    fn any_values()(
        shape in prop::sample::select(vec!["v1.0", "v1.3", "v1.7"]),
        (name, namespace) in ("[a-z]{1,8}", prop::option::of("[a-z]{1,8}")),
        container in prop::option::of("[a-z]{3,8}"),
        tag in prop::option::of("(v1\\.[0-8]\\.[0-3](-rc\\.1)?|main|latest)"),
        privileged in any::<bool>(),
        extra in prop::collection::btree_set("[a-z]{4,8}", 0..4),
        sidecar in any::<bool>(),
    ) -> Value {
        let mut object = release(shape);
        object["metadata"] = json!({"name": name, "labels": object["metadata"]["labels"]});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let image = tag.map_or_else(|| "quay.io/cilium/tetragon@sha256:0123".into(),
            |tag| format!("r:5000/tetragon:{tag}"));
        for (index, name) in extra.iter().enumerate() {
            add_volume(&mut object, host_path(name, &format!("/srv/{index}"), ""));
            add_mount(&mut object, json!({"name": name, "mountPath": format!("/srv/{name}")}));
        }
        let agent = agent(&mut object);
        agent["image"] = json!(image);
        agent["securityContext"] = json!({"privileged": privileged});
        if let Some(container) = container {
            agent["name"] = json!(container);
        }
        if sidecar {
            let sidecar = json!({"name": "sidecar", "image": "busybox", "restartPolicy": "Always"});
            object["spec"]["template"]["spec"]["initContainers"] = json!([sidecar]);
        }
        object
    }
}

/// The library's answer to a file with the DaemonSet and its neighbours.
fn answered(object: &Value) -> Value {
    let [operator, hooks, cilium] = neighbours();
    let text = yaml(&[&cilium, &operator, object, &hooks]);
    let documents = kubectl_lsm::documents::parse("-", &text).unwrap();
    let found = kubectl_lsm::find::agent("-", &documents, Wanted::default()).unwrap();
    assert_eq!(found, parsed(object), "the DaemonSet is read as it was written");
    serde_json::to_value(kubectl_lsm::mount::decide(&found, None, false)).unwrap()
}

proptest! {
    #[test]
    fn the_patch_adds_exactly_one_mount_for_any_values(object in any_values()) {
        let answer = answered(&object);
        if answer["decision"] == "Patch" {
            let patched = applied(&object, &answer["patch"]);
            prop_assert_eq!(&answered(&patched)["reason"], "Mounted");
            prop_assert_eq!(without_ours(&patched), object);
            let text = patched.to_string();
            let mounts = text.matches("\"mountPath\":\"/sys/kernel/security\"").count();
            prop_assert_eq!(mounts, 1);
        } else {
            prop_assert!(["MountsItself",
                "NoLsmHooks"].contains(&answer["reason"].as_str().unwrap()), "{}", answer);
        }
    }
}

#[test]
fn manifests_of_real_releases_get_the_expected_decision() {
    let Some(folder) = std::env::var_os("TETRAGON_MANIFESTS").map(std::path::PathBuf::from) else {
        eprintln!(
            "skipped: TETRAGON_MANIFESTS is not set to a folder with v1.3.0/agent.yaml and \
             v1.7.0/agent.yaml"
        );
        return;
    };
    for (release, expected) in [("v1.3.0", (1, "Release")), ("v1.7.0", (0, "MountsItself"))] {
        let file = folder.join(release).join("agent.yaml").display().to_string();
        let (code, stdout, _) = lsm(&["mount", &file, "-o", "json"], "");
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, answer["reason"].as_str().unwrap()), expected, "{answer}");
    }
}

/// `script` of util-linux gives the plugin a terminal.
#[test]
fn a_terminal_says_from_the_first_second_on_what_is_waited_for() {
    // The kernel accepts the connection, and nobody answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let program = env!("CARGO_BIN_EXE_kubectl-lsm_ready");
    let line = format!("{program} status --server {server} --request-timeout 3s");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("KUBECONFIG", "/nowhere");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (waiting, error) = text.split_once("kubectl lsm-ready: ").unwrap();
    assert!(waiting.contains(&format!("Waiting for {server}")), "{text:?}");
    assert!(waiting.ends_with("\r\u{1b}[K"), "the line is removed: {text:?}");
    assert!(error.contains("did not answer in time") && error.lines().count() == 1, "{text:?}");
    assert_eq!(output.status.code(), Some(2));
}
