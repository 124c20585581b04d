{{/*
Mistakes that the schema cannot see, since they are in two values at once or take words to explain. Told as the schema
tells its own: all at once, each by the path of its key.
*/}}
{{- define "zastava.faults" -}}
{{- $faults := list -}}
{{- $webhook := .Values.webhook -}}
{{- if $webhook.enabled -}}
{{- $ports := dict "/zastava/webhook/listen" (include "zastava.port" .Values.zastava.webhook.listen) "/zastava/webhook/health/listen" (include "zastava.port" .Values.zastava.webhook.health.listen) -}}
{{- if eq (index $ports "/zastava/webhook/listen") (index $ports "/zastava/webhook/health/listen") -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/health/listen': port %s is that of '/zastava/webhook/listen': health and metrics need one of their own" (index $ports "/zastava/webhook/listen")) -}}
{{- end -}}
{{- if $webhook.hostNetwork -}}
{{- $taken := dict "10248" "kubelet" "10250" "kubelet" "10249" "kube-proxy" "10256" "kube-proxy" "6443" "API server" "2379" "etcd" "2380" "etcd" "10257" "controller manager" "10259" "scheduler" -}}
{{- range $path, $port := $ports -}}
{{- with get $taken $port -}}
{{- $faults = append $faults (printf "at '%s': on the node's network (webhook.hostNetwork) port %s is the %s's: choose another" $path $port .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaling := $webhook.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $faults = append $faults (printf "at '/webhook/autoscaling/minReplicas': %d is more than '/webhook/autoscaling/maxReplicas', which is %d: raise that or lower this" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if contains "PRIVATE KEY" (default "" $webhook.certificate.caBundle) -}}
{{- $faults = append $faults "at '/webhook/certificate/caBundle': holds a private key, which everybody could read in the webhook's registration: leave the certificates alone in it" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.caBundle.configMapName .Values.caBundle.secretName -}}
{{- $faults = append $faults (printf "at '/caBundle': configMapName (%s) and secretName (%s) are both set, and one bundle is mounted: empty one of them" .Values.caBundle.configMapName .Values.caBundle.secretName) -}}
{{- end -}}
{{- if .Values.observer.enabled -}}
{{- $paths := dict "/zastava/observer/procRootPath" (default "" .Values.zastava.observer.procRootPath) -}}
{{- range $key, $path := .Values.observer.hostPaths -}}
{{- $_ := set $paths (printf "/observer/hostPaths/%s" $key) $path -}}
{{- end -}}
{{- range $key, $path := $paths -}}
{{- if and $path (eq (clean $path) "/") -}}
{{- $faults = append $faults (printf "at '%s': %s is the root: name a directory below it" $key $path) -}}
{{- else if and $path (ne (clean $path) (trimSuffix "/" $path)) -}}
{{- $faults = append $faults (printf "at '%s': %s is written in a roundabout way: say %s" $key $path (clean $path)) -}}
{{- end -}}
{{- end -}}
{{- with include "zastava.scratchFault" .Values.observer.hostPaths -}}
{{- $faults = append $faults . -}}
{{- end -}}
{{- end -}}
{{- range list "zastava.madeTwice" "zastava.programFaults" -}}
{{- range include . $ | fromYamlArray -}}
{{- $faults = append $faults . -}}
{{- end -}}
{{- end -}}
{{- range $faults }}
- {{ . }}
{{- end -}}
{{- end -}}

{{/* What is wrong with writing events to `scratch` of the node's paths. */}}
{{- define "zastava.scratchFault" -}}
{{- $scratch := get . "scratch" | trimSuffix "/" -}}
{{- $why := "" -}}
{{- if has $scratch (list "/home" "/media" "/mnt" "/opt" "/root" "/run" "/srv" "/tmp" "/var" "/var/cache" "/var/lib" "/var/log" "/var/run" "/var/tmp") -}}
{{- $why = "is shared by all of the node" -}}
{{- else if regexMatch "^/(bin|boot|dev|etc|lib|lib32|lib64|proc|sbin|sys|usr|var/lib/(containerd|docker|etcd|kubelet)|(var/)?run/(containerd|docker))(/|$)" $scratch -}}
{{- $why = "belongs to the node's system" -}}
{{- else if $scratch -}}
{{- range $key := list "proc" "containerdState" "containerdSocketDirectory" -}}
{{- $other := get $ $key | trimSuffix "/" -}}
{{- if and $other (or (hasPrefix (printf "%s/" $other) (printf "%s/" $scratch)) (hasPrefix (printf "%s/" $scratch) (printf "%s/" $other))) -}}
{{- $why = printf "and '/observer/hostPaths/%s' (%s) are one in the other" $key $other -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $why -}}
{{- printf "at '/observer/hostPaths/scratch': %s %s, and the observer writes there: name a directory of its own, such as /var/run/zastava, or \"\" for none" $scratch . -}}
{{- end -}}
{{- end -}}

{{/* Secrets that the chart would make under one name, as a list of faults. */}}
{{- define "zastava.madeTwice" -}}
{{- $made := list -}}
{{- if and .Values.sandbox.enabled .Values.sandbox.createSecrets -}}
{{- $made = concat $made (list (list "zastava-sandbox-tls" "/sandbox/createSecrets") (list .Values.secrets.authorityMtls "/secrets/authorityMtls") (list .Values.secrets.authorityDpop "/secrets/authorityDpop")) -}}
{{- end -}}
{{- if and .Values.webhook.enabled (eq (include "zastava.certificateSource" .) "generated") -}}
{{- $made = append $made (list .Values.webhook.certificate.secretName "/webhook/certificate/secretName") -}}
{{- end -}}
{{- $faults := list -}}
{{- $seen := dict -}}
{{- range $made -}}
{{- $name := first . | default "" -}}
{{- if and $name (hasKey $seen $name) -}}
{{- $faults = append $faults (printf "at '%s': the chart makes a Secret %s for '%s' already: choose another name" (last .) $name (get $seen $name)) -}}
{{- end -}}
{{- $_ := set $seen $name (last .) -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* What the programs would refuse at their start, or should never be told, as a list of faults. */}}
{{- define "zastava.programFaults" -}}
{{- $faults := list -}}
{{- $runtime := .Values.zastava.runtime -}}
{{- /* The labels of docs/metrics.md, and that of a histogram's buckets. */ -}}
{{- $own := list "audience" "certificate" "commit" "component" "decision" "deployment" "endpoint" "engine" "environment" "kind" "le" "meter" "mount" "outcome" "reason" "result" "source" "status" "tenant" "version" -}}
{{- range $tag, $_ := ($runtime.metrics | default dict).commonTags -}}
{{- if has $tag $own -}}
{{- $faults = append $faults (printf "at '/zastava/runtime/metrics/commonTags/%s': is a label that metrics have themselves, and a series that has one twice makes Prometheus drop the whole scrape: choose another name" $tag) -}}
{{- end -}}
{{- end -}}
{{- if $runtime.authority.staticTokenValue -}}
{{- $faults = append $faults "at '/zastava/runtime/authority/staticTokenValue': would stand in clear text in two ConfigMaps and in the release: put the token into a Secret under the key token, and that Secret's name into '/secrets/authorityStaticToken'" -}}
{{- if $runtime.authority.staticTokenPath -}}
{{- $faults = append $faults "at '/zastava/runtime/authority/staticTokenPath': does not go with '/zastava/runtime/authority/staticTokenValue': leave out both, '/secrets/authorityStaticToken' mounts the token and fills in the path" -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}
