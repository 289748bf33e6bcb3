//! Parts of a DaemonSet that several modules need.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use kube::ResourceExt;

use crate::image::{Image, VERSION_LABEL, Version};

pub(crate) fn template(daemon_set: &DaemonSet) -> Option<&PodTemplateSpec> {
    daemon_set.spec.as_ref().map(|spec| &spec.template)
}

/// The pod of the DaemonSet's template.
#[must_use]
pub fn pod(daemon_set: &DaemonSet) -> Option<&PodSpec> {
    template(daemon_set)?.spec.as_ref()
}

/// The agent's release, as its image or the chart's label names it.
#[must_use]
pub fn release(daemon_set: &DaemonSet, container: &Container) -> Option<Version> {
    Image::parse(container.image.as_deref().unwrap_or_default()).version(version_label(daemon_set))
}

/// The chart's version label: of the pod template, else of the DaemonSet, because values can
/// override the labels of the template.
#[must_use]
pub fn version_label(daemon_set: &DaemonSet) -> Option<&str> {
    let template = template(daemon_set).and_then(|template| template.metadata.as_ref());
    let label = template.and_then(|metadata| metadata.labels.as_ref()?.get(VERSION_LABEL));
    label.or_else(|| daemon_set.labels().get(VERSION_LABEL)).map(String::as_str)
}
