{{/*
Names, labels and images. What a pod of Perdure is made of stands in _pod.tpl, where the database is in _database.tpl.
*/}}

{{- define "perdure.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for what is hung behind it: names of pods' owners have at most 63 characters. */}}
{{- define "perdure.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" }}
{{- else }}
{{- $name := include "perdure.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 36 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 36 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The name of what is not in a namespace: two releases of one name in two namespaces must not meet. */}}
{{- define "perdure.clusterName" -}}
{{- $name := include "perdure.fullname" . }}
{{- if eq $name .Release.Namespace }}
{{- $name }}
{{- else }}
{{- printf "%s:%s" .Release.Namespace $name }}
{{- end }}
{{- end }}

{{- define "perdure.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "perdure.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels for every object. Takes a dict: root, component. */}}
{{- define "perdure.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: perdure
{{ include "perdure.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that never change, for selectors. Takes a dict: root, component, and pool for one of several. */}}
{{- define "perdure.selectorLabels" -}}
app.kubernetes.io/name: {{ include "perdure.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .pool }}
perdure.dev/pool: {{ . }}
{{- end }}
{{- end }}

{{/* Labels for pods: no version, which would restart what has not changed. Takes the dict of above. */}}
{{- define "perdure.podLabels" -}}
{{ include "perdure.selectorLabels" . }}
app.kubernetes.io/part-of: perdure
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels by which all pods that serve HTTP are found, whatever their component. */}}
{{- define "perdure.httpLabels" -}}
app.kubernetes.io/name: {{ include "perdure.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
perdure.dev/http: "true"
{{- end }}

{{/* The reference of an image. Takes a dict: image, default (the tag where none is given). */}}
{{- define "perdure.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .default }}
{{- end }}
{{- end }}

{{/* A scalar as the text of a variable: numbers without an exponent, lists with commas. */}}
{{- define "perdure.text" -}}
{{- if kindIs "slice" . -}}
{{ join "," . }}
{{- else if kindIs "string" . -}}
{{ . }}
{{- else -}}
{{ toJson . }}
{{- end }}
{{- end }}

{{/* Where Orchestrations are looked after, as a list with a name or "*" for everywhere: YAML, for fromYamlArray. */}}
{{- define "perdure.watched" -}}
{{- if .Values.watchNamespaces }}
{{- uniq .Values.watchNamespaces | toYaml }}
{{- else }}
{{- list "*" | toYaml }}
{{- end }}
{{- end }}

{{/* The namespace that `helm test` runs in: the release's, or where that is not looked after the first that is. */}}
{{- define "perdure.testNamespace" -}}
{{- if or (not .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces) }}
{{- .Release.Namespace }}
{{- else }}
{{- first .Values.watchNamespaces }}
{{- end }}
{{- end }}

{{/* The variable with the namespaces that are looked after; nothing for all of them. */}}
{{- define "perdure.namespacesEnv" }}
{{- with .Values.watchNamespaces }}
- name: PERDURE_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
