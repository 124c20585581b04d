{{/* Where the serving certificate comes from: a lab makes its own, a real installation brings one. */}}
{{- define "zastava.certificateSource" -}}
{{- $source := .Values.webhook.certificate.source -}}
{{- if ne $source "auto" -}}{{ $source }}
{{- else if .Values.sandbox.enabled -}}generated
{{- else -}}secret
{{- end -}}
{{- end -}}

{{/*
The generated certificate as YAML of base64 fields. An earlier one is kept: API servers and webhook would else disagree
until every pod has taken the new one. The authority's key is not kept at all.
*/}}
{{- define "zastava.generatedCertificate" -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace .Values.webhook.certificate.secretName -}}
{{- $data := ($secret | default dict).data | default dict -}}
{{- if and (index $data "ca.crt") (index $data "tls.crt") (index $data "tls.key") -}}
ca: {{ index $data "ca.crt" }}
certificate: {{ index $data "tls.crt" }}
key: {{ index $data "tls.key" }}
{{- else -}}
{{- $host := include "zastava.host" (dict "root" . "part" "webhook") -}}
{{- $names := list $host (printf "%s.cluster.local" $host) (printf "zastava-webhook.%s" .Release.Namespace) "zastava-webhook" -}}
{{- $days := int .Values.webhook.certificate.generatedDays -}}
{{- $ca := genCAWithKey "zastava-webhook" $days (genPrivateKey "ecdsa") -}}
{{- $leaf := genSignedCertWithKey "zastava-webhook" nil $names $days $ca (genPrivateKey "ecdsa") -}}
ca: {{ $ca.Cert | b64enc }}
certificate: {{ $leaf.Cert | b64enc }}
key: {{ $leaf.Key | b64enc }}
{{- end -}}
{{- end -}}

{{/*
What API servers check the certificate against, base64. Said by a value, or found in the Secret that is there. Without a
cluster (`helm template`) nothing can be found, and the value alone counts.
*/}}
{{- define "zastava.givenCaBundle" -}}
{{- if .Values.webhook.certificate.caBundle -}}
{{- .Values.webhook.certificate.caBundle | trim | printf "%s\n" | b64enc -}}
{{- else if lookup "v1" "Namespace" "" "kube-system" -}}
{{- $name := .Values.webhook.certificate.secretName -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace $name -}}
{{- if not $secret -}}
{{- fail (printf "webhook.certificate: there is no Secret %s/%s: create it with tls.crt, tls.key and ca.crt, or set webhook.certificate.source to generated or cert-manager" .Release.Namespace $name) -}}
{{- end -}}
{{- index ($secret.data | default dict) "ca.crt" | required (printf "webhook.certificate.caBundle: the Secret %s/%s has no ca.crt: say here what API servers check the certificate against" .Release.Namespace $name) -}}
{{- end -}}
{{- end -}}
