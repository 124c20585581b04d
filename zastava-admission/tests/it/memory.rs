//! The memory that one review takes, by its shape: measured on the running program.
//!
//! The table of docs/performance.md comes from
//! `cargo test --release -p stellaops-zastava-admission --test it memory -- --nocapture`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;

use serde_json::Value;

use super::installation::Installation;
use super::scanner::{UNSIGNED, pod, update};
use super::web::{Client, post};

/// A review of `ZASTAVA_REVIEW_MIB` mebibytes, or 7: what the largest real ones have. An unoptimised program takes minutes for
/// those, and is measured with 2.
static BYTES: LazyLock<usize> = LazyLock::new(|| {
    let given = std::env::var("ZASTAVA_REVIEW_MIB").ok().map(|mebibytes| mebibytes.parse().unwrap());
    given.unwrap_or(if cfg!(debug_assertions) { 2 } else { 7 }) << 20
});

/// What a review may take beside what the program takes anyway: 32 MiB for one of 7 MiB. Stacks and the allocator's reserves do not
/// shrink with it.
fn peak_max() -> usize {
    (4 << 20) + 4 * *BYTES
}

/// A review of a Pod with an unsigned image, and the text in place of a word of it.
fn review_with(word: &str, text: &str) -> String {
    update("", "Pod", &Value::Null, &pod(&[UNSIGNED])).to_string().replacen(word, text, 1)
}

/// Members or items until there are so many bytes of them.
fn repeated(bytes: usize, mut item: impl FnMut(u32) -> String) -> String {
    let mut text = String::with_capacity(bytes + 64);
    for number in 0_u32.. {
        if text.len() >= bytes {
            break;
        }
        let _ = write!(text, "{}{}", if number == 0 { "" } else { "," }, item(number));
    }
    text
}

type Shape = (&'static str, String);

const SPEC: &str = "\"restartPolicy\":\"Always\"";
const CONTAINERS: &str = "\"containers\":[";

/// Odd numbers times this one walk through all numbers, so that names are neither sorted nor repeated.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

fn scattered_member(number: u32) -> String {
    format!("\"k{}\":\"v\"", scattered(number))
}

/// Objects with many members in the spec.
fn objects() -> Vec<Shape> {
    let spec = |item: &dyn Fn(u32) -> String| {
        review_with(SPEC, &format!("\"nodeSelector\":{{{}}}", repeated(*BYTES, item)))
    };
    vec![
        ("nodeSelector, names in order", spec(&|n| format!("\"key-{n:08}\":\"value-{n:08}\""))),
        ("nodeSelector, names in no order", spec(&scattered_member)),
        ("nodeSelector, the shortest names in no order", spec(&|n| format!("\"{:x}\":0", scattered(n) >> 8))),
        ("one name again and again", spec(&|_| "\"\":0".to_owned())),
        ("names of escapes", spec(&|n| format!("\"\\u00e9\\ud83d\\ude00{}\":\"\\n\"", scattered(n)))),
    ]
}

/// Lists of many items in the spec.
fn lists() -> Vec<Shape> {
    let list = |item: &dyn Fn(u32) -> String| {
        review_with(SPEC, &format!("\"tolerations\":[{}]", repeated(*BYTES, item)))
    };
    let chain = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        ("small objects, members in no order", list(&|_| r#"{"b":0,"a":0}"#.to_owned())),
        ("empty objects", list(&|_| "{}".to_owned())),
        ("lists 120 deep", list(&|_| chain(120))),
        ("lists millions deep", review_with(SPEC, &format!("\"deep\":{}", chain(*BYTES / 2)))),
        ("strings of one letter", list(&|_| "\"a\"".to_owned())),
        ("numbers", list(&|n| (u64::from(n) * 1_234_567).to_string())),
        ("numbers in odd forms", list(&|n| format!("{n}.50e-3"))),
        ("one string", review_with("Always", &"x".repeat(*BYTES))),
        ("one string of escapes", review_with("Always", &"\\u003c".repeat(*BYTES / 6))),
    ]
}

/// Many images, and a long one.
fn images() -> Vec<Shape> {
    let field = |name: &str, item: &dyn Fn(u32) -> String| {
        review_with(CONTAINERS, &format!("\"{name}\":[{}],{CONTAINERS}", repeated(*BYTES, item)))
    };
    let long = "a".repeat(28 << 10);
    let volume = |n| format!("{{\"image\":{{\"reference\":\"\\u0061{n}{long}\"}}}}");
    vec![
        ("containers without anything", field("initContainers", &|_| "{}".to_owned())),
        ("volumes without anything", field("volumes", &|_| r#"{"image":{}}"#.to_owned())),
        ("references of 28 KiB", field("volumes", &volume)),
        ("one reference of escapes", review_with(UNSIGNED, &"\\u0061".repeat(*BYTES / 6))),
    ]
}

/// What is not in the spec.
fn others() -> Vec<Shape> {
    let managed = repeated(*BYTES, |_| r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}"#.to_owned());
    let pod_of = |bytes: usize| {
        let members = format!("\"nodeSelector\":{{{}}}", repeated(bytes, scattered_member));
        pod(&[UNSIGNED]).to_string().replacen(SPEC, &members, 1)
    };
    let both = {
        let review = update("", "Pod", &Value::Null, &"OBJECT".into()).to_string();
        let (old, new) = (pod_of(*BYTES / 2), pod_of(*BYTES / 2).replace("web", "bew"));
        review.replacen("\"oldObject\":null", &format!("\"oldObject\":{old}"), 1).replacen(
            "\"OBJECT\"",
            &new,
            1,
        )
    };
    let namespace = "\\u0061".repeat(*BYTES / 6);
    let labels = repeated(*BYTES, scattered_member);
    vec![
        (
            "managedFields",
            review_with("\"labels\":{", &format!("\"managedFields\":[{managed}],\"labels\":{{")),
        ),
        ("labels", review_with("\"labels\":{", &format!("\"labels\":{{{labels},"))),
        ("one label", review_with("\"app\":\"web\"", &format!("\"app\":\"{}\"", "x".repeat(*BYTES)))),
        ("namespace", review_with("\"shop\",\"object\"", &format!("\"{namespace}\",\"object\""))),
        ("update, both objects", both),
        ("no JSON", "[".repeat(*BYTES)),
    ]
}

/// A figure of `/proc/<pid>/status` in bytes.
fn status(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the table is printed")]
async fn a_review_of_any_shape_takes_little_memory() {
    let installation = Installation::start(&[]).await;
    installation.until_ready().await;
    let pid = installation.webhook.id();
    // What a program that has served nothing holds: memory that it keeps after a review counts against the next.
    let at_rest = status(pid, "VmRSS");
    println!(
        "peak memory by shape of review, in MiB: the body, the program's peak over what it held at rest; the answer"
    );
    for (shape, body) in [others(), objects(), lists(), images()].into_iter().flatten() {
        let length = body.len();
        assert!((*BYTES..*BYTES + (1 << 20)).contains(&length), "{shape}: {length}");
        let mut connection = installation.connect().await;
        // Sets the peak to what is held now.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let answer = connection.send(post("/validate?timeout=30s", body)).await.unwrap();
        let peak = status(pid, "VmHWM").saturating_sub(at_rest);
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        println!("| {shape} | {:.1} | {:.1} | {} |", mib(length), mib(peak), answer.status.as_u16());
        assert!(peak <= peak_max(), "{shape}: {:.1} MiB", mib(peak));
    }
}

/// Many hosts send the costliest shapes at once. Bodies have a budget together, and two are read at a time.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the figure is printed")]
async fn many_reviews_at_once_keep_to_the_budget_of_all() {
    const SENDERS: u8 = 24;
    let installation = Installation::start(&[]).await;
    installation.until_ready().await;
    let pid = installation.webhook.id();
    let at_rest = status(pid, "VmRSS");
    let shapes: Vec<_> = [others(), objects()].into_iter().flatten().map(|(_, body)| body).collect();
    let mut sending = Vec::new();
    for number in 0..SENDERS {
        let mut connection = installation.connect_as(&Client::host(2 + number)).await;
        let body = shapes[usize::from(number) % shapes.len()].clone();
        sending.push(tokio::spawn(async move {
            // A body that gives way is answered too, by its beginning or with a status.
            connection.send(post("/validate?timeout=30s", body)).await.unwrap().status.as_u16()
        }));
    }
    let mut answers = BTreeMap::new();
    for answer in sending {
        *answers.entry(answer.await.unwrap()).or_insert(0) += 1;
    }
    let peak = status(pid, "VmHWM").saturating_sub(at_rest);
    let bodies = (usize::from(SENDERS) * (*BYTES + (1 << 20))).min(64 << 20);
    let budget = (16 << 20) + bodies + 2 * 3 * *BYTES;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "{SENDERS} reviews of {} MiB at once: peak {:.1} MiB over rest, budget {:.1}; answers {answers:?}",
        mib(*BYTES),
        mib(peak),
        mib(budget)
    );
    assert!(peak <= budget, "{:.1} MiB", mib(peak));
    assert!(answers.contains_key(&200), "{answers:?}");
}
