{{/*
What a Deployment of Perdure is made of: controllers, workers and both in one differ in what stands in the dict they pass.

  root       the context of the chart
  component  operator, controller or worker; with `pool` for one of several
  roles      PERDURE_ROLES
  values     what the values of this component say, laid over `pods`
*/}}

{{/* `pods` with the values of one component laid over it, as YAML. Takes a dict: root, values. */}}
{{- define "perdure.podValues" -}}
{{- mergeOverwrite (deepCopy .root.Values.pods) (deepCopy (.values | default dict)) | toYaml }}
{{- end }}

{{/* The variables that every process of the operator has. Takes the dict of above. */}}
{{- define "perdure.env" -}}
{{- include "perdure.databaseEnv" (dict "root" .root) }}
{{- include "perdure.codeEnv" . }}
- name: PERDURE_ROLES
  value: {{ .roles }}
{{- with .root.Values.inventory.existingSecret }}
{{- if .name }}
- name: PERDURE_INVENTORY_URL
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- if include "perdure.isMigratedByJob" .root }}
- name: PERDURE_MIGRATE
  value: "off"
{{- end }}
{{- include "perdure.namespacesEnv" .root }}
{{- with .values.queues }}
- name: PERDURE_QUEUES
  value: {{ join "," . | quote }}
{{- end }}
- name: PERDURE_LEASE_NAME
  value: {{ include "perdure.fullname" .root }}
- name: PERDURE_HTTP_HOST
  value: {{ .root.Values.http.host | quote }}
- name: PERDURE_HTTP_PORT
  value: {{ .root.Values.http.port | int | quote }}
{{- range $name, $value := .root.Values.settings }}
- name: PERDURE_{{ $name | snakecase | upper }}
  value: {{ include "perdure.text" $value | quote }}
{{- end }}
{{- end }}

{{/* The variables that say which code there is and how its payloads are read. Takes the dict of above. */}}
{{- define "perdure.codeEnv" }}
- name: PERDURE_MODULES
  value: {{ .values.modules | default .root.Values.modules | join "," | quote }}
{{- if .root.Values.encryption.existingSecret.name }}
- name: PERDURE_ENCRYPTION_KEYS_FILE
  value: /etc/perdure/encryption/keys
{{- end }}
{{- end }}

{{/* The mounts and volumes of every process that reads the database. Both take the root. */}}
{{- define "perdure.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- with include "perdure.databaseMounts" . }}
{{ trim . }}
{{- end }}
{{- if .Values.encryption.existingSecret.name }}
- name: encryption
  mountPath: /etc/perdure/encryption
  readOnly: true
{{- end }}
{{- end }}

{{- define "perdure.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with include "perdure.databaseVolumes" . }}
{{ trim . }}
{{- end }}
{{- with .Values.encryption.existingSecret }}
{{- if .name }}
- name: encryption
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: keys
{{- end }}
{{- end }}
{{- end }}

{{/* A probe. Takes a dict: path, values. */}}
{{- define "perdure.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{ toYaml .values }}
{{- end }}

{{/* Nodes and zones that pods of one component spread over as far as it goes. Takes the dict of above. */}}
{{- define "perdure.topologySpread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "perdure.selectorLabels" $ | nindent 6 }}
  matchLabelKeys:
    - pod-template-hash
{{- end }}
{{- end }}

{{/* Where pods may run, for Deployments and Jobs alike. Takes the values of the pod. */}}
{{- define "perdure.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The template of the pods. Takes the dict of above. */}}
{{- define "perdure.podTemplate" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $image := mergeOverwrite (deepCopy $root.Values.image) ($values.image | default dict) }}
metadata:
  labels:
    {{- include "perdure.podLabels" . | nindent 4 }}
    app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
    perdure.dev/http: "true"
    {{- with $values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: perdure
    {{- with $values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "perdure.serviceAccountName" $root }}
  automountServiceAccountToken: true
  # Variables for each Service of the namespace would only be in the way.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int $values.terminationGracePeriodSeconds }}
  {{- with $image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  {{- with include "perdure.scheduling" $values }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- else if $values.defaultTopologySpread }}
  topologySpreadConstraints:
    {{- include "perdure.topologySpread" . | trim | nindent 4 }}
  {{- end }}
  containers:
    - name: perdure
      image: {{ include "perdure.image" (dict "image" $image "default" $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $image.pullPolicy }}
      command:
        - perdure
        - run
      env:
        {{- include "perdure.env" . | trim | nindent 8 }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ int $root.Values.http.port }}
      startupProbe:
        {{- include "perdure.probe" (dict "path" "/livez" "values" $values.startupProbe) | nindent 8 }}
      readinessProbe:
        {{- include "perdure.probe" (dict "path" "/readyz" "values" $values.readinessProbe) | nindent 8 }}
      livenessProbe:
        {{- include "perdure.probe" (dict "path" "/livez" "values" $values.livenessProbe) | nindent 8 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        {{- include "perdure.mounts" $root | nindent 8 }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "perdure.volumes" $root | nindent 4 }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* A Deployment with its disruption budget. Takes the dict of above with `name`, and `isScaled` where an autoscaler counts. */}}
{{- define "perdure.deployment" -}}
{{- $values := .values }}
{{- $least := dig "replicas" 1 $values }}
{{- if .isScaled }}
{{- $least = dig "autoscaling" "minReplicas" 1 $values }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "perdure.labels" . | nindent 4 }}
spec:
  {{- if not .isScaled }}
  replicas: {{ int $least }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "perdure.selectorLabels" . | nindent 6 }}
  template:
    {{- include "perdure.podTemplate" . | trim | nindent 4 }}
{{- if and $values.podDisruptionBudget.enabled (gt (int $least) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "perdure.labels" . | nindent 4 }}
spec:
  {{- if ne (toString $values.podDisruptionBudget.minAvailable) "" }}
  minAvailable: {{ $values.podDisruptionBudget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "perdure.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}
