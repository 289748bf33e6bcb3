//! How `helm-values` reads files that contain values for Helm in another form.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use kubectl_lsm::documents;
use kubectl_lsm::helm;
use kubectl_lsm::values::{self, Given};
use serde_json::{Value, json};

fn given(text: &str) -> Result<Given, String> {
    let mut given = Given::default();
    let documents = documents::parse("f.yaml", text).unwrap();
    values::add(&mut given, "f.yaml", &documents, true).map_err(|error| error.to_string())?;
    Ok(given)
}

#[test]
fn values_are_found_in_objects_of_known_kinds() {
    let certs = json!({"extraVolumes": [{"name": "certs"}]});
    let cases = [
        ("a values file", "extraVolumes: [{name: certs}]", None),
        (
            "Flux",
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n\
             spec: {chart: {spec: {version: 1.3.0}}, values: {extraVolumes: [{name: certs}]}}",
            Some("1.3.0"),
        ),
        (
            "Argo CD, an object",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\n\
             spec: {source: {chart: tetragon, targetRevision: 1.4.0, \
             helm: {valuesObject: {extraVolumes: [{name: certs}]}}}}",
            Some("1.4.0"),
        ),
        (
            "Argo CD, text, several sources",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\n\
             spec:\n  sources:\n  - {ref: values}\n  - chart: tetragon\n    helm:\n      values: \
             |\n        extraVolumes: [{name: certs}]",
            None,
        ),
        (
            "Argo CD, a template",
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\n\
             spec: {template: {spec: {source: \
             {helm: {valuesObject: {extraVolumes: [{name: certs}]}}}}}}",
            None,
        ),
        (
            "k3s",
            "apiVersion: helm.cattle.io/v1\nkind: HelmChart\n\
             spec:\n  version: 1.3.0\n  valuesContent: |\n    extraVolumes: [{name: certs}]",
            Some("1.3.0"),
        ),
        (
            "kustomize",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
             helmCharts: [{name: tetragon, version: 1.3.0, \
             valuesInline: {extraVolumes: [{name: certs}]}}]",
            Some("1.3.0"),
        ),
    ];
    for (what, text, version) in cases {
        let given = given(text).unwrap();
        assert_eq!(
            (given.values, given.chart_version.as_deref()),
            (vec![certs.clone()], version),
            "{what}"
        );
    }
}

#[test]
fn a_file_without_values_or_with_only_some_of_them_is_refused() {
    let cases = [
        ("apiVersion: v1\nkind: ConfigMap\ndata: {}", "kind ConfigMap has no values"),
        ("releases: [{chart: cilium/tetragon}]", "this is a helmfile"),
        (
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n\
             spec: {valuesFrom: [{kind: ConfigMap, name: more}]}",
            "from ConfigMap more",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\n\
             spec: {source: {helm: {valueFiles: [prod.yaml]}}}",
            "from file prod.yaml",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\n\
             spec: {sources: [{helm: {}}, {helm: {}}]}",
            "several sources",
        ),
    ];
    for (text, wanted) in cases {
        let error = given(text).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("f.yaml"), "{error}");
    }
    let two = given("a: 1\n---\nb: 2").unwrap();
    assert_eq!(
        (two.values, two.notes.len()),
        (vec![json!({"a": 1})], 1),
        "Helm reads only the first document"
    );
}

#[test]
fn a_dependency_is_found_from_its_values() {
    let named = |values: Value| values::dependency(&[values]);
    assert_eq!(
        named(json!({"tetragon": {"tetragon": {"image": {"tag": "v1.3.0"}}}})).as_deref(),
        Some("tetragon")
    );
    assert_eq!(
        named(json!({"security": {"extraVolumes": [], "tetragon": {}}})).as_deref(),
        Some("security")
    );
    assert_eq!(
        named(json!({"tetragon": {"securityContext": {"privileged": false}}})),
        None,
        "Tetragon's own chart"
    );
    assert_eq!(named(json!({"extraVolumes": [], "tetragon": {"image": {"tag": "v1.3.0"}}})), None);
    assert_eq!(values::below("t", json!({"a": 1})), json!({"t": {"a": 1}}));
}

#[test]
fn notes_depend_on_the_release_and_on_privilege() {
    let note = |values: Value, version: Option<&str>| {
        helm::values(&[values], version).unwrap().notes.join(" ")
    };
    assert!(
        note(json!({}), Some("1.4.0")).contains("mounts securityfs itself if it is privileged")
    );
    let unprivileged = json!({"tetragon": {"securityContext": {"privileged": false}}});
    assert!(note(unprivileged, Some("1.4.0")).contains("set privileged: false"));
    assert_eq!(
        note(json!({"tetragon": {"image": {"tag": "v1.3.0"}}}), Some("1.7.0")),
        "",
        "the tag decides"
    );
    assert!(
        note(json!({"tetragon": {"image": {"tag": "v1.7.0"}}}), None)
            .contains("v1.7.0 mounts securityfs itself")
    );
    let whole = json!({"tetragon": {"image": {"override": "registry:5000/tetragon:v1.1.0",
        "tag": "v1.7.0"}}});
    assert!(note(whole, None).contains("v1.1.0 does not support lsmhooks"));
}
