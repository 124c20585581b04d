//! Reading a review: the envelope, the images, the spec's digest. And deciding an update that keeps its images, from bytes to answer and
//! decision, which asks no policy source.
//!
//! The reference reads the same images with derived `serde_json` types and checks nothing. That of the digest builds a tree of
//! the spec and writes the tree's canonical form.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::{Value, json};
use zastava_admission::{AdmissionOptions, PolicySource, Review, ReviewObject, Reviewer, async_trait};
use zastava_benches::{ProcessorTime, criterion};
use zastava_core::contract::{PolicyRequest, PolicyResponse, canonical_json_digest};
use zastava_core::http_service::BoxError;
use zastava_core::image::Digest;
use zastava_core::telemetry::Telemetry;

/// A policy source that is never asked.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl PolicySource for Nobody {
    async fn policy(&self, _: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
        Err("nobody is here".into())
    }
}

/// What an hour's work would read of a review.
#[derive(Deserialize)]
struct Plain {
    request: PlainRequest,
}

#[derive(Deserialize)]
struct PlainRequest {
    object: PlainPod,
}

#[derive(Deserialize)]
struct PlainPod {
    spec: PlainSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainSpec {
    init_containers: Vec<PlainContainer>,
    containers: Vec<PlainContainer>,
}

#[derive(Deserialize)]
struct PlainContainer {
    image: String,
}

fn plain(body: &[u8]) -> Vec<String> {
    let PlainSpec { init_containers, containers } =
        serde_json::from_slice::<Plain>(body).expect("a review").request.object.spec;
    init_containers.into_iter().chain(containers).map(|container| container.image).collect()
}

/// A Pod of two images, grown to `bytes` by what grows real ones: `managedFields`.
fn review(bytes: usize) -> Vec<u8> {
    let image = |name: &str| format!("registry.example.com/shop/{name}@sha256:{}", "1".repeat(64));
    let container = |name: &str| {
        json!({"name": name, "image": image(name), "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "MODE", "value": "production"}, {"name": "REGION", "value": "eu-central-1"}],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"name": "token", "readOnly": true, "mountPath": "/var/run/secrets"}]})
    };
    let mut review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "web-5d59d67564-x7k2d", "namespace": "shop", "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller",
                "groups": ["system:serviceaccounts", "system:authenticated"]},
            "object": {
                "kind": "Pod", "apiVersion": "v1",
                "metadata": {"name": "web-5d59d67564-x7k2d", "namespace": "shop",
                    "labels": {"app": "web", "team": "shop", "pod-template-hash": "5d59d67564"}, "managedFields": []},
                "spec": {"initContainers": [container("migrate")], "containers": [container("web")],
                    "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                    "terminationGracePeriodSeconds": 30},
                "status": {"phase": "Pending", "qosClass": "Burstable"},
            },
            "oldObject": null, "dryRun": false,
        },
    });
    let field = json!({"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:env": {}, "f:image": {}}}}}});
    while review.to_string().len() < bytes {
        if let Some(Value::Array(fields)) = review.pointer_mut("/request/object/metadata/managedFields") {
            fields.push(field.clone());
        }
    }
    review.to_string().into_bytes()
}

/// A container as an API server writes it: the fields in the order of their declaration.
const CONTAINER: &str = r#"{"name":"web","image":"registry.example.com/shop/web:1.27","args":["--listen","0.0.0.0:8080"],
    "ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],"env":[{"name":"MODE","value":"production"},
    {"name":"REGION","value":"eu-central-1"}],"resources":{"limits":{"cpu":"500m","memory":"128Mi"},"requests":{"cpu":"50m"}},
    "volumeMounts":[{"name":"token","readOnly":true,"mountPath":"/var/run/secrets"}],"terminationMessagePath":
    "/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}"#;

fn spec(bytes: usize) -> String {
    let containers = vec![CONTAINER; bytes / CONTAINER.len() + 1];
    format!("{{\"containers\":[{}],\"restartPolicy\":\"Always\"}}", containers.join(","))
}

fn digest_by_tree(spec: &str) -> Digest {
    let tree: Value = serde_json::from_str(spec).expect("JSON");
    Digest::of(&serde_json_canonicalizer::to_vec(&tree).expect("a canonical form"))
}

fn digests(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("digest");
    for kilobytes in [3, 200, 7000] {
        let spec = spec(kilobytes * 1000);
        assert_eq!(canonical_json_digest(&spec).expect("a canonical form"), digest_by_tree(&spec));
        group.throughput(Throughput::Bytes(spec.len() as u64));
        group.bench_with_input(BenchmarkId::new("stream", kilobytes), &spec, |bencher, spec| {
            bencher.iter(|| canonical_json_digest(black_box(spec)));
        });
        group.bench_with_input(BenchmarkId::new("reference: tree", kilobytes), &spec, |bencher, spec| {
            bencher.iter(|| digest_by_tree(black_box(spec)));
        });
    }
    group.finish();
}

fn extract(body: &[u8]) -> usize {
    match Review::parse(body).map(|review| review.object()) {
        Ok(ReviewObject::Pod(pod)) => pod.images().len(),
        other => panic!("a pod, not {other:?}"),
    }
}

fn digest(body: &[u8]) -> bool {
    match Review::parse(body).map(|review| review.object()) {
        Ok(ReviewObject::Pod(pod)) => pod.digest().is_some(),
        other => panic!("a pod, not {other:?}"),
    }
}

/// The same review as an update of the object by itself.
fn unchanged(body: &[u8]) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(body).expect("a review");
    review["request"]["oldObject"] = review["request"]["object"].clone();
    review["request"]["operation"] = "UPDATE".into();
    review.to_string().into_bytes()
}

fn decide(reviewer: &Reviewer, body: &[u8]) -> bool {
    let reviewed = pin!(reviewer.review(body, Duration::from_secs(5)));
    match reviewed.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(reviewed)) => !reviewed.response().is_empty(),
        other => panic!("an answer at once, not {other:?}"),
    }
}

fn reviews(criterion: &mut Criterion<ProcessorTime>) {
    let reviewer = Reviewer::new(AdmissionOptions::default(), Nobody, &Telemetry::detached());
    let mut group = criterion.benchmark_group("review");
    for kilobytes in [3, 20, 200] {
        let body = review(kilobytes * 1000);
        let update = unchanged(&body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let mut bench = |name: &str, body: &[u8], read: &dyn Fn(&[u8]) -> bool| {
            group.bench_with_input(BenchmarkId::new(name, kilobytes), body, |bencher, body| {
                bencher.iter(|| read(black_box(body)));
            });
        };
        bench("reference: serde_json", &body, &|body| plain(body).len() == 2);
        bench("extract", &body, &|body| extract(body) == 2);
        bench("extract and digest", &body, &digest);
        bench("reference: serde_json of an update", &update, &|body| plain(body).len() == 2);
        bench("unchanged update", &update, &|body| decide(&reviewer, body));
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = reviews, digests);
criterion_main!(benches);
