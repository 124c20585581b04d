{{/*
Names are fixed, since runbooks, alerts and the API server's configuration use them. A cluster can hold one installation.
*/}}

{{- define "zastava.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of a part: {root, part}. */}}
{{- define "zastava.labels" -}}
{{- include "zastava.selector" . }}
app: zastava-{{ .part }}
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/part-of: zastava-runtime
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ include "zastava.chart" .root }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels that select a part's pods. A workload's selector cannot change later. */}}
{{- define "zastava.selector" -}}
app.kubernetes.io/name: zastava-{{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end -}}

{{/* The image of a part: {root, part, settings}. A digest wins over a tag. */}}
{{- define "zastava.image" -}}
{{- $image := .settings.image -}}
{{- $repository := $image.repository | default (printf "zastava/zastava-%s" .part) -}}
{{- $name := printf "%s/%s" (.root.Values.image.registry | trimSuffix "/") $repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A duration setting of the programs (`5`, `5s`, `2m`, `500ms`) in whole seconds, rounded up. */}}
{{- define "zastava.seconds" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+" $text | int -}}
{{- $unit := regexReplaceAll "^[0-9]+ *" $text "" -}}
{{- if eq $unit "ms" -}}{{ div (add $number 999) 1000 }}
{{- else if eq $unit "m" -}}{{ mul $number 60 }}
{{- else if eq $unit "h" -}}{{ mul $number 3600 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end -}}

{{/* The port at the end of a listening address. */}}
{{- define "zastava.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* Host of a part's Service. */}}
{{- define "zastava.host" -}}
{{- printf "zastava-%s.%s.svc" .part .root.Release.Namespace -}}
{{- end -}}

{{/* Pod settings that every part has: {root, part, settings}. */}}
{{- define "zastava.pod" -}}
serviceAccountName: {{ .settings.serviceAccount.name | default (ternary (printf "zastava-%s" .part) "default" .settings.serviceAccount.create) | quote }}
# No program of this chart calls the API server.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .settings.priorityClassName | default (ternary .root.Values.priorityClass.name "" .root.Values.priorityClass.create) }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "zastava.hostAliases" .root | trim }}
hostAliases:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Names that pods resolve without cluster DNS. */}}
{{- define "zastava.hostAliases" -}}
{{- with .Values.hostAliases }}
{{ toYaml . }}
{{- end }}
{{- if and .Values.sandbox.enabled .Values.sandbox.service.clusterIP }}
- ip: {{ .Values.sandbox.service.clusterIP | quote }}
  hostnames: [{{ include "zastava.host" (dict "root" . "part" "sandbox") }}]
{{- end }}
{{- with .Values.webhook.service.clusterIP }}
- ip: {{ . | quote }}
  hostnames: [{{ include "zastava.host" (dict "root" $ "part" "webhook") }}]
{{- end }}
{{- end -}}

{{/* Probes on the program's health listener: {settings, port}. */}}
{{- define "zastava.probes" -}}
startupProbe:
  httpGet: {path: /healthz/live, port: health}
  periodSeconds: 1
  failureThreshold: {{ .settings.startupSeconds | default 60 }}
livenessProbe:
  httpGet: {path: /healthz/live, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /healthz/ready, port: health}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/* Where secrets and CA bundles are mounted. The programs' defaults and samples use the same paths. */}}
{{- define "zastava.secretMounts" -}}
- name: configuration
  mountPath: /etc/zastava
  readOnly: true
{{- with .Values.secrets.authorityMtls }}
- name: authority-mtls
  mountPath: /var/run/secrets/zastava-authority-mtls
  readOnly: true
{{- end }}
{{- with .Values.secrets.authorityDpop }}
- name: authority-dpop
  mountPath: /var/run/secrets/zastava-authority-dpop
  readOnly: true
{{- end }}
{{- with .Values.secrets.authorityClientSecret }}
- name: authority-client-secret
  mountPath: /var/run/secrets/zastava-authority-client-secret
  readOnly: true
{{- end }}
{{- with .Values.secrets.authorityStaticToken }}
- name: authority-static-token
  mountPath: /var/run/secrets/zastava-authority-static-token
  readOnly: true
{{- end }}
{{- if or .Values.caBundle.configMapName .Values.caBundle.secretName }}
- name: ca-bundle
  mountPath: /var/run/secrets/zastava-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "zastava.secretVolumes" -}}
{{- with .Values.secrets.authorityMtls }}
- name: authority-mtls
  secret: {secretName: {{ . | quote }}, defaultMode: 0400}
{{- end }}
{{- with .Values.secrets.authorityDpop }}
- name: authority-dpop
  secret: {secretName: {{ . | quote }}, defaultMode: 0400}
{{- end }}
{{- with .Values.secrets.authorityClientSecret }}
- name: authority-client-secret
  secret: {secretName: {{ . | quote }}, defaultMode: 0400}
{{- end }}
{{- with .Values.secrets.authorityStaticToken }}
# Optional, since operators delete it once Authority is reachable; the pods then start without it.
- name: authority-static-token
  secret: {secretName: {{ . | quote }}, defaultMode: 0400, optional: true}
{{- end }}
{{- if .Values.caBundle.configMapName }}
- name: ca-bundle
  configMap: {name: {{ .Values.caBundle.configMapName | quote }}, items: [{key: {{ .Values.caBundle.key | quote }}, path: {{ .Values.caBundle.key | quote }}}]}
{{- else if .Values.caBundle.secretName }}
- name: ca-bundle
  # Mounts the CA bundle only. The Secret may also hold a private key, which the pods must not see.
  secret: {secretName: {{ .Values.caBundle.secretName | quote }}, defaultMode: 0400, items: [{key: {{ .Values.caBundle.key | quote }}, path: {{ .Values.caBundle.key | quote }}}]}
{{- end }}
{{- end -}}

{{/*
The data of a Secret or ConfigMap of the release's namespace: {root, kind, name}. Empty if there is no name, no cluster
(`helm template`) or no such object.
*/}}
{{- define "zastava.found" -}}
{{- $found := dict -}}
{{- if .name -}}
{{- $found = (lookup "v1" .kind .root.Release.Namespace .name | default dict).data | default dict -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Checksums of what a program reads only when it starts: {root, part}. */}}
{{- define "zastava.checksums" -}}
checksum/configuration: {{ include "zastava.configuration" . | sha256sum }}
{{- end -}}

{{/* The images that `helm test` reviews. They default to images of the sandbox's embedded policy, if that is in use. */}}
{{- define "zastava.testImages" -}}
{{- $known := and .Values.sandbox.enabled (not .Values.sandbox.policy) -}}
signed: {{ .Values.tests.signedImage | default (ternary (printf "registry.sandbox.local/demo/signed@sha256:%s" (repeat 64 "1")) "" $known) | quote }}
unsigned: {{ .Values.tests.unsignedImage | default (ternary (printf "registry.sandbox.local/demo/unsigned@sha256:%s" (repeat 64 "2")) "" $known) | quote }}
{{- end -}}

{{/*
Whether `helm test` can send reviews: "true", or empty. A webhook that asks for client certificates refuses a test that has none.
*/}}
{{- define "zastava.testsRun" -}}
{{- $images := include "zastava.testImages" . | fromYaml -}}
{{- $canConnect := or .Values.tests.clientCertificateSecretName (not (.Values.zastava.webhook.tls | default dict).clientCaBundlePath) -}}
{{- if and .Values.tests.enabled (or $images.signed $images.unsigned) $canConnect -}}
true
{{- end -}}
{{- end -}}
