//! Two AdmissionReviews, sent as an API server sends them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zastava_authority::TransportOptions;

/// Asks whether a Pod with the image `registry.sandbox.local/demo/<name>` may be created. Checks that the answer is one; the decision comes
/// from the webhook's decision sink.
pub(crate) async fn send(
    ca: &Path,
    webhook: SocketAddr,
    name: &str,
    digit: char,
) -> Result<(), crate::Error> {
    let image = format!("registry.sandbox.local/demo/{name}@sha256:{}", digit.to_string().repeat(64));
    let uid = format!("00000000-0000-4000-8000-{}", digit.to_string().repeat(12));
    let ca_bundle_path = Some(ca.to_owned());
    let transport =
        TransportOptions { ca_bundle_path, request_timeout: Duration::from_secs(5), ..Default::default() };
    let request = http::Request::post(format!("https://{webhook}/validate?timeout=5s"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(review(&uid, name, &image).to_string()))?;
    let answer = zastava_authority::https(&transport)?.oneshot(request).await?;
    let body: Value = serde_json::from_slice(answer.body())?;
    if answer.status() != 200 || body["response"]["uid"] != uid.as_str() {
        return Err(format!("the webhook answered {} without the review's uid", answer.status()).into());
    }
    Ok(())
}

fn review(uid: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": name,
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "quickstart", "groups": ["system:authenticated"]},
            "dryRun": false,
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
            "oldObject": null,
        },
    })
}
