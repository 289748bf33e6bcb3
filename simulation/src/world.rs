//! The world of a history: the API server, the nodes with their kubelets and probes, Tetragon's
//! DaemonSet with its controller, other writers, and the processes of the operator.
//!
//! In: one [`Step`] after the other. Out: changes of the objects, and what becomes of the processes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::clock;
use crate::daemon_set;
use crate::model::{self, OUR_TAINTS};
use crate::objects::{self, node_name, policy_name};
use crate::replica::Replica;
use crate::server::kind::Kind;
use crate::server::patch::list;
use crate::server::{Key, Server};
use crate::step::{Foreign, REPLICAS, Step};
use crate::weather::Weather;

pub struct World {
    pub server: Arc<Mutex<Server>>,
    pub replicas: Vec<Replica>,
    boots: u32,
}

fn key(name: String) -> Key {
    (String::new(), name)
}

fn tetragon() -> Key {
    ("kube-system".to_owned(), "tetragon".to_owned())
}

impl World {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let server = Arc::new(Mutex::new(Server::default()));
        let replicas =
            (0..REPLICAS).map(|number| Replica::new(number, seed, server.clone())).collect();
        tokio::spawn(daemon_set::control(server.clone()));
        Self { server, replicas, boots: 0 }
    }

    pub async fn apply(&mut self, step: Step) {
        self.server.lock().trace.note(|| format!("step {step:?}"));
        match step {
            Step::Wait { milliseconds } => {
                sleep(Duration::from_millis(milliseconds.into())).await;
            }
            Step::Weather(weather) => self.set_weather(weather),
            Step::Cut { replica, milliseconds } => self.cut(replica, milliseconds),
            Step::CutAndCompact { replica, milliseconds } => {
                self.cut(replica, milliseconds);
                // What happens within the cut is forgotten when it ends.
                let (server, wait) =
                    (self.server.clone(), Duration::from_millis(milliseconds.into()));
                tokio::spawn(async move {
                    sleep(wait).await;
                    server.lock().compact();
                });
            }
            Step::Freeze(replica) => self.replica(replica).on_network(|network| network.freeze()),
            Step::Compact => self.server.lock().compact(),
            Step::Pause(replica) => self.replica(replica).on_network(|network| network.pause(true)),
            Step::Resume(replica) => self.replica(replica).on_network(|it| it.pause(false)),
            Step::Crash(replica) => self.replica(replica).on_network(|network| network.kill()),
            Step::CrashAtWrite(replica, crash) => {
                self.replica(replica).on_network(|network| network.crash_at(crash));
            }
            Step::Stop(replica) => self.replica(replica).stop(),
            Step::Start(replica) => self.replica(replica).start(),
            Step::ClockJump { seconds } => clock::jump(seconds.into()),
            change => self.change(change),
        }
    }

    fn replica(&mut self, replica: u8) -> &mut Replica {
        let last = self.replicas.len().saturating_sub(1);
        &mut self.replicas[usize::from(replica).min(last)]
    }

    fn cut(&mut self, replica: u8, milliseconds: u32) {
        let unreachable = Duration::from_millis(milliseconds.into());
        self.replica(replica).on_network(|network| network.cut_all(unreachable));
    }

    pub fn set_weather(&mut self, weather: Weather) {
        for replica in &mut self.replicas {
            replica.set_weather(weather);
        }
    }

    /// A change by somebody other than the operator.
    pub fn change(&mut self, step: Step) {
        let server = self.server.clone();
        let mut server = server.lock();
        match step {
            Step::AddNode(node) if server.named(Kind::Node, &node_name(node)).is_none() => {
                self.put_node(&mut server, node);
            }
            Step::RemoveNode(node) => {
                server.remove(Kind::Node, &key(node_name(node)));
                // The report is owned by the Node.
                server.remove(Kind::Report, &key(node_name(node)));
            }
            Step::ReplaceNode(node) => {
                server.remove(Kind::Node, &key(node_name(node)));
                server.remove(Kind::Report, &key(node_name(node)));
                self.put_node(&mut server, node);
            }
            Step::Reboot(node) => {
                let boot = self.next_boot();
                server.edit(Kind::Node, &key(node_name(node)), |object| {
                    object["status"]["nodeInfo"]["bootID"] = json!(boot);
                });
            }
            Step::Report(node, report) => self.report(&mut server, node, report),
            Step::DeleteReport(node) => server.remove(Kind::Report, &key(node_name(node))),
            Step::Renew(node) => {
                server.edit(Kind::Report, &key(node_name(node)), |object| {
                    let now = crate::server::seconds(clock::true_time());
                    object["status"]["observedTime"] = json!(now);
                });
            }
            Step::Foreign(node, foreign) => {
                let change = |object: &mut Value| write_foreign(object, foreign);
                server.edit(Kind::Node, &key(node_name(node)), change);
            }
            other => change_others(&mut server, other),
        }
    }

    fn put_node(&mut self, server: &mut Server, node: u8) {
        let boot = self.next_boot();
        server.put(Kind::Node, objects::node(node, &boot));
    }

    fn next_boot(&mut self) -> String {
        self.boots += 1;
        format!("boot-{}", self.boots)
    }

    #[expect(clippy::unused_self, reason = "beside the other changes of nodes")]
    fn report(&self, server: &mut Server, node: u8, report: crate::step::Report) {
        let key = key(node_name(node));
        // A probe runs only on a node that is there.
        let Some(object) = server.get(Kind::Node, &key).cloned() else { return };
        let status = objects::report(report, model::boot(&object), clock::true_time());
        if server.get(Kind::Report, &key).is_none() {
            server.put(Kind::Report, json!({"metadata": {"name": node_name(node)}}));
        }
        server.edit(Kind::Report, &key, |report| report["status"] = status);
    }
}

fn change_others(server: &mut Server, step: Step) {
    match step {
        Step::ApplyPolicy(policy, spec) => {
            let (key, spec) = (key(policy_name(policy)), objects::policy(spec));
            if server.get(Kind::Policy, &key).is_some() {
                server.edit(Kind::Policy, &key, |object| object["spec"] = spec);
            } else {
                server.put(Kind::Policy, json!({"metadata": {"name": key.1}, "spec": spec}));
            }
        }
        Step::DeletePolicy(policy) => server.remove(Kind::Policy, &key(policy_name(policy))),
        Step::Release(policy) => {
            server.edit(Kind::Policy, &key(policy_name(policy)), |object| {
                object["metadata"]["annotations"]["lsmready.io/breaker"] = json!("release");
            });
        }
        Step::EmptyStatus(policy) => {
            server.edit(Kind::Policy, &key(policy_name(policy)), |object| {
                object.as_object_mut().map(|object| object.remove("status"));
            });
        }
        Step::PublishProfile(kernel) => publish(server, objects::profile(kernel)),
        Step::FalseProfile(kernel) => publish(server, objects::false_profile(kernel)),
        Step::DeleteProfile(kernel) => {
            server.remove(Kind::Profile, &key(objects::profile_spec(kernel).digest()));
        }
        Step::InstallTetragon(release) => {
            server.put(Kind::DaemonSet, objects::tetragon(release));
        }
        Step::DeleteTetragon => server.remove(Kind::DaemonSet, &tetragon()),
        Step::RevertMount => server.edit(Kind::DaemonSet, &tetragon(), daemon_set::revert),
        Step::UpgradeTetragon => server.edit(Kind::DaemonSet, &tetragon(), |object| {
            let image = objects::image(crate::step::Tetragon::NeedsNoMount);
            object["spec"]["template"]["spec"]["containers"][1]["image"] = json!(image);
        }),
        Step::InstallTracingPolicies => server.has_tracing_policies = true,
        Step::RemoveTracingPolicies => {
            server.has_tracing_policies = false;
            let names: Vec<Key> =
                server.all(Kind::TracingPolicy).map(|(key, _)| key.clone()).collect();
            names.iter().for_each(|key| server.remove(Kind::TracingPolicy, key));
        }
        Step::ApplyTracingPolicy(number) if server.has_tracing_policies => {
            server.put(Kind::TracingPolicy, objects::tracing_policy(number));
        }
        Step::DeleteTracingPolicy(number) => {
            server.remove(Kind::TracingPolicy, &key(format!("t{number}")));
        }
        _ => {}
    }
}

/// Profiles do not change: the name of one that exists is taken.
fn publish(server: &mut Server, profile: Value) {
    if server.get(Kind::Profile, &crate::server::key_of(&profile)).is_none() {
        server.put(Kind::Profile, profile);
    }
}

fn write_foreign(node: &mut Value, foreign: Foreign) {
    let mut label = |key: &str, value: &str| node["metadata"]["labels"][key] = json!(value);
    match foreign {
        Foreign::Label => return label("dedicated", "gpu"),
        Foreign::SimilarLabel => return label("lsmready.node-restriction.example/bpf", "true"),
        Foreign::OurLabel => return label(model::BPF, "true"),
        Foreign::OurOldLabel => return label(&format!("{}old", model::POLICY_PREFIX), "ready"),
        Foreign::Zone(is_a) => return label("zone", if is_a { "a" } else { "b" }),
        _ => {}
    }
    let key = |taint: &Value| taint["key"].as_str().unwrap_or_default().to_owned();
    let now = crate::server::seconds(clock::true_time());
    match foreign {
        Foreign::Taint => {
            let taints = list(&mut node["spec"]["taints"]);
            taints.retain(|taint| key(taint) != "dedicated");
            taints.push(json!({"key": "dedicated", "value": "gpu", "effect": "NoExecute",
                "timeAdded": now}));
        }
        Foreign::NoTaint => {
            list(&mut node["spec"]["taints"]).retain(|taint| key(taint) != "dedicated");
        }
        Foreign::OurTaint => {
            let taints = list(&mut node["spec"]["taints"]);
            taints.retain(|taint| key(taint) != OUR_TAINTS[2]);
            taints.push(json!({"key": OUR_TAINTS[2], "effect": "NoSchedule"}));
        }
        Foreign::NoTaintOfOurs => {
            let taints = list(&mut node["spec"]["taints"]);
            taints.retain(|taint| !OUR_TAINTS.contains(&key(taint).as_str()));
        }
        Foreign::Heartbeat => {
            list(&mut node["status"]["conditions"])[0]["lastHeartbeatTime"] = json!(now);
        }
        Foreign::OurCondition => {
            let conditions = list(&mut node["status"]["conditions"]);
            conditions.retain(|condition| condition["type"] != model::CONDITION);
            conditions.push(json!({"type": model::CONDITION, "status": "True", "reason": "Lie",
                "message": "a lie"}));
        }
        _ => {}
    }
}
