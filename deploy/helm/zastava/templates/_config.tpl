{{/*
The programs' configuration. The chart renders `zastava` of the values unchanged. It fills in only what the values leave
out and the chart knows: the paths of what it mounts, and the sandbox's addresses.
*/}}

{{/* `zastava.yaml` of one program: {root, part}. */}}
{{- define "zastava.configuration" -}}
{{- $part := deepCopy (index .root.Values.zastava .part) -}}
{{- $_ := set $part "backend" (include "zastava.backend" (dict "root" .root "backend" $part.backend) | fromYaml) -}}
{{- if eq .part "webhook" -}}
{{- $_ := set $part "tls" (include "zastava.webhookTls" .root | fromYaml) -}}
{{- end -}}
zastava:
  runtime:
    {{- include "zastava.runtime" .root | nindent 4 }}
  {{ .part }}:
    {{- toYaml $part | nindent 4 }}
{{- end -}}

{{/*
`zastava.webhook.tls`. The webhook checks its certificate as API servers do: against the name of its Service, and against the CA
bundle that the registration holds. That is not always the Secret's: after a change of the Secret it is, until an upgrade, the old
one.
*/}}
{{- define "zastava.webhookTls" -}}
{{- $tls := deepCopy (.Values.zastava.webhook.tls | default dict) -}}
{{- $_ := set $tls "serverNames" (include "zastava.serverNames" . | fromYamlArray) -}}
{{- if and (not $tls.caBundlePath) (include "zastava.registeredBundle" .) -}}
{{- $_ := set $tls "caBundlePath" "/etc/zastava/registered-ca.crt" -}}
{{- end -}}
{{- toYaml $tls -}}
{{- end -}}

{{- define "zastava.runtime" -}}
{{- $runtime := deepCopy .Values.zastava.runtime -}}
{{- $authority := $runtime.authority -}}
{{- $sandbox := and .Values.sandbox.enabled (not $authority.issuer) -}}
{{- if and .Values.sandbox.enabled (not $runtime.tenant) -}}
{{- $_ := set $runtime "tenant" "sandbox" -}}
{{- end -}}
{{- if $sandbox -}}
{{- $_ := set $authority "issuer" (printf "https://%s:8440" (include "zastava.host" (dict "root" . "part" "sandbox"))) -}}
{{- end -}}
{{- $paths := dict -}}
{{- if .Values.secrets.authorityMtls -}}
{{- $_ := set $paths "clientCertificatePath" "/var/run/secrets/zastava-authority-mtls/tls.crt" -}}
{{- $_ := set $paths "clientKeyPath" "/var/run/secrets/zastava-authority-mtls/tls.key" -}}
{{- end -}}
{{- if .Values.secrets.authorityDpop -}}
{{- $_ := set $paths "dpopKeyPath" "/var/run/secrets/zastava-authority-dpop/dpop.key" -}}
{{- end -}}
{{- if .Values.secrets.authorityClientSecret -}}
{{- $_ := set $paths "clientSecretPath" "/var/run/secrets/zastava-authority-client-secret/secret" -}}
{{- end -}}
{{- if .Values.secrets.authorityStaticToken -}}
{{- $_ := set $paths "staticTokenPath" "/var/run/secrets/zastava-authority-static-token/token" -}}
{{- end -}}
{{- with include "zastava.caBundlePath" (dict "root" . "sandbox" $sandbox) -}}
{{- $_ := set $paths "caBundlePath" . -}}
{{- end -}}
{{- $_ := set $runtime "authority" (merge $authority $paths) -}}
{{- toYaml $runtime -}}
{{- end -}}

{{- define "zastava.backend" -}}
{{- $backend := deepCopy (.backend | default dict) -}}
{{- $sandbox := and .root.Values.sandbox.enabled (not $backend.baseAddress) -}}
{{- if $sandbox -}}
{{- $_ := set $backend "baseAddress" (printf "https://%s:8441" (include "zastava.host" (dict "root" .root "part" "sandbox"))) -}}
{{- end -}}
{{- with include "zastava.caBundlePath" (dict "root" .root "sandbox" $sandbox) -}}
{{- if not $backend.caBundlePath -}}
{{- $_ := set $backend "caBundlePath" . -}}
{{- end -}}
{{- end -}}
{{- toYaml $backend -}}
{{- end -}}

{{/* The path of the CA bundle with which a program verifies a server; empty means the CAs of the system. */}}
{{- define "zastava.caBundlePath" -}}
{{- if .sandbox -}}
/var/run/secrets/zastava-authority-mtls/ca.crt
{{- else if or .root.Values.caBundle.configMapName .root.Values.caBundle.secretName -}}
/var/run/secrets/zastava-ca/{{ .root.Values.caBundle.key }}
{{- end -}}
{{- end -}}
