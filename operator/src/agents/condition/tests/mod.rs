//! The condition made of agents' replies: reasons, messages and properties.
#![allow(clippy::unnecessary_wraps, reason = "the tables hold answers and errors in one type")]

use std::collections::BTreeSet;

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::selection::Labels;
use serde_json::{Value, json};

use super::*;
use crate::agents::answers::LastReply;
use crate::agents::catalogue::Catalogue;
use crate::agents::comparison::Comparison;
use crate::agents::groups::{AnswerGroups, NodeReply};
use crate::agents::polling::{Reply, SharedAnswer};
use crate::tetragon_client::{
    Answer, AskError, Mode, PolicyName, PolicyState, PolicyStatus, Source, StateCounts, Unanswered,
};
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{object, with_expectations};
use crate::watch::key::DaemonSetKey;

mod messages;
mod properties;
mod reasons;

/// A node's verdict, and the last reply of its agent.
#[derive(Clone, Debug)]
struct Node {
    verdict: State,
    last: Option<LastReply>,
}

fn spec(action: &str) -> Value {
    json!({"lsmhooks": [{"hook": "file_open",
        "selectors": [{"matchActions": [{"action": action}]}]}]})
}

/// TracingPolicies in the cluster.
fn cluster(policies: &[(&str, Value)]) -> Snapshot {
    with_expectations(
        policies
            .iter()
            .map(|(name, spec)| object(&json!({"metadata": {"name": name}, "spec": spec}))),
    )
}

/// One policy that denies.
fn deny() -> Snapshot {
    cluster(&[("deny", spec("Sigkill"))])
}

fn circumstances() -> Circumstances {
    let daemon_set = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
    Circumstances { daemon_set, container: "tetragon".into(), ..Circumstances::default() }
}

fn name(name: &str) -> PolicyName {
    PolicyName { namespace: None, name: name.into() }
}

/// An answer by gRPC with these policies: name, state, mode and error.
fn says(policies: &[(&str, PolicyState, Option<Mode>, &str)]) -> Reply {
    let statuses = policies.iter().map(|(policy, state, mode, error)| {
        let error = (*error).to_owned();
        (name(policy), PolicyStatus { error, ..PolicyStatus::new(*state, *mode) })
    });
    let counts: StateCounts = policies.iter().map(|(_, state, ..)| (*state, 1)).collect();
    let answer = Answer { policies: statuses.collect(), counts, ..Answer::empty(Source::Grpc) };
    Ok(SharedAnswer { answer: answer.into(), grpc_error: None })
}

fn enforcing() -> Reply {
    says(&[("deny", PolicyState::Enabled, Some(Mode::Enforce), "")])
}

fn monitoring() -> Reply {
    says(&[("deny", PolicyState::Enabled, Some(Mode::Monitor), "")])
}

fn state(state: PolicyState) -> Reply {
    says(&[("deny", state, None, "")])
}

fn load_error(error: &str) -> Reply {
    says(&[("deny", PolicyState::LoadError, None, error)])
}

/// An answer by metrics, after gRPC failed.
fn counted(state: PolicyState) -> Reply {
    let named = BTreeSet::from([name("deny")]);
    let counts = [(state, 1)].into_iter().collect();
    let answer = Answer { named: Some(named), counts, ..Answer::empty(Source::Metrics) };
    Ok(SharedAnswer { answer: answer.into(), grpc_error: Some(AskError::Refused) })
}

fn silent(error: AskError) -> Reply {
    Err(Unanswered { grpc: None, metrics: Some(error) })
}

/// A ready node whose agent gave that reply, which is final.
fn ready(reply: Reply) -> Node {
    let last = LastReply { reply, is_final: true, is_first: false };
    Node { verdict: State::Ready, last: Some(last) }
}

fn not_ready(reply: Reply) -> Node {
    Node { verdict: State::NotReady, ..ready(reply) }
}

/// The reply is not final.
fn early(reply: Reply) -> Node {
    let last = LastReply { reply, is_final: false, is_first: false };
    Node { verdict: State::Ready, last: Some(last) }
}

/// The agent has answered once since the operator started.
fn first(reply: Reply) -> Node {
    let last = LastReply { reply, is_final: false, is_first: true };
    Node { verdict: State::Ready, last: Some(last) }
}

fn not_asked() -> Node {
    Node { verdict: State::Ready, last: None }
}

/// The condition over nodes n00, n01 and so on.
fn judge(cluster: &Snapshot, nodes: &[Node], circumstances: &Circumstances) -> Finding {
    let named: Vec<(String, Node)> =
        nodes.iter().enumerate().map(|(n, node)| (format!("n{n:02}"), node.clone())).collect();
    judge_named(cluster, &named, circumstances)
}

fn judge_named(
    cluster: &Snapshot,
    nodes: &[(String, Node)],
    circumstances: &Circumstances,
) -> Finding {
    let catalogue = Catalogue::of(cluster);
    let mut groups = groups(&catalogue);
    for (name, node) in nodes {
        let placements = catalogue.placements(&Labels::new());
        let last = node.last.clone();
        groups.add(NodeReply { node: name, verdict: node.verdict, placements, last });
    }
    condition(&groups.summary(), circumstances)
}

/// Every policy is in question.
fn groups<'a>(catalogue: &'a Catalogue<'a>) -> AnswerGroups<'a> {
    AnswerGroups::new(Comparison {
        catalogue,
        is_in_question: vec![true; catalogue.policies().len()],
        are_selected: false,
        has_modes: true,
    })
}
