//! What is to be decided: an object of a file, or a Pod with the images of the command line.

use std::path::Path;

use serde_json::{Map, Value};
use zastava_admission::{Review, holds_pod};

use super::super::manifests::{self, InputError, Manifest, Place};
use super::super::request::{Question, group_and_version, metadata, namespace_of, pod, text};

/// The Pod's name, for messages and the decision line.
const POD_NAME: &str = "zastava-review";

/// An object, and the review of it.
#[derive(Debug)]
pub(super) struct Subject {
    /// `None` for images of the command line.
    pub(super) place: Option<Place>,
    pub(super) kind: String,
    pub(super) namespace: String,
    /// The name, or what it is generated from; for images of the command line these.
    pub(super) name: String,
    /// `None` for a kind that holds no pod: API servers do not ask about it.
    pub(super) question: Option<Question>,
}

impl Subject {
    pub(super) fn of_images(images: &[String], namespace: &str) -> Self {
        Self {
            place: None,
            kind: "Pod".to_owned(),
            namespace: namespace.to_owned(),
            name: images.join(" "),
            question: Some(Question::of_object(&pod(POD_NAME, images, &[]), namespace)),
        }
    }

    /// Every object of a file.
    pub(super) fn of_file(file: &Path, namespace: &str) -> Result<Vec<Self>, InputError> {
        manifests::read(file)?.into_iter().map(|manifest| Self::of_manifest(manifest, namespace)).collect()
    }

    fn of_manifest(manifest: Manifest, namespace: &str) -> Result<Self, InputError> {
        let Manifest { place, object } = manifest;
        if text(&object, "kind") == "AdmissionReview" {
            return Self::of_review(place, &object);
        }
        let (group, _) = group_and_version(&object);
        let kind = text(&object, "kind").to_owned();
        let question = holds_pod(group, &kind).then(|| Question::of_object(&object, namespace));
        let name = match (metadata(&object, "name"), metadata(&object, "generateName")) {
            ("", "") => "-".to_owned(),
            ("", generated) => format!("{generated}*"),
            (name, _) => name.to_owned(),
        };
        // What holds no pod may have no namespace either.
        let namespace = namespace_of(&object, if question.is_some() { namespace } else { "" }).to_owned();
        Ok(Self { place: Some(place), kind, namespace, name, question })
    }

    fn of_review(place: Place, object: &Map<String, Value>) -> Result<Self, InputError> {
        let question = Question::of_review(object);
        let review = Review::parse(&question.body)
            .map_err(|error| InputError::new(place.clone(), super::with_causes(&error)))?;
        let (kind, namespace, name) =
            (review.kind().to_owned(), review.namespace().to_owned(), review.object_name());
        Ok(Self { place: Some(place), kind, namespace, name, question: Some(question) })
    }
}
