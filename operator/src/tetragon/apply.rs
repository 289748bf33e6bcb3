//! Sends a [`Write`] to the API server. Only this module changes DaemonSets.
//!
//! ## Guarantees
//! Each write is a server-side apply without force, or the one guarded merge patch
//! [`patch::release`]. The UID and the resourceVersion are preconditions. So no field of another
//! manager is changed, a DaemonSet made anew under the same name is not changed, and no DaemonSet
//! is created.
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

use super::dry_run;
use super::observe::Observation;
use super::write::{Error, Outcome, Write, fenced};
use crate::context::Context;

/// Sends the write.
pub(super) async fn apply(
    write: &Write,
    observed: &Observation<'_>,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let key = &observed.key;
    if let Some(refused) = dry_run::refusal(write, observed, &ctx.client).await {
        warn!(daemon_set = %key, ?write, outcome = ?refused, "DaemonSet not changed");
        return Ok(refused);
    }
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
                kube::Error::Api(status) => refusal(status),
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
    let (daemon_set, name) = (observed.daemon_set, &observed.key.name);
    let api = Api::<DaemonSet>::namespaced(ctx.client.clone(), &observed.key.namespace);
    let object = match write {
        Write::Remove if patch::is_handed_over(daemon_set) => {
            // This patch needs the managed fields, which our store does not keep.
            let live = api.get_opt(name).await?;
            let live = live.filter(|live| live.metadata.uid == daemon_set.metadata.uid);
            let Some(live) = live else { return Ok(None) };
            let field_manager = Some(FIELD_MANAGER.to_owned());
            let params = PatchParams { field_manager, ..PatchParams::default() };
            let release = Patch::Strategic(patch::release(&live));
            return api.patch(name, &params, &release).await.map(Some);
        }
        Write::Mount { container } => patch::mount(daemon_set, container),
        Write::Remove => patch::nothing(daemon_set),
        Write::TakeBack { mark, .. } => patch::taken_back(daemon_set, mark),
    };
    let params = PatchParams::apply(FIELD_MANAGER);
    let object = fenced(object, daemon_set);
    api.patch(name, &params, &Patch::Apply(object)).await.map(Some)
}

/// The outcome of a request that the API server refused. None where the next try may succeed.
fn refusal(status: &Status) -> Option<Outcome> {
    let conflicts = conflicts(status);
    let refused = |reason, message| Some(Outcome::Refused { reason, message });
    match status.code {
        404 => Some(Outcome::Gone),
        // The UID in the object is a precondition: another DaemonSet has the name now.
        409 if status.message.to_ascii_lowercase().contains("uid") => Some(Outcome::Gone),
        422 if status.message.contains("metadata.uid") => Some(Outcome::Gone),
        409 if conflicts.is_empty() => None,
        409 => refused(ConditionReason::FieldConflict, conflict(&conflicts)),
        403 => refused(ConditionReason::Forbidden, forbidden(status)),
        400 | 405 | 413 | 415 | 422 => {
            let message = format!("the API server refused the change: {}", status.message);
            refused(ConditionReason::ApplyFailed, message)
        }
        _ => None,
    }
}

fn conflict(conflicts: &[String]) -> String {
    format!(
        "another field manager owns a field that lsm-ready would set: {}; remove the field there, \
         or keep it and set apply: Suggest",
        conflicts.join("; ")
    )
}

fn forbidden(status: &Status) -> String {
    format!(
        "the operator may not patch the DaemonSet: install the ClusterRole lsm-ready-patching \
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
        match refusal(&serde_json::from_value(status).unwrap()) {
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
            (422, "DaemonSet is invalid: metadata.uid: field is immutable", "Gone"),
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
