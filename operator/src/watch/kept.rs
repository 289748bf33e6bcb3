//! What is kept of an object of each kind, and how many objects a page of a list has.
//!
//! In: an object as the API server sent it. Out: the fields that some controller reads. Everything
//! else is removed, so that neither a large cluster nor somebody who writes large objects fills the
//! operator's memory. docs/limits.md lists the bounds.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Node, NodeSpec, NodeStatus, NodeSystemInfo, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_runtime::reflector::store::Writer;
use kube_runtime::watcher::Event;
use lsm_ready_crds::node::{Check, KERNEL_READS_CHECK, Kernel, LsmNodeStatus};
use lsm_ready_crds::selection::{Labels, OS_LABEL};
use lsm_ready_crds::text::truncate;
use lsm_ready_crds::{Evidence, LsmNode, LsmPolicy, names};
use serde::Serialize;

use super::Watched;
use super::fields::{Fields, IDENTITY_AND_LABELS};
use super::guard::Guard;
use super::messages;
use super::packed_node::PackedNode;
use super::stored::stored_as_it_is;

/// The annotation by which the DaemonSet controller numbers its pod templates.
const TEMPLATE_ANNOTATION: &str = "deprecated.daemonset.template.generation";
/// Prefix of the names that are ours.
const OURS: &str = "lsmready.io/";

/// A kind that the operator watches.
pub trait Kept: Watched + Serialize {
    /// What the store holds of the object.
    type Stored: Watched;
    /// Number of objects in a page of a list. A page is in memory as a whole, so kinds with large
    /// objects have small pages.
    const PAGE: u32;
    /// Maximum size of a trimmed object. A larger one counts as one that cannot be parsed. `None`
    /// where trimming bounds the size, or where only administrators can write large objects.
    const MAX_BYTES: Option<usize> = None;
    /// The fields that are parsed at all. What else an object has takes no memory.
    const FIELDS: Fields = Fields::All;
    /// Reads the same fields of events in the binary encoding, for kinds of which there are many and
    /// which have it. A watch asks for it.
    const EVENT: Option<messages::Event<Guard<Self>>> = None;

    /// Removes what no controller reads.
    fn trim(&mut self);

    /// Tells the store of an event.
    fn store(writer: &mut Writer<Self::Stored>, event: &Event<Self>);

    fn unpack(stored: &Self::Stored) -> Self;

    /// The size of the object, where it matters.
    fn bytes(&self) -> usize {
        if Self::MAX_BYTES.is_none() {
            return 0;
        }
        serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len())
    }
}

impl Kept for Node {
    type Stored = PackedNode;

    fn store(writer: &mut Writer<PackedNode>, event: &Event<Self>) {
        writer.apply_watcher_event(&PackedNode::event(event));
    }

    fn unpack(stored: &PackedNode) -> Self {
        stored.node()
    }

    /// A Node of a large cluster has up to 100 kB, most of it images and managed fields. Kubelets
    /// can write 1 MB.
    const PAGE: u32 = 10;
    const FIELDS: Fields = Fields::Only(&[
        ("metadata", IDENTITY_AND_LABELS),
        ("spec", Fields::Only(&[("taints", Fields::All)])),
        ("status", NODE_STATUS),
    ]);
    const EVENT: Option<messages::Event<Guard<Self>>> =
        Some(|message| messages::event(message, messages::node));

    fn trim(&mut self) {
        trim_metadata(&mut self.metadata, |_| false);
        self.metadata.labels = self.metadata.labels.take().map(bounded_labels);
        if let Some(spec) = &mut self.spec {
            *spec = NodeSpec { taints: spec.taints.take(), ..Default::default() };
        }
        let Some(status) = self.status.take() else {
            return;
        };
        let ours = status.conditions.into_iter().flatten();
        let ours = ours.filter(|condition| condition.type_ == names::NODE_CONDITION);
        let internal = status.addresses.into_iter().flatten();
        let internal = internal.filter(|address| address.type_ == INTERNAL_IP);
        let internal = internal.filter(|address| address.address.len() <= MAX_ADDRESS);
        let boot_id = status.node_info.map(|info| info.boot_id).filter(|boot| is_boot_id(boot));
        self.status = Some(NodeStatus {
            addresses: Some(exactly(internal.take(MAX_ADDRESSES))),
            conditions: Some(exactly(ours)),
            node_info: Some(NodeSystemInfo {
                boot_id: boot_id.unwrap_or_default(),
                ..Default::default()
            }),
            ..Default::default()
        });
    }
}

/// The type of the addresses at which agents are asked.
pub(super) const INTERNAL_IP: &str = "InternalIP";

/// A node has one of each IP family. A kubelet can write a megabyte of them.
const MAX_ADDRESSES: usize = 8;
/// An IPv6 address with a zone is shorter.
const MAX_ADDRESS: usize = 64;

/// Maximum size of a Node's labels. Usual ones have 2 kB.
const MAX_LABELS: usize = 64 * 1024;

/// The labels, and of too many ours, that of the operating system, and the first others. A kubelet
/// can give its own Node a megabyte of labels.
fn bounded_labels(labels: Labels) -> Labels {
    let bytes = |(key, value): (&String, &String)| key.len() + value.len();
    if labels.iter().map(bytes).sum::<usize>() <= MAX_LABELS {
        return labels;
    }
    let is_first =
        |(key, _): &(String, String)| key.starts_with(names::NODE_LABEL_PREFIX) || key == OS_LABEL;
    let (first, others): (Vec<_>, Vec<_>) = labels.into_iter().partition(is_first);
    let mut room = MAX_LABELS;
    let kept = first.into_iter().chain(others).take_while(|(key, value)| {
        let left = room.checked_sub(key.len() + value.len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    kept.collect()
}

/// Whether it is the ID of a boot as a report may name it. The condition of the Node repeats it, so
/// it has to be short and printable. Another one counts as none, and no evidence belongs to it.
fn is_boot_id(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A list without room for more.
fn exactly<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.collect();
    list.shrink_to_fit();
    list
}

/// The fields of a Node's status that are read.
const NODE_STATUS: Fields = Fields::Only(&[
    ("addresses", Fields::All),
    ("conditions", Fields::All),
    ("nodeInfo", Fields::Only(&[("bootID", Fields::All)])),
]);

/// The fields of a report: all but the metadata that nobody reads.
const REPORT: Fields = Fields::Only(&[("metadata", IDENTITY_AND_LABELS), ("status", Fields::All)]);

/// Maximum length of a report's texts, in characters.
const MAX_TEXT: usize = 1024;

/// Maximum number of checks that are kept. A report of our probe has five that a verdict reads.
const MAX_CHECKS: usize = 16;

impl Kept for LsmNode {
    stored_as_it_is!();

    const PAGE: u32 = 50;
    const FIELDS: Fields = REPORT;

    fn trim(&mut self) {
        trim_metadata(&mut self.metadata, |_| false);
        self.metadata.labels = None;
        self.status = self.status.take().map(trim_report);
    }
}

/// Keeps the checks that a verdict reads, and short, printable texts.
fn trim_report(mut status: LsmNodeStatus) -> LsmNodeStatus {
    status.denied_before.truncate(lsm_ready_crds::node::SPANS);
    status.checks.retain(is_read);
    status.checks.truncate(MAX_CHECKS);
    // Only people read these.
    (status.kernel, status.lockdown) = (Kernel::default(), None);
    let mut status = status.cleaned();
    status.checks.shrink_to_fit();
    status.lsms.active.shrink_to_fit();
    if status.evidence == Evidence::Denied {
        // They say why the evidence is not higher, and it is the highest.
        (status.message, status.fix) = (String::new(), String::new());
    }
    shorten(&mut status.message);
    shorten(&mut status.fix);
    for check in &mut status.checks {
        if check.name == KERNEL_READS_CHECK {
            shorten(&mut check.detail);
            shorten(&mut check.fix);
        } else {
            // Of a rung only its outcome is read.
            (check.detail, check.fix) = (String::new(), String::new());
        }
    }
    status
}

/// Whether a verdict reads the check.
fn is_read(check: &Check) -> bool {
    check.name == KERNEL_READS_CHECK
        || Evidence::RUNGS.into_iter().any(|rung| rung.as_str() == check.name)
}

/// Shortens a text, and gives the memory back.
fn shorten(text: &mut String) {
    *text = truncate(text, MAX_TEXT);
}

impl Kept for LsmPolicy {
    stored_as_it_is!();

    const PAGE: u32 = 50;
    const MAX_BYTES: Option<usize> = Some(64 * 1024);

    fn trim(&mut self) {
        trim_metadata(&mut self.metadata, |annotation| annotation.starts_with(OURS));
        self.metadata.labels = None;
    }
}

impl Kept for DaemonSet {
    stored_as_it_is!();

    /// A DaemonSet has up to 1.5 MB.
    const PAGE: u32 = 5;
    const MAX_BYTES: Option<usize> = Some(256 * 1024);

    fn trim(&mut self) {
        let is_read =
            |annotation: &str| annotation.starts_with(OURS) || annotation == TEMPLATE_ANNOTATION;
        trim_metadata(&mut self.metadata, is_read);
        if let Some(pod) = self.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) {
            trim_pod(pod);
        }
    }
}

/// Removes the large fields of a pod template that no controller reads.
fn trim_pod(pod: &mut PodSpec) {
    pod.host_aliases = None;
    pod.dns_config = None;
    pod.topology_spread_constraints = None;
    pod.scheduling_gates = None;
    let init = pod.init_containers.iter_mut().flatten();
    for container in init.chain(&mut pod.containers) {
        trim_container(container);
    }
}

fn trim_container(container: &mut Container) {
    container.env_from = None;
    container.lifecycle = None;
    container.liveness_probe = None;
    container.readiness_probe = None;
    container.startup_probe = None;
    container.resources = None;
}

/// Removes the metadata that no controller reads, of any kind.
pub(super) fn trim_metadata(metadata: &mut ObjectMeta, is_read: impl Fn(&str) -> bool) {
    metadata.managed_fields = None;
    metadata.finalizers = None;
    metadata.owner_references = None;
    // A map that is made at once is full; one that grew has twice the room.
    metadata.labels = metadata.labels.take().map(|labels| labels.into_iter().collect());
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| is_read(name));
    }
    metadata.annotations = metadata.annotations.take().filter(|kept| !kept.is_empty());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_of_a_megabyte_is_kept_in_few_bytes() {
        let text = "ü".repeat(100_000);
        let check =
            |name: &str| json!({"name": name, "outcome": "Pass", "detail": text, "fix": text});
        let checks: Vec<_> = (0..500).map(|number| check(&format!("C{number}"))).collect();
        let rungs = ["Loaded", "Attached", "Fired", "Denied", "KernelReads"].map(check);
        let mut report: LsmNode = serde_json::from_value(json!({
            "metadata": {"name": "n", "labels": {"a": text}, "annotations": {"a": text},
                "finalizers": [text], "ownerReferences": []},
            "status": {"message": text, "fix": text, "reason": text, "probeVersion": text,
                "kernel": {"release": text, "machine": text}, "lockdown": text,
                "checks": checks.into_iter().chain(rungs).collect::<Vec<_>>(),
                "lsms": {"active": vec![text.clone(); 500]}},
        }))
        .unwrap();
        report.trim();
        let kept = serde_json::to_vec(&report).unwrap().len();
        assert!(kept < 64 * 1024, "{kept} bytes");
        let status = report.status.unwrap();
        assert_eq!((&status.kernel, &status.lockdown), (&Kernel::default(), &None));
        let names: Vec<&str> = status.checks.iter().map(|check| &*check.name).collect();
        assert_eq!(names, ["Loaded", "Attached", "Fired", "Denied", "KernelReads"]);
    }

    /// The condition of the Node repeats the boot ID, for people and for terminals.
    #[test]
    fn a_boot_id_is_short_and_printable_or_none() {
        let honest = "5b0c2a0e-0c1d-4e0f-9a8b-7c6d5e4f3a2b";
        let long = "b".repeat(65);
        for (boot, kept) in [
            (honest, honest),
            (&long, ""),
            ("a\u{1b}[2J", ""),
            ("a\u{202e}b", ""),
            ("a\nb", ""),
            ("a\u{fe0f}", ""),
        ] {
            let mut node: Node = serde_json::from_value(json!({"metadata": {"name": "n"},
                "status": {"nodeInfo": {"bootID": boot}}}))
            .unwrap();
            node.trim();
            assert_eq!(crate::watch::store::boot_id(&node), kept, "{boot:?}");
        }
    }

    #[test]
    fn of_a_megabyte_of_labels_ours_and_few_others_are_kept() {
        let many = (0..8000).map(|number| (format!("a/{number:060}"), json!("v".repeat(60))));
        let ours =
            [(names::BPF_LABEL.to_owned(), json!("true")), (OS_LABEL.into(), json!("linux"))];
        let labels: serde_json::Map<_, _> = many.chain(ours).collect();
        let mut node: Node =
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels}})).unwrap();
        node.trim();
        let kept = node.metadata.labels.unwrap();
        assert!(kept.contains_key(names::BPF_LABEL) && kept.contains_key(OS_LABEL));
        let bytes: usize = kept.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!((MAX_LABELS - 200..=MAX_LABELS).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn few_addresses_of_a_node_are_kept() {
        let address = |address: String| json!({"type": "InternalIP", "address": address});
        let many = (0..10_000).map(|number| address(format!("10.0.{}.1", number % 256)));
        let long = address("1".repeat(100_000));
        let addresses: Vec<_> = [long].into_iter().chain(many).collect();
        let mut node: Node = serde_json::from_value(json!({"metadata": {"name": "n"},
            "status": {"addresses": addresses}}))
        .unwrap();
        node.trim();
        let kept = node.status.and_then(|status| status.addresses).unwrap();
        assert_eq!((kept.len(), kept[0].address.as_str()), (MAX_ADDRESSES, "10.0.0.1"));
    }

    #[test]
    fn texts_of_nodes_are_printable() {
        let text = "a\u{1b}[2Jb\u{202e}c\nd";
        let check = json!({"name": "KernelReads", "outcome": "Fail", "detail": text, "fix": text});
        let mut report: LsmNode = serde_json::from_value(json!({"metadata": {"name": "n"},
            "status": {"message": text, "fix": text, "reason": text, "checks": [check]}}))
        .unwrap();
        report.trim();
        let kept = serde_json::to_string(&report).unwrap();
        for hostile in ["\\u001b", "\u{1b}", "\u{202e}", "\\n"] {
            assert!(!kept.contains(hostile), "{kept}");
        }
    }

    #[test]
    fn a_daemon_set_keeps_what_the_controllers_read() {
        let mut daemon_set: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "d", "annotations": {"lsmready.io/apply": "hold", "other": "x",
                TEMPLATE_ANNOTATION: "2"}},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c",
                "image": "i", "env": [{"name": "A", "value": "b"}],
                "livenessProbe": {"exec": {"command": ["x"]}},
                "volumeMounts": [{"name": "v", "mountPath": "/m"}]}]}}},
        }))
        .unwrap();
        daemon_set.trim();
        let kept = serde_json::to_value(&daemon_set).unwrap();
        let annotations = json!({"lsmready.io/apply": "hold", TEMPLATE_ANNOTATION: "2"});
        assert_eq!(kept["metadata"]["annotations"], annotations);
        let container = json!({"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}],
            "volumeMounts": [{"name": "v", "mountPath": "/m"}]});
        assert_eq!(kept["spec"]["template"]["spec"]["containers"][0], container);
    }
}
