//! Reviews of a Pod, grown to a size by what grows real ones.

use std::fmt::Write as _;

use bytes::Bytes;

/// The sandbox's Scanner passes it.
const IMAGE: &str = "registry.sandbox.local/demo/signed@sha256:1111111111111111111111111111111111111111111111111111111111111111";
/// What the API server writes for each manager of an object.
const MANAGED_FIELDS: &str = r#"{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-11-30T04:40:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{},"f:image":{}}}}}}"#;

/// The table's rows: a name and a body.
pub(crate) fn all() -> Vec<(String, Bytes)> {
    let mut rows = vec![("3 KB, mixed".to_owned(), mixed(3 << 10))];
    for (size, name) in [(20 << 10, "20 KB"), (200 << 10, "200 KB")] {
        rows.push((format!("{name}, managedFields"), managed_fields(size)));
        rows.push((format!("{name}, mixed"), mixed(size)));
        rows.push((format!("{name}, spec"), spec(size)));
    }
    rows.push(("2 MB, managedFields".to_owned(), managed_fields(2 << 20)));
    rows.push(("2 MB, mixed".to_owned(), mixed(2 << 20)));
    rows
}

/// Half of the pad is `managedFields`, half is the spec's.
pub(crate) fn mixed(bytes: usize) -> Bytes {
    let half = bytes.saturating_sub(review("", "").len()) / 2;
    review(&fields(half), &variables(half)).into()
}

fn managed_fields(bytes: usize) -> Bytes {
    review(&fields(bytes.saturating_sub(review("", "").len())), "").into()
}

fn spec(bytes: usize) -> Bytes {
    review("", &variables(bytes.saturating_sub(review("", "").len()))).into()
}

fn fields(bytes: usize) -> String {
    vec![MANAGED_FIELDS; bytes / MANAGED_FIELDS.len()].join(",")
}

/// Environment variables of a container.
fn variables(bytes: usize) -> String {
    let mut out = String::new();
    let mut number = 0;
    while out.len() < bytes {
        _ = write!(
            out,
            r#"{}{{"name":"SETTING_{number}","value":"a value that an application reads, of ordinary length"}}"#,
            if number == 0 { "" } else { "," }
        );
        number += 1;
    }
    out
}

fn review(managed_fields: &str, variables: &str) -> String {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},"requestKind":{{"group":"","version":"v1","kind":"Pod"}},"requestResource":{{"group":"","version":"v1","resource":"pods"}},"name":"web-5d59d67564-x7k2d","namespace":"shop","operation":"CREATE","userInfo":{{"username":"system:serviceaccount:kube-system:replicaset-controller","uid":"a7e0ab33-5f29-11e8-8a3c-36e6bb280816","groups":["system:serviceaccounts","system:serviceaccounts:kube-system","system:authenticated"]}},"object":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web-5d59d67564-x7k2d","generateName":"web-5d59d67564-","namespace":"shop","uid":"a7e0ab33-5f29-11e8-8a3c-36e6bb280817","creationTimestamp":"2026-11-30T04:40:00Z","labels":{{"app":"web","team":"shop","pod-template-hash":"5d59d67564"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d59d67564","uid":"a7e0ab33-5f29-11e8-8a3c-36e6bb280818","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{managed_fields}]}},"spec":{{"volumes":[{{"name":"token","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}}],"defaultMode":420}}}}],"containers":[{{"name":"web","image":"{IMAGE}","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{variables}],"resources":{{"limits":{{"cpu":"500m","memory":"128Mi"}},"requests":{{"cpu":"50m","memory":"64Mi"}}}},"volumeMounts":[{{"name":"token","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Pending","qosClass":"Burstable"}}}},"oldObject":null,"dryRun":false,"options":{{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}}}}"#
    )
}
