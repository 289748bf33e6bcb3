//! Which DaemonSets the operator may change and restart.
//!
//! In: a DaemonSet and the name of its agent's container. Out: yes or no. A policy names any
//! DaemonSet, and whoever writes policies may have no other right in its namespace. So a mount of
//! the host goes only into Tetragon's agents, and into DaemonSets whose owners allow it
//! (docs/adr/0034-which-daemon-sets.md). The admission policy lsm-ready-operator-on-daemonsets has
//! the same rule.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;
use lsm_ready_crds::names::{ALLOW, ALLOW_ANNOTATION};
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::image::Image;
use lsm_ready_tetragon::plan::pod;

/// The label in which charts name the program
/// (<https://helm.sh/docs/chart_best_practices/labels/>).
const NAME_LABEL: &str = "app.kubernetes.io/name";

/// The programs whose DaemonSets may be changed without their owners' consent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowList(Vec<String>);

impl Default for AllowList {
    fn default() -> Self {
        Self(vec!["tetragon".to_owned()])
    }
}

impl AllowList {
    /// The list of these programs.
    pub const fn new(programs: Vec<String>) -> Self {
        Self(programs)
    }

    /// Whether the container of that name, or the one that stands for it, may get the mount.
    pub fn allows(&self, daemon_set: &DaemonSet, container: &str) -> bool {
        let consents = daemon_set.annotations().get(ALLOW_ANNOTATION);
        if consents.is_some_and(|value| value == ALLOW) {
            return true;
        }
        let Some(agent) = pod(daemon_set).and_then(|pod| agent(pod, container).ok()) else {
            return false;
        };
        name(daemon_set).is_some_and(|name| self.0.contains(name) && runs(agent, name))
    }

    /// The programs, for messages.
    pub fn words(&self) -> String {
        self.0.join(", ")
    }
}

/// The name of the program by the labels of the DaemonSet, else of its pods.
fn name(daemon_set: &DaemonSet) -> Option<&String> {
    let own = daemon_set.labels().get(NAME_LABEL);
    let template = daemon_set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    own.or_else(|| template?.labels.as_ref()?.get(NAME_LABEL))
}

fn runs(container: &Container, program: &str) -> bool {
    container.image.as_deref().is_some_and(|image| Image::parse(image).is_build_of(program))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_allowed(list: &AllowList, labels: &Value, image: &str, annotations: &Value) -> bool {
        let object = json!({"metadata": {"labels": labels, "annotations": annotations},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "export-stdout", "image": "quay.io/cilium/hubble-export-stdout:v1"},
                {"name": "tetragon", "image": image}]}}}});
        list.allows(&serde_json::from_value(object).unwrap(), "tetragon")
    }

    #[test]
    fn tetragons_agents_are_on_the_list_by_label_and_image() {
        let (list, none) = (AllowList::default(), json!({}));
        let tetragon = json!({"app.kubernetes.io/name": "tetragon"});
        for (labels, image, expected) in [
            (&tetragon, "quay.io/cilium/tetragon:v1.3.0", true),
            (&tetragon, "registry:5000/mirror/tetragon-ci@sha256:aa", true),
            (&tetragon, "quay.io/cilium/tetragon-operator:v1.3.0", false),
            (&tetragon, "registry/agent:v1", false),
            (&tetragon, "tetragon/busybox", false),
            (&none, "quay.io/cilium/tetragon:v1.3.0", false),
            (&json!({"app.kubernetes.io/name": "other"}), "tetragon:v1.3.0", false),
            (&json!({"app.kubernetes.io/name": "other"}), "other:v1.3.0", false),
        ] {
            assert_eq!(is_allowed(&list, labels, image, &none), expected, "{labels} {image}");
        }
    }

    #[test]
    fn the_label_of_the_pods_counts_where_the_daemon_set_has_none() {
        let object = json!({"spec": {"selector": {}, "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "tetragon"}},
            "spec": {"containers": [{"name": "tetragon", "image": "tetragon:v1.3.0"}]}}}});
        let object = serde_json::from_value(object).unwrap();
        assert!(AllowList::default().allows(&object, "tetragon"));
        assert!(!AllowList::default().allows(&object, "other"), "there is no such container");
    }

    #[test]
    fn an_owner_allows_any_daemon_set_and_the_list_is_configurable() {
        let (image, none) = ("registry/agent:v1", json!({}));
        let annotated = |value: &str| json!({"lsmready.io/securityfs": value});
        let default = AllowList::default();
        assert!(is_allowed(&default, &none, image, &annotated("allow")));
        assert!(!is_allowed(&default, &none, image, &annotated("true")));
        let list = AllowList::new(vec!["agent".into(), "x".into()]);
        assert!(is_allowed(&list, &json!({"app.kubernetes.io/name": "agent"}), image, &none));
        assert!(!is_allowed(&list, &json!({"app.kubernetes.io/name": "x"}), image, &none));
        assert_eq!(list.words(), "agent, x");
    }
}
