//! The rules that settle an image or an object.

use std::fmt;

/// Which rule settled an image or an object. The names stand in messages and decision lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// `policy`: the policy source gave the verdict.
    Policy,
    /// `no-verdict`: the policy source did not answer.
    NoVerdict,
    /// `no-image-verdict`: the policy source answered, and has no verdict on the image.
    NoImageVerdict,
    /// `unanswerable`: the policy source answers that it will not take the question.
    Unanswerable,
    /// `overload`: too many calls of the policy source are under way, or there is no memory or time to read the review.
    Overload,
    /// `unpinned-tag`: the reference has no digest, and tags are not resolved.
    UnpinnedTag,
    /// `unresolved-tag`: the registry does not say which image the tag names.
    UnresolvedTag,
    /// `malformed-reference`: the text is not an image reference.
    MalformedReference,
    /// `blank-image`: a container of a Pod names no image.
    BlankImage,
    /// `placeholder`: the text stands for an image that something else fills in.
    Placeholder,
    /// `unknown-kind`: the kind or the operation is not known.
    UnknownKind,
    /// `unreadable-object`: the object does not have its kind's shape.
    UnreadableObject,
    /// `too-large`: the object has more images or labels than a review may have, or the review is too long.
    TooLarge,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::NoVerdict => "no-verdict",
            Self::NoImageVerdict => "no-image-verdict",
            Self::Unanswerable => "unanswerable",
            Self::Overload => "overload",
            Self::UnpinnedTag => "unpinned-tag",
            Self::UnresolvedTag => "unresolved-tag",
            Self::MalformedReference => "malformed-reference",
            Self::BlankImage => "blank-image",
            Self::Placeholder => "placeholder",
            Self::UnknownKind => "unknown-kind",
            Self::UnreadableObject => "unreadable-object",
            Self::TooLarge => "too-large",
        }
    }

    /// What the user can do about a denial by this rule.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Policy => "Sign the image or have its policy changed, then try again.",
            Self::NoVerdict => "Try again; if it stays, ask the operators whether the policy source answers.",
            Self::NoImageVerdict => {
                "See that the image is there and has been scanned, then try again; if it stays, ask the operators."
            }
            Self::Unanswerable => "Correct the image references and labels, or split the object.",
            Self::Overload => "Try again in a moment.",
            Self::UnpinnedTag => "Name the image by its digest.",
            Self::UnresolvedTag => "See that the tag is in its registry, or name the image by its digest.",
            Self::MalformedReference => "Correct the image reference.",
            Self::BlankImage => "Name an image for every container.",
            Self::Placeholder => "See that whatever fills in the image runs before the webhook.",
            Self::UnknownKind => {
                "Take the resource out of the webhook's rules if its images need not be judged."
            }
            Self::UnreadableObject => "Correct the object.",
            Self::TooLarge => "Split the object.",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
