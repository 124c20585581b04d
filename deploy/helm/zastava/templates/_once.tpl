{{/*
The spec of a pod that runs the webhook's program once, except for its containers and volumes. Every failure ends the pod, so that
Helm can show its log.
*/}}
{{- define "zastava.once" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.webhook.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.webhook.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What every container of such a pod has. */}}
{{- define "zastava.onceContainer" -}}
image: {{ include "zastava.image" (dict "root" . "part" "webhook" "settings" .Values.webhook) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources:
  requests: {cpu: 10m, memory: 16Mi, ephemeral-storage: 1Mi}
  limits: {memory: 64Mi, ephemeral-storage: 16Mi}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}
