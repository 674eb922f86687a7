{{- define "harbour.selector" -}}
app.kubernetes.io/name: harbour
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "harbour.labels" -}}
{{ include "harbour.selector" . }}
app.kubernetes.io/version: {{ .Chart.Version | quote }}
app.kubernetes.io/part-of: harbour
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "harbour-%s" .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "harbour.image" -}}
{{ .Values.registry }}/harbour/controller:{{ .Values.tag | default .Values.controller.image.tag | default .Chart.Version }}
{{- end }}

{{- define "harbour.bundled" -}}
{{- $postgres := .Values.database.postgres -}}
{{- if and $postgres.bundled.enabled (not $postgres.url) (not $postgres.urlFile) }}yes{{ end }}
{{- end }}
