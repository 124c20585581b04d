//! Makes a workload of what Docker Engine says about a container. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{self, Evidence, Owner};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use super::answers::{Config, Facts, Image};
use crate::inspect::PreparedProgram;
use crate::source::repo_digests::{self, ImageFound};
use crate::workload::{DeclaredProcess, Workload};

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";

/// The main process of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Main {
    /// 0 if it ended before Docker was asked for it.
    pub(super) pid: u32,
    pub(super) start_ticks: Option<u64>,
    pub(super) started_at: Option<Timestamp>,
    /// What containerd's source read when the container was created.
    pub(super) prepared: Option<Arc<PreparedProgram>>,
}

/// What Docker said of a container.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// The container, and its image if that is still there.
    Found { facts: &'a Facts, image: Option<&'a Image> },
    /// Docker did not show the container. What its last event said is left.
    Missing { attributes: &'a HashMap<String, String>, reason: &'static str },
}

/// The workload of a run of the container.
pub(super) fn workload(id: &str, version: &str, main: Main, record: &Record<'_>) -> Workload {
    let (description, image, source, entrypoint) = match record {
        Record::Found { facts, image } => found(facts, *image),
        Record::Missing { attributes, reason } => missing(attributes, reason),
    };
    let declared = match record {
        Record::Found { facts, .. } if !entrypoint.is_empty() => Some(Arc::new(DeclaredProcess {
            args: entrypoint.clone(),
            variables: facts.config.env.clone().unwrap_or_default(),
            cwd: facts.config.working_dir.clone(),
            user: facts.config.user_in_numbers(),
        })),
        _ => None,
    };
    let image_entrypoint = match record {
        Record::Found { image: Some(image), .. } => image.config.as_ref().map(Config::entrypoint),
        _ => None,
    };
    let image_entrypoint = image_entrypoint.unwrap_or_default();
    let workload_id = format!("docker://{id}");
    let mut evidence = vec![Evidence::new(Signal::DockerContainer, source)];
    if main.pid == 0 {
        let reason = "Docker told the start when the process had ended already, so its pid is not known";
        evidence.push(Evidence::new(Signal::DockerContainer, reason));
    }
    if let Some(reason) = image.as_ref().and_then(|image| image.without_digest) {
        evidence.push(Evidence::new(Signal::DockerImage, reason));
    }
    if let Record::Found { facts, .. } = record
        && !facts.image.is_empty()
    {
        evidence.push(Evidence::new(Signal::DockerImage, format!("image id {}", facts.image)));
    }
    Workload {
        engine: Engine::Docker,
        engine_version: Some(version.to_owned()),
        key: id.to_owned(),
        pid: main.pid,
        start_ticks: main.start_ticks,
        started_at: main.started_at,
        // Docker names the cgroup after the container, with or without systemd.
        cgroup: Some(id.to_owned()),
        description: contract::Workload {
            container_id: Some(workload_id.clone()),
            image_ref: image.map(|image| image.reference),
            ..description
        },
        entrypoint,
        image_entrypoint,
        evidence,
        declared: declared.filter(|_| main.prepared.is_none()),
        prepared: main.prepared,
        id: workload_id,
    }
}

type Described = (contract::Workload, Option<ImageFound>, String, Vec<String>);

fn found(facts: &Facts, image: Option<&Image>) -> Described {
    let name = facts.name.trim_start_matches('/').to_owned();
    let of_image = image.and_then(|image| image.config.as_ref());
    let description = contract::Workload {
        container: Some(name.clone()).filter(|name| !name.is_empty()),
        owner: owner(&facts.config, of_image),
        ..contract::Workload::new(Platform::Docker)
    };
    let tags = image.and_then(|image| image.repo_tags.as_deref()).unwrap_or_default();
    let digests = image.map(|image| image.repo_digests.as_deref().unwrap_or_default());
    let found = repo_digests::image(&facts.config.image, tags, digests);
    let program = Some(facts.path.clone()).filter(|path| !path.is_empty());
    let entrypoint = program.into_iter().chain(facts.args.iter().flatten().cloned()).collect();
    (description, found, name, entrypoint)
}

fn missing(attributes: &HashMap<String, String>, reason: &str) -> Described {
    let description = contract::Workload {
        container: attributes.get("name").cloned(),
        ..contract::Workload::new(Platform::Docker)
    };
    let name = attributes.get("image").map_or("", String::as_str);
    (description, repo_digests::image(name, &[], None), reason.to_owned(), Vec::new())
}

/// The service of Compose or Swarm that the container belongs to. A label that the image carries too names none: the image's
/// maker wrote it.
fn owner(container: &Config, image: Option<&Config>) -> Option<Owner> {
    let label = |name| {
        let value = container.label(name)?;
        (image.and_then(|image| image.label(name)) != Some(value)).then_some(value)
    };
    if let (Some(project), Some(service)) = (label(COMPOSE_PROJECT), label(COMPOSE_SERVICE)) {
        return Some(Owner { kind: "ComposeService".to_owned(), name: format!("{project}/{service}") });
    }
    let service = label(SWARM_SERVICE)?;
    Some(Owner { kind: "SwarmService".to_owned(), name: service.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: Main = Main { pid: 7, start_ticks: Some(99), started_at: None, prepared: None };

    fn facts(json: &str) -> Facts {
        serde_json::from_str(json).expect("is a container")
    }

    #[test]
    fn a_container_carries_its_name_owner_image_and_arguments() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let facts = facts(
            r#"{"Name":"/shop-web-1","Path":"/entry.sh","Args":["serve","-v"],"Image":"sha256:ab",
            "Config":{"Image":"registry.internal/shop/web:3","Labels":{"com.docker.compose.project":"shop",
            "com.docker.compose.service":"web"},"Entrypoint":null,"Cmd":["serve"]},"Unknown":[]}"#,
        );
        let image = format!(r#"{{"RepoTags":null,"RepoDigests":["registry.internal/shop/web@{digest}"]}}"#);
        let image: Image = serde_json::from_str(&image).expect("is an image");
        let found = workload("abc", "20.10", MAIN, &Record::Found { facts: &facts, image: Some(&image) });
        assert_eq!((found.id.as_str(), found.key.as_str()), ("docker://abc", "abc"));
        assert_eq!(found.description.container.as_deref(), Some("shop-web-1"));
        let owner = found.description.owner.expect("is known");
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ComposeService", "shop/web"));
        assert_eq!(found.description.image_ref, Some(format!("registry.internal/shop/web@{digest}")));
        assert_eq!(found.entrypoint, ["/entry.sh", "serve", "-v"]);
        let values: Vec<&str> = found.evidence.iter().map(|evidence| evidence.value.as_str()).collect();
        assert_eq!(values, ["shop-web-1", "image id sha256:ab"]);
    }

    #[test]
    fn labels_of_an_image_make_no_owner() {
        let labels = r#""Labels":{"com.docker.compose.project":"p","com.docker.compose.service":"s"}"#;
        let facts = facts(&format!(r#"{{"Config":{{{labels}}}}}"#));
        let image: Image =
            serde_json::from_str(&format!(r#"{{"Config":{{{labels}}}}}"#)).expect("is an image");
        let found = workload("abc", "20.10", MAIN, &Record::Found { facts: &facts, image: Some(&image) });
        assert_eq!(found.description.owner, None);
    }

    #[test]
    fn of_a_container_that_is_gone_the_event_is_left() {
        let attributes = HashMap::from([
            ("image".to_owned(), "local/app:1".to_owned()),
            ("name".to_owned(), "job".to_owned()),
        ]);
        let record = Record::Missing { attributes: &attributes, reason: "the container was gone" };
        let main = Main { started_at: Some(Timestamp::UNIX_EPOCH), ..Main::default() };
        let found = workload("abc", "20.10", main, &record);
        assert_eq!(found.description.container.as_deref(), Some("job"));
        assert_eq!(found.description.image_ref.as_deref(), Some("local/app:1"));
        assert!(found.entrypoint.is_empty());
        let values: Vec<&str> = found.evidence.iter().map(|evidence| evidence.value.as_str()).collect();
        assert_eq!(values[0], "the container was gone");
        assert!(values[1].contains("pid is not known") && values[2] == "the image is gone", "{values:?}");
    }
}
