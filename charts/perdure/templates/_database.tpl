{{/*
Where the database is, and how its password comes to the process. Either the bundled Postgres, or a Secret with the whole
address, or the address in parts; the password of the last is a file or a command, so that it may change.
*/}}

{{/* "true" when the Postgres of this chart is installed. */}}
{{- define "perdure.isBundled" -}}
{{- $named := or .Values.database.existingSecret.name .Values.database.host }}
{{- if and .Values.postgres.bundled (not $named) }}true{{ end }}
{{- end }}

{{/* Fails with the way out when the values name no database, or two. */}}
{{- define "perdure.checkDatabase" -}}
{{- $database := .Values.database }}
{{- if and (not .Values.postgres.bundled) (not $database.existingSecret.name) (not $database.host) }}
{{- fail "Which database? Set database.existingSecret.name or database.host, or postgres.bundled=true for trying out." }}
{{- end }}
{{- if and $database.existingSecret.name $database.host }}
{{- fail "database.existingSecret.name holds the whole address: set it or database.host, not both." }}
{{- end }}
{{- if and $database.passwordSecret.name $database.passwordCommand }}
{{- fail "Set one of database.passwordSecret.name and database.passwordCommand: of two passwords nobody could say which one counts." }}
{{- end }}
{{- if and (not $database.host) (or $database.passwordSecret.name $database.passwordCommand) }}
{{- fail "database.passwordSecret and database.passwordCommand go with database.host; the address in database.existingSecret has its own password." }}
{{- end }}
{{- if and $database.tls.caSecret.name (not (has $database.tls.mode (list "verify-ca" "verify-full"))) }}
{{- fail "database.tls.caSecret is of no use unless database.tls.mode is verify-ca or verify-full." }}
{{- end }}
{{- end }}

{{/*
"true" when a Job migrates before the pods of a version start. A command that gets its password as our ServiceAccount cannot,
where that comes with the release: the Job is there before.
*/}}
{{- define "perdure.isMigratedByJob" -}}
{{- $isTooEarly := and .Values.database.passwordCommand .Values.serviceAccount.create (not .Values.migration.existingSecret.name) }}
{{- if and .Values.migration.enabled (not (include "perdure.isBundled" .)) (not $isTooEarly) }}true{{ end }}
{{- end }}

{{- define "perdure.postgresName" -}}
{{ include "perdure.fullname" . }}-postgres
{{- end }}

{{/* The Secret with the password as JSON {name, key}; null where none is mounted. */}}
{{- define "perdure.passwordSecret" -}}
{{- if include "perdure.isBundled" . }}
{{- dict "name" (.Values.postgres.existingSecret.name | default (include "perdure.postgresName" .)) "key" .Values.postgres.existingSecret.key | toJson }}
{{- else if .Values.database.passwordSecret.name }}
{{- toJson .Values.database.passwordSecret }}
{{- else }}null{{ end }}
{{- end }}

{{/* The options of the address: TLS and what the values add. */}}
{{- define "perdure.databaseOptions" -}}
{{- $options := list }}
{{- with .Values.database.tls.mode }}
{{- $options = append $options (printf "sslmode=%s" .) }}
{{- end }}
{{- if .Values.database.tls.caSecret.name }}
{{- $options = append $options "sslrootcert=/etc/perdure/database-ca/ca.crt" }}
{{- end }}
{{- range $name, $value := .Values.database.parameters }}
{{- $options = append $options (printf "%s=%s" $name (include "perdure.text" $value | urlquery)) }}
{{- end }}
{{- if $options }}?{{ join "&" $options }}{{ end }}
{{- end }}

{{/*
The variables. Takes a dict: root, and secret ({name, key} of a Secret with another address, for the migration).
Kubernetes puts an earlier variable into a later one: so options can follow an address that only the Secret knows.
*/}}
{{- define "perdure.databaseEnv" -}}
{{- $root := .root }}
{{- $options := include "perdure.databaseOptions" $root }}
{{- $secret := .secret | default dict }}
{{- $secret = ternary $secret $root.Values.database.existingSecret (not (empty $secret.name)) }}
{{- if $secret.name }}
{{- if $options }}
- name: DATABASE_ADDRESS
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
- name: PERDURE_DATABASE_URL
  value: {{ printf "$(DATABASE_ADDRESS)%s" $options | quote }}
{{- else }}
- name: PERDURE_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- else if include "perdure.isBundled" $root }}
- name: PERDURE_DATABASE_URL
  value: {{ printf "postgresql://perdure@%s.%s.svc:5432/perdure" (include "perdure.postgresName" $root) $root.Release.Namespace | quote }}
- name: PERDURE_DATABASE_PASSWORD_FILE
  value: /etc/perdure/database-password/password
{{- else }}
{{- with $root.Values.database }}
- name: PERDURE_DATABASE_URL
  value: {{ printf "postgresql://%s@%s:%d/%s%s" (urlquery .user | replace "+" "%20") .host (int .port) (urlquery .name | replace "+" "%20") $options | quote }}
{{- if .passwordSecret.name }}
- name: PERDURE_DATABASE_PASSWORD_FILE
  value: /etc/perdure/database-password/password
{{- else if .passwordCommand }}
- name: PERDURE_DATABASE_PASSWORD_COMMAND
  value: {{ .passwordCommand | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The mounts, and the volumes, of password and authority. Both take the root. */}}
{{- define "perdure.databaseMounts" -}}
{{- if include "perdure.passwordSecret" . | fromJson }}
- name: database-password
  mountPath: /etc/perdure/database-password
  readOnly: true
{{- end }}
{{- if .Values.database.tls.caSecret.name }}
- name: database-ca
  mountPath: /etc/perdure/database-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "perdure.databaseVolumes" -}}
{{- with include "perdure.passwordSecret" . | fromJson }}
- name: database-password
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: password
{{- end }}
{{- with .Values.database.tls.caSecret }}
{{- if .name }}
- name: database-ca
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end }}
