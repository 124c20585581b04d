use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zastava_core::config::Configuration;
use zastava_core::options::RuntimeOptions;

struct Running {
    child: Child,
    told: String,
    rest: BufReader<std::process::ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-sandbox"));
    command.args(["--authority-port", "0", "--scanner-port", "0", "--tenant", "acme"]);
    command.arg("--directory").arg(directory);
    command
}

/// Starts the program and reads what it says until it is ready.
fn start(command: &mut Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let mut rest = BufReader::new(child.stdout.take().expect("is piped"));
    let mut told = String::new();
    while !told.contains("\nReady.") {
        assert_ne!(rest.read_line(&mut told).expect("reads"), 0, "ended early: {told}");
    }
    Running { child, told, rest }
}

fn terminate(running: &mut Running) -> Option<i32> {
    let id = running.child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
    assert!(killed.success());
    running.child.wait().expect("ends").code()
}

#[test]
fn the_program_writes_a_configuration_says_where_all_is_and_ends_when_told() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let mut running = start(&mut program(directory.path()));
    let path = directory.path().join("zastava.yaml");
    let shown = path.display().to_string();
    for line in [
        format!("zastava-observer --config {shown}"),
        format!("zastava-webhook --config {shown}"),
        format!("curl --cacert {}", directory.path().join("ca.pem").display()),
    ] {
        assert!(running.told.contains(&line), "{line}\nnot in\n{}", running.told);
    }
    let text = std::fs::read_to_string(&path).expect("reads");
    let read = Configuration::from_yaml(&text, &path).read(|root| {
        root.skip("observer");
        root.skip("webhook");
        RuntimeOptions::read(&root.section("runtime"))
    });
    let (options, _) = read.expect("has no faults");
    assert_eq!(options.tenant, "acme");
    let issuer = options.authority.issuer;
    assert!(running.told.contains(issuer.to_string().trim_end_matches('/')));
    let port = issuer.port_u16().expect("has a port");
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("serves");
    assert_eq!(terminate(&mut running), Some(0));
}

#[test]
fn the_program_logs_json_lines_when_asked_and_never_a_key() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let mut running = start(program(directory.path()).args(["--log", "trace"]));
    assert_eq!(terminate(&mut running), Some(0));
    std::io::Read::read_to_string(&mut running.rest, &mut running.told).expect("reads");
    let lines: Vec<_> = running.told.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.iter().any(|line| line.contains("the sandbox is running")), "{lines:?}");
    for file in ["ca.key.pem", "client.key.pem", "dpop.key.pem", "webhook.key.pem"] {
        let key = std::fs::read_to_string(directory.path().join(file)).expect("reads");
        let secret = key.lines().nth(1).expect("has a body");
        assert!(!running.told.contains(secret), "{file}");
    }
}

#[test]
fn faults_of_the_policy_end_the_program_with_their_lines() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let policy = directory.path().join("policy.yaml");
    std::fs::write(&policy, "zastava:\n  policy:\n    ttl: 5\n    images: 7\n").expect("writes");
    let ended = program(&directory.path().join("data")).arg("--policy").arg(&policy).output().expect("runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{told}");
    assert!(told.contains("policy.yaml:3: zastava.policy.ttl: unknown key"), "{told}");
    assert!(told.contains("policy.yaml:4: zastava.policy.images: expected a list"), "{told}");
    assert!(!directory.path().join("data").exists(), "nothing was begun");
}
