//! Sends a [`Write`] to the API server. Only this module changes DaemonSets.
//!
//! ## Guarantees
//! Each write is a server-side apply without force, or the one guarded merge patch
//! [`patch::release`]. The UID is a precondition. So no field of another manager is changed, a
//! DaemonSet made anew under the same name is not changed, and no DaemonSet is created.
//!
//! ## Errors
//! A refusal that lasts until somebody acts (a missing right, a conflict, an invalid result) is an
//! [`Outcome`]: it is remembered and reported in the policies' status. A failure that may pass (no
//! connection, 429, 5xx) is an [`Error`] and retried with backoff.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::FIELD_MANAGER;
use lsm_ready_tetragon::patch;
use tracing::{info, warn};

use super::observe::Observation;
use super::write::{Error, Outcome, Write};
use crate::context::Context;
use crate::watch::key::DaemonSetKey;

/// Sends the write.
pub(super) async fn apply(
    write: &Write,
    observed: &Observation<'_>,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let key = &observed.key;
    match send(write, observed, ctx).await {
        Ok(Some(written)) => {
            ctx.metrics.wrote("DaemonSet");
            let generation = written.metadata.generation;
            info!(daemon_set = %key, ?write, generation, "DaemonSet changed");
            Ok(Outcome::Written(Box::new(written)))
        }
        Ok(None) => Ok(Outcome::Gone),
        Err(error) => {
            let refused = match &error {
                kube::Error::Api(status) => refusal(status, key),
                _ => None,
            };
            let outcome =
                refused.ok_or_else(|| Error { key: key.clone(), source: Box::new(error) })?;
            warn!(daemon_set = %key, ?write, ?outcome, "DaemonSet not changed");
            Ok(outcome)
        }
    }
}

/// None where the DaemonSet is gone.
async fn send(
    write: &Write,
    observed: &Observation<'_>,
    ctx: &Context,
) -> kube::Result<Option<DaemonSet>> {
    let daemon_set = observed.daemon_set;
    let api = Api::<DaemonSet>::namespaced(ctx.client.clone(), &observed.key.namespace);
    let object = match write {
        Write::Mount { container } => patch::mount(daemon_set, container),
        Write::Remove if patch::is_handed_over(daemon_set) => {
            return release(&api, observed).await;
        }
        Write::Remove => patch::nothing(daemon_set),
        Write::TakeBack { mark, .. } => patch::taken_back(daemon_set, mark),
    };
    let params = PatchParams::apply(FIELD_MANAGER);
    api.patch(&observed.key.name, &params, &Patch::Apply(object)).await.map(Some)
}

/// Removes ours from a DaemonSet whose owner has taken the mount over. The patch needs the managed
/// fields, which our store does not keep.
async fn release(
    api: &Api<DaemonSet>,
    observed: &Observation<'_>,
) -> kube::Result<Option<DaemonSet>> {
    let name = &observed.key.name;
    let uid = &observed.daemon_set.metadata.uid;
    let Some(live) = api.get_opt(name).await?.filter(|live| live.metadata.uid == *uid) else {
        return Ok(None);
    };
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Strategic(patch::release(&live))).await.map(Some)
}

/// The outcome of a request that the API server refused. None where the next try may succeed.
fn refusal(status: &Status, key: &DaemonSetKey) -> Option<Outcome> {
    let conflicts = conflicts(status);
    let refused = |reason, message| Some(Outcome::Refused { reason, message });
    match status.code {
        404 => Some(Outcome::Gone),
        // The UID in the object is a precondition.
        409 if status.message.to_ascii_lowercase().contains("uid") => Some(Outcome::Gone),
        409 if conflicts.is_empty() => None,
        409 => refused(ConditionReason::FieldConflict, conflict(key, &conflicts)),
        403 => refused(ConditionReason::Forbidden, forbidden(key, status)),
        400 | 405 | 413 | 415 | 422 => {
            let message =
                format!("the API server refused the change of DaemonSet {key}: {}", status.message);
            refused(ConditionReason::ApplyFailed, message)
        }
        _ => None,
    }
}

fn conflict(key: &DaemonSetKey, conflicts: &[String]) -> String {
    format!(
        "another field manager owns a field that lsm-ready would set in DaemonSet {key}: {}; \
         remove the field there, or keep it and set apply: Suggest",
        conflicts.join("; ")
    )
}

fn forbidden(key: &DaemonSetKey, status: &Status) -> String {
    format!(
        "the operator may not patch DaemonSet {key}: install the ClusterRole lsm-ready-patching \
         (config/rbac/patching), or set apply: Suggest; the API server says: {}",
        status.message
    )
}

/// The managers and fields that a server-side apply conflicts with.
fn conflicts(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let conflicts = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    conflicts.map(|cause| format!("{} at {}", cause.message, cause.field)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The outcome of a refusal with that code and those details: a word, and the message.
    fn outcome(code: u16, message: &str, details: &Value) -> (String, String) {
        let status =
            json!({"status": "Failure", "code": code, "message": message, "details": details});
        let key = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
        match refusal(&serde_json::from_value(status).unwrap(), &key) {
            Some(Outcome::Refused { reason, message }) => (reason.code().to_owned(), message),
            Some(other) => (format!("{other:?}"), String::new()),
            None => ("again".to_owned(), String::new()),
        }
    }

    #[test]
    fn each_refusal_has_its_outcome() {
        let uid = "Operation cannot be fulfilled on daemonsets.apps \"tetragon\": uid mismatch: \
         the provided object \
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
    fn a_conflict_names_the_manager_and_the_field() {
        let cause = json!({"reason": "FieldManagerConflict",
            "message": "conflict with \"helm\" using apps/v1",
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
