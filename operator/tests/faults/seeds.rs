//! Histories of the simulation on a real API server: they show whether the simulated one is right.
//!
//! The same seed gives the same writes of people, probes and other controllers, and the same faults
//! of two replicas. They are applied to a real API server and to the operator's own processes. At
//! the end Nodes and policies have to show what the simulation's model expects.
//!
//! Left out: requests that are slow or get lost one by one, and clocks that are set, which a test
//! cannot have for a real process. A crash at a certain write is a crash. Waits are shortened.

use std::time::{Duration, Instant};

use e2e::api::{ApiServer, Signal};
use e2e::{paths, wait};
use kube::Client;
use lsm_ready_simulation::model::{Picture, shown};
use lsm_ready_simulation::script::{self, Act, Script, Write};
use lsm_ready_simulation::server::Server;
use lsm_ready_simulation::server::kind::Kind;
use lsm_ready_simulation::step::Step;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bench::LEASE;
use crate::replica::Replica;
use crate::scenarios::compact;
use crate::server::{call, done, kubectl, writes};

/// Longest wait of a history.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The operator looks for Tetragon's CRDs every 30 s, and others that changed our fields often make
/// it wait.
const CONVERGED_WITHIN: Duration = Duration::from_secs(90);
/// After so long a person releases what is held.
const HELD_AFTER: Duration = Duration::from_secs(3);
/// Within this time the writes have to end.
const AT_REST_WITHIN: Duration = Duration::from_secs(30);
/// So long nothing is written at rest.
const REST: Duration = Duration::from_secs(3);

/// What one history showed.
pub struct Outcome {
    pub seed: u64,
    pub acts: usize,
    pub took: Duration,
    /// How long it took until everything was right, or what was wrong at the limit.
    pub converged: Result<Duration, String>,
}

/// Runs the history of that seed on a server without any Node or policy.
pub async fn run(server: &ApiServer, seed: u64) -> Outcome {
    let begun = Instant::now();
    let Script { acts, expected } = script::of(seed);
    let mut stage = Stage::new(server).await;
    let number = acts.len();
    for act in acts {
        stage.apply(act).await;
    }
    stage.heal();
    let converged = stage.converge(&expected).await;
    Outcome { seed, acts: number, took: begun.elapsed(), converged }
}

struct Stage<'a> {
    server: &'a ApiServer,
    admin: Client,
    replicas: [Replica; 2],
    /// Whether the kubelet keeps a process of that replica running.
    wanted: [bool; 2],
}

impl<'a> Stage<'a> {
    async fn new(server: &'a ApiServer) -> Self {
        let kubeconfig = server.kubeconfig();
        let kinds = "lsmpolicies,lsmnodes,lsmhookprofiles,nodes";
        kubectl(&kubeconfig, &["delete", kinds, "--all"]).unwrap();
        kubectl(&kubeconfig, &["delete", "daemonsets", "--all", "-n", "kube-system"]).unwrap();
        let admin = server.client().await.unwrap();
        // The last history's leader was killed.
        call(&admin, "DELETE", LEASE, &Value::Null).await;
        let stage = Self {
            server,
            admin,
            replicas: [Replica::new(server, "c").await, Replica::new(server, "d").await],
            wanted: [false; 2],
        };
        stage.tracing_policies(false);
        stage
    }

    async fn apply(&mut self, act: Act) {
        self.keep_running();
        match act {
            Act::Wait { milliseconds } => {
                sleep(LONGEST_WAIT.min(Duration::from_millis(milliseconds.into()))).await;
            }
            Act::Write(write) => self.write(write.at(jiff::Timestamp::now())).await,
            Act::RevertMount => self.revert_mount().await,
            Act::TracingPolicies { installed } => self.tracing_policies(installed),
            Act::Fault(step) => self.fault(step).await,
        }
    }

    async fn write(&self, write: Write) {
        match write {
            Write::Create(kind, mut object) => {
                object["apiVersion"] = json!(kind.api_version());
                object["kind"] = json!(kind.name());
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
                let (namespace, name) = (namespace.to_owned(), object["metadata"]["name"].clone());
                let status = json!({"status": object["status"]});
                self.send("POST", &collection(kind, &namespace), &object, &[409]).await;
                if !status["status"].is_null() {
                    let key = (namespace, name.as_str().unwrap_or_default().to_owned());
                    self.patch_status(kind, &key, &status).await;
                }
            }
            Write::Patch(kind, key, patch) => {
                self.send("MERGE", &object(kind, &key), &patch, &[404]).await;
            }
            Write::PatchStatus(kind, key, patch) => self.patch_status(kind, &key, &patch).await,
            Write::Delete(kind, key) => {
                self.send("DELETE", &object(kind, &key), &Value::Null, &[404]).await;
            }
        }
    }

    async fn patch_status(&self, kind: Kind, key: &(String, String), patch: &Value) {
        let verb = if kind == Kind::Node { "STRATEGIC" } else { "MERGE" };
        self.send(verb, &format!("{}/status", object(kind, key)), patch, &[404]).await;
    }

    /// The operator may have deleted or created the object first: that is no error.
    async fn send(&self, verb: &str, path: &str, body: &Value, expected: &[u16]) {
        let answer = call(&self.admin, verb, path, body).await;
        assert!(answer.is_ok() || expected.contains(&answer.code), "{verb} {path}: {answer:?}");
    }

    async fn revert_mount(&self) {
        let path = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
        let ours = "lsm-ready-securityfs";
        let without_mount = json!({"spec": {"template": {"spec": {
            "volumes": [{"$patch": "delete", "name": ours}],
            "containers": [{"name": "tetragon", "volumeMounts":
                [{"$patch": "delete", "mountPath": "/sys/kernel/security"}]}],
        }}}});
        let daemon_set = call(&self.admin, "GET", path, &Value::Null).await.body;
        if daemon_set.to_string().contains(ours) {
            self.send("STRATEGIC", path, &without_mount, &[404, 409]).await;
        }
    }

    fn tracing_policies(&self, installed: bool) {
        let kubeconfig = self.server.kubeconfig();
        let file = paths::workspace().join("e2e/agent/manifests/crd.yaml").display().to_string();
        if installed {
            kubectl(&kubeconfig, &["apply", "-f", &file]).unwrap();
            let wait = ["wait", "--for=condition=Established", "--timeout=30s", "-f", &file];
            kubectl(&kubeconfig, &wait).unwrap();
            // Established is a moment earlier than served.
            kubectl(&kubeconfig, &["get", "tracingpolicies,tracingpoliciesnamespaced"]).unwrap();
        } else {
            kubectl(&kubeconfig, &["delete", "--ignore-not-found", "-f", &file]).unwrap();
        }
    }

    async fn fault(&mut self, step: Step) {
        match step {
            Step::Start(replica) => self.wanted[usize::from(replica)] = true,
            Step::Stop(replica) => {
                self.wanted[usize::from(replica)] = false;
                self.replicas[usize::from(replica)].signal(Signal::TERM);
            }
            Step::Crash(replica)
            | Step::CrashAtWrite(replica, _)
            | Step::NextWrite { replica, .. } => self.replicas[usize::from(replica)].kill(),
            Step::Pause(replica) | Step::PauseAtRequest(replica) => {
                self.replicas[usize::from(replica)].signal(Signal::STOP);
            }
            Step::Resume(replica) => self.replicas[usize::from(replica)].signal(Signal::CONT),
            Step::Freeze(replica) => {
                self.replicas[usize::from(replica)].proxy.freeze_open_connections();
            }
            Step::Cut { replica, milliseconds } => self.cut(replica, milliseconds),
            Step::CutAndCompact { replica, milliseconds }
            | Step::LoseWatch { replica, milliseconds, .. } => {
                self.cut(replica, milliseconds);
                compact(self.server).await;
            }
            Step::Compact => compact(self.server).await,
            // Left out.
            Step::Weather(_) | Step::ClockJump { .. } => {}
            other => unreachable!("{other:?} is no fault"),
        }
        self.keep_running();
    }

    fn cut(&self, replica: u8, milliseconds: u32) {
        let unreachable = LONGEST_WAIT.min(Duration::from_millis(milliseconds.into()));
        self.replicas[usize::from(replica)].proxy.cut(unreachable);
    }

    /// Starts what should run and does not, as the kubelet does.
    fn keep_running(&mut self) {
        for (replica, wanted) in self.replicas.iter_mut().zip(self.wanted) {
            if wanted && !replica.runs() {
                replica.start_container();
            }
        }
    }

    /// All faults end.
    fn heal(&mut self) {
        if self.wanted == [false; 2] {
            self.wanted[0] = true;
        }
        self.replicas.iter().for_each(|replica| replica.signal(Signal::CONT));
    }

    async fn converge(&mut self, expected: &Picture) -> Result<Duration, String> {
        let begun = Instant::now();
        wait::until(CONVERGED_WITHIN, "the model", async || {
            self.keep_running();
            let (policies, found) = self.look().await;
            if begun.elapsed() >= HELD_AFTER {
                self.hurry(&policies).await;
            }
            difference(&found, &policies, expected).map_or(Ok(()), Err)
        })
        .await
        .map_err(|error| error.to_string())?;
        let converged = begun.elapsed();
        self.at_rest().await?;
        Ok(converged)
    }

    /// The policies, and what Nodes and policies show.
    async fn look(&self) -> (Vec<Value>, Picture) {
        let mut server = Server::default();
        let mut policies = Vec::new();
        for kind in [Kind::Node, Kind::Policy] {
            let list = done(&self.admin, "GET", &collection(kind, ""), &Value::Null).await;
            let objects = list["items"].as_array().into_iter().flatten();
            for object in objects {
                server.load(kind, object.clone());
                if kind == Kind::Policy {
                    policies.push(object.clone());
                }
            }
        }
        (policies, shown(&server))
    }

    /// A person releases the circuit breaker where it holds changes, at a policy or, where there is
    /// none, at the Lease, and waits for no stage of a taint.
    async fn hurry(&self, policies: &[Value]) {
        let is = |policy: &Value, type_: &str| {
            let mut conditions = policy["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|condition| condition["type"] == type_ && condition["status"] == "True")
        };
        let release = json!({"metadata": {"annotations": {"lsmready.io/breaker": "release"}}});
        if policies.is_empty() {
            // There may be no leader yet. The leader keeps what others write to the Lease.
            self.send("MERGE", LEASE, &release, &[404]).await;
        }
        let is_held = policies.iter().any(|policy| is(policy, "ChangesHeld"));
        for policy in policies {
            let name = policy["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let path = object(Kind::Policy, &(String::new(), name));
            if is_held {
                self.send("MERGE", &path, &release, &[404]).await;
            }
            if is(policy, "TaintStaged") {
                let at_once = json!({"spec": {"taint": {"rollout": "AllAtOnce"}}});
                self.send("MERGE", &path, &at_once, &[404]).await;
            }
        }
    }

    /// Waits until nothing is written any more.
    async fn at_rest(&self) -> Result<(), String> {
        let (mut seen, mut since) = (writes(self.server).len(), Instant::now());
        wait::until(AT_REST_WITHIN, "the writes to end", async || {
            let all = writes(self.server);
            if all.len() != seen {
                (seen, since) = (all.len(), Instant::now());
            }
            let last = all.last().cloned().unwrap_or_default();
            if since.elapsed() >= REST { Ok(()) } else { Err(last) }
        })
        .await
        .map_err(|error| error.to_string())
    }
}

/// What is not as expected. The generations of policies are those of this API server.
fn difference(found: &Picture, policies: &[Value], expected: &Picture) -> Option<String> {
    let mut expected = expected.clone();
    for policy in policies {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(state) = expected.policies.get_mut(name) {
            state.generation = policy["metadata"]["generation"].as_i64().unwrap_or_default();
        }
    }
    (*found != expected).then(|| format!("{found:?}, not {expected:?}"))
}

/// The path of all objects of a kind. The simulation's API server reads the same paths.
fn collection(kind: Kind, namespace: &str) -> String {
    let group = match kind.api_version() {
        "v1" => "/api/v1".to_owned(),
        version => format!("/apis/{version}"),
    };
    let plural = match kind {
        Kind::Node => "nodes",
        Kind::Report => "lsmnodes",
        Kind::Policy => "lsmpolicies",
        Kind::Profile => "lsmhookprofiles",
        Kind::DaemonSet => "daemonsets",
        Kind::TracingPolicy => "tracingpolicies",
        Kind::TracingPolicyNamespaced => "tracingpoliciesnamespaced",
        Kind::Pod | Kind::Lease | Kind::Event => unreachable!("no history writes a {kind:?}"),
    };
    let namespaced =
        if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{group}{namespaced}/{plural}")
}

fn object(kind: Kind, (namespace, name): &(String, String)) -> String {
    format!("{}/{name}", collection(kind, namespace))
}
