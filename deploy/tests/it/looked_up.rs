//! How the chart uses the objects that it finds in a cluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chart::{Chart, NAMESPACE, Rendered, least, sandbox};
use crate::cluster::Cluster;
use crate::yaml;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

fn secret(name: &str, files: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        files.iter().map(|(file, text)| ((*file).to_owned(), STANDARD.encode(text).into())).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data})
}

/// A serving certificate's Secret with this `ca.crt`.
fn serving(bundle: &str) -> Value {
    secret("zastava-webhook-tls", &[("tls.crt", CERTIFICATE), ("tls.key", KEY), ("ca.crt", bundle)])
}

/// The annotations of each workload's pods that make it roll.
fn checksums(rendered: &Rendered) -> [Value; 3] {
    [("DaemonSet", "zastava-observer"), ("Deployment", "zastava-webhook"), ("Deployment", "zastava-sandbox")]
        .map(|(kind, name)| match rendered.find(kind, name) {
            Some(owner) => owner["spec"]["template"]["metadata"]["annotations"].clone(),
            None => Value::Null,
        })
}

fn rolled(before: &Rendered, after: &Rendered) -> [bool; 3] {
    let (before, after) = (checksums(before), checksums(after));
    std::array::from_fn(|index| before[index] != after[index])
}

#[test]
fn a_lab_s_keys_are_kept_and_roll_nothing() {
    let Some(chart) = Chart::open() else { return };
    let installed = chart.render(&[sandbox()]);
    let upgraded = chart.render_in(&Cluster::after(&installed), &[sandbox()]);
    for name in
        ["zastava-sandbox-tls", "zastava-authority-mtls", "zastava-authority-dpop", "zastava-webhook-tls"]
    {
        let data = |rendered: &Rendered| rendered.object("Secret", name)["data"].clone();
        assert_eq!(data(&installed), data(&upgraded), "{name}");
    }
    assert_eq!(rolled(&installed, &upgraded), [false; 3]);
}

#[test]
fn keys_that_are_made_anew_roll_those_that_read_them_at_their_start() {
    let Some(chart) = Chart::open() else { return };
    let mut installed = chart.render(&[sandbox()]);
    let before = chart.render_in(&Cluster::after(&installed), &[sandbox()]);
    installed.objects.retain(|object| object["metadata"]["name"] != "zastava-authority-mtls");
    let after = chart.render_in(&Cluster::after(&installed), &[sandbox()]);
    let server = |rendered: &Rendered| rendered.secret("zastava-sandbox-tls", "tls.crt");
    assert_ne!(server(&before), server(&after), "both were signed by a key that is forgotten");
    // The sandbox its certificate; the others read anew who signed it.
    assert_eq!(rolled(&before, &after), [false, false, true]);

    installed.objects.retain(|object| object["metadata"]["name"] != "zastava-webhook-tls");
    let again = chart.render_in(&Cluster::after(&installed), &[sandbox()]);
    assert_ne!(
        again.secret("zastava-webhook-tls", "tls.crt"),
        after.secret("zastava-webhook-tls", "tls.crt")
    );
}

#[test]
fn a_static_token_that_changed_rolls_the_sandbox_alone() {
    let Some(chart) = Chart::open() else { return };
    let mut installed = chart.render(&[sandbox()]);
    let token = [sandbox(), json!({"secrets": {"authorityStaticToken": "boot"}})];
    let [before, after] = ["one", "two"].map(|text| {
        installed.objects.retain(|object| object["metadata"]["name"] != "boot");
        installed.objects.push(secret("boot", &[("token", text)]));
        chart.render_in(&Cluster::after(&installed), &token)
    });
    assert_eq!(
        rolled(&before, &after),
        [false, false, true],
        "the programs read it anew, the sandbox does not"
    );
}

#[test]
fn api_servers_are_told_of_the_authorities_in_the_secret_that_is_there() {
    let Some(chart) = Chart::open() else { return };
    // Old and new, as during a rotation, with words around them as openssl writes.
    let bundle = format!("subject=CN=old\n{CERTIFICATE}subject=CN=new\n{CERTIFICATE}");
    let rendered = chart.render_in(&Cluster::with(vec![serving(&bundle)]), &[least()]);
    let registered = &rendered.object("ValidatingWebhookConfiguration", "zastava-webhook")["webhooks"][0];
    assert_eq!(registered["clientConfig"]["caBundle"], STANDARD.encode(&bundle));
    // The webhook, the check before an upgrade and the test afterwards use the same bundle.
    let configuration = rendered.object("ConfigMap", "zastava-webhook");
    assert_eq!(configuration["data"]["registered-ca.crt"], bundle.as_str());
    let tls = &yaml::document(&rendered.configuration("zastava-webhook"))["zastava"]["webhook"]["tls"];
    let expected = json!({"caBundlePath": "/etc/zastava/registered-ca.crt", "serverNames": ["zastava-webhook.stellaops.svc"]});
    assert_eq!(tls, &expected);
    assert_eq!(rendered.object("ConfigMap", "zastava-certificate-check")["data"]["ca.crt"], bundle.as_str());
}

#[test]
fn a_secret_that_cannot_serve_is_refused_with_what_is_wrong() {
    let Some(chart) = Chart::open() else { return };
    let name = "zastava-webhook-tls";
    let place = format!("at '/webhook/certificate/secretName': the Secret {NAMESPACE}/{name}");
    let pair = [("tls.crt", CERTIFICATE), ("tls.key", KEY)];
    let bundle = ("ca.crt", CERTIFICATE);
    let (key_twice, both) = (STANDARD.encode(KEY), format!("{CERTIFICATE}{KEY}"));
    let encoded_twice = STANDARD.encode(CERTIFICATE);
    let with_key =
        format!("{CERTIFICATE}-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n");
    for (objects, words) in [
        (vec![], "is not there"),
        (vec![secret(name, &[])], "is not there, or is empty"),
        (vec![secret(name, &[pair[0], ("ca.crt", CERTIFICATE)])], "has no tls.key"),
        (vec![secret(name, &[pair[1], ("ca.crt", CERTIFICATE)])], "has no tls.crt"),
        (vec![secret(name, &pair)], "has no ca.crt"),
        (
            vec![secret(name, &[pair[0], ("tls.key", &key_twice), bundle])],
            "holds no private key in PEM in its tls.key",
        ),
        (
            vec![secret(name, &[pair[0], ("tls.key", CERTIFICATE), bundle])],
            "holds no private key in PEM in its tls.key",
        ),
        (vec![secret(name, &[("tls.crt", &both), pair[1], bundle])], "has a private key in its tls.crt"),
        (
            vec![secret(name, &[("tls.crt", "a"), pair[1], bundle])],
            "holds no certificate in PEM in its tls.crt",
        ),
        (vec![serving("garbage")], "holds no certificate in PEM in its ca.crt"),
        (vec![serving(&encoded_twice)], "holds no certificate in PEM in its ca.crt"),
        (
            vec![serving("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")],
            "holds no certificate in PEM",
        ),
        (vec![serving(&with_key)], "has a private key in its ca.crt"),
    ] {
        let told = chart.template_in(&Cluster::with(objects), &[least()]).expect_err(words);
        assert!(told.contains(&format!("{place} {words}")), "{words}:\n{told}");
    }
}
