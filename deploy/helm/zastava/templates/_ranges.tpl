{{/* A duration setting of the programs in milliseconds, as a comparable number. */}}
{{- define "zastava.milliseconds" -}}
{{- $factors := dict "ms" 1 "" 1000 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- include "zastava.measured" (list . $factors) -}}
{{- end -}}

{{/* A size setting of the programs in bytes, as a comparable number. */}}
{{- define "zastava.bytes" -}}
{{- $factors := dict "" 1 "B" 1 "KB" 1000 "MB" 1000000 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 -}}
{{- include "zastava.measured" (list . $factors) -}}
{{- end -}}

{{/* Converts a number with a unit: {value, factors of units}. A bare number may also be a number in YAML. */}}
{{- define "zastava.measured" -}}
{{- $value := first . -}}
{{- $text := include "zastava.plain" $value -}}
{{- mulf (regexFind "^[0-9]+" $text | float64) (get (last .) (regexReplaceAll "^[0-9]+ ?" $text "")) | printf "%.0f" -}}
{{- end -}}

{{/*
A list of faults: durations and sizes out of the range that the programs accept. The bounds are those of the programs'
options; a test compares the two.
*/}}
{{- define "zastava.rangeFaults" -}}
{{- $year := 31622400000 -}}
{{- $rows := list
  (list "zastava.milliseconds" "runtime/authority/requestTimeoutSeconds" 1 $year "more than nothing, 366 days at most")
  (list "zastava.milliseconds" "runtime/authority/refreshSkewSeconds" 0 $year "366 days at most")
  (list "zastava.milliseconds" "runtime/authority/staticTokenMaxAge" 0 $year "366 days at most")
-}}
{{- if .Values.observer.enabled -}}
{{- $rows = concat $rows (list
  (list "zastava.milliseconds" "observer/backend/requestTimeoutSeconds" 1 $year "more than nothing, 366 days at most")
  (list "zastava.milliseconds" "observer/pollInterval" 100 $year "100ms or more, 366 days at most")
  (list "zastava.milliseconds" "observer/posture/fallbackTtlSeconds" 0 $year "366 days at most")
  (list "zastava.milliseconds" "observer/publishFlushIntervalSeconds" 0 $year "366 days at most")
  (list "zastava.milliseconds" "observer/backoff/initial" 1 $year "more than nothing, 366 days at most")
  (list "zastava.milliseconds" "observer/backoff/max" 0 $year "366 days at most")
  (list "zastava.milliseconds" "observer/collect/secondLookAfter" 0 $year "366 days at most")
  (list "zastava.milliseconds" "observer/collect/thirdLookAfter" 0 $year "366 days at most")
  (list "zastava.bytes" "observer/collect/maxLibraryBytes" 0 9000000000000000000 "less than 8589934592GiB")
  (list "zastava.bytes" "observer/collect/maxHashBytesPerContainer" 0 9000000000000000000 "less than 8589934592GiB")
  (list "zastava.bytes" "observer/maxDiskBufferBytes" 4194304 1099511627776 "4MiB to 1024GiB")
  (list "zastava.bytes" "observer/publishBatchBytes" 65536 1048576 "64KiB to 1MiB")
  (list "zastava.bytes" "observer/deadLetter/maxBytes" 65536 9000000000000000000 "64KiB or more")
) -}}
{{- end -}}
{{- if .Values.webhook.enabled -}}
{{- $rows = concat $rows (list
  (list "zastava.milliseconds" "webhook/backend/requestTimeoutSeconds" 1 $year "more than nothing, 366 days at most")
  (list "zastava.milliseconds" "webhook/tls/pollInterval" 1 $year "more than nothing, 366 days at most")
  (list "zastava.milliseconds" "webhook/admission/cacheTtlSeconds" 0 $year "366 days at most")
  (list "zastava.milliseconds" "webhook/registries/requestTimeoutSeconds" 1 30000 "more than nothing, 30s at most")
  (list "zastava.milliseconds" "webhook/drainSeconds" 0 300000 "5m at most")
  (list "zastava.bytes" "webhook/admission/cacheMaxBytes" 1024 1073741824 "1KiB to 1GiB")
  (list "zastava.milliseconds" "webhook/limits/maxConnectionAge" 1 86400000 "1ms to 24h")
  (list "zastava.bytes" "webhook/limits/maxBodyBytes" 1024 67108864 "1KiB to 64MiB")
  (list "zastava.bytes" "webhook/limits/maxBodiesBytes" 1024 1073741824 "1KiB to 1GiB")
) -}}
{{- end -}}
{{- $faults := list -}}
{{- range $row := $rows -}}
{{- $value := $.Values.zastava -}}
{{- range $key := splitList "/" (index $row 1) -}}
{{- $value = kindIs "map" $value | ternary (get (kindIs "map" $value | ternary $value dict) $key) "" -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $measured := include (index $row 0) $value | float64 -}}
{{- if or (lt $measured (float64 (index $row 2))) (gt $measured (float64 (index $row 3))) -}}
{{- $faults = append $faults (printf "at '/zastava/%s': %s is out of range: %s" (index $row 1) (include "zastava.plain" $value) (index $row 4)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.observer.enabled -}}
{{- $backoff := .Values.zastava.observer.backoff | default dict -}}
{{- /* The programs' defaults apply to missing keys. */ -}}
{{- $initial := ternary $backoff.initial "1s" (not (kindIs "invalid" $backoff.initial)) -}}
{{- $max := ternary $backoff.max "30s" (not (kindIs "invalid" $backoff.max)) -}}
{{- if gt (include "zastava.milliseconds" $initial | float64) (include "zastava.milliseconds" $max | float64) -}}
{{- $faults = append $faults (printf "at '/zastava/observer/backoff/max': %s is less than '/zastava/observer/backoff/initial', which is %s: raise this or lower that" (include "zastava.plain" $max) (include "zastava.plain" $initial)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $faults -}}
{{- end -}}

{{/* Prints text unchanged, and a number without an exponent. */}}
{{- define "zastava.plain" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ int64 . }}{{- end -}}
{{- end -}}
