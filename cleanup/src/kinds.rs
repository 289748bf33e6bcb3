//! The kinds of objects of which lsm-ready has some.

use kube::api::ApiResource;
use lsm_ready_crds::names::GROUP;

/// A kind of the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind { group, version, kind, plural }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

pub const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments");
pub const DAEMON_SET: Kind = kind("apps", "v1", "DaemonSet", "daemonsets");
pub const CLUSTER_ROLE_BINDING: Kind =
    kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings");
pub const ROLE_BINDING: Kind = kind(RBAC, "v1", "RoleBinding", "rolebindings");
pub const CLUSTER_ROLE: Kind = kind(RBAC, "v1", "ClusterRole", "clusterroles");
pub const ROLE: Kind = kind(RBAC, "v1", "Role", "roles");
pub const POLICY_BINDING: Kind =
    kind(ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");
pub const POLICY: Kind =
    kind(ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies");
pub const CRD: Kind =
    kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
pub const SERVICE_ACCOUNT: Kind = kind("", "v1", "ServiceAccount", "serviceaccounts");
pub const QUOTA: Kind = kind("", "v1", "ResourceQuota", "resourcequotas");
pub const LEASE: Kind = kind("coordination.k8s.io", "v1", "Lease", "leases");
pub const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces");

/// Our own kinds.
pub const OURS: [Kind; 3] = [
    kind(GROUP, "v1alpha1", "LsmPolicy", "lsmpolicies"),
    kind(GROUP, "v1alpha1", "LsmNode", "lsmnodes"),
    kind(GROUP, "v1alpha1", "LsmHookProfile", "lsmhookprofiles"),
];

impl Kind {
    /// The kind as kube's client names it.
    pub fn resource(self) -> ApiResource {
        let api_version = if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        };
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version,
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
