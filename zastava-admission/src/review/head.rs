//! What a review says before its object: enough to answer one of which the rest is not read.
//!
//! An API server writes the members of a request in the order of Kubernetes' `AdmissionRequest`: everything that is needed
//! here stands before the object (`k8s.io/api/admission/v1/types.go`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::shape::{API_VERSION, KIND, RawKind, RawUser, Text};
use super::{NAMESPACE_LENGTH_MAX, Review, UID_LENGTH_MAX, no_images};

/// The longest text that is kept. Kinds, operations and names are shorter.
const TEXT_LENGTH_MAX: usize = 253;

/// Who asks for what, in short texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    /// The object's own, where the request has none.
    pub(crate) name: String,
    pub(crate) generate_name: String,
    /// The object's uid.
    pub(crate) object_uid: String,
    pub(crate) user: String,
    pub(crate) operation: String,
    pub(crate) kind: String,
    pub(crate) sub_resource: String,
    pub(crate) dry_run: bool,
}

impl Head {
    pub(super) fn of(review: &Review<'_>) -> Self {
        Self {
            uid: review.uid().to_owned(),
            namespace: cut(review.namespace()),
            name: cut(&review.object_name()),
            generate_name: cut(&review.generate_name()),
            object_uid: cut(&review.object_uid()),
            user: cut(review.user()),
            operation: cut(review.operation()),
            kind: cut(review.kind()),
            sub_resource: cut(review.sub_resource()),
            dry_run: review.is_dry_run(),
        }
    }

    /// Reads the beginning of a review. `None` when it does not hold enough for an answer.
    pub(super) fn of_beginning(body: &[u8]) -> Option<Self> {
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            // A character may be cut in two.
            Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).ok()?,
        };
        let mut beginning = Beginning::default();
        // It ends in an error: the text is cut off.
        let _ = Members { found: &mut beginning, of_request: false }
            .deserialize(&mut serde_json::Deserializer::from_str(text));
        let Self { uid, namespace, operation, kind, .. } = &beginning.head;
        let is_whole = beginning.is_review
            && (1..=UID_LENGTH_MAX).contains(&uid.len())
            && namespace.len() <= NAMESPACE_LENGTH_MAX
            && !operation.is_empty()
            && !kind.is_empty();
        is_whole.then_some(beginning.head)
    }

    /// Why the request starts no image, if it is one of those.
    pub(super) fn no_images(&self) -> Option<&'static str> {
        no_images(&self.operation, &self.sub_resource, &self.kind)
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_LENGTH_MAX)].to_owned()
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Beginning {
    head: Head,
    api_version: String,
    is_review: bool,
}

/// Reads members one by one and keeps what it has when the text ends.
struct Members<'s> {
    found: &'s mut Beginning,
    of_request: bool,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Beginning { head, api_version, is_review } = self.found;
        let mut kind = String::new();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            let mut text = || members.next_value::<Option<Text<'de>>>().map(Option::unwrap_or_default);
            match (self.of_request, name.as_str()) {
                (false, "kind") => kind = cut(text()?.as_str()),
                (false, "apiVersion") => *api_version = cut(text()?.as_str()),
                (false, "request") => {
                    // The types stand first. Who writes them later gets no answer to a review that is cut off.
                    *is_review = kind == KIND && api_version == API_VERSION;
                    members.next_value_seed(Members { found: self.found, of_request: true })?;
                    return Ok(());
                }
                (true, "uid") => head.uid = text()?.0.into_owned(),
                (true, "namespace") => head.namespace = text()?.0.into_owned(),
                (true, "name") => head.name = cut(text()?.as_str()),
                (true, "operation") => head.operation = cut(text()?.as_str()),
                (true, "subResource") => head.sub_resource = cut(text()?.as_str()),
                (true, "userInfo") => {
                    let user: Option<RawUser<'de>> = members.next_value()?;
                    head.user = cut(user.and_then(|user| user.username).unwrap_or_default().as_str());
                }
                (true, "kind") => {
                    let RawKind { kind, .. } = members.next_value()?;
                    head.kind = cut(kind.unwrap_or_default().as_str());
                }
                (true, "object" | "oldObject") => return Ok(()),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
