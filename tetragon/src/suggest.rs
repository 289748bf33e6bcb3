//! Text to paste: values for Tetragon's chart, a kustomize patch, and lines for Argo CD.

use lsm_ready_crds::names::{FIELD_MANAGER, SECURITYFS_PATH};
use serde_json::{Value, json};

/// The name of the suggested volume. It differs from the name of lsm-ready's own volume, which
/// lsm-ready may remove.
pub const SUGGESTED_VOLUME: &str = "host-securityfs";

/// The suggested volume. The kubelet checks its type.
#[must_use]
pub fn suggested_volume() -> Value {
    json!({"name": SUGGESTED_VOLUME, "hostPath": {"path": SECURITYFS_PATH, "type": "Directory"}})
}

/// The suggested mount of that volume.
#[must_use]
pub fn suggested_mount() -> Value {
    json!({"name": SUGGESTED_VOLUME, "mountPath": SECURITYFS_PATH, "readOnly": true})
}

/// Values for Tetragon's Helm chart that make the same mount. Each chart since 0.8.0 has both
/// lists.
#[must_use]
pub fn helm_values() -> String {
    format!(
        "extraVolumes:\n\
         - name: {SUGGESTED_VOLUME}\n\
         \x20 hostPath:\n\
         \x20   path: {SECURITYFS_PATH}\n\
         \x20   type: Directory\n\
         tetragon:\n\
         \x20 extraVolumeMounts:\n\
         \x20 - name: {SUGGESTED_VOLUME}\n\
         \x20   mountPath: {SECURITYFS_PATH}\n\
         \x20   readOnly: true\n"
    )
}

/// The `patches` of a kustomization that add the mount to that container.
#[must_use]
pub fn kustomize(namespace: Option<&str>, name: &str, container: &str) -> String {
    let in_namespace =
        namespace.map_or_else(String::new, |namespace| format!("    namespace: {namespace}\n"));
    format!(
        "patches:\n\
         - target:\n\
         \x20   group: apps\n\
         \x20   version: v1\n\
         \x20   kind: DaemonSet\n\
         {in_namespace}\
         \x20   name: {name}\n\
         \x20 patch: |\n\
         \x20   apiVersion: apps/v1\n\
         \x20   kind: DaemonSet\n\
         \x20   metadata:\n\
         \x20     name: {name}\n\
         \x20   spec:\n\
         \x20     template:\n\
         \x20       spec:\n\
         \x20         volumes:\n\
         \x20         - name: {SUGGESTED_VOLUME}\n\
         \x20           hostPath:\n\
         \x20             path: {SECURITYFS_PATH}\n\
         \x20             type: Directory\n\
         \x20         containers:\n\
         \x20         - name: {container}\n\
         \x20           volumeMounts:\n\
         \x20           - name: {SUGGESTED_VOLUME}\n\
         \x20             mountPath: {SECURITYFS_PATH}\n\
         \x20             readOnly: true\n"
    )
}

/// Lines for the `spec` of an Argo CD Application that make it ignore lsm-ready's fields.
#[must_use]
pub fn argo_cd(namespace: Option<&str>, name: &str) -> String {
    let in_namespace =
        namespace.map_or_else(String::new, |namespace| format!("  namespace: {namespace}\n"));
    format!(
        "ignoreDifferences:\n\
         - group: apps\n\
         \x20 kind: DaemonSet\n\
         {in_namespace}\
         \x20 name: {name}\n\
         \x20 managedFieldsManagers: [{FIELD_MANAGER}]\n\
         syncPolicy:\n\
         \x20 syncOptions: [RespectIgnoreDifferences=true]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_contain_the_suggested_volume_and_mount() {
        let values: Value = serde_saphyr::from_str(&helm_values()).unwrap();
        let expected = json!({
            "extraVolumes": [suggested_volume()],
            "tetragon": {"extraVolumeMounts": [suggested_mount()]},
        });
        assert_eq!(values, expected);
    }

    #[test]
    fn the_kustomize_patch_adds_the_suggested_volume_and_mount() {
        for namespace in [None, Some("security")] {
            let parsed: Value =
                serde_saphyr::from_str(&kustomize(namespace, "t", "agent")).unwrap();
            assert_eq!(parsed["patches"][0]["target"]["namespace"].as_str(), namespace);
            let patch: Value =
                serde_saphyr::from_str(parsed["patches"][0]["patch"].as_str().unwrap()).unwrap();
            assert_eq!(patch["metadata"], json!({"name": "t"}));
            let pod = json!({
                "volumes": [suggested_volume()],
                "containers": [{"name": "agent", "volumeMounts": [suggested_mount()]}],
            });
            assert_eq!(patch["spec"]["template"]["spec"], pod);
        }
    }

    #[test]
    fn the_lines_for_argo_cd_name_our_field_manager() {
        let spec: Value =
            serde_saphyr::from_str(&argo_cd(Some("kube-system"), "tetragon")).unwrap();
        assert_eq!(spec["ignoreDifferences"][0]["managedFieldsManagers"], json!(["lsm-ready"]));
        assert_eq!(spec["syncPolicy"]["syncOptions"], json!(["RespectIgnoreDifferences=true"]));
    }
}
