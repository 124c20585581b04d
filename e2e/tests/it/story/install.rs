//! Installs a release: section 2.1.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::lab::{Lab, NAMESPACE, PLATFORM, eventually, run, text};
use crate::support::say;

/// A short lifetime shows refreshes and ends of tokens.
const TOKEN_SECONDS: u64 = 30;

/// Prints the size of each program and image.
pub(super) fn print_sizes(lab: &Lab) {
    for image in lab.images["images"].as_array().expect("has images") {
        let platform = &image["platforms"][0];
        say(&format!("   {}: program {} bytes, image {}", image["name"], platform["programBytes"], platform));
    }
}

/// Authority and Scanner in a namespace of their own, from the chart's sandbox.
pub(super) fn platform(lab: &Lab) {
    lab.step("an Authority and a Scanner");
    let rule = |image: String, signed: bool| {
        let verdict = if signed { "pass" } else { "fail" };
        json!({"reference": image, "verdict": verdict, "signed": signed, "sbom": signed,
            "reasons": if signed { json!([]) } else { json!(["not signed"]) }})
    };
    let images = [rule(lab.signed.pinned(), true), rule(lab.unsigned.pinned(), false)];
    let values = json!({
        "observer": {"enabled": false}, "webhook": {"enabled": false},
        "secrets": {"authorityStaticToken": "zastava-authority-static-token"},
        // The node that is drained must not hold Authority and Scanner, which are somebody else's.
        "sandbox": {"enabled": true, "tokenLifetimeSeconds": TOKEN_SECONDS,
            "nodeSelector": {"kubernetes.io/hostname": lab.cluster.nodes()[1]},
            "policy": {"revision": "e2e", "images": images}},
    });
    fs::write(lab.desk.join("platform.yaml"), values.to_string()).expect("is written");
    lab.kubectl(&format!("create namespace {PLATFORM}"));
    lab.kubectl(&format!(
        "-n {PLATFORM} create secret generic zastava-authority-static-token --from-literal=token=boot.strap"
    ));
    let line = format!("install platform {}/deploy/helm/zastava -n {PLATFORM} --wait -f", lab.desk.display());
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    words.push(lab.desk.join("platform.yaml").display().to_string());
    lab.cluster.helm(words).unwrap_or_else(|error| panic!("{error}"));
    eventually("Scanner's answer", 30, || lab.scanner("/sandbox/status"));
}

/// What the operator brings, the runbook's section, and what must be seen afterwards.
pub(super) fn release(lab: &Lab) {
    lab.step("section 2.1: a fresh install");
    write_operators_files(lab);
    let written = lab.runbook("2.1");
    assert!(
        written.iter().any(|text| text.contains("Phase:") && text.contains("Succeeded")),
        "helm test: {written:?}"
    );

    let set = lab.object(&format!("-n {NAMESPACE} daemonset/zastava-observer"));
    assert_eq!(set["status"]["numberReady"], lab.cluster.nodes().len(), "ready on every node");
    for part in ["observer", "webhook"] {
        for pod in lab.pods(part) {
            eventually("an OpTok", 30, || issued(lab, &pod).map(|_| ()));
        }
    }
    let registered = lab.object("validatingwebhookconfiguration/zastava-webhook");
    let webhook = &registered["webhooks"][0];
    assert_eq!(webhook["failurePolicy"], "Fail");
    assert_eq!(webhook["clientConfig"]["service"]["name"], "zastava-webhook", "through its Service");
    assert!(webhook["clientConfig"]["url"].is_null());
}

/// How often the pod's log says that a DPoP token was issued.
pub(super) fn issued(lab: &Lab, pod: &str) -> Result<usize, String> {
    let log = lab.try_kubectl(&format!("-n {NAMESPACE} logs {pod}"))?;
    let lines = log.lines().filter(|line| {
        line.contains("Issued runtime OpTok")
            && line.contains(r#""scope":"authority.token.issue""#)
            && line.contains(r#"":"DPoP""#)
    });
    match lines.count() {
        0 => Err(format!("{pod} issued none: {log}")),
        count => Ok(count),
    }
}

/// Keys from Authority's side, a certificate for the webhook, and values that name both services.
fn write_operators_files(lab: &Lab) {
    for (secret, file) in [("dpop", "dpop.key"), ("mtls", "tls.crt"), ("mtls", "tls.key"), ("mtls", "ca.crt")]
    {
        let name = format!("-n {PLATFORM} secret/zastava-authority-{secret}");
        let encoded = lab.object(&name)["data"][file].clone();
        fs::write(lab.desk.join("encoded"), text(&encoded)).expect("is written");
        let decoded = run(Command::new("base64").arg("-d").arg(lab.desk.join("encoded")));
        fs::write(lab.desk.join(file), decoded).expect("is written");
    }
    issue_webhook_certificate(lab, "webhook");
    let (signed, unsigned) = (lab.signed.pinned(), lab.unsigned.pinned());
    // The runbook changes the tag in place, so the values are written as the sample is.
    let values = format!(
        r#"zastava:
  runtime:
    tenant: acme
    environment: e2e
    deployment: e2e
    authority:
      issuer: https://zastava-sandbox.{PLATFORM}.svc:8440
    metrics:
      commonTags:
        cluster: e2e
  observer:
    backend:
      baseAddress: https://zastava-sandbox.{PLATFORM}.svc:8441
  webhook:
    backend:
      baseAddress: https://zastava-sandbox.{PLATFORM}.svc:8441
image:
  tag: ""
caBundle:
  secretName: zastava-authority-mtls
webhook:
  certificate:
    source: secret
  registration:
    # Scanner could not be started again without itself.
    excludedNamespaces: [{PLATFORM}]
tests:
  signedImage: {signed}
  unsignedImage: {unsigned}
"#
    );
    fs::write(lab.desk.join("values/zastava-runtime.yaml"), values).expect("is written");
}

/// As an operator's own authority would: `NAME.crt`, `NAME.key`, and `NAME-ca.crt`.
pub(super) fn issue_webhook_certificate(lab: &Lab, name: &str) {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name}-authority \
            -keyout {name}-ca.key -out {name}-ca.crt"
    );
    run(Command::new("bash").current_dir(&lab.desk).args(["-euc", &script]));
    issue(lab, name, name, "DNS:zastava-webhook.stellaops.svc", "-days 30");
}

/// `NAME.crt` and `NAME.key` by the authority `AUTHORITY-ca`, for these names and this time.
pub(super) fn issue(lab: &Lab, authority: &str, name: &str, names: &str, time: &str) {
    let script = format!(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=zastava-webhook \
            -keyout {name}.key -out {name}.csr
        echo subjectAltName={names} >{name}.ext
        mkdir -p {name}.ca && : >{name}.ca/index && echo 01 >{name}.ca/serial
        printf '[ca]\\ndefault_ca=a\\n[a]\\ndatabase={name}.ca/index\\nserial={name}.ca/serial\\nnew_certs_dir={name}.ca\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >{name}.cnf
        openssl ca -batch -notext -config {name}.cnf -in {name}.csr -cert {authority}-ca.crt -keyfile {authority}-ca.key \
            {time} -extfile {name}.ext -out {name}.crt"
    );
    run(Command::new("bash").current_dir(&lab.desk).args(["-euc", &script]));
}
