//! An AdmissionReview of `admission.k8s.io/v1`, read only as far as a decision needs.
//!
//! The parse borrows from the body. What no decision needs, such as `managedFields`, is skipped
//! without being built. The kinds that hold a pod, and where:
//!
//! | kind | where its pod spec stands |
//! | --- | --- |
//! | Pod, also by `ephemeralcontainers`, `resize`, `status` | `spec` |
//! | Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, ReplicationController | `spec.template.spec` |
//! | CronJob | `spec.jobTemplate.spec.template.spec` |
//! | PodTemplate | `template.spec` |

mod pod;
mod shape;

use pod::unreadable;
pub use pod::{ImageField, ImageUse, PodSpec};

use crate::error::Error;
use crate::text::shown;
use crate::verdict::Rule;
use shape::{RawObject, RawRequest, RawReview, Shape, Text};

/// A uid is a UUID of 36 characters; this leaves room and keeps answers small.
const UID_LENGTH_MAX: usize = 128;

/// A review whose request can be answered. Its object is read by [`Review::subject`].
#[derive(Debug)]
pub struct Review<'a> {
    uid: Text<'a>,
    request: RawRequest<'a>,
}

/// What a review is about.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "who decides must handle every subject")]
pub enum Subject<'a> {
    /// A pod, or a template for pods, whose images must be judged.
    Pod(PodSpec<'a>),
    /// An update that leaves every image where it was: finalizers, labels, status and scale must
    /// stay changeable when an image has lost its signature since.
    Unchanged(PodSpec<'a>),
    /// Nothing that could run an image; why, in words.
    NoImages(&'static str),
    /// Something that cannot be judged: never allowed for want of understanding.
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
    /// When the body is no JSON, no AdmissionReview of v1, or has no request with a uid.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|error| Error::MalformedReview(error.into()))?;
        // A list would be read as the fields in their order.
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
            return Err(Error::UnknownReview { found: shown(&found, 120) });
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

    /// The request's namespace; an object's own may be empty. Empty for objects that have none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.request.namespace.as_ref().map_or("", Text::as_str)
    }

    /// The object's name; empty when the API server has yet to generate it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name.as_ref().map_or("", Text::as_str)
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

    /// Whether nothing will be stored.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.request.dry_run == Some(true)
    }

    /// Reads what the review is about.
    #[must_use]
    pub fn subject(&self) -> Subject<'a> {
        let update = match self.operation() {
            "CREATE" => false,
            "UPDATE" => true,
            "DELETE" | "CONNECT" => return Subject::NoImages("the operation starts no image"),
            other => {
                let reason = format!("the operation {:?} is unknown", shown(other, 40));
                return Subject::Refused { rule: Rule::UnknownKind, reason };
            }
        };
        if let ("scale", "Scale") | ("binding", "Binding") | ("eviction", "Eviction") =
            (self.sub_resource(), self.kind())
        {
            return Subject::NoImages("the subresource holds no image");
        }
        let Some(shape) = Shape::of(self.group(), self.kind()) else {
            let kind = match self.group() {
                "" => shown(self.kind(), 120),
                group => shown(&format!("{}.{group}", self.kind()), 120),
            };
            let reason = format!("{kind} is no kind whose images are known");
            return Subject::Refused { rule: Rule::UnknownKind, reason };
        };
        match read_object(shape, self.request.object.as_ref()) {
            Ok(pod) if update && self.images_unchanged(shape, &pod) => Subject::Unchanged(pod),
            Ok(pod) => Subject::Pod(pod),
            Err((rule, reason)) => Subject::Refused { rule, reason },
        }
    }

    /// An old object that is missing or cannot be read is no excuse: the images count as changed.
    fn images_unchanged(&self, shape: Shape, pod: &PodSpec<'_>) -> bool {
        read_object(shape, self.request.old_object.as_ref()).is_ok_and(|old| old.has_images_of(pod))
    }
}

fn read_object<'a>(shape: Shape, object: Option<&RawObject<'a>>) -> Result<PodSpec<'a>, (Rule, String)> {
    let object = object.ok_or_else(|| unreadable("there is none"))?;
    let template = shape.template(object).map_err(unreadable)?;
    PodSpec::read(template.ok_or_else(|| unreadable("it has no pod template"))?, shape)
}
