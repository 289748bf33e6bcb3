//! The key of an object: its namespace and name.

use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use kube_runtime::reflector::{Lookup, ObjectRef};
use lsm_ready_crds::LsmPolicySpec;

/// Namespace and name of an object of any kind.
pub(super) type Key = (Option<String>, String);

pub(super) fn key_of(object: &impl Resource) -> Key {
    key_in(object.meta())
}

/// The same, of an object of which only the metadata could be parsed.
pub(super) fn key_in(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone(), metadata.name.clone().unwrap_or_default())
}

/// By which a store knows the object.
pub(super) fn object_ref<K: Lookup<DynamicType = ()>>((namespace, name): &Key) -> ObjectRef<K> {
    let object = ObjectRef::new(name);
    match namespace {
        Some(namespace) => object.within(namespace),
        None => object,
    }
}

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
        Self {
            namespace: ResourceExt::namespace(daemon_set).unwrap_or_default(),
            name: daemon_set.name_any(),
        }
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
