//! What Scanner said, and for how long it counts. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use zastava_core::contract::Posture;

use super::Answer;

/// The most questions that are remembered. The oldest are forgotten first.
const QUESTIONS_MAX: usize = 1024;

/// The questions that were asked, with what is known by now.
#[derive(Debug)]
pub(super) struct Cache<Q> {
    of: HashMap<Q, Entry>,
    order: VecDeque<Q>,
    /// Until when Scanner is not asked, and why.
    pause: Option<(Instant, String)>,
}

#[derive(Debug, Default)]
struct Entry {
    kept: Option<Kept>,
    under_way: Option<Answer>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) posture: Posture,
    pub(super) until: Instant,
}

impl<Q> Default for Cache<Q> {
    fn default() -> Self {
        Self { of: HashMap::new(), order: VecDeque::new(), pause: None }
    }
}

impl<Q: Clone + Eq + Hash> Cache<Q> {
    /// An answer that still counts.
    pub(super) fn fresh(&self, question: &Q, now: Instant) -> Option<Posture> {
        let kept = self.of.get(question)?.kept.as_ref()?;
        (now < kept.until).then(|| kept.posture.clone())
    }

    /// The answer that is on its way.
    pub(super) fn under_way(&self, question: &Q) -> Option<Answer> {
        self.of.get(question)?.under_way.clone()
    }

    /// The question is asked.
    pub(super) fn asks(&mut self, question: Q, answer: Answer) {
        self.entry(question).under_way = Some(answer);
    }

    /// It is answered.
    pub(super) fn answered(&mut self, question: Q, kept: Kept) {
        *self.entry(question) = Entry { kept: Some(kept), under_way: None };
    }

    /// It is not answered: an earlier answer that is not too old.
    pub(super) fn failed(&mut self, question: &Q, now: Instant, fallback: Duration) -> Option<Posture> {
        let entry = self.of.get_mut(question)?;
        entry.under_way = None;
        entry.kept.as_ref().filter(|kept| now < kept.until + fallback).map(|kept| kept.posture.clone())
    }

    /// Scanner is not asked until then.
    pub(super) fn pauses(&mut self, until: Instant, reason: &str) {
        self.pause = Some((until, reason.to_owned()));
    }

    /// Why Scanner is not asked now.
    pub(super) fn pause(&self, now: Instant) -> Option<String> {
        self.pause.as_ref().filter(|(until, _)| now < *until).map(|(_, reason)| reason.clone())
    }

    #[cfg(test)]
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        self.of.values_mut().filter_map(|entry| entry.kept.as_mut()).for_each(|kept| kept.until = now);
    }

    fn entry(&mut self, question: Q) -> &mut Entry {
        if !self.of.contains_key(&question) {
            self.order.push_back(question.clone());
            if self.order.len() > QUESTIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.of.remove(&oldest);
            }
        }
        self.of.entry(question).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kept(signed: bool, until: Instant) -> Kept {
        Kept { posture: Posture { image_signed: Some(signed), ..Posture::default() }, until }
    }

    #[test]
    fn an_answer_counts_for_its_time_and_longer_while_there_is_none() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        assert_eq!(cache.failed(&"a", start, SECOND), None);
        cache.answered("a", kept(true, start + SECOND));
        assert!(cache.fresh(&"a", start).is_some());
        assert_eq!((cache.fresh(&"a", start + SECOND), cache.fresh(&"b", start)), (None, None));
        assert!(cache.failed(&"a", start + SECOND, SECOND).is_some());
        assert_eq!(cache.failed(&"a", start + 2 * SECOND, SECOND), None);
    }

    #[test]
    fn the_oldest_questions_are_forgotten() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        for question in 0..QUESTIONS_MAX + 3 {
            cache.answered(question, kept(true, start + SECOND));
        }
        assert_eq!((cache.of.len(), cache.order.len()), (QUESTIONS_MAX, QUESTIONS_MAX));
        assert!(cache.fresh(&2, start).is_none() && cache.fresh(&3, start).is_some());
    }
}
