//! Which certificate the webhook serves with, and that a pod checks just that one before anything changes.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use zastava_admission::{TlsOptions, check_certificate};

use crate::chart::{Chart, Rendered, certified, least, sandbox};
use crate::cluster::Cluster;
use crate::lab::mount;
use crate::tools::{find_or_skip, read};
use crate::yaml;

const NAME: &str = "zastava-webhook.stellaops.svc";

fn check_pod(rendered: &Rendered) -> &Value {
    &rendered.object("Pod", "zastava-certificate-check")["spec"]
}

fn arguments(spec: &Value) -> Vec<String> {
    let arguments = spec["containers"][0]["args"].as_array().expect("is a list");
    arguments.iter().map(|argument| argument.as_str().expect("is text").to_owned()).collect()
}

/// Runs the check of the pod: its arguments on what it mounts.
fn checked(rendered: &Rendered) -> Result<(), String> {
    let spec = check_pod(rendered);
    let secret = spec["volumes"][0]["secret"]["secretName"].as_str().expect("is text");
    let folder = tempfile::tempdir().expect("has a place for files");
    let files = mount(rendered, secret, folder.path());
    let mut options = TlsOptions::default();
    let arguments = arguments(spec);
    let names = arguments.iter().filter_map(|argument| argument.strip_prefix("--name="));
    options.server_names = names.map(str::to_owned).collect();
    (options.certificate_path, options.private_key_path) = (files.join("tls.crt"), files.join("tls.key"));
    options.ca_bundle_path = files.join("ca.crt");
    check_certificate(&options).map(|_| ()).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    })
}

#[test]
fn a_generated_certificate_is_checked_before_it_is_kept() {
    let Some(chart) = Chart::open() else { return };
    let installed = chart.render(&[sandbox()]);
    let upgraded = chart.render_in(&Cluster::after(&installed), &[sandbox()]);
    assert_eq!(checked(&upgraded), Ok(()));
    let data = &installed.object("Secret", "zastava-webhook-tls")["data"];
    let hook = upgraded.object("Secret", "zastava-certificate-check");
    assert_eq!(&hook["data"], data, "what this revision has, so that a rollback checks what it brings back");
    assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade,pre-rollback");
    assert!(
        arguments(check_pod(&upgraded)).contains(
            &"--advice=remove what was generated, and upgrade again: kubectl -n stellaops delete secret zastava-webhook-tls"
                .to_owned()
        )
    );

    // It was made in another namespace, whose Secret somebody copied.
    let mut other = chart.render_as("zastava-runtime", "elsewhere", &[sandbox()]);
    for object in &mut other.objects {
        if object["metadata"]["namespace"] == "elsewhere" {
            object["metadata"]["namespace"] = json!("stellaops");
        }
    }
    let told = checked(&chart.render_in(&Cluster::after(&other), &[sandbox()])).expect_err("another Service");
    assert!(told.contains(&format!("it does not name {NAME}")), "{told}");

    // The way out: without the Secret a new one is made, which is good.
    other.objects.retain(|object| object["kind"] != "Secret");
    let renewed = chart.render_in(&Cluster::after(&other), &[sandbox()]);
    assert!(renewed.find("Pod", "zastava-certificate-check").is_none(), "nothing is kept");
    let off = json!({"webhook": {"certificate": {"check": false}}});
    let unchecked = chart.render_in(&Cluster::after(&installed), &[sandbox(), off]);
    assert!(unchecked.find("Pod", "zastava-certificate-check").is_none());
}

#[test]
fn the_service_s_name_is_checked_whatever_the_values_say() {
    let Some(chart) = Chart::open() else { return };
    for (given, expected) in [
        (json!([]), json!([NAME])),
        (json!([NAME]), json!([NAME])),
        (json!(["hooks.example"]), json!([NAME, "hooks.example"])),
    ] {
        let values = json!({"zastava": {"webhook": {"tls": {"serverNames": given}}}});
        let rendered = chart.render(&[least(), values]);
        let tls = &yaml::document(&rendered.configuration("zastava-webhook"))["zastava"]["webhook"]["tls"];
        assert_eq!(tls["serverNames"], expected);
        let names: Vec<_> = arguments(check_pod(&rendered))
            .iter()
            .filter_map(|argument| argument.strip_prefix("--name=").map(Value::from))
            .collect();
        assert_eq!(Value::from(names), expected, "the pod checks the same");
    }
}

/// The certificate comes from a volume of the operator's, and the Secret at most holds the bundle.
#[test]
fn a_certificate_that_lies_elsewhere_is_checked_where_it_lies() {
    let Some(chart) = Chart::open() else { return };
    let volume = json!({"name": "pki", "csi": {"driver": "csi.example"}});
    let volume_mount = json!({"name": "pki", "mountPath": "/pki", "readOnly": true});
    let tls = |certificate: &str, key: &str| {
        json!({
            "webhook": {"extraVolumes": [volume], "extraVolumeMounts": [volume_mount]},
            "zastava": {"webhook": {"tls": {"certificatePath": certificate, "privateKeyPath": key}}},
        })
    };
    let rendered = chart.render(&[least(), tls("/pki/a.crt", "/pki/a.key")]);
    let spec = check_pod(&rendered);
    let found = arguments(spec);
    for wanted in ["--certificate=/pki/a.crt", "--key=/pki/a.key"] {
        assert!(found.contains(&wanted.to_owned()), "{found:?}");
    }
    assert!(spec["volumes"].as_array().expect("is a list").contains(&volume));
    assert!(spec["containers"][0]["volumeMounts"].as_array().expect("is a list").contains(&volume_mount));
    let webhook = &rendered.object("Deployment", "zastava-webhook")["spec"]["template"];
    for pod in [spec, &webhook["spec"]] {
        let volumes = pod["volumes"].as_array().expect("is a list");
        let own = volumes.iter().find(|volume| volume["name"] == "webhook-tls").expect("is there");
        assert_eq!(own["secret"]["optional"], true, "pods start without it");
    }

    // Another key of the Secret is no other place.
    let mounted = "/var/run/secrets/zastava-webhook";
    let named = tls(&format!("{mounted}/a.crt"), &format!("{mounted}/a.key"));
    let rendered = chart.render(&[least(), named.clone()]);
    let spec = check_pod(&rendered);
    assert!(arguments(spec).contains(&format!("--certificate={mounted}/a.crt")));
    assert!(!spec["volumes"].as_array().expect("is a list").contains(&volume));
    assert_eq!(spec["volumes"][0]["secret"]["optional"], Value::Null);
    let told = chart.template_in(&Cluster::with(vec![secret(&["tls.crt", "tls.key"])]), &[least(), named]);
    let told = told.expect_err("the key is not in the Secret");
    assert!(told.contains("zastava-webhook-tls has no a.crt, which the webhook serves with"), "{told}");

    // What the chart or cert-manager makes is in the Secret, and API servers are told of that.
    for source in [sandbox(), certified()] {
        let told = chart.template(&[least(), source, tls("/pki/a.crt", "/pki/a.key")]).expect_err("refused");
        for key in ["certificatePath", "privateKeyPath"] {
            assert!(told.contains(&format!("at '/zastava/webhook/tls/{key}'")), "{told}");
        }
    }
}

fn secret(keys: &[&str]) -> Value {
    let data: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!("eA=="))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "zastava-webhook-tls", "namespace": "stellaops"},
        "data": data})
}

#[test]
fn the_test_of_a_webhook_that_asks_for_client_certificates_shows_one() {
    let Some(chart) = Chart::open() else { return };
    let asks = json!({"zastava": {"webhook": {"tls": {"clientCaBundlePath": "/var/run/secrets/zastava-webhook/client-ca.crt"}}}});
    let without = [sandbox(), asks.clone()];
    assert!(chart.render(&without).find("Pod", "zastava-review-test").is_none(), "it could only fail");
    let notes = chart.notes(&without);
    assert!(notes.contains("once tests.clientCertificateSecretName names a Secret with one"), "{notes}");
    assert!(
        !notes.contains("helm test zastava-runtime") && !notes.contains("zastava-webhook review"),
        "{notes}"
    );

    let with = [sandbox(), asks, json!({"tests": {"clientCertificateSecretName": "api-server"}})];
    assert!(chart.notes(&with).contains("helm test zastava-runtime"));
    let rendered = chart.render(&with);
    let spec = &rendered.object("Pod", "zastava-review-test")["spec"];
    for container in spec["containers"].as_array().expect("is a list") {
        let arguments = container["args"].as_array().expect("is a list");
        for wanted in [
            "--client-certificate=/var/run/secrets/zastava-client/tls.crt",
            "--client-key=/var/run/secrets/zastava-client/tls.key",
        ] {
            assert!(arguments.contains(&json!(wanted)), "{arguments:?}");
        }
        assert_eq!(container["volumeMounts"][1]["mountPath"], "/var/run/secrets/zastava-client");
    }
    assert_eq!(spec["volumes"][1]["secret"]["secretName"], "api-server");
}

/// Certificates that API servers refuse, or accept, by the commands of openssl that make them.
const CERTIFICATES: &str = r#"
set -e
authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.crt \
    -subj "/CN=$1" -days 30 -addext basicConstraints=critical,CA:TRUE; }
leaf() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj /CN=zastava-webhook.stellaops.svc -out $1.csr
    echo "$3" >$1.ext
    openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days ${4:-30} -extfile $1.ext -out $1.crt; }
authority new-webhook-ca
authority other
mkdir system && cp other.crt system/ && openssl rehash system
name=subjectAltName=DNS:zastava-webhook.stellaops.svc
leaf good new-webhook-ca "$name"
leaf clients new-webhook-ca "$name
extendedKeyUsage=clientAuth"
leaf named new-webhook-ca subjectAltName=DNS:zastava-webhook.other.svc
leaf unnamed new-webhook-ca subjectKeyIdentifier=hash
leaf foreign other "$name"
"#;

/// Section 3.1 of the runbook, run as it is printed.
#[test]
fn the_runbook_s_check_of_a_new_certificate_refuses_what_api_servers_refuse() {
    if find_or_skip("ZASTAVA_OPENSSL", "openssl").is_none() {
        return;
    }
    let runbook = read("docs/ops/runbook.md");
    let section = runbook.split("\n### ").find(|section| section.starts_with("3.1 ")).expect("is there");
    let block =
        section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("has commands");
    assert!(block.contains("openssl verify"), "{block}");
    let folder = tempfile::tempdir().expect("has a place for files");
    let run = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(folder.path());
        // As on a machine whose system trusts the other CA.
        shell.env("SSL_CERT_DIR", folder.path().join("system")).output().expect("bash runs")
    };
    let made = run(CERTIFICATES);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (name, is_good) in
        [("good", true), ("clients", false), ("named", false), ("unnamed", false), ("foreign", false)]
    {
        for file in ["crt", "key"] {
            let path = |name: &str| folder.path().join(format!("{name}.{file}"));
            std::fs::copy(path(name), path("new-webhook")).expect("copies");
        }
        let output = run(block);
        assert_eq!(output.status.success(), is_good, "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(program_accepts(folder.path()), is_good, "{name}: the program's check says the same");
    }
}

fn program_accepts(folder: &Path) -> bool {
    let mut options = TlsOptions::default();
    options.server_names = vec![NAME.to_owned()];
    options.certificate_path = folder.join("new-webhook.crt");
    options.private_key_path = folder.join("new-webhook.key");
    options.ca_bundle_path = folder.join("new-webhook-ca.crt");
    check_certificate(&options).is_ok()
}
