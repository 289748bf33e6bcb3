//! Whether each node has a verdict. Pure.
//!
//! In: Nodes, their reports, and the time. Out: the nodes that have no verdict, and why. `operator
//! verify` prints it, which `helm test` runs.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::names::{BPF_LABEL, STALE_AFTER_SECONDS};
use lsm_ready_crds::text::printable;

use crate::watch::store::boot_id;

/// The nodes on which a probe runs, unless it is installed otherwise.
pub const LINUX_NODES: &str = "kubernetes.io/os=linux";

/// As much of a reason of a report is printed.
const MAX_REASON: usize = 64;

/// Why a node has no verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// No probe has reported.
    Report,
    /// The report is of an earlier boot.
    ReportOfThisBoot,
    /// The probe does not renew its report.
    FreshReport,
    /// The operator has not labelled the node.
    Label,
    /// The label says unknown, for this reason of the report.
    Verdict(String),
}

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// How many nodes can deny.
    pub ready: usize,
    /// How many cannot.
    pub not_ready: usize,
    /// The others, by name.
    pub without: Vec<(String, Missing)>,
}

/// Looks at each Node.
pub fn verify(nodes: &[Node], reports: &[LsmNode], now: Timestamp) -> Found {
    let reports: HashMap<String, &LsmNode> =
        reports.iter().map(|report| (report.name_any(), report)).collect();
    let mut found = Found::default();
    for node in nodes {
        let name = node.name_any();
        match verdict(node, reports.get(&name).copied(), now) {
            Ok(true) => found.ready += 1,
            Ok(false) => found.not_ready += 1,
            Err(missing) => found.without.push((name, missing)),
        }
    }
    found.without.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Whether a Node can deny, or why nobody knows.
fn verdict(node: &Node, report: Option<&LsmNode>, now: Timestamp) -> Result<bool, Missing> {
    let status = report.and_then(|report| report.status.as_ref()).ok_or(Missing::Report)?;
    if status.boot_id.is_empty() || status.boot_id != boot_id(node) {
        return Err(Missing::ReportOfThisBoot);
    }
    let observed = status.observed_time.as_ref().ok_or(Missing::FreshReport)?;
    if now.as_second().saturating_sub(observed.0.as_second()) >= STALE_AFTER_SECONDS {
        return Err(Missing::FreshReport);
    }
    match node.labels().get(BPF_LABEL).map(String::as_str) {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Missing::Verdict(printable(&status.reason, MAX_REASON))),
        None => Err(Missing::Label),
    }
}

impl Found {
    /// Whether each node has a verdict. Without any node there is none.
    pub fn is_complete(&self) -> bool {
        self.without.is_empty() && self.ready + self.not_ready > 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, not_ready, without } = self;
        let nodes = ready + not_ready + without.len();
        if nodes == 0 {
            return write!(f, "there are no nodes with these labels");
        }
        write!(f, "{} of {nodes} nodes have a verdict: ", ready + not_ready)?;
        write!(f, "{ready} can deny through LSM BPF, {not_ready} cannot")?;
        for (name, missing) in without {
            write!(f, "\n  {name}: {missing}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report => {
                f.write_str("no report; look at the pod of the DaemonSet lsm-ready-probe on it")
            }
            Self::ReportOfThisBoot => {
                f.write_str("no report of the present boot; the probe reports when it has started")
            }
            Self::FreshReport => {
                f.write_str("the report is too old; look at the log of the probe's pod on it")
            }
            Self::Label => {
                f.write_str("no label; look at the log of the Deployment lsm-ready-operator")
            }
            Self::Verdict(reason) => {
                write!(f, "unknown ({reason}); docs/reasons.md says what to do")
            }
        }
    }
}

#[cfg(test)]
mod tests;
