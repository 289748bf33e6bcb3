//! Writes a step: the only place that changes DaemonSets.
//!
//! ## Guarantees
//! Server-side apply without force, with the UID (and one guarded merge patch, [`patch::release`]): nobody else's field is touched, a DaemonSet made anew under the same
//! name is not changed, and none is ever created.
//!
//! ## Errors
//! What stays so until somebody acts (no right, a conflict, an invalid result) is an outcome, remembered and told in the
//! policies' status. What may pass (no connection, 429, 5xx) is an error and tried again with backoff.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::FIELD_MANAGER;
use lsm_ready_tetragon::patch;
use serde_json::Value;
use tracing::{info, warn};

use super::step::Write;
use crate::context::Context;
use crate::watch::key::DaemonSetKey;

/// A write that may succeed when it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("applying to DaemonSet {key}: {source}")]
pub struct Error {
    key: DaemonSetKey,
    source: Box<kube::Error>,
}

impl Error {
    /// A short word for metrics.
    pub const fn reason(&self) -> &'static str {
        "apply"
    }
}

/// What came of a write.
#[derive(Debug)]
pub enum Outcome {
    /// It was taken: the DaemonSet as it is now.
    Written(Box<DaemonSet>),
    /// The DaemonSet is gone, or another one has its name. The watch will tell.
    Gone,
    /// It was refused, with the reason and message for the condition.
    Refused(ConditionReason, String),
}

/// Sends it.
pub(super) async fn apply(
    daemon_set: &DaemonSet,
    write: &Write,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let key = DaemonSetKey::of(daemon_set);
    let api = Api::<DaemonSet>::namespaced(ctx.client.clone(), &key.namespace);
    let sent = match write {
        Write::Mount { container } => {
            server_side(&api, &key, patch::mount(daemon_set, container)).await
        }
        Write::GiveBack if patch::is_handed_over(daemon_set) => {
            release(&api, &key, daemon_set).await
        }
        Write::GiveBack => server_side(&api, &key, patch::nothing(daemon_set)).await,
        Write::TakeBack { mark, .. } => {
            server_side(&api, &key, patch::taken_back(daemon_set, mark)).await
        }
    };
    match sent {
        Ok(Some(written)) => {
            ctx.metrics.wrote("DaemonSet");
            info!(daemon_set = %key, ?write, generation = written.metadata.generation, "daemon set changed");
            Ok(Outcome::Written(Box::new(written)))
        }
        Ok(None) => Ok(Outcome::Gone),
        Err(kube::Error::Api(status)) => match refusal(&status, &key) {
            Some(outcome) => {
                warn!(daemon_set = %key, ?write, ?outcome, "daemon set not changed");
                Ok(outcome)
            }
            None => Err(Error { key, source: Box::new(kube::Error::Api(status)) }),
        },
        Err(error) => Err(Error { key, source: Box::new(error) }),
    }
}

async fn server_side(
    api: &Api<DaemonSet>,
    key: &DaemonSetKey,
    object: Value,
) -> kube::Result<Option<DaemonSet>> {
    api.patch(&key.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(object)).await.map(Some)
}

/// Takes ours out of a DaemonSet whose owner has taken the mount over. The managed fields are not in our store.
async fn release(
    api: &Api<DaemonSet>,
    key: &DaemonSetKey,
    seen: &DaemonSet,
) -> kube::Result<Option<DaemonSet>> {
    let live = api.get_opt(&key.name).await?.filter(|live| live.metadata.uid == seen.metadata.uid);
    let Some(live) = live else { return Ok(None) };
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&key.name, &params, &Patch::Strategic(patch::release(&live))).await.map(Some)
}

/// What the API server's refusal means; nothing where the next try may succeed.
fn refusal(status: &Status, key: &DaemonSetKey) -> Option<Outcome> {
    let conflicts = conflicts(status);
    let (reason, message) = match status.code {
        404 => return Some(Outcome::Gone),
        // The UID in the object is a precondition.
        409 if status.message.to_ascii_lowercase().contains("uid") => return Some(Outcome::Gone),
        409 if !conflicts.is_empty() => (
            ConditionReason::FieldConflict,
            format!(
                "another field manager set what lsm-ready would add to DaemonSet {key}: {}; take it out there, or keep \
                 it there and say apply: Suggest",
                conflicts.join("; ")
            ),
        ),
        403 => (
            ConditionReason::Forbidden,
            format!(
                "the operator was not allowed to patch DaemonSet {key}: install the ClusterRole lsm-ready-patching \
                 (config/rbac/patching), or say apply: Suggest; the API server says: {}",
                status.message
            ),
        ),
        400 | 405 | 413 | 415 | 422 => (
            ConditionReason::ApplyFailed,
            format!(
                "the API server did not take what lsm-ready would change in DaemonSet {key}: {}",
                status.message
            ),
        ),
        _ => return None,
    };
    Some(Outcome::Refused(reason, message))
}

/// The managers and fields that a server-side apply runs against.
fn conflicts(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let conflicts = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    conflicts.map(|cause| format!("{} at {}", cause.message, cause.field)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a refusal with that code and those details comes to, in a word and the message.
    fn outcome(code: u16, message: &str, details: &Value) -> (String, String) {
        let status =
            json!({"status": "Failure", "code": code, "message": message, "details": details});
        let key = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
        match refusal(&serde_json::from_value(status).unwrap(), &key) {
            Some(Outcome::Refused(reason, message)) => (reason.code().to_owned(), message),
            Some(other) => (format!("{other:?}"), String::new()),
            None => ("again".to_owned(), String::new()),
        }
    }

    #[test]
    fn each_refusal_has_its_meaning() {
        let uid = "Operation cannot be fulfilled on daemonsets.apps \"tetragon\": uid mismatch: the provided object \
                   specified uid 1, and no existing object was found";
        for (code, message, meaning) in [
            (404, "not found", "Gone"),
            (409, uid, "Gone"),
            (409, "Precondition failed: UID in precondition: 1, UID in object meta: 2", "Gone"),
            (
                409,
                "the object has been modified; please apply your changes to the latest version",
                "again",
            ),
            (403, "daemonsets.apps is forbidden", "Forbidden"),
            (422, "DaemonSet is invalid", "ApplyFailed"),
            (429, "too many requests", "again"),
            (500, "etcd is away", "again"),
            (503, "not yet", "again"),
        ] {
            assert_eq!(outcome(code, message, &Value::Null).0, meaning, "{code} {message}");
        }
    }

    #[test]
    fn a_conflict_names_manager_and_field() {
        let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1",
            "field": ".spec.template.spec.volumes[name=\"lsm-ready-securityfs\"].hostPath.type"});
        let (reason, message) =
            outcome(409, "Apply failed with 1 conflict", &json!({"causes": [cause]}));
        assert_eq!(reason, "FieldConflict");
        assert!(
            message.contains("conflict with \"helm\" using apps/v1 at .spec.template.spec.volumes"),
            "{message}"
        );
    }
}
