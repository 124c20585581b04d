{{/*
The sandbox's keys, as `sandboxSecrets` of the root: `server`, `client` and `dpop`, each the data of a Secret. The keys are
random. One rendering therefore generates them once, for the Secrets and for the checksums of the pods that read them.
Existing keys are kept.
*/}}
{{- define "zastava.sandboxSecrets" -}}
{{- if not (hasKey . "sandboxSecrets") -}}
{{- $mtls := .Values.secrets.authorityMtls | required "at '/secrets/authorityMtls': the sandbox takes clients by certificate: name the Secret" -}}
{{- $server := include "zastava.found" (dict "root" . "kind" "Secret" "name" "zastava-sandbox-tls") | fromYaml -}}
{{- $client := include "zastava.found" (dict "root" . "kind" "Secret" "name" $mtls) | fromYaml -}}
{{- $dpop := include "zastava.found" (dict "root" . "kind" "Secret" "name" .Values.secrets.authorityDpop) | fromYaml -}}
{{- /* One CA key signed both certificates and was then discarded: they are kept together or generated again together. */ -}}
{{- if not (and (index $server "tls.key") (index $client "tls.key")) -}}
{{- $days := 3650 -}}
{{- $ca := genCAWithKey "zastava-sandbox" $days (genPrivateKey "ecdsa") -}}
{{- $host := include "zastava.host" (dict "root" . "part" "sandbox") -}}
{{- $names := list $host (printf "%s.cluster.local" $host) (printf "zastava-sandbox.%s" .Release.Namespace) "zastava-sandbox" "localhost" -}}
{{- $made := genSignedCertWithKey "zastava-sandbox" (list "127.0.0.1") $names $days $ca (genPrivateKey "ecdsa") -}}
{{- $server = dict "ca.crt" (b64enc $ca.Cert) "tls.crt" (b64enc $made.Cert) "tls.key" (b64enc $made.Key) -}}
{{- /* Authority knows the client by this name (RFC 8705 section 2.1.2). */ -}}
{{- $made = genSignedCertWithKey "zastava-runtime" nil (list "zastava-runtime") $days $ca (genPrivateKey "ecdsa") -}}
{{- $client = dict "ca.crt" (b64enc $ca.Cert) "tls.crt" (b64enc $made.Cert) "tls.key" (b64enc $made.Key) -}}
{{- end -}}
{{- if not (index $dpop "dpop.key") -}}
{{- $dpop = dict "dpop.key" (genPrivateKey "ecdsa" | b64enc) -}}
{{- end -}}
{{- $_ := set . "sandboxSecrets" (dict "server" (pick $server "ca.crt" "tls.crt" "tls.key") "client" (pick $client "ca.crt" "tls.crt" "tls.key") "dpop" (pick $dpop "dpop.key")) -}}
{{- end -}}
{{- end -}}

{{/*
The keys that the sandbox reads only when it starts. A Secret that the chart does not create can be read only with a
cluster.
*/}}
{{- define "zastava.sandboxServes" -}}
{{- $server := dict -}}
{{- if .Values.sandbox.createSecrets -}}
{{- include "zastava.sandboxSecrets" . -}}
{{- $server = .sandboxSecrets.server -}}
{{- else -}}
{{- $server = include "zastava.found" (dict "root" . "kind" "Secret" "name" "zastava-sandbox-tls") | fromYaml -}}
{{- end -}}
{{- toYaml $server }}
{{ include "zastava.found" (dict "root" . "kind" "Secret" "name" .Values.secrets.authorityStaticToken) }}
{{- end -}}
