//! Names that stand in objects of the cluster: labels, taints, annotations, conditions, reasons,
//! events.

use lsm_ready_crds::conditions::{self, tables::TABLES};
use lsm_ready_crds::{Reason, names};
use lsm_ready_operator::policy::status;

use crate::markdown::{code, codes, table};

struct Key {
    on: &'static str,
    keys: String,
    values: &'static str,
    meaning: &'static str,
}

/// Keys of labels, taints and annotations.
pub fn keys() -> String {
    let rows = node_keys().into_iter().chain(daemon_set_keys()).chain(breaker_keys());
    let rows = rows.map(|key| [key.on, &key.keys, key.values, key.meaning].map(str::to_owned));
    let prefix = format!(
        "\nEvery label of a Node begins with `{}`. NodeRestriction forbids kubelets to set labels \
         with this prefix. A name of an LsmPolicy has at most {} characters, because it is part of \
         a label key.\n",
        names::NODE_LABEL_PREFIX,
        names::POLICY_NAME_MAX
    );
    table(["where", "key", "values", "meaning"], rows) + &prefix
}

fn node_keys() -> [Key; 3] {
    [
        Key {
            on: "label of a Node",
            keys: code(names::BPF_LABEL),
            values: "`true`, `false`, `unknown`",
            meaning: "whether this boot of the node denied a call through LSM BPF",
        },
        Key {
            on: "label of a Node",
            keys: code(&names::policy_label("NAME")),
            values: "`ready`, `not-ready`, `unknown`",
            meaning: "the verdict for the LsmPolicy NAME",
        },
        Key {
            on: "taint of a Node; `spec.taint.key` chooses one",
            keys: codes(names::TAINT_KEYS),
            values: "effect `NoSchedule` or `PreferNoSchedule`",
            meaning: "the node is not ready for a policy with `spec.taint`",
        },
    ]
}

fn daemon_set_keys() -> [Key; 2] {
    [
        Key {
            on: "label of a DaemonSet",
            keys: code(names::DAEMON_SET_LABEL),
            values: "`mounted`, `taken-back-…`",
            meaning: "lsm-ready added the securityfs mount, or took it back",
        },
        Key {
            on: "annotation of a DaemonSet",
            keys: code(names::APPLY_ANNOTATION),
            values: "`allow`, `hold`",
            meaning: "the owner allows or forbids a change now",
        },
    ]
}

fn breaker_keys() -> [Key; 2] {
    [
        Key {
            on: "annotation of any LsmPolicy, or of the operator's Lease",
            keys: code(names::BREAKER_ANNOTATION),
            values: "`release`",
            meaning: "the circuit breaker holds no changes of nodes",
        },
        Key {
            on: "annotation of the operator's Lease",
            keys: code(names::BREAKER_OPEN_ANNOTATION),
            values: "text",
            meaning: "the circuit breaker is open: since when, what is held, and why",
        },
    ]
}

/// The volume, its path, and who writes.
pub fn names() -> String {
    let rows = [
        ("volume in Tetragon's pod template", names::SECURITYFS_VOLUME),
        ("path of that mount, on the host and in the container", names::SECURITYFS_PATH),
        ("field manager of the operator", names::FIELD_MANAGER),
        ("field manager of the probe", names::PROBE_FIELD_MANAGER),
        ("Lease of the operator's leader election", lsm_ready_operator::run::lease::LEASE),
    ];
    table(["name of", "name"], rows.map(|(what, name)| [what.to_owned(), code(name)]))
}

/// Types of conditions.
pub fn condition_types() -> String {
    let node = [["Node".to_owned(), code(names::NODE_CONDITION)]];
    let policy = status::TYPES.map(|type_| ["LsmPolicy".to_owned(), code(type_)]);
    let kstatus = format!(
        "\n{} and {} follow kstatus: they are present only while they are true. \
         [conditions.md](conditions.md) says what each type means.\n",
        code(conditions::RECONCILING),
        code(conditions::STALLED)
    );
    table(["on", "type"], node.into_iter().chain(policy)) + &kstatus
}

/// Reasons of conditions and of reports.
pub fn reasons() -> String {
    let reports = [
        "LsmNode, Node condition, `LsmPolicy.status.reasons`, `node-probe check`".to_owned(),
        codes(Reason::ALL.iter().map(|reason| reason.code())),
        "[reasons.md](reasons.md)".to_owned(),
    ];
    let of_conditions = TABLES.iter().map(|(condition, rows)| {
        let reasons = codes(rows.iter().map(|row| row.reason.code()));
        [code(condition), reasons, "[conditions.md](conditions.md)".to_owned()]
    });
    let shared = format!(
        "\n{} and the kstatus conditions have the reason of their cause.\n",
        code(conditions::READY)
    );
    table(["reason of", "codes", "meaning"], [reports].into_iter().chain(of_conditions)) + &shared
}
