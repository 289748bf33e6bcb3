//! Values that are wrong, or that contradict each other: each is refused with its sentence. What
//! only a cluster can tell is tested on an API server: operator/tests/api/chart.

use e2e::helm::{Helm, sentence};

use crate::render;

/// The values of `--set`, and the sentence.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "operator.image.tag=v1,operator.image.digest=DIGEST",
        "operator.image has a tag and a digest: remove one of the two.",
    ),
    (
        "probe.image.tag=v1,probe.image.digest=DIGEST",
        "probe.image has a tag and a digest: remove one of the two.",
    ),
    (
        "namespace.create=true,namespace.labels.pod-security\\.kubernetes\\.io/enforce=baseline",
        "namespace.labels enforces Pod Security \"baseline\", which forbids the probe's pods: use \
         pod-security.kubernetes.io/enforce: privileged.",
    ),
    (
        "commonLabels.app\\.kubernetes\\.io/part-of=x",
        "commonLabels may not set app.kubernetes.io/part-of, which the chart sets: remove it.",
    ),
    (
        "operator.podLabels.app\\.kubernetes\\.io/name=x",
        "operator.podLabels may not set app.kubernetes.io/name, which the chart sets: remove it.",
    ),
    (
        "patching.enabled=false,patching.namespaces={kube-system}",
        "patching.namespaces is set, and patching.enabled is false: set patching.enabled to true, \
         or remove patching.namespaces.",
    ),
    (
        "tetragon.namespaces=null",
        "tetragon.namespaces is empty, and patching.enabled is true: name Tetragon's namespace, \
         because the operator must see whether its mount keeps agents from starting.",
    ),
    (
        "patching.namespaces={security}",
        "patching.namespaces has security, and tetragon.namespaces does not: add it there, because \
         the operator must see whether its mount keeps agents from starting.",
    ),
    (
        "agents.ask=Auto,agents.tls.serverName=a.b",
        "agents.tls.serverName is set, and agents.tls.secretName is not: name the Secret with \
         ca.crt.",
    ),
    (
        "agents.ask=Metrics,agents.tls.secretName=s",
        "agents.ask is Metrics, which uses neither agents.tls nor agents.port: remove them, or set \
         agents.ask to Auto.",
    ),
    (
        "agents.ask=Metrics,agents.port=1",
        "agents.ask is Metrics, which uses neither agents.tls nor agents.port: remove them, or set \
         agents.ask to Auto.",
    ),
    (
        "agents.ask=Grpc,agents.metricsPort=1",
        "agents.ask is Grpc, which does not use agents.metricsPort: remove it, or set agents.ask \
         to Auto.",
    ),
    (
        "agents.port=1",
        "agents.ask is Never, and agents has addresses: set agents.ask to Auto, Grpc or Metrics, \
         or remove them.",
    ),
    (
        "operator.extraArgs={--breaker-percent=50}",
        "operator.extraArgs has --breaker-percent: use the value operator.breaker.percent.",
    ),
    (
        "operator.extraArgs={--allowed-programs=x}",
        "operator.extraArgs has --allowed-programs: use the value patching.allowedPrograms.",
    ),
    (
        "operator.extraArgs={--listen=1.2.3.4:1}",
        "operator.extraArgs has --listen, which the chart sets: remove it.",
    ),
    (
        "probe.extraArgs={--node-name=x}",
        "probe.extraArgs has --node-name, which the chart sets: remove it.",
    ),
    (
        "operator.nodeSelector.kubernetes\\.io/os=windows",
        "operator.nodeSelector wants kubernetes.io/os=windows: LSM BPF is a part of Linux, so use \
         linux.",
    ),
    (
        "monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true",
        "monitoring.serviceMonitor and monitoring.podMonitor both scrape the operator: enable one \
         of the two.",
    ),
    (
        "monitoring.rules.enabled=true",
        "monitoring.rules.enabled is true, and the cluster has no kind PrometheusRule: install the \
         CRDs of the Prometheus Operator first (with helm template: add --api-versions \
         monitoring.coreos.com/v1/PrometheusRule), or set it to false.",
    ),
    (
        "monitoring.networkPolicy.from[0].podSelector.matchLabels.a=b",
        "monitoring.networkPolicy.from is set, and monitoring.networkPolicy.enabled is false: set \
         it to true, or remove monitoring.networkPolicy.from.",
    ),
];

/// The values, and what Helm says about the schema.
const INVALID: &[(&str, &str)] = &[
    ("operator.replica=2", "at '/operator': additional properties 'replica' not allowed"),
    ("operators.replicas=2", "at '': additional properties 'operators' not allowed"),
    ("reserve.action=deny", "at '/reserve/action': value must be one of 'Warn', 'Deny'"),
    ("operator.replicas=0", "at '/operator/replicas': minimum: got 0, want 1"),
    ("operator.breaker.percent=101", "at '/operator/breaker/percent': maximum: got 101, want 100"),
    ("operator.image.digest=sha256:1", "at '/operator/image/digest': 'sha256:1' does not match"),
    ("operator.image.tag=a/b", "at '/operator/image/tag': 'a/b' does not match"),
    (
        "image.registry=https://r.example",
        "at '/image/registry': 'https://r.example' does not match",
    ),
    ("image.registry=r.example/", "at '/image/registry': 'r.example/' does not match"),
    ("patching.enabled=yes", "at '/patching/enabled': got string, want boolean"),
    ("operator.extraArgs={cleanup}", "at '/operator/extraArgs/0': 'cleanup' does not match"),
    ("reserve.autoscalers={a'b}", "at '/reserve/autoscalers/0': 'a\\'b' does not match"),
    ("patching.allowedPrograms={a.b}", "at '/patching/allowedPrograms/0': 'a.b' does not match"),
    ("taint.key=example.com/x", "at '/taint/key': value must be one of 'lsmready.io/not-ready', "),
    ("probe.hostAccess=All", "at '/probe/hostAccess': value must be one of 'Kernel', 'Securityfs'"),
    ("probe.maxUnavailable=0%", "at '/probe/maxUnavailable': '0%' does not match"),
    ("cleanup.deadlineSeconds=5", "at '/cleanup/deadlineSeconds': minimum: got 5, want 60"),
];

fn error(helm: Helm, values: &str) -> String {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = values.replace("DIGEST", &digest);
    render(helm, &["--set", &values]).expect_err(&values)
}

#[test]
fn values_that_contradict_each_other_are_refused_with_a_sentence() {
    for (values, expected) in CONTRADICTIONS {
        for helm in Helm::ALL {
            let error = error(helm, values);
            assert_eq!(sentence(&error), *expected, "{helm:?}: {values}");
        }
    }
}

#[test]
fn invalid_values_are_refused_by_the_schema() {
    for (values, expected) in INVALID {
        for helm in Helm::ALL {
            let error = error(helm, values);
            assert!(error.contains(expected), "{helm:?}: {values}: {error}");
        }
    }
}
