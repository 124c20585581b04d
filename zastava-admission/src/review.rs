//! Reads an AdmissionReview of `admission.k8s.io/v1`, as far as a decision needs it.
//!
//! The parse borrows from the body and skips what no decision needs, such as `managedFields`, without
//! building it. These kinds hold a pod spec:
//!
//! | kind | path of its pod spec |
//! | --- | --- |
//! | Pod, also through `ephemeralcontainers`, `resize`, `status` | `spec` |
//! | Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, ReplicationController | `spec.template.spec` |
//! | CronJob | `spec.jobTemplate.spec.template.spec` |
//! | PodTemplate | `template.spec` |

mod head;
mod images;
mod labels;
mod pod;
mod shape;
mod subject;
mod values;

use images::SumKeys;
pub use images::{ImageField, ImageUse};
pub use pod::PodSpec;
use pod::unreadable;
use serde_json::value::RawValue;

pub(crate) use head::Head;
pub(crate) use pod::Pod;
pub(crate) use subject::{Object, Subject};

use crate::error::Error;
use crate::text::name;
use crate::verdict::Rule;
use shape::{RawMetadata, RawObject, RawRequest, RawReview, Shape, Text};

/// A uid is a UUID of 36 characters. The bound leaves room and keeps answers small.
const UID_LENGTH_MAX: usize = 128;
/// No namespace has a longer name.
const NAMESPACE_LENGTH_MAX: usize = 253;

/// A review that can be answered: it has a request with a uid. [`Review::object`] reads its object.
#[derive(Debug)]
pub struct Review<'a> {
    uid: Text<'a>,
    request: RawRequest<'a>,
}

/// What a review is about, as far as images are concerned.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every case")]
pub enum ReviewObject<'a> {
    /// A pod, or a template for pods, whose images must be judged.
    Pod(PodSpec<'a>),
    /// An update that leaves every image where it was. Finalizers, labels, status and scale must stay
    /// changeable when an image has lost its signature since.
    Unchanged(PodSpec<'a>),
    /// Nothing that could run an image, with the reason.
    NoImages(&'static str),
    /// Something that cannot be judged, and is therefore denied.
    Refused {
        /// The rule.
        rule: Rule,
        /// What is wrong.
        reason: String,
    },
}

impl<'a> Review<'a> {
    /// Reads the envelope of a review.
    ///
    /// # Errors
    /// When the body is not JSON, is not an AdmissionReview of v1, or has no request with a uid.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|error| Error::MalformedReview(error.into()))?;
        // Derived code would read a list as the fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(Error::MalformedReview("expected an object".into()));
        }
        let raw: RawReview<'a> =
            serde_json::from_str(text).map_err(|error| Error::MalformedReview(error.into()))?;
        if raw.api_version.as_str() != shape::API_VERSION || raw.kind.as_str() != shape::KIND {
            let found = match (raw.kind.as_str(), raw.api_version.as_str()) {
                ("", "") => "neither kind nor apiVersion".to_owned(),
                (kind, version) => format!("{kind} of {version}"),
            };
            return Err(Error::UnknownReview { found: name(&found, 120) });
        }
        let mut request = raw.request.ok_or(Error::MissingUid)?;
        let uid = request.uid.take().unwrap_or_default();
        if uid.as_str().is_empty() || uid.as_str().len() > UID_LENGTH_MAX {
            return Err(Error::MissingUid);
        }
        Ok(Self { uid, request })
    }

    /// The request's uid, which the answer repeats.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.uid.as_str()
    }

    /// The request's namespace; empty for objects without one. The object's own may be missing.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.request.namespace.as_ref().map_or("", Text::as_str)
    }

    /// The name that the request has for the object. Empty for one whose name the API server generates.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name.as_ref().map_or("", Text::as_str)
    }

    /// The object's name, by the request or by the object itself. API servers generate names before they
    /// ask a validating webhook, so that it is empty only where they have yet to.
    #[must_use]
    pub fn object_name(&self) -> String {
        match self.name() {
            "" => self.metadata(|metadata| metadata.name),
            name => name.to_owned(),
        }
    }

    /// What the API server makes the object's name from; empty when the author gave the name.
    #[must_use]
    pub fn generate_name(&self) -> String {
        self.metadata(|metadata| metadata.generate_name)
    }

    /// The object's own uid; empty when it has none yet.
    #[must_use]
    pub fn object_uid(&self) -> String {
        self.metadata(|metadata| metadata.uid)
    }

    /// Who sent the request to the API server.
    #[must_use]
    pub fn user(&self) -> &str {
        let user = self.request.user_info.as_ref().and_then(|user| user.username.as_ref());
        user.map_or("", Text::as_str)
    }

    fn metadata(&self, member: impl FnOnce(RawMetadata<'a>) -> Option<&'a RawValue>) -> String {
        shape::text(self.request.object.as_ref().and_then(|object| object.metadata).and_then(member))
    }

    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.request.operation.as_ref().map_or("", Text::as_str)
    }

    /// The object's kind, such as `Pod`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.request.kind.kind.as_ref().map_or("", Text::as_str)
    }

    /// The object's API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.request.kind.group.as_ref().map_or("", Text::as_str)
    }

    /// The subresource, such as `ephemeralcontainers`; empty for the object itself.
    #[must_use]
    pub fn sub_resource(&self) -> &str {
        self.request.sub_resource.as_ref().map_or("", Text::as_str)
    }

    /// Whether this is a dry run, after which the API server stores nothing.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.request.dry_run == Some(true)
    }

    /// Reads the object under review.
    #[must_use]
    pub fn object(&self) -> ReviewObject<'a> {
        if let Some(reason) = no_images(self.operation(), self.sub_resource(), self.kind()) {
            return ReviewObject::NoImages(reason);
        }
        self.pod().unwrap_or_else(|(rule, reason)| ReviewObject::Refused { rule, reason })
    }

    /// What the update leaves alone comes first: no bound may keep a Pod from losing a finalizer.
    fn pod(&self) -> Result<ReviewObject<'a>, (Rule, String)> {
        let update = match self.operation() {
            "CREATE" => false,
            "UPDATE" => true,
            other => {
                let reason = format!("the operation {:?} is unknown", name(other, 40));
                return Err((Rule::UnknownKind, reason));
            }
        };
        let Some(shape) = Shape::of(self.group(), self.kind()) else {
            let kind = match self.group() {
                "" => name(self.kind(), 120),
                group => name(&format!("{}.{group}", self.kind()), 120),
            };
            return Err((Rule::UnknownKind, format!("{kind} is no kind whose images are known")));
        };
        let keys = SumKeys::default();
        let mut pod = read_object(shape, self.request.object.as_ref(), &keys)?;
        // The images count as changed when the old object is missing or cannot be read.
        if update && let Ok(old) = read_object(shape, self.request.old_object.as_ref(), &keys) {
            pod.updates(&old);
            if pod.has_images_of(&old) {
                return Ok(ReviewObject::Unchanged(pod));
            }
        }
        pod.check_size()?;
        if self.namespace().len() > NAMESPACE_LENGTH_MAX {
            return Err((
                Rule::TooLarge,
                format!("the namespace has more than {NAMESPACE_LENGTH_MAX} bytes"),
            ));
        }
        Ok(ReviewObject::Pod(pod))
    }
}

/// Whether objects of a kind hold a pod, by their API group and kind: those whose images are judged. The core group is
/// empty.
#[must_use]
pub fn holds_pod(group: &str, kind: &str) -> bool {
    Shape::of(group, kind).is_some()
}

/// Why a request starts no image, if it is one of those.
fn no_images(operation: &str, sub_resource: &str, kind: &str) -> Option<&'static str> {
    match (operation, sub_resource, kind) {
        ("DELETE" | "CONNECT", ..) => Some("the operation starts no image"),
        ("CREATE" | "UPDATE", "scale", "Scale")
        | ("CREATE" | "UPDATE", "binding", "Binding")
        | ("CREATE" | "UPDATE", "eviction", "Eviction") => Some("the subresource holds no image"),
        _ => None,
    }
}

fn read_object<'a>(
    shape: Shape,
    object: Option<&RawObject<'a>>,
    keys: &SumKeys,
) -> Result<PodSpec<'a>, (Rule, String)> {
    let object = object.ok_or_else(|| unreadable("there is none"))?;
    let template = shape.template(object).map_err(unreadable)?;
    PodSpec::read(template.ok_or_else(|| unreadable("it has no pod template"))?, shape, keys)
}
