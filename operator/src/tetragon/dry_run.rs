//! Whether Pod Security would forbid agents with the mount, before anything is written.
//!
//! ## Flow
//! the pod template has no other hostPath volume → a dry run of the patch → the API server's
//! warnings: Pod Security evaluates a DaemonSet's template as it would evaluate its pods.
//!
//! ## Guarantees
//! Nothing is sent where the template has a hostPath volume already, as Tetragon's has: each level
//! of Pod Security allows all hostPath volumes or none, so ours changes nothing. The dry run needs
//! no right but the one to patch. To create the pod by a dry run would be more exact, and would
//! need the right to create pods.
//!
//! ## Assumptions
//! A namespace that enforces a level warns at that level too, unless a label says otherwise. Where
//! one does, and where a quota forbids the pods, the mount is taken back when the first pod cannot
//! be made ([`super::rollout::missing`]).
//!
//! ## Errors
//! A dry run that fails decides nothing: the patch itself gets the same answer.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::core::Request;
use kube::{Client, Resource};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::{FIELD_MANAGER, SECURITYFS_VOLUME};
use lsm_ready_crds::text::{printable, truncate};
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::pod;
use tracing::debug;

use super::observe::Observation;
use super::write::{Outcome, Write, fenced};

/// Longest text of a warning in a condition.
const MAX_CHARS: usize = 400;

/// The refusal of a mount with which Pod Security forbids the pods.
pub(super) async fn refusal(
    write: &Write,
    observed: &Observation<'_>,
    client: &Client,
) -> Option<Outcome> {
    let Write::Mount { container } = write else { return None };
    if has_host_path(observed.daemon_set) {
        return None;
    }
    let warnings = match warnings(container, observed, client).await {
        Ok(warnings) => warnings,
        Err(error) => {
            debug!(daemon_set = %observed.key, %error, "dry run failed");
            return None;
        }
    };
    let warning = warnings.iter().find(|warning| forbids_ours(warning))?;
    let message = format!(
        "Pod Security forbids pods with the mount in namespace {}, so the old agents would go and \
         no new ones would come: {}. Allow them (label pod-security.kubernetes.io/enforce: \
         privileged on the namespace), or set mount: Never",
        observed.key.namespace,
        truncate(warning, MAX_CHARS)
    );
    Some(Outcome::Refused { reason: ConditionReason::PodsForbidden, message })
}

/// Whether the pod template has a hostPath volume.
fn has_host_path(daemon_set: &DaemonSet) -> bool {
    let volumes = pod(daemon_set).and_then(|pod| pod.volumes.as_ref());
    volumes.into_iter().flatten().any(|volume| volume.host_path.is_some())
}

fn forbids_ours(warning: &str) -> bool {
    warning.contains("violate PodSecurity") && warning.contains(SECURITYFS_VOLUME)
}

/// The warnings that the patch gets.
async fn warnings(
    container: &str,
    observed: &Observation<'_>,
    client: &Client,
) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let path = DaemonSet::url_path(&(), Some(&observed.key.namespace));
    let params = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER) };
    let object = patch::mount(observed.daemon_set, container);
    let object = Patch::Apply(fenced(object, observed.daemon_set));
    let request = Request::new(path).patch(&observed.key.name, &params, &object)?;
    let response = client.send(request.map(Body::from)).await?;
    let texts = response.headers().get_all(http::header::WARNING).iter();
    Ok(texts.filter_map(|text| Some(plain(text.to_str().ok()?))).collect())
}

/// The text of a header `299 - "text"`, without its escapes.
fn plain(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text);
    let text = text.strip_suffix('"').unwrap_or(text).replace("\\\"", "\"");
    printable(&text, usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_warning_about_our_volume_is_read_from_its_header() {
        let header = r#"299 - "would violate PodSecurity \"restricted:latest\": restricted volume types (volume \"lsm-ready-securityfs\" uses restricted volume type \"hostPath\")""#;
        let warning = plain(header);
        assert!(forbids_ours(&warning), "{warning}");
        assert!(
            warning.starts_with("would violate PodSecurity \"restricted:latest\""),
            "{warning}"
        );
        assert!(!forbids_ours(&plain(
            r#"299 - "would violate PodSecurity \"restricted:latest\"""#
        )));
        assert!(!forbids_ours(&plain(r#"299 - "lsm-ready-securityfs is deprecated""#)));
    }

    #[test]
    fn a_template_with_a_host_path_needs_no_dry_run() {
        for (volumes, expected) in [
            (json!([{"name": "a", "emptyDir": {}}]), false),
            (json!([{"name": "a", "hostPath": {"path": "/x"}}]), true),
            (json!([]), false),
        ] {
            let object = json!({"spec": {"selector": {}, "template": {"spec": {
                "volumes": volumes, "containers": []}}}});
            assert_eq!(has_host_path(&serde_json::from_value(object).unwrap()), expected);
        }
    }
}
