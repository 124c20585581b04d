//! Known bugs that the crash simulation plants, to prove that it would find them. In any other build
//! [`is_planted`] is a constant `false`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
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
    static PLANTED: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn plant(mutation: Option<Mutation>) {
    PLANTED.set(mutation);
}

#[cfg(test)]
pub(crate) fn is_any_planted() -> bool {
    PLANTED.get().is_some()
}

#[cfg(test)]
pub(crate) fn is_planted(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

#[cfg(not(test))]
pub(crate) const fn is_planted(_: Mutation) -> bool {
    false
}
