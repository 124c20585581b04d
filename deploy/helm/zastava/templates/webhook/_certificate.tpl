{{/* The source of the serving certificate: generated in a lab, from a Secret in a real installation. */}}
{{- define "zastava.certificateSource" -}}
{{- $source := .Values.webhook.certificate.source -}}
{{- if ne $source "auto" -}}{{ $source }}
{{- else if .Values.sandbox.enabled -}}generated
{{- else -}}secret
{{- end -}}
{{- end -}}

{{/*
The generated certificate as YAML of base64 fields. An existing certificate is kept; otherwise API servers and webhook would
disagree until every pod has loaded the new one. The private key of the CA is discarded.
*/}}
{{- define "zastava.generatedCertificate" -}}
{{- $data := include "zastava.found" (dict "root" . "kind" "Secret" "name" .Values.webhook.certificate.secretName) | fromYaml -}}
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
The CA bundle with which API servers verify the certificate, in base64. It comes from a value or from the existing Secret.
Without a cluster (`helm template`) no Secret can be read, and only the value counts.
*/}}
{{- define "zastava.givenCaBundle" -}}
{{- if .Values.webhook.certificate.caBundle -}}
{{- .Values.webhook.certificate.caBundle | trim | printf "%s\n" | b64enc -}}
{{- else if lookup "v1" "Namespace" "" "kube-system" -}}
{{- $name := .Values.webhook.certificate.secretName -}}
{{- $data := include "zastava.found" (dict "root" . "kind" "Secret" "name" $name) | fromYaml -}}
{{- $place := printf "at '/webhook/certificate/secretName': the Secret %s/%s" .Release.Namespace $name -}}
{{- include "zastava.checkCluster" . -}}
{{- if not $data -}}
{{- fail (printf "%s is not there, or is empty: create it with tls.crt, tls.key and ca.crt, or set webhook.certificate.source to generated or cert-manager" $place) -}}
{{- end -}}
{{- range $key := list "tls.crt" "tls.key" -}}
{{- if not (get $data $key) -}}
{{- fail (printf "%s has no %s, which the webhook serves with" $place $key) -}}
{{- end -}}
{{- end -}}
{{- if not (contains "PRIVATE KEY" (get $data "tls.key" | b64dec)) -}}
{{- fail (printf "%s holds no private key in PEM in its tls.key: put there, encoded once, what begins with -----BEGIN PRIVATE KEY-----" $place) -}}
{{- end -}}
{{- $chain := get $data "tls.crt" | b64dec -}}
{{- if contains "PRIVATE KEY" $chain -}}
{{- fail (printf "%s has a private key in its tls.crt, which every client would be sent: leave the certificates alone in it" $place) -}}
{{- else if not (contains "BEGIN CERTIFICATE" $chain) -}}
{{- fail (printf "%s holds no certificate in PEM in its tls.crt" $place) -}}
{{- end -}}
{{- $bundle := get $data "ca.crt" -}}
{{- if not $bundle -}}
{{- fail (printf "%s has no ca.crt: put there, or into webhook.certificate.caBundle, what API servers check the certificate against" $place) -}}
{{- end -}}
{{- $text := b64dec $bundle -}}
{{- if contains "PRIVATE KEY" $text -}}
{{- fail (printf "%s has a private key in its ca.crt, which everybody could read in the webhook's registration: leave the certificates alone in it" $place) -}}
{{- end -}}
{{- if not (regexMatch "-----BEGIN CERTIFICATE-----\\s+[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----" $text) -}}
{{- fail (printf "%s holds no certificate in PEM in its ca.crt: put there, encoded once, what begins with -----BEGIN CERTIFICATE-----" $place) -}}
{{- end -}}
{{- $bundle -}}
{{- end -}}
{{- end -}}

{{/* The same where the chart does not make the certificate. Empty if another part fills it in, or there is no cluster. */}}
{{- define "zastava.registeredBundle" -}}
{{- if eq (include "zastava.certificateSource" .) "secret" -}}
{{- include "zastava.givenCaBundle" . -}}
{{- end -}}
{{- end -}}
