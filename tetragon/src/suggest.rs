//! What to paste where: values for Tetragon's chart, and lines for Argo CD.

use lsm_ready_crds::names::{FIELD_MANAGER, SECURITYFS_PATH};

/// Name of the suggested volume. Not ours: a volume of our name says that lsm-ready put it there and may take it away.
const VOLUME: &str = "host-securityfs";

/// Values for Tetragon's Helm chart that render to the same mount, read-only and of a checked type. Both lists are in
/// the chart since v1.0.
#[must_use]
pub fn helm_values() -> String {
    format!(
        "extraVolumes:\n\
         - name: {VOLUME}\n\
         \x20 hostPath:\n\
         \x20   path: {SECURITYFS_PATH}\n\
         \x20   type: Directory\n\
         tetragon:\n\
         \x20 extraVolumeMounts:\n\
         \x20 - name: {VOLUME}\n\
         \x20   mountPath: {SECURITYFS_PATH}\n\
         \x20   readOnly: true\n"
    )
}

/// Lines for the `spec` of an Argo CD Application that make it leave our fields alone.
#[must_use]
pub fn argo_cd(namespace: &str, name: &str) -> String {
    format!(
        "ignoreDifferences:\n\
         - group: apps\n\
         \x20 kind: DaemonSet\n\
         \x20 namespace: {namespace}\n\
         \x20 name: {name}\n\
         \x20 managedFieldsManagers: [{FIELD_MANAGER}]\n\
         syncPolicy:\n\
         \x20 syncOptions: [RespectIgnoreDifferences=true]\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_values_are_yaml_that_the_chart_takes() {
        let values: Value = serde_saphyr::from_str(&helm_values()).unwrap();
        assert_eq!(
            values,
            json!({
                "extraVolumes": [{"name": VOLUME, "hostPath": {"path": SECURITYFS_PATH, "type": "Directory"}}],
                "tetragon": {
                    "extraVolumeMounts": [{"name": VOLUME, "mountPath": SECURITYFS_PATH, "readOnly": true}],
                },
            })
        );
    }

    #[test]
    fn the_lines_for_argo_cd_are_yaml() {
        let spec: Value = serde_saphyr::from_str(&argo_cd("kube-system", "tetragon")).unwrap();
        assert_eq!(spec["ignoreDifferences"][0]["managedFieldsManagers"], json!(["lsm-ready"]));
        assert_eq!(spec["syncPolicy"]["syncOptions"], json!(["RespectIgnoreDifferences=true"]));
    }
}
