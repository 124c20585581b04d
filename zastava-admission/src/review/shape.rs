//! The JSON shapes that are read. Everything else is skipped.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// A string, borrowed from the body unless it holds escapes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawReview<'a> {
    #[serde(borrow, default)]
    pub(super) api_version: Text<'a>,
    #[serde(borrow, default)]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) request: Option<RawRequest<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRequest<'a> {
    #[serde(borrow, default)]
    pub(super) uid: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) kind: RawKind<'a>,
    #[serde(borrow, default)]
    pub(super) sub_resource: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) operation: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) namespace: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) user_info: Option<RawUser<'a>>,
    #[serde(default)]
    pub(super) dry_run: Option<bool>,
    #[serde(borrow, default)]
    pub(super) object: Option<RawObject<'a>>,
    #[serde(borrow, default)]
    pub(super) old_object: Option<RawObject<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RawKind<'a> {
    #[serde(borrow, default)]
    pub(super) group: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) kind: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawUser<'a> {
    #[serde(borrow, default)]
    pub(super) username: Option<Text<'a>>,
}

/// Any object. The parts that may hold a pod stay text until the kind is known. The rest, above all
/// `managedFields`, is skipped once.
#[derive(Debug, Deserialize)]
pub(super) struct RawObject<'a> {
    #[serde(borrow, default)]
    pub(super) metadata: Option<RawMetadata<'a>>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    template: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawMetadata<'a> {
    #[serde(borrow, default)]
    pub(super) labels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) generate_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) uid: Option<&'a RawValue>,
}

/// The text of a member that only describes the object; empty when there is none. Another type of value is
/// no reason to refuse the object.
pub(super) fn text(member: Option<&RawValue>) -> String {
    member.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
}

/// How a kind wraps its pod spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Pod,
    /// `spec.template`
    Workload,
    /// `spec.jobTemplate.spec.template`
    CronJob,
    /// `template`
    PodTemplate,
}

impl Shape {
    /// Workloads were in the group `extensions` before they moved to `apps`.
    pub(super) fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("", "Pod") => Some(Self::Pod),
            ("" | "extensions", "ReplicationController")
            | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch" | "extensions", "Job") => Some(Self::Workload),
            ("batch", "CronJob") => Some(Self::CronJob),
            ("", "PodTemplate") => Some(Self::PodTemplate),
            _ => None,
        }
    }

    /// The part of the object that has the shape of a pod: `metadata` and `spec`.
    pub(super) fn template<'a>(
        self,
        object: &RawObject<'a>,
    ) -> Result<Option<RawTemplate<'a>>, serde_json::Error> {
        Ok(match self {
            Self::Pod => Some(RawTemplate { metadata: object.metadata, spec: object.spec }),
            Self::Workload => read::<RawWorkloadSpec<'a>>(object.spec)?.and_then(|spec| spec.template),
            Self::CronJob => read::<RawCronJobSpec<'a>>(object.spec)?
                .and_then(|spec| spec.job_template?.spec)
                .and_then(|spec| spec.template),
            Self::PodTemplate => read(object.template)?,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(text: Option<&'a RawValue>) -> Result<Option<T>, serde_json::Error> {
    text.map(read_object).transpose()
}

/// Reads an object and nothing else. Derived code would read a list as the fields in their order.
fn read_object<'a, T: Deserialize<'a>>(text: &'a RawValue) -> Result<T, serde_json::Error> {
    read_object_by(PhantomData, text)
}

/// The same by a reader of its own.
pub(super) fn read_object_by<'a, S: DeserializeSeed<'a>>(
    seed: S,
    text: &'a RawValue,
) -> Result<S::Value, serde_json::Error> {
    if !text.get().starts_with('{') {
        return Err(serde::de::Error::custom("expected an object"));
    }
    seed.deserialize(&mut serde_json::Deserializer::from_str(text.get()))
}

#[derive(Debug, Deserialize)]
pub(super) struct RawTemplate<'a> {
    #[serde(borrow, default)]
    pub(super) metadata: Option<RawMetadata<'a>>,
    #[serde(borrow, default)]
    pub(super) spec: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct RawWorkloadSpec<'a> {
    #[serde(borrow, default)]
    template: Option<RawTemplate<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCronJobSpec<'a> {
    #[serde(borrow, default)]
    job_template: Option<RawJobTemplate<'a>>,
}

#[derive(Debug, Deserialize)]
struct RawJobTemplate<'a> {
    #[serde(borrow, default)]
    spec: Option<RawWorkloadSpec<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawContainer<'a> {
    #[serde(borrow, default)]
    pub(super) image: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawVolume<'a> {
    #[serde(borrow, default)]
    pub(super) image: Option<RawImageVolume<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawImageVolume<'a> {
    #[serde(borrow, default)]
    pub(super) reference: Option<Text<'a>>,
}
