//! The key of a DaemonSet: its namespace and name.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::LsmPolicySpec;

/// Namespace and name.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DaemonSetKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl DaemonSetKey {
    /// The DaemonSet that a policy names, if it names one.
    pub fn named_by(spec: &LsmPolicySpec) -> Option<Self> {
        let reference = &spec.tetragon.as_ref()?.daemon_set;
        Some(Self { namespace: reference.namespace.clone(), name: reference.name.clone() })
    }

    /// The key of that DaemonSet.
    pub fn of(daemon_set: &DaemonSet) -> Self {
        Self { namespace: daemon_set.namespace().unwrap_or_default(), name: daemon_set.name_any() }
    }

    /// The key as the stores have it.
    pub fn object_ref(&self) -> ObjectRef<DaemonSet> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl std::fmt::Display for DaemonSetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
