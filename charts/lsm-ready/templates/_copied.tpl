{{/*
The manifests below files/ are copies of config/, made by `make chart`. These templates read them,
put them into the release's namespace, add labels, and change what the values ask for.
*/}}

{{/* The objects of the files that a pattern matches: {root, files}. A JSON list in "items". */}}
{{- define "lsm-ready.objects" -}}
{{- $root := .root }}
{{- $namespace := include "lsm-ready.namespace" $root }}
{{- $labels := include "lsm-ready.labels" $root | fromYaml }}
{{- $objects := list }}
{{- range $path, $_ := $root.Files.Glob .files }}
{{- range $text := regexSplit "(?m)^---$" ($root.Files.Get $path) -1 }}
{{- $object := fromYaml (replace "lsm-ready-system" $namespace $text) }}
{{- if hasKey $object "Error" }}{{ fail (printf "%s: %s" $path $object.Error) }}{{ end }}
{{- if $object }}
{{- $_ := set $object.metadata "labels" (mergeOverwrite (dict) $labels (default (dict) $object.metadata.labels)) }}
{{- $objects = append $objects $object }}
{{- end }}
{{- end }}
{{- end }}
{{- dict "items" $objects | toJson }}
{{- end }}

{{/* A RoleBinding for kube-system, once for each of these namespaces: {object, namespaces}. */}}
{{- define "lsm-ready.inEach" -}}
{{- $object := .object }}
{{- range .namespaces }}
---
{{ mergeOverwrite (deepCopy $object) (dict "metadata" (dict "namespace" .)) | toYaml }}
{{- end }}
{{- end }}
