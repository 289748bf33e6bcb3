//! Which objects are Tetragon's policies, and which look as if they were meant to be.

use lsm_ready_crds::text::nearest;
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS};
use serde_json::Value;

/// What an object is.
pub enum Kind<'a> {
    /// A policy.
    Policy(&'a str),
    /// No policy, and perhaps meant to be one. The sentence says so.
    Like(String),
    /// Something else.
    Other,
}

/// What that object is.
pub fn kind(object: &Value) -> Kind<'_> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let is_ours = KINDS.iter().any(|(known, _)| *known == kind);
    match group {
        GROUP if is_ours => Kind::Policy(kind),
        GROUP if is_of_cilium(kind) => Kind::Other,
        GROUP => Kind::Like(format!(
            "unknown kind {kind:?} of the group cilium.io; did you mean {}",
            meant(kind)
        )),
        _ if is_ours => {
            Kind::Like(format!("kind {kind} has apiVersion {version:?}; write cilium.io/v1alpha1"))
        }
        _ if object["spec"].get("lsmhooks").is_some() => Kind::Like(format!(
            "an object of kind {kind:?} has spec.lsmhooks; a policy has apiVersion cilium.io/v1alpha1 and kind {}",
            meant(kind)
        )),
        _ => Kind::Other,
    }
}

/// Kinds of Cilium's, and the other kind of Tetragon's.
fn is_of_cilium(kind: &str) -> bool {
    kind.starts_with("Cilium") || ["PodInfo", "EgressGatewayPolicy"].contains(&kind)
}

/// The kind of Tetragon's that is most like that one.
fn meant(kind: &str) -> &'static str {
    let lower = kind.to_lowercase();
    let is_like =
        |known: &str| !nearest(&lower, [known.to_lowercase().as_str()].into_iter()).is_empty();
    let named = lower.contains("namespaced") || is_like(KINDS[1].0);
    if named { KINDS[1].0 } else { KINDS[0].0 }
}
