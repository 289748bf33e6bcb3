//! The objects without which the operator cannot clean up, and what to do about each. Pure, but for
//! the requests at the end.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use lsm_ready_cleanup::kinds::{self, Kind};
use lsm_ready_cleanup::metadata;
use lsm_ready_crds::names::{FIELD_MANAGER, FINALIZER, OPERATOR_ACCOUNT};
use serde_json::Value;

use super::Role;
use crate::watch::follow::Followed;

/// The ClusterRole for patching DaemonSets, and its binding.
const PATCHING: &str = "lsm-ready-patching";

/// One of these objects.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: String,
    /// Whether its deletion means that lsm-ready is being uninstalled.
    pub means_uninstall: bool,
    /// Whether it gets our finalizer. The namespace gets none: its deletion is seen early enough.
    gets_finalizer: bool,
}

/// The objects of the operator in that namespace.
pub(super) fn guarded(namespace: &str) -> Vec<Guarded> {
    let object = |kind: Kind, name: &str| Guarded {
        kind,
        namespace: (kind == kinds::SERVICE_ACCOUNT).then(|| namespace.to_owned()),
        name: name.to_owned(),
        means_uninstall: name != PATCHING,
        gets_finalizer: kind != kinds::NAMESPACE,
    };
    vec![
        object(kinds::NAMESPACE, namespace),
        object(kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT),
        object(kinds::CLUSTER_ROLE, OPERATOR_ACCOUNT),
        object(kinds::CLUSTER_ROLE_BINDING, OPERATOR_ACCOUNT),
        object(kinds::CLUSTER_ROLE, PATCHING),
        object(kinds::CLUSTER_ROLE_BINDING, PATCHING),
    ]
}

impl Followed for PartialObjectMeta<DynamicObject> {
    const PAGE: u32 = 10;
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Set our finalizer.
    Hold(Value),
    /// Remove our finalizer: the object is being deleted, and lsm-ready stays.
    LetGo(Value),
    /// Lsm-ready is being uninstalled.
    CleanUp,
    Nothing,
}

/// `is_alone`: its deletion was seen some time ago, and no uninstallation was seen since.
pub(super) fn step(guarded: &Guarded, object: &ObjectMeta, role: Role, is_alone: bool) -> Step {
    let is_being_deleted = object.deletion_timestamp.is_some();
    if is_being_deleted && guarded.means_uninstall {
        return Step::CleanUp;
    }
    let step = match role {
        Role::Leader if is_being_deleted && is_alone => metadata::release(object).map(Step::LetGo),
        Role::Leader if is_being_deleted => None,
        Role::Leader if guarded.gets_finalizer => metadata::hold(object, FINALIZER).map(Step::Hold),
        Role::Standby | Role::Leader => None,
    };
    step.unwrap_or(Step::Nothing)
}

impl Guarded {
    pub fn api(&self, client: &Client) -> Api<PartialObjectMeta<DynamicObject>> {
        let resource = self.kind.resource();
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }

    pub fn field_selector(&self) -> String {
        format!("metadata.name={}", self.name)
    }

    /// The path of the object at the API server.
    pub fn path(&self) -> String {
        let kind = DynamicObject::url_path(&self.kind.resource(), self.namespace.as_deref());
        format!("{kind}/{}", self.name)
    }

    /// Returns the metadata after the patch.
    pub async fn patch(&self, client: &Client, patch: &Value) -> kube::Result<ObjectMeta> {
        let field_manager = Some(FIELD_MANAGER.to_owned());
        let params = PatchParams { field_manager, ..PatchParams::default() };
        let patched = self.api(client).patch(&self.name, &params, &Patch::Merge(patch)).await?;
        Ok(patched.metadata)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(deleted: bool, finalizers: &[&str]) -> ObjectMeta {
        let deleted = deleted.then_some("2026-01-01T00:00:00Z");
        let object = json!({"uid": "u", "resourceVersion": "7", "finalizers": finalizers,
            "deletionTimestamp": deleted});
        serde_json::from_value(object).unwrap()
    }

    fn word(step: &Step) -> &'static str {
        match step {
            Step::Hold(_) => "hold",
            Step::LetGo(_) => "let go",
            Step::CleanUp => "clean up",
            Step::Nothing => "nothing",
        }
    }

    /// Role, kind, name, whether it is being deleted, whether it has our finalizer. If it is being
    /// deleted, this was seen some time ago.
    #[test]
    fn each_object_has_its_step() {
        let objects = guarded("lsm-ready-system");
        let (leader, standby) = (Role::Leader, Role::Standby);
        for (role, kind, name, deleted, held, expected) in [
            (leader, kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT, false, false, "hold"),
            (leader, kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT, false, true, "nothing"),
            (leader, kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT, true, true, "clean up"),
            (leader, kinds::CLUSTER_ROLE, OPERATOR_ACCOUNT, true, false, "clean up"),
            (leader, kinds::NAMESPACE, "lsm-ready-system", false, false, "nothing"),
            (leader, kinds::NAMESPACE, "lsm-ready-system", true, false, "clean up"),
            (leader, kinds::CLUSTER_ROLE_BINDING, PATCHING, false, false, "hold"),
            (leader, kinds::CLUSTER_ROLE_BINDING, PATCHING, true, true, "let go"),
            (leader, kinds::CLUSTER_ROLE_BINDING, PATCHING, true, false, "nothing"),
            (standby, kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT, false, false, "nothing"),
            (standby, kinds::SERVICE_ACCOUNT, OPERATOR_ACCOUNT, true, true, "clean up"),
            (standby, kinds::CLUSTER_ROLE_BINDING, PATCHING, true, true, "nothing"),
        ] {
            let found = objects.iter().find(|object| object.kind == kind && object.name == name);
            let finalizers: &[&str] = if held { &[FINALIZER] } else { &[] };
            let step = step(found.unwrap(), &object(deleted, finalizers), role, true);
            assert_eq!(word(&step), expected, "{role:?} {} {name} {deleted} {held}", kind.kind);
        }
    }

    /// Helm deletes all bindings at once. Which deletion is seen first is chance.
    #[test]
    fn the_right_to_patch_is_kept_until_it_is_clear_that_it_goes_alone() {
        let objects = guarded("lsm-ready-system");
        for object_of in objects.iter().filter(|object| object.name == PATCHING) {
            let deleted = object(true, &[FINALIZER]);
            let step = |is_alone| step(object_of, &deleted, Role::Leader, is_alone);
            assert_eq!([false, true].map(|is_alone| word(&step(is_alone))), ["nothing", "let go"]);
        }
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        let paths: Vec<String> = guarded("ns").iter().map(Guarded::path).collect();
        assert_eq!(paths[0], "/api/v1/namespaces/ns");
        assert_eq!(paths[1], "/api/v1/namespaces/ns/serviceaccounts/lsm-ready-operator");
        let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/lsm-ready-operator";
        assert_eq!(paths[2], role);
    }
}
