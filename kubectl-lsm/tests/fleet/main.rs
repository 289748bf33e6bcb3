//! The questions about a fleet, asked of a real API server: flags, formats, errors, exit codes.
//!
//! `FLEET_NODES=20000` measures time and memory with as many nodes, and `FLEET_PROGRAM=FILE` those of
//! another build of the plugin.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

mod scene;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::request;
use scene::{APPS, KINDS, Scene};
use serde_json::{Value, json};

/// Exit code, standard output and standard error.
type Answer = (i32, String, String);

fn command(kubeconfig: &Path, arguments: &[&str]) -> Command {
    let other = std::env::var_os("FLEET_PROGRAM");
    let program = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_kubectl-lsm_ready").into());
    let mut command = Command::new(program);
    // No other program is found, so none is called.
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("PATH", "/nowhere");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lsm(kubeconfig: &Path, arguments: &[&str]) -> Answer {
    answer(command(kubeconfig, arguments).output().unwrap())
}

fn answer(Output { status, stdout, stderr }: Output) -> Answer {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// The JSON answer and the exit code.
fn json_of(kubeconfig: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = lsm(kubeconfig, &[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{arguments:?} {stderr}")))
}

/// The one line on standard error of a command that has no answer.
fn refused(kubeconfig: &Path, arguments: &[&str], code: i32) -> String {
    let (found, stdout, stderr) = lsm(kubeconfig, arguments);
    assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?} {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?} {stderr}");
    assert!(stderr.starts_with("kubectl lsm-ready: "), "{stderr}");
    for trace in ["panicked", "RUST_BACKTRACE", "Error {", "ApiError"] {
        assert!(!stderr.contains(trace), "{stderr}");
    }
    stderr
}

/// One server serves all of it, because it takes seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_questions_are_answered_by_a_real_api_server() {
    let scene = Scene::start().await;
    without_crds(&scene);
    scene.install().await;
    an_empty_cluster_cannot_be_judged(&scene);
    scene.fill().await;
    the_fleet_at_a_glance(&scene);
    one_node(&scene);
    questions_about_nodes(&scene);
    drills(&scene);
    the_flags_of_kubectl(&scene);
    rights(&scene).await;
    what_is_printed_is_safe(&scene);
    policies_are_asked_about(&scene).await;
    a_reader_that_stops_reading_is_no_error(&scene);
    figures(&scene);
    half_upgraded(&scene).await;
}

fn without_crds(scene: &Scene) {
    let kubeconfig = scene.kubeconfig();
    for arguments in [&["status"][..], &["why", "n0000"], &["nodes"], &["drill", "file_open"]] {
        let said = refused(&kubeconfig, arguments, 2);
        assert!(said.contains("lsm-ready is not installed in this cluster"), "{said}");
    }
}

fn an_empty_cluster_cannot_be_judged(scene: &Scene) {
    let (code, status) = json_of(&scene.kubeconfig(), &["status"]);
    assert_eq!((code, &status["nodes"]["selected"]), (2, &json!(0)), "{status}");
    // Without policies, only the Lease says what is held.
    assert_eq!(status["notes"], json!(["the circuit breaker holds changes: 7 nodes"]));
}

fn the_fleet_at_a_glance(scene: &Scene) {
    let (code, status) = json_of(&scene.kubeconfig(), &["status"]);
    assert_eq!((code, &status["schema"]), (1, &json!("lsmready.io/status/v1")));
    assert_eq!(status["nodes"]["selected"], scene.nodes());
    assert_eq!(status["nodes"]["notReady"], 2);
    assert_eq!(status["operator"]["replicasWanted"], 1);
    assert_eq!(status["probe"], Value::Null);
    assert_eq!(status["policies"][0]["name"], "enforce");
    assert_eq!(status["agents"][1]["version"], "v1.3.0", "{status}");
    assert_eq!(status["agents"][0]["isMissing"], true, "{status}");
    assert_eq!(status["notes"], json!([]));
    let (code, text, said) = lsm(&scene.kubeconfig(), &["status"]);
    assert_eq!((code, said.as_str()), (1, ""));
    for part in ["1 unknown", "BpfNotInLsmList", "enforce", "kube-system/tetragon", "Next:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn one_node(scene: &Scene) {
    let kubeconfig = scene.kubeconfig();
    for (name, code, reason) in [
        ("n0003", 0, "CanaryDenied"),
        ("n0001", 1, "BpfNotInLsmList"),
        ("node/n0001", 1, "BpfNotInLsmList"),
        ("n0002", 2, "NoReport"),
    ] {
        let (found, why) = json_of(&kubeconfig, &["why", name]);
        assert_eq!((found, &why["node"]["verdict"]["reason"]), (code, &json!(reason)), "{why}");
    }
    let (_, why) = json_of(&kubeconfig, &["why", "n0003"]);
    assert_eq!(why["hookProfile"]["attachable"], json!(["bpf", "file_open"]));
    assert_eq!(why["agents"][0]["name"], "tetragon-a", "{why}");
    let (_, text, _) = lsm(&kubeconfig, &["why", "n0001"]);
    assert!(text.contains("Node n0001: not ready (BpfNotInLsmList)"), "{text}");
    let (code, names, _) = lsm(&kubeconfig, &["__complete", "--", "why", "n000"]);
    let names: Vec<&str> = names.lines().collect();
    assert_eq!((code, &names[..2], names.last()), (0, &["n0000", "n0001"][..], Some(&":4")));
    let said = refused(&kubeconfig, &["why", "n003"], 64);
    assert!(said.contains("no node \"n003\"; did you mean n0003"), "{said}");
}

fn questions_about_nodes(scene: &Scene) {
    let kubeconfig = scene.kubeconfig();
    let names = |arguments: &[&str]| {
        let (code, text, said) =
            lsm(&kubeconfig, &[&["nodes", "-l", "few=yes", "-o", "name"], arguments].concat());
        assert_eq!(said, "", "{arguments:?}");
        (code, text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(
        names(&[]),
        (1, ["n0000", "n0001", "n0002", "n0003"].map(|n| format!("node/{n}")).into())
    );
    assert_eq!(names(&["--state", "ready"]), (1, vec!["node/n0003".to_owned()]));
    assert_eq!(names(&["--reason", "NoReport"]), (1, vec!["node/n0002".to_owned()]));
    let with_hook = &["--require-hook", "file_open", "--state", "ready"];
    assert_eq!(names(with_hook), (1, vec!["node/n0003".to_owned()]));
    let sleepable = &["--require-sleepable-hook", "bpf", "--state", "ready"];
    assert_eq!(names(sleepable), (1, Vec::new()));
    let lsm_too = &["--require-lsm", "apparmor", "--reason", "RequiredLsmInactive"];
    assert_eq!(names(lsm_too), (1, vec!["node/n0003".to_owned()]));
    let attached = &["--evidence", "attached", "--state", "ready"];
    let expected = ["n0000", "n0001", "n0003"].map(|n| format!("node/{n}")).into();
    assert_eq!(names(attached), (2, expected), "the node without a report stays unknown");
    let said = refused(&kubeconfig, &["nodes", "--reason", "NoReprot"], 64);
    assert!(said.contains("did you mean NoReport?"), "{said}");
    let said = refused(&kubeconfig, &["nodes", "-l", "a in"], 64);
    assert!(said.contains("invalid selector"), "{said}");
    let (_, yaml, _) = lsm(&kubeconfig, &["nodes", "-l", "few=yes", "-o", "yaml"]);
    assert!(yaml.contains("schema: lsmready.io/nodes/v1"), "{yaml}");
}

fn drills(scene: &Scene) {
    let kubeconfig = scene.kubeconfig();
    let (code, drill) = json_of(&kubeconfig, &["drill", "file_open", "-l", "few=yes"]);
    assert_eq!(code, 1);
    let counts = json!({"selected": 4, "protected": 1, "afterBootArgument": 2,
        "notProtectable": 0, "unknown": 1});
    assert_eq!(drill["counts"], counts, "{drill}");
    let ready = ["drill", "file_open", "-l", "few=no", "-o", "name"];
    let (code, names, _) = lsm(&kubeconfig, &ready);
    assert_eq!((code, names.lines().count()), (0, scene.nodes() - 4));
    let (code, _, _) = lsm(&kubeconfig, &["drill", "no_such_hook", "-l", "few=no"]);
    assert_eq!(code, 1);
    let (code, _, _) = lsm(&kubeconfig, &["drill", "file_open", "-l", "few=none"]);
    assert_eq!(code, 2, "no node is selected");
    let (code, _, said) = lsm(&kubeconfig, &["drill"]);
    assert_eq!(code, 64, "{said}");
}

fn the_flags_of_kubectl(scene: &Scene) {
    let (kubeconfig, nowhere) = (scene.kubeconfig(), Path::new("/nowhere"));
    let path = kubeconfig.to_str().unwrap();
    let (code, _, said) = lsm(nowhere, &["--kubeconfig", path, "why", "n0003", "-o", "json"]);
    assert_eq!((code, said.as_str()), (0, ""));
    let (code, _, _) = lsm(&kubeconfig, &["why", "n0003", "--request-timeout", "30s"]);
    assert_eq!(code, 0);
    let other = ["status", "-n", "elsewhere", "-o", "json"];
    let status: Value = serde_json::from_str(&lsm(&kubeconfig, &other).1).unwrap();
    assert_eq!(status["operator"], Value::Null);

    let gone = ["status", "--server", "https://127.0.0.1:1", "--request-timeout", "2s"];
    let began = Instant::now();
    let said = refused(&kubeconfig, &gone, 2);
    assert!(said.contains("cannot reach the API server https://127.0.0.1:1"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for (arguments, code, words) in [
        (&["status", "--context", "nowhere"][..], 64, "no context \"nowhere\""),
        (&["status", "--user", "nobody"], 64, "no user \"nobody\""),
        (&["status", "--kubeconfig", "/nowhere"], 64, "cannot use the kubeconfig /nowhere"),
        (&["status", "--token", "wrong", "--client-certificate", "", "--client-key", ""], 2, ""),
    ] {
        let said = refused(&kubeconfig, arguments, code);
        assert!(said.contains(words), "{said}");
    }
    let said = refused(nowhere, &["status"], 2);
    assert!(said.contains("no kubeconfig"), "{said}");
}

async fn rights(scene: &Scene) {
    let stranger = scene.user("stranger");
    let said = refused(&stranger, &["status"], 2);
    let rules = ["resources: [nodes], verbs: [list]", "resources: [lsmnodes], verbs: [list]"];
    assert!(rules.iter().any(|rule| said.contains(rule)), "{said}");
    // Who acts as somebody has that person's rights.
    let said = refused(&scene.kubeconfig(), &["status", "--as", "stranger"], 2);
    assert!(said.contains("you may not list"), "{said}");
    let group = ["why", "n0003", "--as", "stranger", "--as-group", "system:masters"];
    assert_eq!(lsm(&scene.kubeconfig(), &group).0, 0);
    // What is not needed for the verdicts may be forbidden.
    scene.let_read_nodes("reader").await;
    let (code, status) = json_of(&scene.user("reader"), &["status"]);
    assert_eq!((code, &status["nodes"]["notReady"]), (1, &json!(2)));
    let notes = status["notes"].to_string();
    assert!(notes.contains("you may not list daemonsets.apps"), "{notes}");
}

fn what_is_printed_is_safe(scene: &Scene) {
    for arguments in [&["status"][..], &["why", "n0000"], &["nodes"], &["drill", "file_open"]] {
        let (_, text, _) = lsm(&scene.kubeconfig(), arguments);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?} {line:?}");
            assert!(!line.chars().any(char::is_control), "{arguments:?} {line:?}");
        }
        let mut forced = command(&scene.kubeconfig(), arguments);
        let (_, coloured, _) = answer(forced.env("CLICOLOR_FORCE", "1").output().unwrap());
        assert!(coloured.contains("\u{1b}["), "{arguments:?}");
        assert!(!coloured.contains("\u{1b}[2J"), "{arguments:?}: the node's text is inert");
    }
}

/// `preflight` asks the cluster about nodes and policies.
async fn policies_are_asked_about(scene: &Scene) {
    let policy = |kind: &str, field: &str| {
        let folder = scene.folder();
        let file = folder.join(format!("{kind}{field}.yaml"));
        let hooks = json!([{"hook": "file_open",
            "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]);
        let mut object = json!({"apiVersion": "cilium.io/v1alpha1", "kind": kind,
            "metadata": {"name": "deny"}, "spec": {"lsmhooks": hooks}});
        if !field.is_empty() {
            object["spec"][field] = json!({});
        }
        std::fs::write(&file, object.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let asked = |file: &str| {
        let (code, answer) = json_of(&scene.kubeconfig(), &["preflight", file, "--ask-server"]);
        (code, answer["policies"][0].clone(), answer["nodes"].clone())
    };
    let (_, judged, nodes) = asked(&policy("TracingPolicy", ""));
    assert_eq!((&judged["server"]["result"], &nodes), (&json!("NotAsked"), &json!(scene.nodes())));
    scene.install_tracing_policies().await;
    let (code, judged, _) = asked(&policy("TracingPolicy", ""));
    assert_eq!((code, &judged["server"]["result"]), (1, &json!("Accepted")), "{judged}");
    let (code, judged, _) = asked(&policy("TracingPolicy", "strange"));
    assert_eq!((code, &judged["server"]["result"]), (1, &json!("Refused")), "{judged}");
    let path = "/apis/cilium.io/v1alpha1/tracingpolicies";
    let list = request::done(&scene.client().await, "GET", path, &Value::Null).await.unwrap();
    assert_eq!(list["items"], json!([]), "a dry run creates nothing");
}

fn a_reader_that_stops_reading_is_no_error(scene: &Scene) {
    let arguments = ["report", "-o", "json"];
    let mut child = command(&scene.kubeconfig(), &arguments).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 1]).unwrap();
    drop(output);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

/// Linux counts CPU time for processes in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used up to now.
#[derive(Clone, Copy, Default)]
struct Used {
    kilobytes: u32,
    ticks: u32,
}

impl Used {
    /// `None` where the process has ended.
    fn of(process: &str) -> Option<Self> {
        let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
        let largest = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes = largest.trim().strip_suffix(" kB")?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("{process}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let times = fields.split(' ').skip(11).take(2);
        Some(Self { kilobytes, ticks: times.filter_map(|time| time.parse::<u32>().ok()).sum() })
    }
}

/// Time and memory of each question.
fn figures(scene: &Scene) {
    for arguments in [
        &["status"][..],
        &["nodes", "-o", "name"],
        &["drill", "file_open"],
        &["why", "n0003"],
        &["report", "-o", "html"],
        &["report", "-o", "json"],
    ] {
        let began = Instant::now();
        let mut child =
            command(&scene.kubeconfig(), arguments).stdout(Stdio::null()).spawn().unwrap();
        let process = format!("/proc/{}", child.id());
        let mut used = Used::default();
        while child.try_wait().unwrap().is_none() {
            used = Used::of(&process).unwrap_or(used);
            std::thread::sleep(Duration::from_millis(20));
        }
        let (seconds, Used { kilobytes, ticks }) = (began.elapsed().as_secs_f64(), used);
        println!(
            "{} nodes, {arguments:?}: {seconds:.1} s, {:.1} s of CPU, {} MB",
            scene.nodes(),
            f64::from(ticks) / TICKS_PER_SECOND,
            kilobytes / 1000,
        );
    }
}

/// The kinds of another version are not there, or not in this version.
async fn half_upgraded(scene: &Scene) {
    let client = scene.client().await;
    scene.remove_crd("lsmhookprofiles").await;
    let (code, list) =
        json_of(&scene.kubeconfig(), &["nodes", "-l", "few=no", "--require-hook", "bpf"]);
    assert_eq!((code, &list["nodes"][0]["verdict"]["reason"]), (2, &json!("HookProfileMissing")));
    let notes = list["notes"].to_string();
    assert!(notes.contains("does not serve lsmhookprofiles.lsmready.io"), "{notes}");
    // A report that this version cannot read hides no other report.
    scene.relax_reports().await;
    let status = json!({"status": {"checks": "many", "kernel": 7, "bootID": {"a": 1}}});
    let path = format!("{KINDS}/lsmnodes/n0003/status");
    request::done(&client, "MERGE", &path, &status).await.unwrap();
    let (_, list) = json_of(&scene.kubeconfig(), &["nodes", "-l", "few=yes"]);
    assert_eq!(list["nodes"][3]["verdict"]["state"], "unknown");
    let notes = list["notes"].to_string();
    assert!(notes.contains("LsmNode n0003 cannot be read"), "{notes}");
    scene.remove_crd("lsmnodes").await;
    let said = refused(&scene.kubeconfig(), &["status"], 2);
    assert!(said.contains("does not serve lsmnodes.lsmready.io"), "{said}");
    assert!(APPS.starts_with("/apis"));
}
