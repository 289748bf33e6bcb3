//! The `CustomResourceDefinition`s as YAML, for `config/crd`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{LsmHookProfile, LsmNode, LsmPolicy};

/// First line of each generated file.
const HEADER: &str = "# Generated from crds/src by `make crds`. Do not edit.\n";

/// The definitions of all three kinds.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![LsmPolicy::crd(), LsmNode::crd(), LsmHookProfile::crd()]
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
