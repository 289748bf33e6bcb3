//! Which objects were installed for lsm-ready. Pure.

use kube::ResourceExt;
use kube::api::DynamicObject;
use lsm_ready_crds::names::{CLEANUP_JOB, GROUP, INSTALLATION_PREFIX};
use serde_json::Value;

use crate::kinds::{self, Kind};

/// The label of everything in `config/`, and its value.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "lsm-ready");

/// How installed objects of a kind are recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The name begins with `lsm-ready-`.
    Name,
    /// The name begins with `lsm-ready-`, in our namespace.
    NameInNamespace,
    /// All subjects are ServiceAccounts of our namespace, whatever the name is: docs/install.md
    /// tells people to create such bindings in Tetragon's namespace.
    Subjects,
    /// The CRD's group is ours.
    Group,
    /// It is our namespace and has our label. A namespace that somebody else made is kept.
    Label,
}

/// One kind, and how its installed objects are recognised.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub kind: Kind,
    pub sign: Sign,
}

const fn rule(kind: Kind, sign: Sign) -> Rule {
    Rule { kind, sign }
}

/// The workloads and their rights: without them nobody writes any more. The bindings of the
/// admission policies are among them, so that none of another version refuses the cleanup.
pub const WRITERS: [Rule; 5] = [
    rule(kinds::DEPLOYMENT, Sign::NameInNamespace),
    rule(kinds::DAEMON_SET, Sign::NameInNamespace),
    rule(kinds::CLUSTER_ROLE_BINDING, Sign::Subjects),
    rule(kinds::ROLE_BINDING, Sign::Subjects),
    rule(kinds::POLICY_BINDING, Sign::Name),
];

/// Everything else, in the order in which it is deleted.
pub const REST: [Rule; 8] = [
    rule(kinds::POLICY, Sign::Name),
    rule(kinds::CRD, Sign::Group),
    rule(kinds::CLUSTER_ROLE, Sign::Name),
    rule(kinds::ROLE, Sign::NameInNamespace),
    rule(kinds::LEASE, Sign::NameInNamespace),
    rule(kinds::QUOTA, Sign::NameInNamespace),
    rule(kinds::SERVICE_ACCOUNT, Sign::NameInNamespace),
    rule(kinds::NAMESPACE, Sign::Label),
];

/// Where lsm-ready is installed, and what has to stay for now.
#[derive(Clone, Debug)]
pub struct Installation {
    pub namespace: String,
    /// Whether the objects of `config/cleanup` stay: the Job cannot delete its own rights.
    pub keep_job: bool,
}

impl Installation {
    /// Whether this object was installed for lsm-ready.
    pub fn has(&self, sign: Sign, object: &DynamicObject) -> bool {
        let name = object.name_any();
        let is_of_job = name == CLEANUP_JOB || object.namespace().as_deref() == Some(CLEANUP_JOB);
        if is_of_job && self.keep_job {
            return false;
        }
        match sign {
            Sign::Name | Sign::NameInNamespace => name.starts_with(INSTALLATION_PREFIX),
            Sign::Subjects => self.is_for_our_accounts(object),
            Sign::Group => object.data.pointer("/spec/group") == Some(&Value::from(GROUP)),
            Sign::Label => {
                let label = object.labels().get(PART_OF.0);
                (name == self.namespace || name == CLEANUP_JOB)
                    && label.is_some_and(|value| value == PART_OF.1)
            }
        }
    }

    fn is_for_our_accounts(&self, binding: &DynamicObject) -> bool {
        let subjects = binding.data["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        !subjects.is_empty()
            && subjects.iter().all(|subject| {
                subject["kind"] == "ServiceAccount"
                    && (subject["namespace"] == self.namespace.as_str()
                        || subject["namespace"] == CLEANUP_JOB)
            })
    }
}

#[cfg(test)]
mod tests;
