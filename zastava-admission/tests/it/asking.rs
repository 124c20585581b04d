//! The operator's command `zastava-webhook review`, against the running webhook.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use zastava_sandbox::{Sandbox, SandboxOptions};

use super::installation::{Installation, Process};
use super::scanner::{SIGNED, UNSIGNED, WARNED, pinned};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"));
    command.arg("review").args(arguments);
    command
}

/// The status, standard output, standard error.
pub(crate) fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

impl Installation {
    /// Runs the command against the webhook, which goes on meanwhile.
    async fn ask(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = command(arguments);
        command.arg("--url").arg(format!("https://localhost:{}/validate", self.address.port()));
        command.arg("--ca").arg(self.ca_bundle());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        parts(&output)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_is_printed_and_compared_with_the_expected_one() {
    let mut installation = Installation::start(&[]).await;
    let images = [SIGNED, UNSIGNED, WARNED];
    for (image, word, other) in
        [(SIGNED, "allow", "deny"), (UNSIGNED, "deny", "allow"), (WARNED, "allow", "deny")]
    {
        let (status, out, err) = installation.ask(&["--image", image, "--expect", word]).await;
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.to_lowercase().starts_with(&format!("{word} {image}\n")), "{out}");
        assert_eq!(out.contains("\n  Warning: "), image == WARNED, "{out}");
        assert_eq!(out.contains("not signed"), image == UNSIGNED, "{out}");
        let (status, _, err) = installation.ask(&["--image", image, "--expect", other]).await;
        assert_eq!(status, Some(1));
        assert!(err.to_lowercase().contains(&format!("{other} was expected")), "{err}");
        let (status, ..) = installation.ask(&["--image", image]).await;
        assert_eq!(status, Some(0), "nothing was expected");
    }
    for image in images.into_iter().flat_map(|image| [image; 3]) {
        let decision = installation.webhook.decision().await.decision;
        assert_eq!((decision.images[0].name.as_str(), decision.namespace.as_str()), (image, "default"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_and_the_namespace_are_judged_together() {
    let installation =
        Installation::start(&["--set=zastava.webhook.admission.failOpenNamespaces=shop"]).await;
    let (status, out, _) =
        installation.ask(&["--image", SIGNED, "--image", UNSIGNED, "--expect", "deny"]).await;
    assert_eq!(status, Some(0), "{out}");
    assert!(out.starts_with(&format!("Deny {SIGNED} {UNSIGNED}\n")), "{out}");
    installation.sandbox.scanner_offline().await;
    let other = pinned("registry.sandbox.local/demo/other", '5');
    let (status, ..) = installation.ask(&["--image", &other, "--expect", "deny"]).await;
    assert_eq!(status, Some(0));
    let arguments = ["--image", &other, "--namespace", "shop", "--expect", "allow"];
    let (status, out, _) = installation.ask(&arguments).await;
    assert_eq!(status, Some(0), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_it_fails_and_says_why() {
    let installation = Installation::start(&[]).await;
    let port = installation.address.port();
    let ca = installation.ca_bundle();
    let ca = ca.to_str().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(elsewhere.path(), super::web::self_signed().0).unwrap();
    let stranger = elsewhere.path().to_str().unwrap();
    for (url, ca, why) in [
        (format!("https://localhost:{nobody}/validate"), ca, "refused"),
        (format!("https://localhost:{port}/other"), ca, "404"),
        (format!("https://localhost:{port}/validate"), stranger, "certificate"),
        (format!("http://localhost:{port}/validate"), ca, "http"),
        (format!("https://localhost:{port}/validate"), "/nowhere/ca.crt", "/nowhere/ca.crt"),
    ] {
        let mut command = command(&["--image", SIGNED, "--url", &url, "--ca", ca]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (status, out, err) = parts(&output);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("gave no decision") && err.contains(why), "{why}: {err}");
    }
}

/// A webhook that asks for client certificates answers only a command that has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
    let (certificate, key) = sandbox.issue_client_certificate("operator");
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("tls.crt"), certificate).unwrap();
    std::fs::write(file("tls.key"), key.expose()).unwrap();
    let client_ca = sandbox.files().ca_bundle.clone();
    let setting = format!("--set=zastava.webhook.tls.clientCaBundlePath={}", client_ca.display());
    let settings = [
        setting.as_str(),
        "--set=zastava.webhook.listen=127.0.0.1:0",
        "--set=zastava.webhook.health.listen=127.0.0.1:0",
    ];
    let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
    let address = webhook.said("listening for reviews").await["listen"].as_str().unwrap().to_owned();
    let url = format!("https://localhost:{}/validate", address.rsplit_once(':').unwrap().1);
    let ask = async |identity: &[PathBuf]| {
        let mut command = command(&["--image", UNSIGNED, "--url", &url, "--expect", "deny"]);
        command.arg("--ca").arg(&client_ca);
        if let [certificate, key] = identity {
            command.arg("--client-certificate").arg(certificate).arg("--client-key").arg(key);
        }
        parts(&tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let (status, out, err) = ask(&[file("tls.crt"), file("tls.key")]).await;
    assert_eq!(status, Some(0), "{out}{err}");
    let (status, _, err) = ask(&[]).await;
    assert_eq!(status, Some(1));
    assert!(err.contains("gave no decision"), "{err}");
    let refused = webhook.said("refused before the review was read").await;
    assert_eq!(
        (&refused["reason"], &refused["scope"]),
        (&"client-certificate".into(), &"admission.refusal".into())
    );
    assert_eq!(refused["peer"], "127.0.0.1");
}

#[test]
fn the_command_has_help_and_needs_no_configuration() {
    let (status, out, _) = parts(&command(&["--help"]).output().unwrap());
    assert_eq!(status, Some(0));
    for word in ["zastava-webhook review", "--image", "--expect", "zastava-webhook.stellaops.svc"] {
        assert!(out.contains(word), "{word} not in {out}");
    }
    let (status, _, err) = parts(&command(&[]).output().unwrap());
    assert_eq!(status, Some(2));
    assert!(err.contains("--image"), "{err}");
    let all = Command::new(env!("CARGO_BIN_EXE_zastava-webhook")).arg("--help").output().unwrap();
    let (_, all, _) = parts(&all);
    for name in ["review", "invalidate-op-token", "config", "run"] {
        assert!(all.contains(&format!("\n  {name} ")), "{name} not in {all}");
    }
}
