//! Names that stand in objects of the cluster: labels, taints, annotations, conditions, reasons, events.

use lsm_ready_crds::conditions::{self, tables::TABLES};
use lsm_ready_crds::{Reason, names};
use lsm_ready_operator::policy::status;

use crate::markdown::{code, codes, table};

/// Keys of labels, taints and annotations.
pub fn keys() -> String {
    let rows = [
        [
            "label of a Node",
            names::BPF_LABEL,
            "`true`, `false`, `unknown`",
            "whether this boot of the node denied a call through LSM BPF",
        ],
        [
            "label of a Node",
            &names::policy_label("NAME"),
            "`ready`, `not-ready`, `unknown`",
            "the verdict for the LsmPolicy NAME",
        ],
        [
            "taint of a Node",
            names::TAINT_KEY,
            "effect `NoSchedule` or `PreferNoSchedule`",
            "set by a policy with `spec.taint` on nodes that are not ready",
        ],
        [
            "label of a DaemonSet",
            names::DAEMON_SET_LABEL,
            "`mounted`, `taken-back-…`",
            "lsm-ready added the securityfs mount, or took it back",
        ],
        [
            "annotation of a DaemonSet",
            names::APPLY_ANNOTATION,
            "`allow`, `hold`",
            "the owner allows or forbids a change now",
        ],
    ];
    let row = |[on, key, values, meaning]: [&str; 4]| {
        [on.to_owned(), code(key), values.to_owned(), meaning.to_owned()]
    };
    let prefix = format!(
        "\nEvery label of a Node begins with `{}`. NodeRestriction forbids kubelets to set labels with this prefix. A name of an \
         LsmPolicy has at most {} characters, because it is part of a label key.\n",
        names::NODE_LABEL_PREFIX,
        names::POLICY_NAME_MAX
    );
    table(["where", "key", "values", "meaning"], rows.map(row)) + &prefix
}

/// The volume, its path, and who writes.
pub fn names() -> String {
    let rows = [
        ("volume in Tetragon's pod template", names::SECURITYFS_VOLUME),
        ("path of that mount, on the host and in the container", names::SECURITYFS_PATH),
        ("field manager of the operator", names::FIELD_MANAGER),
        ("field manager of the probe", names::PROBE_FIELD_MANAGER),
        ("Lease of the operator's leader election", lsm_ready_operator::run::election::LEASE),
    ];
    table(["name of", "name"], rows.map(|(what, name)| [what.to_owned(), code(name)]))
}

/// Types of conditions.
pub fn condition_types() -> String {
    let node = [["Node".to_owned(), code(names::NODE_CONDITION)]];
    let policy = status::TYPES.map(|type_| ["LsmPolicy".to_owned(), code(type_)]);
    let kstatus = format!(
        "\n{} and {} follow kstatus: they are present only while they are true. [conditions.md](conditions.md) says what each type \
         means.\n",
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
