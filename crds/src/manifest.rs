//! The `CustomResourceDefinition`s as YAML, for `config/crd`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{LsmHookProfile, LsmNode, LsmPolicy};

/// First line of each generated file.
const HEADER: &str = "# Generated from crds/src by `make crds`. Do not edit.\n";

/// The definitions of all three kinds.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![with_default_status(LsmPolicy::crd()), LsmNode::crd(), LsmHookProfile::crd()]
}

/// The status that a new object has until the operator has looked at it. Without it, kstatus takes
/// the object for ready: an object without conditions has nothing to wait for. No generation is
/// negative, so with it kstatus waits.
fn with_default_status(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    let roots = schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut());
    for status in roots.filter_map(|root| root.properties.as_mut()?.get_mut("status")) {
        status.default = Some(JSON(json!({"observedGeneration": -1})));
    }
    crd
}

/// The file name and content of each definition, as `make crds` writes them.
///
/// # Errors
/// When a definition cannot be serialized, which is a bug in this crate.
pub fn files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    definitions()
        .into_iter()
        .map(|crd| {
            let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            Ok((name, format!("{HEADER}{}", serde_saphyr::to_string(&crd)?)))
        })
        .collect()
}
