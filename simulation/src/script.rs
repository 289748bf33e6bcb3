//! A history as plain data, for tests against a real API server.
//!
//! In: a seed. Out: what people, probes and other controllers write, what happens to the operator's
//! processes, and what Nodes and policies must show at the end. Nothing of it needs the simulated
//! API server, a runtime, or the simulation's clock.
//!
//! What others write never depends on what the operator wrote: a list of taints is written as its
//! author knows it, without the operator's.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::generate;
use crate::model::{self, Picture};
use crate::people::People;
use crate::server::kind::Kind;
use crate::server::patch::list;
use crate::server::{Change, ChangeType, Key, Server};
use crate::step::{Foreign, Step};

/// One history.
#[derive(Clone, Debug)]
pub struct Script {
    pub acts: Vec<Act>,
    /// What must be shown at the end, after the circuit breaker was released.
    pub expected: Picture,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Wait {
        milliseconds: u32,
    },
    Write(Write),
    /// Somebody removes our volume and mount from Tetragon's DaemonSet.
    RevertMount,
    /// Tetragon's CRDs are installed, or removed with all TracingPolicies.
    TracingPolicies {
        installed: bool,
    },
    /// What happens to the processes, their connections and their clock.
    Fault(Step),
}

/// One write of somebody other than the operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The object is created. A status in it has to be written to `/status` afterwards.
    Create(Kind, Value),
    /// A merge patch of the object.
    Patch(Kind, Key, Value),
    /// A merge patch by `/status`. Conditions of a Node are a strategic merge patch.
    PatchStatus(Kind, Key, Value),
    Delete(Kind, Key),
}

impl Write {
    /// The same, with that time in a report: the simulation has its own.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if let Self::Create(Kind::Report, object) | Self::PatchStatus(Kind::Report, _, object) =
            &mut self
            && let Some(time) = object.pointer_mut("/status/observedTime")
        {
            *time = json!(crate::server::seconds(now));
        }
        self
    }
}

/// The history of that seed.
#[must_use]
pub fn of(seed: u64) -> Script {
    of_steps(&generate::history(seed))
}

/// The same for steps of one's own.
#[must_use]
pub fn of_steps(steps: &[Step]) -> Script {
    let mut author = Author::default();
    let mut acts = Vec::new();
    for step in steps {
        match step {
            Step::Wait { milliseconds } => acts.push(Act::Wait { milliseconds: *milliseconds }),
            step if step.is_fault() => acts.push(Act::Fault(*step)),
            Step::RevertMount => acts.push(Act::RevertMount),
            Step::InstallTracingPolicies => acts.push(Act::TracingPolicies { installed: true }),
            Step::RemoveTracingPolicies => acts.push(Act::TracingPolicies { installed: false }),
            _ => {}
        }
        acts.extend(author.writes(*step).into_iter().map(Act::Write));
    }
    Script { acts, expected: model::expected(&author.server) }
}

/// Everybody but the operator, in a world without the operator.
#[derive(Default)]
struct Author {
    people: People,
    server: Server,
}

impl Author {
    fn writes(&mut self, step: Step) -> Vec<Write> {
        let begin = self.server.version();
        self.people.change(&mut self.server, step);
        let changes = Kind::ALL.into_iter().flat_map(|kind| {
            let changes = self.server.log(kind).iter().filter(|change| change.version > begin);
            changes.map(move |change| (change.version, kind, change))
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|(version, ..)| *version);
        let mut writes: Vec<Write> =
            changes.into_iter().flat_map(|(_, kind, it)| self.write(kind, it)).collect();
        match step {
            // The operator may have written the same fields since.
            Step::Foreign(node, foreign) => writes = self.foreign(node, foreign),
            Step::EmptyStatus(policy) => {
                let name = crate::objects::policy_name(policy);
                if self.server.named(Kind::Policy, &name).is_some() {
                    let key = (String::new(), name);
                    writes.push(Write::PatchStatus(Kind::Policy, key, json!({"status": null})));
                }
            }
            _ => {}
        }
        writes
    }

    fn write(&self, kind: Kind, change: &Change) -> Vec<Write> {
        let key = change.key.clone();
        match change.type_ {
            ChangeType::Added => {
                let mut object = Value::clone(&change.object);
                remove_what_the_server_sets(&mut object);
                vec![Write::Create(kind, object)]
            }
            ChangeType::Deleted => vec![Write::Delete(kind, key)],
            ChangeType::Modified => {
                let mut log = self.server.log(kind).iter().rev();
                let before = log.find(|it| it.version < change.version && it.key == key);
                let before = before.map_or(Value::Null, |it| Value::clone(&it.object));
                patches(kind, &key, &before, &change.object)
            }
        }
    }

    fn foreign(&self, node: u8, foreign: Foreign) -> Vec<Write> {
        let key = (String::new(), crate::objects::node_name(node));
        let Some(object) = self.server.get(Kind::Node, &key) else { return Vec::new() };
        // As if it had nothing of what is written: so that each field of it is in the patch.
        let mut written = json!({"metadata": {"labels": {}}, "spec": {}, "status": {}});
        let (mut labels, mut taints) = (Value::Null, Value::Null);
        match foreign {
            Foreign::Label
            | Foreign::SimilarLabel
            | Foreign::OurLabel
            | Foreign::OurOldLabel
            | Foreign::OurPolicyLabel
            | Foreign::Zone(_) => {
                crate::people::write_foreign(&mut written, foreign);
                labels = written["metadata"]["labels"].take();
            }
            Foreign::Taint | Foreign::NoTaint | Foreign::OurTaint | Foreign::NoTaintOfOurs => {
                taints = json!(list(&mut object["spec"]["taints"].clone()));
            }
            Foreign::Annotation | Foreign::Cordon => {
                crate::people::write_foreign(&mut written, foreign);
                if let Some(object) = written.as_object_mut() {
                    object.remove("status");
                }
                return vec![Write::Patch(Kind::Node, key, written)];
            }
            Foreign::Heartbeat | Foreign::OurCondition | Foreign::ForgedCondition => {
                written["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
                written["status"]["nodeInfo"] = object["status"]["nodeInfo"].clone();
                crate::people::write_foreign(&mut written, foreign);
                let status = json!({"status": {"conditions": written["status"]["conditions"]}});
                return vec![Write::PatchStatus(Kind::Node, key, status)];
            }
        }
        let patch = if taints.is_null() {
            json!({"metadata": {"labels": labels}})
        } else {
            json!({"spec": {"taints": taints}})
        };
        vec![Write::Patch(Kind::Node, key, patch)]
    }
}

fn patches(kind: Kind, key: &Key, before: &Value, after: &Value) -> Vec<Write> {
    let (mut before, mut after) = (before.clone(), after.clone());
    remove_what_the_server_sets(&mut before);
    remove_what_the_server_sets(&mut after);
    let mut patch = difference(&before, &after);
    let status = patch.as_object_mut().and_then(|patch| patch.remove("status"));
    let mut writes = Vec::new();
    if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
        writes.push(Write::Patch(kind, key.clone(), patch));
    }
    if let Some(status) = status {
        writes.push(Write::PatchStatus(kind, key.clone(), json!({"status": status})));
    }
    writes
}

fn remove_what_the_server_sets(object: &mut Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(crate::server::patch::TEMPLATE_GENERATION);
    }
}

/// The merge patch that makes `after` of `before`.
fn difference(before: &Value, after: &Value) -> Value {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for (key, value) in new {
        if old.get(key) != Some(value) {
            let before = old.get(key).unwrap_or(&Value::Null);
            patch.insert(key.clone(), difference(before, value));
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::patch::merge;

    /// Does the writes as an API server does, without the simulated one.
    fn replay(script: &Script) -> Server {
        let mut server = Server::default();
        for act in &script.acts {
            match act {
                Act::Write(Write::Create(kind, object)) => server.put(*kind, object.clone()),
                Act::Write(
                    Write::Patch(kind, key, patch) | Write::PatchStatus(kind, key, patch),
                ) => server.edit(*kind, key, |object| merge(object, patch)),
                Act::Write(Write::Delete(kind, key)) => server.remove(*kind, key),
                Act::TracingPolicies { installed } => server.has_tracing_policies = *installed,
                Act::Wait { .. } | Act::RevertMount | Act::Fault(_) => {}
            }
        }
        server
    }

    #[test]
    fn the_writes_of_a_script_lead_to_what_it_expects() {
        for seed in 0..500 {
            let script = of(seed);
            assert_eq!(model::expected(&replay(&script)), script.expected, "seed {seed}");
        }
    }

    #[test]
    fn a_script_has_every_fault_and_every_wait_of_its_seed() {
        for seed in 0..100 {
            let (steps, script) = (generate::history(seed), of(seed));
            let of_steps =
                steps.iter().filter(|step| step.is_fault() || matches!(step, Step::Wait { .. }));
            let of_script =
                script.acts.iter().filter(|act| matches!(act, Act::Fault(_) | Act::Wait { .. }));
            assert_eq!(of_steps.count(), of_script.count(), "seed {seed}");
        }
    }
}
