{{/*
Finds mistakes that the schema cannot: values that contradict each other, and mistakes that need an explanation. Reports
them as the schema does: all at once, each with the path of its key.
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
{{- else if and $webhook.certificate.caBundle (not (regexMatch "^\\s*-----BEGIN CERTIFICATE-----[\\s\\S]*-----END CERTIFICATE-----\\s*$" $webhook.certificate.caBundle)) -}}
{{- $faults = append $faults "at '/webhook/certificate/caBundle': is no list of certificates in PEM: from the first BEGIN CERTIFICATE to the last END CERTIFICATE, as in the file" -}}
{{- else if regexMatch "-----(BEGIN|END)" (regexReplaceAll "-----BEGIN CERTIFICATE-----\\s+[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----" (default "" $webhook.certificate.caBundle) "") -}}
{{- $faults = append $faults "at '/webhook/certificate/caBundle': between its lines BEGIN CERTIFICATE and END CERTIFICATE stands something else than base64: copy the file as it is" -}}
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
{{- range list "zastava.secretFaults" "zastava.servedFaults" "zastava.portFaults" "zastava.madeTwice" "zastava.programFaults" "zastava.rangeFaults" "zastava.ownFaults" "zastava.byteFaults" "zastava.classFaults" -}}
{{- range include . $ | fromYamlArray -}}
{{- $faults = append $faults . -}}
{{- end -}}
{{- end -}}
{{- range $faults }}
- {{ . }}
{{- end -}}
{{- end -}}

{{/* The reason why the observer cannot write events to `scratch`, given the node's paths; empty if it can. */}}
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

{{/*
A list of faults: values that are not valid names of a Secret. The messages leave the value out, since it may be the secret
itself.
*/}}
{{- define "zastava.secretFaults" -}}
{{- $faults := list -}}
{{- range $key, $name := .Values.secrets -}}
{{- if and $name (or (gt (len $name) 253) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" $name))) -}}
{{- $faults = append $faults (printf "at '/secrets/%s': has to be the name of a Secret, of lower-case letters, digits, - and . (what is to be in it goes into the Secret)" $key) -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* A list of faults: ports that need a capability that the chart's pods do not have. */}}
{{- define "zastava.portFaults" -}}
{{- $faults := list -}}
{{- $zastava := .Values.zastava -}}
{{- $listens := dict -}}
{{- if .Values.webhook.enabled -}}
{{- $listens = dict "/zastava/webhook/listen" $zastava.webhook.listen "/zastava/webhook/health/listen" $zastava.webhook.health.listen -}}
{{- end -}}
{{- if .Values.observer.enabled -}}
{{- $_ := set $listens "/zastava/observer/health/listen" $zastava.observer.health.listen -}}
{{- end -}}
{{- range $path, $listen := $listens -}}
{{- $port := include "zastava.port" $listen -}}
{{- if lt (int $port) 1024 -}}
{{- $faults = append $faults (printf "at '%s': port %s is below 1024, which takes a capability that the pod does not have: choose another" $path $port) -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* A list of faults: Secrets that the chart would create under the same name. */}}
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

{{/* A list of faults: settings that the programs would reject when they start, and settings that would expose a secret. */}}
{{- define "zastava.programFaults" -}}
{{- $faults := list -}}
{{- $runtime := .Values.zastava.runtime -}}
{{- /* The labels of docs/metrics.md, and the label of histogram buckets. */ -}}
{{- $own := list "audience" "capability" "certificate" "commit" "component" "decision" "deployment" "endpoint" "engine" "environment" "kind" "lane" "le" "meter" "mount" "outcome" "place" "reason" "result" "reviewed_namespace" "source" "status" "tenant" "version" -}}
{{- range $tag, $_ := ($runtime.metrics | default dict).commonTags -}}
{{- if has $tag $own -}}
{{- $faults = append $faults (printf "at '/zastava/runtime/metrics/commonTags/%s': is a label that metrics have themselves, and a series that has one twice makes Prometheus drop the whole scrape: choose another name" $tag) -}}
{{- end -}}
{{- end -}}
{{- if and $runtime.authority.clientAssertionKeyPath (or .Values.secrets.authorityClientSecret $runtime.authority.clientSecretPath) -}}
{{- $faults = append $faults (printf "at '%s': '/zastava/runtime/authority/clientAssertionKeyPath' is set too, and a client proves itself in one way: leave out one of them" (ternary "/secrets/authorityClientSecret" "/zastava/runtime/authority/clientSecretPath" (not $runtime.authority.clientSecretPath))) -}}
{{- end -}}
{{- if .Values.webhook.enabled -}}
{{- $admission := .Values.zastava.webhook.admission -}}
{{- $names := list -}}
{{- range $admission.failOpenNamespaces -}}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name")) -}}
{{- end -}}
{{- range $index, $open := $admission.failOpenNamespaces -}}
{{- $name := index $names $index -}}
{{- if has $name (slice $names 0 $index) -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/failOpenNamespaces/%d': %s is in the list already, and the entry that lasts longer would count: leave one of them" $index $name) -}}
{{- end -}}
{{- $until := get (kindIs "map" $open | ternary $open dict) "until" -}}
{{- if and $until (toDate "2006-01-02T15:04:05Z07:00" $until).IsZero -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/failOpenNamespaces/%d/until': there is no such time as %s" $index $until) -}}
{{- end -}}
{{- end -}}
{{- range $name, $one := $admission.namespaces -}}
{{- $until := get $one "until" -}}
{{- if and $until (toDate "2006-01-02T15:04:05Z07:00" $until).IsZero -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/namespaces/%s/until': there is no such time as %s" $name $until) -}}
{{- else if not (or $until $one.enforce) -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/namespaces/%s/until': missing: what lets through denied images must say when it ends" $name) -}}
{{- end -}}
{{- end -}}
{{- range $index, $name := $admission.failClosedNamespaces -}}
{{- if has $name (slice $admission.failClosedNamespaces 0 $index) -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/failClosedNamespaces/%d': %s is in the list already: leave one of them" $index $name) -}}
{{- end -}}
{{- if has $name $names -}}
{{- $faults = append $faults (printf "at '/zastava/webhook/admission/failClosedNamespaces/%d': %s is in '/zastava/webhook/admission/failOpenNamespaces' too: leave it in one of them" $index $name) -}}
{{- end -}}
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

{{/*
A list of faults: labels, volumes and variables whose name the chart uses itself. The name would be rendered twice, and only
one of the two would take effect.
*/}}
{{- define "zastava.ownFaults" -}}
{{- $faults := list -}}
{{- $labels := list "app" "app.kubernetes.io/component" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "app.kubernetes.io/name" "app.kubernetes.io/part-of" "app.kubernetes.io/version" "helm.sh/chart" -}}
{{- $common := .Values.commonLabels | default dict -}}
{{- $places := dict "/commonLabels" $common "/observer/podLabels" .Values.observer.podLabels "/webhook/podLabels" .Values.webhook.podLabels "/serviceMonitor/labels" .Values.serviceMonitor.labels "/prometheusRule/labels" .Values.prometheusRule.labels "/dashboard/labels" .Values.dashboard.labels -}}
{{- range $place, $given := $places -}}
{{- range $key, $_ := $given -}}
{{- if has $key $labels -}}
{{- $faults = append $faults (printf "at '%s': %s is a label that the chart sets itself, and selects by: choose another key" $place $key) -}}
{{- else if and (ne $place "/commonLabels") (hasKey $common $key) -}}
{{- $faults = append $faults (printf "at '%s': %s stands in '/commonLabels' already: leave it in one of them" $place $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $volumes := list "configuration" "authority-mtls" "authority-dpop" "authority-client-secret" "authority-static-token" "ca-bundle" "scratch" -}}
{{- $own := dict "observer" (concat $volumes (list "host-proc" "containerd-state" "containerd-socket")) "webhook" (append $volumes "webhook-tls") -}}
{{- range $part, $names := $own -}}
{{- $settings := index $.Values $part -}}
{{- $seen := list -}}
{{- range $index, $volume := $settings.extraVolumes -}}
{{- if has $volume.name $names -}}
{{- $faults = append $faults (printf "at '/%s/extraVolumes/%d': the chart has a volume %s itself: choose another name" $part $index $volume.name) -}}
{{- else if has $volume.name $seen -}}
{{- $faults = append $faults (printf "at '/%s/extraVolumes/%d': there is a volume %s already: choose another name" $part $index $volume.name) -}}
{{- end -}}
{{- $seen = append $seen $volume.name -}}
{{- end -}}
{{- $variables := list (ternary "NODE_NAME" "POD_NAME" (eq $part "observer")) -}}
{{- range $index, $variable := $settings.extraEnv -}}
{{- if has $variable.name $variables -}}
{{- $faults = append $faults (printf "at '/%s/extraEnv/%d': %s is set already: leave it out" $part $index $variable.name) -}}
{{- else if and (hasPrefix "ZASTAVA__" $variable.name) (hasKey $variable "value") -}}
{{- $faults = append $faults (printf "at '/%s/extraEnv/%d': %s is a setting, which nothing here would look at: set it below '/zastava', or take it from a Secret by valueFrom" $part $index $variable.name) -}}
{{- end -}}
{{- $variables = append $variables $variable.name -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* A list of faults: quantities of bytes in thousandths of a byte, such as 64m. */}}
{{- define "zastava.byteFaults" -}}
{{- $faults := list -}}
{{- range $part := list "observer" "webhook" "sandbox" -}}
{{- range $kind, $quantities := (index $.Values $part).resources | default dict -}}
{{- range $resource := list "memory" "ephemeral-storage" -}}
{{- $quantity := get ($quantities | default dict) $resource | toString -}}
{{- if hasSuffix "m" $quantity -}}
{{- $faults = append $faults (printf "at '/%s/resources/%s/%s': %s is in thousandths of a byte: say %sMi" $part $kind $resource $quantity (trimSuffix "m" $quantity)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* A list of faults: a priority class that no pod would use. */}}
{{- define "zastava.classFaults" -}}
{{- $faults := list -}}
{{- if .Values.priorityClass.create -}}
{{- $used := false -}}
{{- range $part := list "observer" "webhook" "sandbox" -}}
{{- $settings := index $.Values $part -}}
{{- if and $settings.enabled (eq ($settings.priorityClassName | default $.Values.priorityClass.name) $.Values.priorityClass.name) -}}
{{- $used = true -}}
{{- end -}}
{{- end -}}
{{- if not $used -}}
{{- $faults = append $faults (printf "at '/priorityClass/create': no pod would have the class %s: set '/observer/priorityClassName' and '/webhook/priorityClassName' to \"\" or to this name" .Values.priorityClass.name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/*
Why this release would block the cluster, or cannot be beside what the cluster has; empty if there is no cluster to look at.
*/}}
{{- define "zastava.clusterFaults" -}}
{{- $registration := .Values.webhook.registration -}}
{{- if .Values.webhook.enabled -}}
{{- $found := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" "zastava-webhook" | default dict -}}
{{- include "zastava.otherInstallation" (dict "root" . "found" $found "key" "webhook.enabled") -}}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace "zastava-webhook" | default dict -}}
{{- $spec := $deployment.spec | default dict -}}
{{- if and .Values.webhook.autoscaling.enabled $registration.enabled (hasKey $spec "replicas") -}}
{{- if eq (int $spec.replicas) 0 -}}
{{- $consequence := ternary "refuse every Pod" "let every image through unjudged" (eq $registration.failurePolicy "Fail") -}}
{{- printf "\n- deploy/zastava-webhook has 0 replicas, and an autoscaler leaves that alone: with failurePolicy %s the API server would %s. First: kubectl -n %s scale deploy/zastava-webhook --replicas=%d" $registration.failurePolicy $consequence .Release.Namespace (int .Values.webhook.autoscaling.minReplicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* Workloads show an installation of which another part, such as the registration, is off. */ -}}
{{- range $kind, $part := dict "Deployment" "webhook" "DaemonSet" "observer" -}}
{{- if (index $.Values $part).enabled -}}
{{- range (lookup "apps/v1" $kind "" "" | default dict).items -}}
{{- if eq .metadata.name (printf "zastava-%s" $part) -}}
{{- include "zastava.otherInstallation" (dict "root" $ "found" (set . "kind" $kind) "key" (printf "%s.enabled" $part)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "zastava.checkCluster" -}}
{{- with include "zastava.clusterFaults" . -}}
{{- fail (printf "this release cannot be in this cluster:%s" .) -}}
{{- end -}}
{{- end -}}

{{/* What to say if an object is of another release: {root, found, key}. */}}
{{- define "zastava.otherInstallation" -}}
{{- $annotations := (.found.metadata | default dict).annotations | default dict -}}
{{- $name := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if and $name (ne (list $name $namespace | toJson) (list .root.Release.Name .root.Release.Namespace | toJson)) -}}
{{- printf "\n- one installation per cluster: release %s in namespace %s has %s/%s. Upgrade that one, uninstall it first, or set %s to false" $name $namespace (lower .found.kind) .found.metadata.name .key -}}
{{- end -}}
{{- end -}}
