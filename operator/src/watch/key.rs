//! The key of a DaemonSet: its namespace and name.

use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::LsmPolicySpec;

#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DaemonSetKey {
    pub namespace: String,
    pub name: String,
}

impl DaemonSetKey {
    /// The DaemonSet that a policy names, if it names one.
    pub fn named_by(spec: &LsmPolicySpec) -> Option<Self> {
        let reference = &spec.tetragon.as_ref()?.daemon_set;
        Some(Self { namespace: reference.namespace.clone(), name: reference.name.clone() })
    }

    pub fn of(daemon_set: &DaemonSet) -> Self {
        Self { namespace: daemon_set.namespace().unwrap_or_default(), name: daemon_set.name_any() }
    }

    /// The key in the form that the stores and queues take.
    pub fn object_ref(&self) -> ObjectRef<DaemonSet> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl fmt::Display for DaemonSetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
