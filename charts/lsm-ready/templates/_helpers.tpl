{{/* The namespace of everything that has one. */}}
{{- define "lsm-ready.namespace" -}}
{{ .Values.namespace.name | default .Release.Namespace }}
{{- end }}

{{/* Labels of every object. The first is that of config/: a cleanup finds the namespace by it. */}}
{{- define "lsm-ready.labels" -}}
app.kubernetes.io/part-of: lsm-ready
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image: {root, image}. By its digest, if there is one. */}}
{{- define "lsm-ready.image" -}}
{{- $registry := .root.Values.image.registry }}
{{- $name := .image.repository }}
{{- if $registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{ end }}
{{- if .image.digest }}
{{- printf "%s@%s" $name .image.digest }}
{{- else }}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The three taint keys that policies can choose. */}}
{{- define "lsm-ready.taintTolerations" -}}
- key: lsmready.io/not-ready
  operator: Exists
- key: readiness.k8s.io/lsmready.io-not-ready
  operator: Exists
- key: startup-taint.cluster-autoscaler.kubernetes.io/lsmready
  operator: Exists
{{- end }}

{{/* The container's rights in pods that need none: the operator's, the cleanup's, the test's. */}}
{{- define "lsm-ready.noRights" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The user of these pods. */}}
{{- define "lsm-ready.nobody" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}
