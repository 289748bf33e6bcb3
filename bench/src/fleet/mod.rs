//! The objects of a fleet, and what the operator has to make of them. Pure.
//!
//! In: how many nodes and policies, and which nodes can deny. Out: Nodes of about 12 KB, reports
//! with 14 checks, policies; the labels, the taint and the condition that each Node must have, and
//! the counts that each policy must have.

pub mod objects;
pub mod policies;

use std::collections::BTreeMap;

use lsm_ready_crds::names::{BPF_LABEL, NODE_LABEL_PREFIX, policy_label};

use self::policies::Policy;

/// Labels of a Node.
pub type Labels = BTreeMap<String, String>;

/// Whether a node can deny.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    Denied,
    NotDenied,
}

/// So many nodes and policies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fleet {
    pub nodes: usize,
    pub policies: Vec<Policy>,
}

impl Fleet {
    pub fn new(nodes: usize, policies: usize) -> Self {
        Self { nodes, policies: policies::all(policies) }
    }

    /// One policy that selects every node, and so many that select none.
    pub fn with_bystanders(nodes: usize, bystanders: usize) -> Self {
        Self { nodes, policies: policies::with_bystanders(bystanders) }
    }

    /// So many policies that select every node.
    pub fn all_selecting(nodes: usize, policies: usize) -> Self {
        Self { nodes, policies: policies::all_selecting(policies) }
    }

    /// The labels of ours that a node must have.
    pub fn labels(&self, node: usize, proof: Proof) -> Labels {
        let (bpf, state) = match proof {
            Proof::Denied => ("true", "ready"),
            Proof::NotDenied => ("false", "not-ready"),
        };
        let of_policies = self.policies.iter().filter(|policy| policy.selects(node));
        of_policies
            .map(|policy| (policy_label(&policy.name), state.to_owned()))
            .chain([(BPF_LABEL.to_owned(), bpf.to_owned())])
            .collect()
    }

    /// Whether a node must have our taint.
    pub fn is_tainted(&self, node: usize, proof: Proof) -> bool {
        proof == Proof::NotDenied
            && self.policies.iter().any(|policy| policy.taints && policy.selects(node))
    }
}

/// The name of a node.
pub fn name(node: usize) -> String {
    format!("node-{node:06}")
}

/// The number of the node with that name.
pub fn number(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}

/// Those of the labels that are ours.
pub fn ours(labels: &Labels) -> Labels {
    let ours = labels.iter().filter(|(key, _)| key.starts_with(NODE_LABEL_PREFIX));
    ours.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_number() {
        assert_eq!(number(&name(4711)), Some(4711));
        assert_eq!(number("other"), None);
    }

    #[test]
    fn a_node_has_a_label_of_each_policy_that_selects_it() {
        let fleet = Fleet::new(100, 20);
        let labels = fleet.labels(3, Proof::Denied);
        let selecting = fleet.policies.iter().filter(|policy| policy.selects(3)).count();
        assert_eq!(labels.len(), selecting + 1);
        assert_eq!(labels[BPF_LABEL], "true");
        assert!(fleet.is_tainted(3, Proof::NotDenied) != fleet.is_tainted(4, Proof::NotDenied));
        assert!(!fleet.is_tainted(3, Proof::Denied));
    }
}
