{{/* The source of the serving certificate: generated in a lab, from a Secret in a real installation. */}}
{{- define "zastava.certificateSource" -}}
{{- $source := .Values.webhook.certificate.source -}}
{{- if ne $source "auto" -}}{{ $source }}
{{- else if .Values.sandbox.enabled -}}generated
{{- else -}}secret
{{- end -}}
{{- end -}}

{{/* The names that the certificate must have: that by which API servers call the webhook, and those that the values add. */}}
{{- define "zastava.serverNames" -}}
{{- $given := (.Values.zastava.webhook.tls | default dict).serverNames | default list -}}
{{- concat (list (include "zastava.host" (dict "root" . "part" "webhook"))) $given | uniq | toYaml -}}
{{- end -}}

{{/* Where the pods have the Secret of the serving certificate. The program's defaults lie there. */}}
{{- define "zastava.webhookMount" -}}
/var/run/secrets/zastava-webhook
{{- end -}}

{{/*
The files that the webhook serves with, as YAML: `path` and, if it is one of the Secret, its `key`; for `certificate` and
`privateKey`. `secret` says whether one of them is.
*/}}
{{- define "zastava.servedFiles" -}}
{{- $mount := include "zastava.webhookMount" . -}}
{{- $tls := .Values.zastava.webhook.tls | default dict -}}
{{- $files := dict "secret" false -}}
{{- range $name, $key := dict "certificate" "tls.crt" "privateKey" "tls.key" -}}
{{- $path := get $tls (printf "%sPath" $name) | default (printf "%s/%s" $mount $key) -}}
{{- $inside := eq (dir (clean $path)) $mount -}}
{{- $_ := set $files $name (dict "path" $path "key" (ternary (base $path) "" $inside)) -}}
{{- if $inside -}}{{- $_ := set $files "secret" true -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* A list of faults: files elsewhere, although the chart or cert-manager puts the certificate into the Secret. */}}
{{- define "zastava.servedFaults" -}}
{{- $faults := list -}}
{{- $source := include "zastava.certificateSource" . -}}
{{- if and .Values.webhook.enabled (ne $source "secret") -}}
{{- $files := include "zastava.servedFiles" . | fromYaml -}}
{{- range $name, $key := dict "certificate" "tls.crt" "privateKey" "tls.key" -}}
{{- $file := get $files $name -}}
{{- if ne $file.key $key -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/tls/%sPath': %s is not what API servers are told of: with '/webhook/certificate/source' %s the webhook serves with %s of the Secret. Leave out the path, or set the source to secret" $name $file.path $source $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/*
The generated certificate as YAML of base64 fields. An existing certificate is kept; otherwise API servers and webhook would
disagree until every pod has loaded the new one. The private key of the CA is discarded.
*/}}
{{- define "zastava.generatedCertificate" -}}
{{- $data := include "zastava.found" (dict "root" . "kind" "Secret" "name" .Values.webhook.certificate.secretName) | fromYaml -}}
{{- if and (index $data "ca.crt") (index $data "tls.crt") (index $data "tls.key") -}}
{{- /* A pod checks it before it is kept: certificate-check.yaml. */ -}}
kept: true
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
{{- $files := include "zastava.servedFiles" . | fromYaml -}}
{{- $data := include "zastava.found" (dict "root" . "kind" "Secret" "name" $name) | fromYaml -}}
{{- $place := printf "at '/webhook/certificate/secretName': the Secret %s/%s" .Release.Namespace $name -}}
{{- include "zastava.checkCluster" . -}}
{{- if and $files.secret (not $data) -}}
{{- fail (printf "%s is not there, or is empty: create it with tls.crt, tls.key and ca.crt, or set webhook.certificate.source to generated or cert-manager" $place) -}}
{{- end -}}
{{- range $file := list $files.certificate $files.privateKey -}}
{{- if and $file.key (not (get $data $file.key)) -}}
{{- fail (printf "%s has no %s, which the webhook serves with" $place $file.key) -}}
{{- end -}}
{{- end -}}
{{- with $files.privateKey.key -}}
{{- if not (contains "PRIVATE KEY" (get $data . | b64dec)) -}}
{{- fail (printf "%s holds no private key in PEM in its %s: put there, encoded once, what begins with -----BEGIN PRIVATE KEY-----" $place .) -}}
{{- end -}}
{{- end -}}
{{- with $files.certificate.key -}}
{{- $chain := get $data . | b64dec -}}
{{- if contains "PRIVATE KEY" $chain -}}
{{- fail (printf "%s has a private key in its %s, which every client would be sent: leave the certificates alone in it" $place .) -}}
{{- else if not (contains "BEGIN CERTIFICATE" $chain) -}}
{{- fail (printf "%s holds no certificate in PEM in its %s" $place .) -}}
{{- end -}}
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
