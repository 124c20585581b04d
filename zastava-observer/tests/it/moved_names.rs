//! What the observer says of an image whose name was moved while a container of it runs, and of a container whose id was
//! given to another one. The engine is a script; tasks have no processes.

use std::sync::Arc;

use serde_json::{Value, json};
use tonic::Code;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::image::Digest;
use zastava_core::vocabulary::Signal;

use crate::scripted::Step::{Run, Send, Store};
use crate::scripted::{Event, Fault, Item, Method, ScriptedContainerd, Step};
use crate::support::{Running, Stage, within};

const NAME: &str = "registry.internal/app:1";
/// When the container was made, in Unix seconds.
const CREATED: i64 = 1_000;
const BEFORE: i64 = 999;
const AFTER: i64 = 1_001;

/// An image: its content, and the digests by which it is known.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    /// The name of the snapshot of its last layer.
    chain: String,
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

impl Image {
    fn new(layers: &[&str], command: &str) -> Self {
        let layers: Vec<String> = layers.iter().map(|layer| digest(layer.as_bytes())).collect();
        let below = |chain: String, layer: &String| match chain.as_str() {
            "" => layer.clone(),
            _ => digest(format!("{chain} {layer}").as_bytes()),
        };
        let chain = layers.iter().fold(String::new(), below);
        let config = json!({"config": {"Cmd": [command]}, "rootfs": {"type": "layers", "diff_ids": layers}});
        let config = config.to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "config": {"digest": digest(&config)}});
        Self { manifest: manifest.to_string().into_bytes(), config, chain }
    }

    /// The same image under another manifest, as another registry may serve it.
    fn served_elsewhere(&self) -> Self {
        let mut manifest: Value = serde_json::from_slice(&self.manifest).expect("is ours");
        manifest["annotations"] = json!({"served": "elsewhere"});
        let (config, chain) = (self.config.clone(), self.chain.clone());
        Self { manifest: manifest.to_string().into_bytes(), config, chain }
    }

    fn digest(&self) -> String {
        digest(&self.manifest)
    }

    fn id(&self) -> String {
        digest(&self.config)
    }

    fn content(&self) -> Vec<Step> {
        [&self.manifest, &self.config].map(|bytes| content(digest(bytes), bytes)).into()
    }
}

fn all(parts: Vec<Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}

fn content(digest: String, bytes: &[u8]) -> Step {
    Store(Item::Content { digest, bytes: bytes.to_vec() })
}

fn named(name: &str, digest: String, updated: i64) -> Step {
    Store(Item::Image { name: name.to_owned(), digest, updated })
}

fn snapshot(key: &str, parent: &str) -> Step {
    Store(Item::Snapshot { key: key.to_owned(), parent: parent.to_owned() })
}

/// A container that a client of containerd made, such as `ctr` or `nerdctl`.
fn plain(name: &str) -> Step {
    Store(Item::Container { id: "a", image: name.to_owned(), created: CREATED, cri: None })
}

/// A container that CRI made of the image with this id. containerd's own name of the image may be any.
fn of_cri(asked: &str, id: &str) -> Step {
    let config = json!({"image": {"image": id, "user_specified_image": asked}});
    let cri = json!({"Version": "v1", "Metadata": {"ID": "a", "Config": config, "ImageRef": id}}).to_string();
    Store(Item::Container {
        id: "a",
        image: "registry.internal/other:9".to_owned(),
        created: CREATED,
        cri: Some(cri),
    })
}

struct Scene {
    containerd: ScriptedContainerd,
    running: Running,
    _stage: Stage,
}

impl Scene {
    async fn start(steps: Vec<Step>) -> Self {
        let stage = Stage::start().await;
        let mut containerd = ScriptedContainerd::start(stage.directory.path());
        containerd.play(steps);
        let no_proc = stage.directory.path().join("no-proc").display().to_string();
        let settings = [
            ("zastava.observer.engine", "containerd"),
            ("zastava.observer.pollInterval", "1h"),
            ("zastava.observer.procRootPath", &no_proc),
        ];
        let options = stage.options_at(containerd.socket(), &settings);
        Self { containerd, running: Running::start(options), _stage: stage }
    }

    async fn start_event(&mut self, pid: u32) -> Arc<RuntimeEvent> {
        within(self.running.event(EventKind::ContainerStart, pid)).await
    }
}

/// Why the image has no digest, or the container no record.
fn reasons(event: &RuntimeEvent) -> Vec<&str> {
    let of_record = [Signal::ContainerdImage, Signal::ContainerdContainer];
    let found =
        event.evidence.iter().filter(|evidence| of_record.iter().any(|signal| evidence.signal == *signal));
    let reasons = found.map(|evidence| evidence.value.as_str());
    reasons.filter(|reason| *reason != "the container has no readable specification").collect()
}

/// The container `a` runs when the observer starts. Its image's reference is this, with the reason if it has no digest.
async fn check(what: &str, steps: Vec<Vec<Step>>, wanted: &str, why: Option<&str>) {
    let steps = [all(steps), vec![Run("a", 1)]];
    let mut scene = Scene::start(all(steps.into())).await;
    let event = scene.start_event(1).await;
    assert_eq!(event.workload.image_ref.as_deref(), Some(wanted), "{what}: {event:#?}");
    let reasons = reasons(&event);
    match why {
        Some(why) => assert!(matches!(reasons[..], [reason] if reason.contains(why)), "{what}: {reasons:?}"),
        None => assert!(reasons.is_empty(), "{what}: {reasons:?}"),
    }
    scene.running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_container_keeps_the_digest_it_was_made_of_or_loses_it() {
    let a = Image::new(&["base", "a"], "serve");
    let b = Image::new(&["base", "b"], "serve");
    let other_command = Image::new(&["base", "a"], "mine");
    let without_layers = Image::new(&[], "serve");
    let pinned = |image: &Image| format!("registry.internal/app@{}", image.digest());
    let made_of = |image: &Image| vec![plain(NAME), snapshot("a", &image.chain)];
    let leads =
        |image: &Image, updated| all(vec![vec![named(NAME, image.digest(), updated)], image.content()]);
    let with_a = || made_of(&a);

    check("unmoved", vec![with_a(), leads(&a, BEFORE)], &pinned(&a), None).await;
    check("made at once", vec![with_a(), leads(&a, CREATED)], &pinned(&a), None).await;
    let moved = Some("changed after the container was made");
    check("moved", vec![with_a(), leads(&b, AFTER)], NAME, moved).await;
    check("moved to equal layers", vec![with_a(), leads(&other_command, AFTER)], NAME, moved).await;
    check("moved while it was made", vec![with_a(), leads(&b, BEFORE)], NAME, Some("other layers")).await;
    check("removed", vec![with_a(), a.content()], NAME, Some("gone")).await;
    let unknown = vec![plain(NAME)];
    check("without a snapshot", vec![unknown, leads(&a, BEFORE)], NAME, Some("of which layers")).await;
    let unread = vec![named(NAME, a.digest(), BEFORE)];
    check("without content", vec![with_a(), unread], NAME, Some("layers are not known")).await;
    let false_content = vec![content(a.id(), &b.config)];
    check(
        "with false content",
        vec![with_a(), leads(&a, BEFORE), false_content],
        NAME,
        Some("layers are not known"),
    )
    .await;
    let mapped = vec![plain(NAME), snapshot("a", "mapped-0-65536"), snapshot("mapped-0-65536", &a.chain)];
    check("with mapped users", vec![mapped, leads(&a, BEFORE)], &pinned(&a), None).await;
    let empty = made_of(&without_layers);
    check("without layers", vec![empty, leads(&without_layers, BEFORE)], &pinned(&without_layers), None)
        .await;

    let index =
        json!({"manifests": [{"digest": b.digest()}, {"digest": a.digest()}]}).to_string().into_bytes();
    let index_digest = digest(&index);
    let leads_to_index =
        vec![named(NAME, index_digest.clone(), BEFORE), content(index_digest.clone(), &index)];
    let of_index = format!("registry.internal/app@{index_digest}");
    check("of several platforms", vec![with_a(), leads_to_index, a.content()], &of_index, None).await;
    let by_digest = vec![plain(&pinned(&a)), snapshot("a", &a.chain)];
    check("named by digest", vec![by_digest], &pinned(&a), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_cri_keeps_the_image_whose_id_it_has() {
    let a = Image::new(&["base", "a"], "serve");
    let b = Image::new(&["base", "b"], "serve");
    let elsewhere = a.served_elsewhere();
    let pinned = |image: &Image| format!("registry.internal/app@{}", image.digest());
    let made_of_a = || vec![of_cri(NAME, &a.id())];
    let leads = |name: &str, image: &Image| vec![named(name, image.digest(), AFTER)];

    let (by_id, by_name) = (leads(&a.id(), &a), leads(NAME, &a));
    check("unmoved", vec![made_of_a(), by_id, by_name], &pinned(&a), None).await;
    // A pull of the tag that moved left the image under its id and its digest.
    let (by_id, by_digest, moved) = (leads(&a.id(), &a), leads(&pinned(&a), &a), leads(NAME, &b));
    check("moved", vec![made_of_a(), by_id, by_digest, moved, b.content()], &pinned(&a), None).await;
    let (by_id, moved) = (leads(&a.id(), &a), leads(NAME, &b));
    let other = Some("another image by now");
    check("moved, and never pulled by digest", vec![made_of_a(), by_id, moved, b.content()], NAME, other)
        .await;
    // The id leads to the manifest of another registry, which may not be in this one.
    let (by_id, by_name) = (leads(&a.id(), &elsewhere), leads(NAME, &a));
    check("pulled twice", vec![made_of_a(), by_id, by_name, a.content()], &pinned(&a), None).await;
    let (by_id, moved) = (leads(&a.id(), &elsewhere), leads(NAME, &b));
    check("pulled twice and moved", vec![made_of_a(), by_id, moved, b.content()], NAME, other).await;
    let by_id = leads(&a.id(), &a);
    check("without its name", vec![made_of_a(), by_id], NAME, Some("name is gone")).await;
    check("without any name", vec![made_of_a()], NAME, Some("name is gone")).await;
    let asked_by_digest = vec![of_cri(&pinned(&a), &a.id())];
    check("asked for by digest", vec![asked_by_digest, leads(NAME, &b)], &pinned(&a), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_got_the_id_of_another_is_not_taken_for_it() {
    let mut scene = Scene::start(vec![]).await;
    within(scene.containerd.subscribed()).await;
    let a = Image::new(&["a"], "serve");
    // The event is of 2026, and the record is younger.
    let younger =
        Item::Container { id: "a", image: NAME.to_owned(), created: i64::from(u32::MAX), cri: None };
    scene.containerd.play([
        named(NAME, a.digest(), BEFORE),
        Store(younger),
        Run("a", 1),
        Send(Event::start("a", 1)),
    ]);
    let event = scene.start_event(1).await;
    assert_eq!(event.workload.image_ref, None, "{event:#?}");
    assert_eq!(reasons(&event), ["another container has got its id"]);
    scene.running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_containerd_refuses_costs_one_workload_that_fact() {
    let a = Image::new(&["a"], "serve");
    for method in [Method::Container(None), Method::Image, Method::Snapshot, Method::Content] {
        for code in [Code::Internal, Code::Unknown, Code::Unimplemented] {
            let refused = || Step::Fault(method, Fault::Fail(code));
            let stored = vec![plain(NAME), named(NAME, a.digest(), BEFORE), snapshot("a", &a.chain)];
            let steps = all(vec![stored, a.content(), vec![refused(), refused(), Run("a", 1)]]);
            let mut scene = Scene::start(steps).await;
            let event = scene.start_event(1).await;
            assert!(
                matches!(reasons(&event)[..], [reason] if reason.contains("refused")),
                "{method:?}: {event:#?}"
            );
            within(scene.containerd.subscribed()).await;
            scene.containerd.play([Run("b", 2), Send(Event::start("b", 2))]);
            scene.start_event(2).await;
            scene.running.end().await;
        }
    }
}
