//! The messages of `TracingPoliciesEnforced`: what is, why, and what to do. Pure.
//!
//! Each names at most three policies, and three nodes of each, so that its size does not depend on the cluster's.

use std::cmp::Reverse;
use std::fmt::Display;

use crate::tetragon_client::{AskError, PolicyName, Unanswered};
use lsm_ready_crds::first_n::MAX_ITEMS;

use super::node_names::Names;
use super::summary::{Circumstances, Kind, Summary, Told};

/// Messages about these answers.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What the answers come to.
    pub summary: &'a Summary,
    /// What is known beside them.
    pub circumstances: &'a Circumstances,
}

impl Message<'_> {
    /// There is nobody to ask.
    pub fn no_agents(&self) -> String {
        let key = &self.circumstances.key;
        format!(
            "DaemonSet {key} has no agent on the nodes that this policy selects: compare its nodeSelector and affinity with \
             spec.nodeSelector of the policy"
        )
    }

    /// What stands against True most, and the rest in short.
    pub fn against(&self, kind: Kind) -> String {
        let Some(policies) = self.summary.against.get(&kind) else {
            return String::new();
        };
        let mut policies: Vec<_> = policies.iter().collect();
        policies.sort_by_key(|(name, told)| (Reverse(told.nodes.count()), name.as_ref()));
        let named: Vec<String> = policies
            .iter()
            .take(MAX_ITEMS)
            .map(|(name, told)| self.policy(kind, name.as_ref(), told))
            .collect();
        let more = match policies.len().saturating_sub(MAX_ITEMS) {
            0 => String::new(),
            more => format!("; and {more} more policies"),
        };
        let told = format!("{}: {}{more}. {}", says(kind), named.join("; "), self.way_out(kind));
        let also: Vec<String> =
            self.summary.against.iter().filter(|(other, _)| **other != kind).map(also).collect();
        let also =
            if also.is_empty() { String::new() } else { format!(". Also: {}", also.join(", ")) };
        format!("{told}{also}{}", self.aside())
    }

    fn policy(&self, kind: Kind, name: Option<&PolicyName>, told: &Told) -> String {
        let Told { nodes, words } = told;
        let Some(name) = name else {
            let grpc =
                self.summary.without_grpc.map_or_else(String::new, |why| format!(" (gRPC: {why})"));
            return format!("a policy that the metrics do not name{grpc} on {nodes}");
        };
        match (kind, words.as_str()) {
            (Kind::Disagrees | Kind::LoadErrors, "") => format!("{name} on {nodes}, with no text"),
            (_, "") => format!("{name} on {nodes}"),
            (_, words) => format!("{name} on {nodes}: {words:?}"),
        }
    }

    /// What to do.
    fn way_out(&self, kind: Kind) -> String {
        let (key, list) = (&self.circumstances.key, self.list());
        match kind {
            Kind::Disagrees => self.after_an_error(),
            Kind::LoadErrors => "status.reasons says why these nodes are not ready and what to change".to_owned(),
            Kind::Missing => format!(
                "Either somebody deleted them in the agent (`tetra tracingpolicy delete`), or it has lost them: restart these \
                 agents, for example with `kubectl -n {} rollout restart daemonset/{}`",
                key.namespace, key.name
            ),
            Kind::Disabled => format!(
                "Somebody ran `tetra tracingpolicy disable`: run `{} tetra tracingpolicy enable NAME` on these nodes",
                self.exec()
            ),
            Kind::Partial => format!("The kernels of these nodes do not take all hooks: {list} names them"),
            Kind::Skipped => format!(
                "Their spec.nodeSelector matches the labels of these nodes, and the agents say that it does not: look at the \
                 agents' log, and restart them with `kubectl -n {} rollout restart daemonset/{}`",
                key.namespace, key.name
            ),
            Kind::MonitorMode => format!(
                "Remove the option policy-mode: monitor from their spec, or run `{} tetra tracingpolicy set-mode NAME \
                 enforce` where somebody set it by hand. The mode monitor_only stays until the selectors themselves have an \
                 action that denies: those of macros do not count for it",
                self.exec()
            ),
            Kind::NoEnforcingAction => {
                "Add an action that denies to their selectors (Sigkill, or Override with an argError other than \
                 0 on a hook whose return value the kernel uses). Where they are only to observe, select those that are to deny with \
                 spec.require.tracingPolicies"
                    .to_owned()
            }
            Kind::Loading => {
                "Wait: the agents are asked again within a minute. Where it stays, read the agents' log".to_owned()
            }
            Kind::Unclear => format!("{list} shows their state"),
            Kind::ModeUnknown => self.mode_unknown(),
        }
    }

    /// The most common error has a known cause.
    fn after_an_error(&self) -> String {
        let (key, list) = (&self.circumstances.key, self.list());
        let told = self.summary.against.get(&Kind::Disagrees).into_iter().flatten();
        let speaks_of_lsm = |(name, told): (&Option<PolicyName>, &Told)| {
            name.is_none() || told.words.to_lowercase().contains("lsm")
        };
        if !told.into_iter().any(speaks_of_lsm) {
            return format!("Correct these policies; {list} shows the whole text");
        }
        format!(
            "An agent looks for LSM BPF once, when it starts, and keeps what it found. When SecurityfsMounted is True, restart \
             these agents: `kubectl -n {} rollout restart daemonset/{}`, or spec.tetragon.restartStaleAgents: true. {list} \
             shows the whole text",
            key.namespace, key.name
        )
    }

    fn mode_unknown(&self) -> String {
        let grpc = match self.summary.without_grpc {
            Some(why) => format!("gRPC was tried: {why}"),
            None => "spec.tetragon.agents.ask: Auto or Grpc asks by gRPC".to_owned(),
        };
        format!(
            "They are enabled, and it is not known whether they deny or only monitor: metrics do not tell, gRPC does ({grpc}; \
             docs/install.md says how to open it safely). {} shows it by hand",
            self.list()
        )
    }

    /// Agents that give no answer.
    pub fn unanswered(&self, only_late: bool) -> String {
        let (all, nodes) = (self.summary.unanswered(), self.summary.nodes);
        let total: usize = all.values().map(Names::count).sum();
        let Some((why, names)) = all.iter().max_by_key(|(why, names)| (names.count(), **why))
        else {
            return String::new();
        };
        let others = match total - names.count() {
            0 => String::new(),
            others => format!("; {others} others for other reasons"),
        };
        let what = if only_late { "no answer yet" } else { "no answer" };
        let advice = match (only_late, self.circumstances.unavailable) {
            (true, 0) => {
                "Agents answer about 20 seconds after they start; wait a minute".to_owned()
            }
            (true, unavailable) => format!(
                "DaemonSet {} says that {unavailable} of its agents are not available; TetragonRolledOut says why, and \
                 agents answer about 20 seconds after they start",
                self.circumstances.key
            ),
            (false, _) => way_out(*why).to_owned(),
        };
        format!(
            "{total} of {nodes} agents gave {what}: on {names} {why}{others}. {advice}{}",
            self.waits_for_crds()
        )
    }

    fn waits_for_crds(&self) -> String {
        let crds = &self.circumstances.not_installed;
        if crds.is_empty() {
            return String::new();
        }
        let crds: Vec<String> = crds.iter().map(|plural| format!("{plural}.cilium.io")).collect();
        format!(
            ". Agents wait at their start until both CRDs of Tetragon are installed, and these are not: {}",
            crds.join(", ")
        )
    }

    /// Agents that have to be asked, or asked once more.
    pub fn asking(&self) -> String {
        let (asking, nodes) = (&self.summary.asking, self.summary.nodes);
        format!(
            "{} of {nodes} agents have not answered twice since they, their nodes or the policies changed: {asking}. They are \
             asked again within a minute",
            asking.count()
        )
    }

    /// There is nothing to enforce.
    pub fn no_policies(&self) -> String {
        let why = match self.circumstances.not_selected {
            0 => "no TracingPolicy in the cluster is for these nodes: apply one".to_owned(),
            more => format!(
                "spec.require.tracingPolicies selects no TracingPolicy that is for these nodes, and leaves out {more}: \
                 compare it with `kubectl get tracingpolicies,tracingpoliciesnamespaced -A --show-labels`"
            ),
        };
        format!(
            "there is nothing to enforce: {why}{}{}",
            self.waits_for_crds(),
            self.aside_about_others()
        )
    }

    /// The policies are enabled, and none of them denies.
    pub fn only_observing(&self) -> String {
        let some = some(self.summary.observing.iter());
        format!(
            "{some} are enabled and have no action that denies, so nothing is enforced. {}{}",
            self.way_out(Kind::NoEnforcingAction),
            self.aside_about_others()
        )
    }

    /// All is well.
    pub fn all_enforcing(&self) -> String {
        let (denying, nodes) = (self.summary.denying.len(), self.summary.nodes);
        let (policies, are) = if denying == 1 { ("policy", "is") } else { ("policies", "are") };
        format!(
            "{denying} {policies} {are} enabled and enforced on each of the {nodes} nodes with an agent that {} for{}",
            if denying == 1 { "it is" } else { "they are" },
            self.aside()
        )
    }

    /// What is not judged, and named all the same.
    fn aside(&self) -> String {
        let observing = &self.summary.observing;
        let observing = if observing.is_empty() {
            String::new()
        } else {
            format!(". Only observing, which is not judged: {}", some(observing.iter()))
        };
        let not_selected = match self.circumstances.not_selected {
            0 => String::new(),
            more => format!(
                ". Not selected by spec.require.tracingPolicies, and not judged: {more} policies"
            ),
        };
        format!("{observing}{not_selected}{}", self.aside_about_others())
    }

    fn aside_about_others(&self) -> String {
        let others = &self.summary.others;
        if others.is_empty() {
            return String::new();
        }
        format!(
            ". In agents and not in the cluster (files on the node, or added with tetra), not judged: {}",
            some(others.iter())
        )
    }

    fn exec(&self) -> String {
        let Circumstances { key, container, .. } = self.circumstances;
        format!("kubectl -n {} exec POD -c {container} --", key.namespace)
    }

    fn list(&self) -> String {
        format!("`{} tetra tracingpolicy list`", self.exec())
    }
}

const fn says(kind: Kind) -> &'static str {
    match kind {
        Kind::Disagrees => "agents report errors of policies on nodes that are proved ready",
        Kind::LoadErrors => "agents report errors of policies on nodes that are not proved ready",
        Kind::Missing => {
            "policies are in the cluster and not in the agents of nodes that they are for"
        }
        Kind::Disabled => "policies are switched off in agents",
        Kind::Partial => "hooks of policies are not attached",
        Kind::Skipped => "agents skip policies that are for their nodes",
        Kind::MonitorMode => "policies only report what they would deny (monitor mode)",
        Kind::NoEnforcingAction => "policies have no action that denies",
        Kind::Loading => "agents are loading or unloading policies, or have not loaded them yet",
        Kind::Unclear => "the state of policies is not known",
        Kind::ModeUnknown => "the mode of policies is not known",
    }
}

fn also(
    (kind, policies): (&Kind, &std::collections::BTreeMap<Option<PolicyName>, Told>),
) -> String {
    let nodes = policies.values().map(|told| told.nodes.count()).max().unwrap_or_default();
    format!("{} ({} policies, up to {nodes} nodes)", kind.reason(), policies.len())
}

/// The first three, and how many more.
fn some<T: Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    let first = items.iter().take(MAX_ITEMS).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_ITEMS) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What to do where the metrics, or gRPC alone, are not answered.
fn way_out(why: Unanswered) -> &'static str {
    match why.metrics.or(why.grpc) {
        Some(AskError::NoAddress) => {
            "Look at status.addresses of these Nodes: an InternalIP is needed"
        }
        Some(AskError::Refused) if why.metrics.is_none() => {
            "Tetragon serves gRPC on the node alone unless told otherwise: say ask: Metrics, or see docs/install.md"
        }
        Some(AskError::Refused) => {
            "Look whether agents run there and serve metrics (tetragon.prometheus.enabled in Tetragon's chart)"
        }
        Some(AskError::Unreachable | AskError::TimedOut) => {
            "Look whether a NetworkPolicy or a firewall keeps the operator from these ports of the nodes"
        }
        Some(
            AskError::NoTls
            | AskError::TlsRequired
            | AskError::CertificateNotTrusted
            | AskError::CertificateExpired
            | AskError::CertificateName
            | AskError::CertificateInvalid
            | AskError::ClientCertificateRequired
            | AskError::ClientCertificateRefused
            | AskError::TlsFailed,
        ) => "docs/install.md shows gRPC over TLS from end to end; ask: Metrics does without it",
        _ => "Look whether these ports are Tetragon's, and at the agents' log",
    }
}
