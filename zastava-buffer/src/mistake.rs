//! Mistakes that the crash simulation plants, to see that it would find them. In any other build each question
//! is a constant `false`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    NoPayloadChecksum,
    OneCursorSlot,
    NoDataSync,
    NoNamesSync,
    SyncAgainAfterFailure,
    AcknowledgeBeforeSync,
    RemoveBeforeCursor,
    ReuseEpoch,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn plant(mistake: Option<Mistake>) {
    PLANTED.set(mistake);
}

#[cfg(test)]
pub(crate) fn is_any_planted() -> bool {
    PLANTED.get().is_some()
}

#[cfg(test)]
pub(crate) fn planted(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Mistake) -> bool {
    false
}
