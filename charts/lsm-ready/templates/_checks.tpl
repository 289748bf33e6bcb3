{{/*
Values that contradict each other. Each `fail` is one sentence that says what to do. The schema has
refused what is wrong by itself.
*/}}

{{- define "lsm-ready.checkImages" -}}
{{- range $part := list "operator" "probe" }}
{{- $image := (index $.Values $part).image }}
{{- if and $image.tag $image.digest }}
{{- fail (printf "%s.image has a tag and a digest: remove one of the two." $part) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lsm-ready.checkNamespace" -}}
{{- $level := index .Values.namespace.labels "pod-security.kubernetes.io/enforce" }}
{{- if and .Values.namespace.create $level (ne $level "privileged") }}
{{- fail (printf "namespace.labels enforces Pod Security %q, which forbids the probe's pods: use pod-security.kubernetes.io/enforce: privileged." $level) }}
{{- end }}
{{- range $key := list "app.kubernetes.io/part-of" "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/managed-by" "app.kubernetes.io/instance" "app.kubernetes.io/version" "helm.sh/chart" }}
{{- range $field, $labels := dict "commonLabels" $.Values.commonLabels "operator.podLabels" $.Values.operator.podLabels "probe.podLabels" $.Values.probe.podLabels }}
{{- if hasKey $labels $key }}
{{- fail (printf "%s may not set %s, which the chart sets: remove it." $field $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lsm-ready.checkTetragon" -}}
{{- $patching := .Values.patching }}
{{- $namespaces := .Values.tetragon.namespaces }}
{{- if and $patching.namespaces (not $patching.enabled) }}
{{- fail "patching.namespaces is set, and patching.enabled is false: set patching.enabled to true, or remove patching.namespaces." }}
{{- end }}
{{- if and $patching.enabled (not $namespaces) }}
{{- fail "tetragon.namespaces is empty, and patching.enabled is true: name Tetragon's namespace, because the operator must see whether its mount keeps agents from starting." }}
{{- end }}
{{- range $patching.namespaces }}
{{- if not (has . $namespaces) }}
{{- fail (printf "patching.namespaces has %s, and tetragon.namespaces does not: add it there, because the operator must see whether its mount keeps agents from starting." .) }}
{{- end }}
{{- end }}
{{- $agents := .Values.agents }}
{{- if and $agents.tls.serverName (not $agents.tls.secretName) }}
{{- fail "agents.tls.serverName is set, and agents.tls.secretName is not: name the Secret with ca.crt." }}
{{- end }}
{{- if and (eq $agents.ask "Metrics") (or $agents.tls.secretName $agents.port) }}
{{- fail "agents.ask is Metrics, which uses neither agents.tls nor agents.port: remove them, or set agents.ask to Auto." }}
{{- end }}
{{- if and (eq $agents.ask "Grpc") $agents.metricsPort }}
{{- fail "agents.ask is Grpc, which does not use agents.metricsPort: remove it, or set agents.ask to Auto." }}
{{- end }}
{{- if and (eq $agents.ask "Never") (or $agents.tls.serverName $agents.port $agents.metricsPort) }}
{{- fail "agents.ask is Never, and agents has addresses: set agents.ask to Auto, Grpc or Metrics, or remove them." }}
{{- end }}
{{- end }}

{{/* Options that have a value in this chart, and that value. */}}
{{- define "lsm-ready.checkPods" -}}
{{- $values := dict "--breaker-percent" "operator.breaker.percent" "--breaker-min-nodes" "operator.breaker.minNodes" "--allowed-programs" "patching.allowedPrograms" "--agent-tls-dir" "agents.tls.secretName" "--log" "operator.log" "--log-format" "operator.logFormat" }}
{{- range .Values.operator.extraArgs }}
{{- $option := first (splitList "=" .) }}
{{- if hasKey $values $option }}
{{- fail (printf "operator.extraArgs has %s: use the value %s." $option (get $values $option)) }}
{{- end }}
{{- if has $option (list "--listen" "--pod-name" "--pod-namespace" "--pod-uid") }}
{{- fail (printf "operator.extraArgs has %s, which the chart sets: remove it." $option) }}
{{- end }}
{{- end }}
{{- range .Values.probe.extraArgs }}
{{- if hasPrefix "--node-name" . }}
{{- fail "probe.extraArgs has --node-name, which the chart sets: remove it." }}
{{- end }}
{{- end }}
{{- range $part := list "operator" "probe" }}
{{- $os := index ((index $.Values $part).nodeSelector) "kubernetes.io/os" }}
{{- if and $os (ne $os "linux") }}
{{- fail (printf "%s.nodeSelector wants kubernetes.io/os=%s: LSM BPF is a part of Linux, so use linux." $part $os) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the cluster must have. `helm template` knows no cluster, and is not asked. */}}
{{- define "lsm-ready.checkCluster" -}}
{{- $monitoring := .Values.monitoring }}
{{- if and $monitoring.serviceMonitor.enabled $monitoring.podMonitor.enabled }}
{{- fail "monitoring.serviceMonitor and monitoring.podMonitor both scrape the operator: enable one of the two." }}
{{- end }}
{{- range $value, $kind := dict "serviceMonitor" "ServiceMonitor" "podMonitor" "PodMonitor" "rules" "PrometheusRule" }}
{{- if and (index $monitoring $value).enabled (not ($.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind))) }}
{{- fail (printf "monitoring.%s.enabled is true, and the cluster has no kind %s: install the CRDs of the Prometheus Operator first (with helm template: add --api-versions monitoring.coreos.com/v1/%s), or set it to false." $value $kind $kind) }}
{{- end }}
{{- end }}
{{- if and $monitoring.networkPolicy.from (not $monitoring.networkPolicy.enabled) }}
{{- fail "monitoring.networkPolicy.from is set, and monitoring.networkPolicy.enabled is false: set it to true, or remove monitoring.networkPolicy.from." }}
{{- end }}
{{- if lookup "v1" "Namespace" "" "kube-system" }}
{{- $name := include "lsm-ready.namespace" . }}
{{- if and .Values.namespace.create .Release.IsInstall (eq $name .Release.Namespace) }}
{{- fail (printf "namespace.create is true, and Helm keeps this release in the same namespace %s, which must exist before: use --create-namespace and set namespace.create to false." $name) }}
{{- end }}
{{- if not .Values.namespace.create }}
{{- $namespace := lookup "v1" "Namespace" "" $name }}
{{- if and (not $namespace) (ne $name .Release.Namespace) }}
{{- fail (printf "namespace.name is %s, and there is no such namespace: set namespace.create to true, or create it." $name) }}
{{- end }}
{{- $level := dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "" ($namespace | default dict) }}
{{- if and $level (ne $level "privileged") }}
{{- fail (printf "namespace %s enforces Pod Security %q, which forbids the probe's pods: run kubectl label namespace %s pod-security.kubernetes.io/enforce=privileged --overwrite." $name $level $name) }}
{{- end }}
{{- end }}
{{- if and (not .Values.crds.install) (not (lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "lsmpolicies.lsmready.io")) }}
{{- fail "crds.install is false, and the cluster has no CRD lsmpolicies.lsmready.io: set crds.install to true, or install the CRDs first (kubectl apply -k config/crd)." }}
{{- end }}
{{- end }}
{{- end }}
