{{/*
A Job that Helm runs at one moment in the life of the release. Takes a dict:

  root       the context of the chart
  component  what the Job is for
  job        the end of its name, where that is not the component
  when       the hooks of Helm that start it
  weight     its place among the hooks of that moment
  container, command   what is run
  values     image, scheduling and modules, as for a pod; without them those of `pods`
  account    the ServiceAccount of its pod
  isApi      whether it talks to the API server; else it gets no token
  env, envFrom, mounts, volumes   more of these, as text
*/}}
{{- define "perdure.job" -}}
{{- $root := .root }}
{{- $hooks := $root.Values.hooks }}
{{- $pods := include "perdure.podValues" (dict "root" $root "values" .values) | fromYaml }}
{{- $image := mergeOverwrite (deepCopy $root.Values.image) ($pods.image | default dict) }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "perdure.fullname" $root }}-{{ .job | default .component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "perdure.labels" . | nindent 4 }}
  annotations:
    {{- include "perdure.hookAnnotations" . | nindent 4 }}
spec:
  backoffLimit: {{ int $hooks.backoffLimit }}
  activeDeadlineSeconds: {{ int $hooks.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "perdure.podLabels" . | nindent 8 }}
        {{- with $hooks.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $hooks.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      {{- if .account }}
      serviceAccountName: {{ .account }}
      {{- end }}
      automountServiceAccountToken: {{ .isApi | default false }}
      enableServiceLinks: false
      {{- with $image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml $pods.securityContext | nindent 8 }}
      {{- with include "perdure.scheduling" $pods }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ .container }}
          image: {{ include "perdure.image" (dict "image" $image "default" $root.Chart.AppVersion) | quote }}
          imagePullPolicy: {{ $image.pullPolicy }}
          command:
            {{- toYaml .command | nindent 12 }}
          {{- with .env }}
          env:
            {{- trim . | nindent 12 }}
          {{- end }}
          {{- with .envFrom }}
          envFrom:
            {{- trim . | nindent 12 }}
          {{- end }}
          resources:
            {{- toYaml $hooks.resources | nindent 12 }}
          securityContext:
            {{- toYaml $pods.containerSecurityContext | nindent 12 }}
          volumeMounts:
            {{- .mounts | default "- name: tmp\n  mountPath: /tmp" | trim | nindent 12 }}
      volumes:
        {{- .volumes | default "- name: tmp\n  emptyDir: {}" | trim | nindent 8 }}
{{- end }}

{{/* What makes an object a hook: gone when it went well, left there to be looked at when it did not. Takes the dict of above. */}}
{{- define "perdure.hookAnnotations" -}}
helm.sh/hook: {{ .when }}
helm.sh/hook-weight: {{ .weight | default 0 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* What a process that only reads code and database has. Takes a dict: root, values; with more for pods of that pool. */}}
{{- define "perdure.databaseJob" -}}
{{- $root := .root }}
{{- $values := include "perdure.podValues" (dict "root" $root "values" .values) | fromYaml }}
env: |
  {{- include "perdure.databaseEnv" (dict "root" $root "secret" .secret) | trim | nindent 2 }}
  {{- include "perdure.codeEnv" (dict "root" $root "values" $values) | trim | nindent 2 }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.extraEnvFrom }}
envFrom: |
  {{- toYaml . | nindent 2 }}
{{- end }}
mounts: |
  {{- include "perdure.mounts" $root | nindent 2 }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes: |
  {{- include "perdure.volumes" $root | nindent 2 }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
