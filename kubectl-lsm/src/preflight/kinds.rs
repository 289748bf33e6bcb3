//! Which objects are Tetragon's policies, and which look as if they were meant to be.

use lsm_ready_crds::text::nearest;
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS};
use serde_json::Value;

pub enum Kind<'a> {
    /// One of Tetragon's policies, of that kind.
    Policy(&'a str),
    /// Not a policy, but probably meant to be one. The sentence says why.
    Similar(String),
    /// Something else.
    Other,
}

pub fn kind(object: &Value) -> Kind<'_> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let is_known = KINDS.iter().any(|(known, _)| *known == kind);
    match group {
        GROUP if is_known => Kind::Policy(kind),
        GROUP if is_of_cilium(kind) => Kind::Other,
        GROUP => Kind::Similar(format!(
            "unknown kind {kind:?} of the group cilium.io; did you mean {}",
            intended(kind)
        )),
        _ if is_known => Kind::Similar(format!(
            "kind {kind} has apiVersion {version:?}; write cilium.io/v1alpha1"
        )),
        _ if object["spec"].get("lsmhooks").is_some() => Kind::Similar(format!(
            "an object of kind {kind:?} has spec.lsmhooks; a policy has apiVersion \
             cilium.io/v1alpha1 and kind {}",
            intended(kind)
        )),
        _ => Kind::Other,
    }
}

/// Other kinds of the group, which Cilium and Tetragon own.
fn is_of_cilium(kind: &str) -> bool {
    kind.starts_with("Cilium") || ["PodInfo", "EgressGatewayPolicy"].contains(&kind)
}

/// The kind of Tetragon's policies that is most similar.
fn intended(kind: &str) -> &'static str {
    let [(cluster_wide, _), (namespaced, _)] = KINDS;
    let kind = kind.to_lowercase();
    let lower = namespaced.to_lowercase();
    let is_similar = !nearest(&kind, [lower.as_str()].into_iter()).is_empty();
    if kind.contains("namespaced") || is_similar { namespaced } else { cluster_wide }
}
