//! Everybody but the operator: people, probes, kubelets and other controllers. What they change
//! does not depend on what the operator did.
//!
//! In: one [`Step`] after the other. Out: changes of the objects of a [`Server`].

use serde_json::{Value, json};

use crate::clock;
use crate::daemon_set;
use crate::model::{self, OUR_TAINTS, text};
use crate::objects::{self, node_name, policy_name};
use crate::server::kind::Kind;
use crate::server::patch::list;
use crate::server::{Key, Server};
use crate::step::{Foreign, POLICIES, Report, Step, Tetragon};

/// Everybody but the operator.
#[derive(Debug, Default)]
pub struct People {
    boots: u32,
}

fn key(name: String) -> Key {
    (String::new(), name)
}

fn tetragon() -> Key {
    ("kube-system".to_owned(), "tetragon".to_owned())
}

impl People {
    /// One change. Steps that are about processes and the network change nothing here.
    pub fn change(&mut self, server: &mut Server, step: Step) {
        match step {
            Step::AddNode(node) if server.named(Kind::Node, &node_name(node)).is_none() => {
                self.put_node(server, node);
            }
            Step::RemoveNode(node) => {
                server.remove(Kind::Node, &key(node_name(node)));
                // The report is owned by the Node.
                server.remove(Kind::Report, &key(node_name(node)));
            }
            Step::ReplaceNode(node) => {
                server.remove(Kind::Node, &key(node_name(node)));
                server.remove(Kind::Report, &key(node_name(node)));
                self.put_node(server, node);
            }
            Step::Reboot(node) => {
                let boot = self.next_boot();
                server.edit(Kind::Node, &key(node_name(node)), |object| {
                    object["status"]["nodeInfo"]["bootID"] = json!(boot);
                });
            }
            Step::Report(node, report) => write_report(server, node, report),
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
            other => change_others(server, other),
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
}

fn write_report(server: &mut Server, node: u8, report: Report) {
    let key = key(node_name(node));
    // A probe runs only on a node that is there.
    let Some(object) = server.get(Kind::Node, &key).cloned() else { return };
    let mut status = objects::report(report, model::boot(&object), clock::true_time());
    if let Some(since) = denied_since(server.get(Kind::Report, &key).map(|it| &***it), &status) {
        status["deniedSince"] = since;
    }
    if server.get(Kind::Report, &key).is_none() {
        server.put(Kind::Report, json!({"metadata": {"name": node_name(node)}}));
    }
    server.edit(Kind::Report, &key, |report| report["status"] = status);
}

/// Since when the node can deny, where an earlier report of this boot showed that it could not.
fn denied_since(before: Option<&Value>, status: &Value) -> Option<Value> {
    let (before, boot) = (before?, text(status, "/bootID"));
    let is_of_this_boot = before["status"]["bootID"] == boot;
    if !is_of_this_boot || !model::proves(&json!({"status": status}), boot) {
        return None;
    }
    if model::proves(before, boot) {
        return before["status"].get("deniedSince").cloned();
    }
    Some(status["observedTime"].clone())
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
            let image = objects::image(Tetragon::NeedsNoMount);
            object["spec"]["template"]["spec"]["containers"][1]["image"] = json!(image);
        }),
        Step::HoldTetragon(is_held) => server.edit(Kind::DaemonSet, &tetragon(), |object| {
            let word = if is_held { json!("hold") } else { Value::Null };
            crate::server::patch::merge(
                &mut object["metadata"]["annotations"],
                &json!({model::tetragon::APPLY: word}),
            );
        }),
        Step::InstallTracingPolicies => server.has_tracing_policies = true,
        Step::RemoveTracingPolicies => remove_tracing_policies(server),
        Step::ApplyTracingPolicy(number) if server.has_tracing_policies => {
            server.put(objects::tracing_policy_kind(number), objects::tracing_policy(number));
        }
        Step::DeleteTracingPolicy(number) => {
            let key = crate::server::key_of(&objects::tracing_policy(number));
            server.remove(objects::tracing_policy_kind(number), &key);
        }
        _ => {}
    }
}

/// With their CRDs.
fn remove_tracing_policies(server: &mut Server) {
    server.has_tracing_policies = false;
    for kind in [Kind::TracingPolicy, Kind::TracingPolicyNamespaced] {
        let names: Vec<Key> = server.all(kind).map(|(key, _)| key.clone()).collect();
        for key in &names {
            server.remove(kind, key);
        }
    }
}

/// Profiles do not change: the name of one that exists is taken.
fn publish(server: &mut Server, profile: Value) {
    if server.get(Kind::Profile, &crate::server::key_of(&profile)).is_none() {
        server.put(Kind::Profile, profile);
    }
}

/// What somebody else writes to a Node.
pub fn write_foreign(node: &mut Value, foreign: Foreign) {
    let mut label = |key: &str, value: &str| node["metadata"]["labels"][key] = json!(value);
    match foreign {
        Foreign::Label => return label("dedicated", "gpu"),
        Foreign::SimilarLabel => return label("lsmready.node-restriction.example/bpf", "true"),
        Foreign::OurLabel => return label(model::BPF, "true"),
        Foreign::OurOldLabel => return label(&format!("{}old", model::POLICY_PREFIX), "ready"),
        Foreign::OurPolicyLabel => {
            let last = policy_name(POLICIES - 1);
            return label(&format!("{}{last}", model::POLICY_PREFIX), "ready");
        }
        Foreign::Annotation => {
            node["metadata"]["annotations"]["example.org/seen"] =
                json!(clock::elapsed().as_millis().to_string());
            return;
        }
        Foreign::Cordon => {
            node["spec"]["unschedulable"] = json!(true);
            return;
        }
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
        Foreign::OurCondition | Foreign::ForgedCondition => {
            let boot = model::boot(node);
            let message = match foreign {
                Foreign::ForgedCondition => format!("boot {boot}: a lie"),
                _ => "a lie".to_owned(),
            };
            let conditions = list(&mut node["status"]["conditions"]);
            conditions.retain(|condition| condition["type"] != model::CONDITION);
            conditions.push(json!({"type": model::CONDITION, "status": "True", "reason": "Lie",
                "message": message}));
        }
        _ => {}
    }
}
