//! What `helm-values` makes of files that hold values for Helm in another form.
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
fn objects_give_their_values() {
    let certs = json!({"extraVolumes": [{"name": "certs"}]});
    let table = [
        ("a values file", "extraVolumes: [{name: certs}]", None),
        (
            "Flux",
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  chart: {spec: {version: 1.3.0}}\n  \
             values: {extraVolumes: [{name: certs}]}",
            Some("1.3.0"),
        ),
        (
            "Argo CD, an object",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source: {chart: tetragon, targetRevision: 1.4.0, \
             helm: {valuesObject: {extraVolumes: [{name: certs}]}}}",
            Some("1.4.0"),
        ),
        (
            "Argo CD, text, several sources",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  sources:\n  - {ref: values}\n  - chart: tetragon\n    \
             helm:\n      values: |\n        extraVolumes: [{name: certs}]",
            None,
        ),
        (
            "Argo CD, a template",
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec: {template: {spec: {source: {helm: {valuesObject: \
             {extraVolumes: [{name: certs}]}}}}}}",
            None,
        ),
        (
            "k3s",
            "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  version: 1.3.0\n  valuesContent: |\n    extraVolumes: \
             [{name: certs}]",
            Some("1.3.0"),
        ),
        (
            "kustomize",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nhelmCharts: [{name: tetragon, version: 1.3.0, \
             valuesInline: {extraVolumes: [{name: certs}]}}]",
            Some("1.3.0"),
        ),
    ];
    for (what, text, version) in table {
        let given = given(text).unwrap();
        assert_eq!(
            (given.values, given.chart_version.as_deref()),
            (vec![certs.clone()], version),
            "{what}"
        );
    }
}

#[test]
fn what_holds_no_values_or_not_all_of_them_is_refused() {
    let table = [
        ("apiVersion: v1\nkind: ConfigMap\ndata: {}", "kind ConfigMap has no values"),
        ("releases: [{chart: cilium/tetragon}]", "it is a helmfile"),
        (
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {valuesFrom: [{kind: ConfigMap, name: more}]}",
            "from ConfigMap more",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {helm: {valueFiles: [prod.yaml]}}}",
            "from file prod.yaml",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {sources: [{helm: {}}, {helm: {}}]}",
            "several sources",
        ),
    ];
    for (text, wanted) in table {
        let error = given(text).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("f.yaml"), "{error}");
    }
    let two = given("a: 1\n---\nb: 2").unwrap();
    assert_eq!(
        (two.values, two.remarks.len()),
        (vec![json!({"a": 1})], 1),
        "Helm reads the first document alone"
    );
}

#[test]
fn a_dependency_is_told_by_its_values() {
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
fn remarks_follow_the_values() {
    let remark = |values: Value, version: Option<&str>| {
        helm::values(&[values], version).unwrap().remarks.join(" ")
    };
    assert!(
        remark(json!({}), Some("1.4.0")).contains("mounts securityfs itself when it is privileged")
    );
    let unprivileged = json!({"tetragon": {"securityContext": {"privileged": false}}});
    assert!(remark(unprivileged, Some("1.4.0")).contains("with privileged: false"));
    assert_eq!(
        remark(json!({"tetragon": {"image": {"tag": "v1.3.0"}}}), Some("1.7.0")),
        "",
        "the tag decides"
    );
    assert!(
        remark(json!({"tetragon": {"image": {"tag": "v1.7.0"}}}), None)
            .contains("v1.7.0 mounts securityfs itself")
    );
    let whole = json!({"tetragon": {"image": {"override": "registry:5000/tetragon:v1.1.0", "tag": "v1.7.0"}}});
    assert!(remark(whole, None).contains("v1.1.0 knows no lsmhooks"));
}
