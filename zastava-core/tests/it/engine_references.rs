//! References beside those of the engines' own parser, over thousands of texts.

#![expect(clippy::print_stdout, reason = "figures, and what is skipped")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use zastava_core::image::{ImageError, ImageReference};

const REFERENCES: usize = 20_000;
/// The images of the node.
const IDS: [&str; 3] = [
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sha256:01ff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sha256:deadbeef89abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

const HOSTS: [&str; 24] = [
    "",
    "docker.io/",
    "index.docker.io/",
    "Index.docker.io/",
    "Docker.io/",
    "localhost/",
    "localhost:5000/",
    "LOCALHOST/",
    "MyRegistry/",
    "registry.example/",
    "REGISTRY.example:443/",
    "[fc00::3]/",
    "[fc00::3]:5000/",
    "[::]:/",
    "10.0.0.1:5000/",
    "my_registry.local/",
    "my_registry:5000/",
    "r.io:99999/",
    "-r.io/",
    "r..io/",
    "r.io:/",
    "a/",
    "A-b/",
    "xn--e1afmkfd.example/",
];
const PATHS: [&str; 26] = [
    "nginx",
    "library/nginx",
    "team/app",
    "a/b/c/d",
    "a__b",
    "a___b",
    "a--b",
    "a.b",
    "a..b",
    "_a",
    "a_",
    "App",
    "team/App",
    "",
    "/",
    "a//b",
    "sha256",
    "sha512",
    "0123456789ab",
    "deadbeef",
    "ünicode",
    "a b",
    "a\\b",
    "a%2fb",
    "..",
    "localhost",
];
const TAGS: [&str; 18] = [
    "",
    ":1.27",
    ":latest",
    ":V1_2.3-x",
    ":",
    ":-x",
    ":.x",
    ":_x",
    ":a:b",
    ":a/b",
    ":01",
    ":deadbeef",
    ":deadbeefX",
    ":0",
    ":ü",
    ": ",
    ":x@",
    ":0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];
const DIGESTS: [&str; 10] = [
    "",
    "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
    "@sha256:01",
    "@sha256:",
    "@",
    "@md5:0123456789abcdef0123456789abcdef",
    "@sha384:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
    "@latest",
];

#[test]
fn references_mean_what_the_kubelet_and_containerd_take_them_for() {
    let texts = texts();
    assert!(texts.len() >= REFERENCES, "{}", texts.len());
    let Some(meanings) = meanings_to_engines(&texts) else { return };
    assert_eq!(meanings.len(), texts.len());
    let differing: Vec<_> =
        texts.iter().zip(&meanings).filter(|(text, theirs)| !agrees(text, theirs)).collect();
    let count = |what: &str| meanings.iter().filter(|meaning| meaning.starts_with(what)).count();
    let (valid, ids, refused) = (count("reference"), count("id"), count("refused"));
    println!(
        "{} references: {valid} valid, {ids} IDs, {refused} refused; {} differ",
        texts.len(),
        differing.len()
    );
    assert!(valid > 2_000 && ids > 100 && refused > 2_000, "every kind is there");
    assert!(differing.is_empty(), "{:#?}", &differing[..differing.len().min(20)]);
}

fn agrees(text: &str, theirs: &str) -> bool {
    match text.parse::<ImageReference>() {
        Ok(reference) => {
            let pulled = reference.pinned().unwrap_or_else(|| reference.to_string());
            theirs == format!("reference {pulled}")
        }
        // An ID is refused whether or not this node has an image of it.
        Err(ImageError::ImageId) => true,
        Err(_) => theirs == "refused",
    }
}

/// Every combination of a host, a path, a tag and a digest, and lengths around the limits. Then random texts of the
/// characters that mean something.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = IDS.map(str::to_owned).into();
    for host in HOSTS {
        for path in PATHS {
            for tag in TAGS {
                texts.push(format!("{host}{path}{tag}"));
            }
            for digest in DIGESTS {
                texts.push(format!("{host}{path}{digest}"));
                texts.push(format!("{host}{path}:1{digest}"));
            }
        }
    }
    // Engines take the beginning of an ID for the whole.
    texts.extend(IDS.iter().flat_map(|id| (7..id.len()).map(|end| id[..end].to_owned())));
    for length in [1, 63, 64, 65, 127, 128, 129, 246, 247, 248, 254, 255, 256, 257] {
        for (before, after) in
            [("", ""), ("r.io/", ""), ("r.io/a/", ""), ("app:", ""), ("sha256:", ""), ("", ".io/app")]
        {
            texts.push(format!("{before}{}{after}", "a".repeat(length)));
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let letters =
        ["a", "b", "Z", "0", "f", ".", "_", "-", "/", ":", "@", "[", "]", "sha256", "docker.io", "localhost"];
    while texts.len() < REFERENCES {
        let length = 1 + random(9);
        texts.push((0..length).map(|_| letters[random(letters.len())]).collect());
    }
    texts
}

/// One line for each text; `None`, with a line that says why, where Go or its modules are missing.
fn meanings_to_engines(texts: &[String]) -> Option<Vec<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine-references");
    let program = tempfile::tempdir().expect("a directory");
    let program = program.path().join("engine-references");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).current_dir(directory).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        // Past the test runner's capture, so that CI lists the skip although the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIP: references beside the engines' parser: needs Go and two modules"
        );
        return None;
    }
    let mut engine = Command::new(&program)
        .args(IDS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = engine.stdin.take().expect("piped");
    let lines = texts.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = engine.wait_with_output().expect("the program ends");
    writer.join().expect("no panic").expect("the program reads");
    Some(String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect())
}
