//! The question of one review, its answers, and the trait of every layer between.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::Clock;
use zastava_core::image::Digest;

use crate::verdict::Verdict;

/// A layer of the stack that turns a review's question into answers.
pub(crate) trait PolicyLayer: fmt::Debug + Send + Sync {
    /// What the layer knows without asking anybody.
    fn known<'q>(&self, _question: &Question<'q>) -> Answers<'q> {
        Answers::new()
    }

    /// An answer for every image of the question. A failure is an answer too: its verdict is unknown
    /// and carries the reason. The future may be dropped at any await.
    fn answers<'q>(&self, question: &Question<'q>) -> impl Future<Output = Answers<'q>> + Send;
}

/// The images of one review that need a verdict.
#[derive(Clone)]
pub(crate) struct Question<'q> {
    /// Empty for objects without a namespace.
    pub(crate) namespace: &'q str,
    /// As [`policy_labels`](super::policy_labels) gives them.
    pub(crate) labels: &'q BTreeMap<String, String>,
    /// Each once, in the order of the spec.
    pub(crate) images: Vec<AskedImage<'q>>,
    /// Whether what is remembered does not count.
    pub(crate) is_refresh: bool,
    /// How long the review can wait for the answers.
    pub(crate) budget: Duration,
    pub(crate) clock: &'q Arc<dyn Clock>,
}

/// One image as it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskedImage<'q> {
    pub(crate) reference: &'q str,
    /// Of a pinned reference. Only a verdict on a digest may be remembered.
    pub(crate) digest: Option<Digest>,
}

/// Answers by the reference asked.
pub(crate) type Answers<'q> = HashMap<&'q str, Answer>;

/// What a layer knows of one image.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Arc<Verdict>,
    /// How long the verdict holds from now; zero when it is good for this review only.
    pub(crate) ttl: Duration,
    pub(crate) origin: Origin,
    /// Of a verdict that is remembered: whether its time is nearly up.
    pub(crate) is_ending: bool,
    /// The policy that the verdict was made by, if the source names it; hashed.
    pub(crate) revision: Option<Digest>,
}

impl Answer {
    /// A verdict for this review only.
    pub(crate) fn once(verdict: impl Into<Arc<Verdict>>, origin: Origin) -> Self {
        Self { verdict: verdict.into(), ttl: Duration::ZERO, origin, is_ending: false, revision: None }
    }
}

/// Where a verdict comes from. A review comes from the last of its images' origins in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The text of the reference, or what its registry says of the tag.
    Rule,
    Cache,
    /// The policy source, whether it answered or not.
    Backend,
    /// Nobody was asked, because the policy source does not answer.
    Breaker,
    /// Nobody was asked, because too many reviews were waiting.
    Overload,
}

impl<'q> Question<'q> {
    /// The same question for fewer images.
    pub(super) fn about(&self, images: Vec<AskedImage<'q>>) -> Self {
        Self { images, ..self.clone() }
    }

    /// The same verdict for every image, for this review only.
    pub(super) fn answer_all(&self, verdict: Verdict, origin: Origin) -> Answers<'q> {
        let answer = Answer::once(verdict, origin);
        self.images.iter().map(|image| (image.reference, answer.clone())).collect()
    }
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, images, budget, .. } = self;
        f.debug_struct("Question")
            .field("namespace", namespace)
            .field("images", images)
            .field("budget", budget)
            .finish_non_exhaustive()
    }
}
