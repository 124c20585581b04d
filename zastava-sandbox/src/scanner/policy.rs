//! Policy questions.

use std::collections::BTreeMap;

use http::StatusCode;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{PolicyRequest, PolicyResponse};

use super::{invalid, shown};
use crate::answer::{Answer, json};
use crate::platform::Platform;
use crate::policy::AskedImage;

/// Images in one question; a pod has a handful.
const IMAGES_MAX: usize = 256;

pub(super) fn answer_question(platform: &Platform, body: &[u8], now: Timestamp) -> Answer {
    let request: PolicyRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return invalid(&shown(&error.to_string())),
    };
    if request.images.is_empty() || request.images.len() > IMAGES_MAX {
        return invalid("images holds 1 to 256 references");
    }
    let policy = &platform.options.policy;
    let mut results = BTreeMap::new();
    for (index, asked) in request.images.into_iter().enumerate() {
        let Some(image) = AskedImage::parse(&asked) else {
            return invalid(&format!("images[{index}]: {:?} is no image reference", shown(&asked)));
        };
        let mut result = policy.answer(&image);
        if let Some(digest) = image.digest() {
            result.build_ids = platform.activity.look(|record| record.events.build_ids(digest));
        }
        results.insert(asked, result);
    }
    platform.activity.count(|counts| counts.policy_requests += 1);
    tracing::debug!(images = results.len(), "answered a policy question");
    let answer = PolicyResponse {
        ttl_seconds: Some(policy.ttl().as_secs()),
        expires_at_utc: Some(now.saturating_add(policy.ttl())),
        policy_revision: Some(policy.revision().to_owned()),
        results,
    };
    json(StatusCode::OK, &answer)
}
