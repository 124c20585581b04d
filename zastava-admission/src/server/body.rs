//! Reads bodies: bounded each and together, with a deadline that every byte moves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::refusal::Reason;
use super::room::{FREE_BYTES, Room, Share};
use super::slots::{Phase, Slot};

/// What a body gets for its first bytes.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);
/// It gets a second more for so many bytes. A peer that sends drop by drop gains nothing.
const BYTES_A_SECOND: u64 = 256 << 10;

/// Reads bodies.
#[derive(Clone, Debug)]
pub(super) struct BodyReader {
    bytes_max: usize,
    room: Arc<Room>,
}

/// What has come of a body.
#[derive(Debug)]
pub(super) enum ReadBody {
    Complete(CompleteBody),
    /// The body was read to its end, and only its beginning was kept.
    Beginning {
        bytes: Vec<u8>,
        why: Reason,
    },
}

/// A complete body. Gives its room back when it is dropped.
#[derive(Debug)]
pub(super) struct CompleteBody {
    pub(super) bytes: Vec<u8>,
    _share: Share,
}

#[cfg(test)]
impl CompleteBody {
    pub(super) fn of(bytes: Vec<u8>, slot: &Slot) -> Self {
        Self { bytes, _share: Room::new(0).share(slot.peer()) }
    }
}

/// The state of one body.
struct Arrival<'s> {
    body: Incoming,
    slot: &'s Slot,
    received: u64,
    began: Instant,
    /// The caller needs its answer.
    answer_by: Instant,
    /// The caller waits no longer.
    end: Instant,
}

impl BodyReader {
    pub(super) fn new(bytes_max: usize, all_bytes_max: usize) -> Self {
        Self { bytes_max, room: Room::new(all_bytes_max) }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Reads a body for a caller that needs its answer at `answer_by`, and waits until `end`.
    pub(super) async fn read(
        &self,
        body: Incoming,
        slot: &Slot,
        answer_by: Instant,
        end: Instant,
    ) -> Result<ReadBody, Reason> {
        slot.enter(Phase::Body);
        let declared = body.size_hint().exact();
        let mut arrival = Arrival { body, slot, received: 0, began: Instant::now(), answer_by, end };
        let read = self.collect(&mut arrival, declared).await;
        slot.enter(Phase::Answering);
        read
    }

    async fn collect(&self, arrival: &mut Arrival<'_>, declared: Option<u64>) -> Result<ReadBody, Reason> {
        let declared = declared.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let share = self.room.share(arrival.slot.peer());
        let mut bytes = Vec::with_capacity(declared.unwrap_or_default().min(FREE_BYTES));
        let mut why = declared.filter(|declared| *declared > self.bytes_max).map(|_| Reason::TooLarge);
        while why.is_none() {
            let data = tokio::select! {
                data = arrival.next() => data?,
                () = share.gives_way() => {
                    why = Some(Reason::NoRoom);
                    break;
                }
            };
            let Some(data) = data else {
                share.is_complete();
                return Ok(ReadBody::Complete(CompleteBody { bytes, _share: share }));
            };
            share.has_progressed();
            let paid = (bytes.len() + data.len()).saturating_sub(FREE_BYTES.max(bytes.len()));
            if bytes.len() + data.len() > self.bytes_max {
                why = Some(Reason::TooLarge);
            } else if paid > 0 && !arrival.finds_room(share.take(paid)).await {
                why = Some(Reason::NoRoom);
            } else {
                grow(&mut bytes, data.len(), declared);
            }
            if why.is_none() || bytes.len() < FREE_BYTES {
                bytes.extend_from_slice(&data);
            }
        }
        // What is answered before it has been read to its end is answered to nobody: the peer is still writing.
        bytes.truncate(FREE_BYTES);
        bytes.shrink_to_fit();
        drop(share);
        while let Some(data) = arrival.next().await? {
            let missing = FREE_BYTES - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(missing)]);
        }
        Ok(ReadBody::Beginning { bytes, why: why.unwrap_or(Reason::NoRoom) })
    }
}

impl Arrival<'_> {
    /// The next bytes, `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Reason> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline(), self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Reason::BodyTimeout)? else { return Ok(None) };
            let Ok(data) = frame.map_err(|_| Reason::BodyCut)?.into_data() else { continue };
            self.slot.enter(Phase::Body);
            self.received += data.len() as u64;
            return Ok(Some(data));
        }
    }

    fn deadline(&self) -> Instant {
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / BYTES_A_SECOND);
        (self.began + FIRST_BYTES_TIMEOUT + earned).min(self.end)
    }

    /// Waits for room as long as there can still be an answer. The peer's own time does not run meanwhile.
    async fn finds_room(&mut self, room: impl Future<Output = bool>) -> bool {
        let since = Instant::now();
        let found = tokio::time::timeout_at(self.answer_by, room).await.unwrap_or(false);
        self.began += since.elapsed();
        found
    }
}

/// Makes place for that many bytes more: for all that the peer has declared, at once. Growing would copy, and leave the old
/// memory behind. Memory to which nothing is written takes none.
fn grow(bytes: &mut Vec<u8>, more: usize, declared: Option<usize>) {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        match declared {
            Some(declared) => bytes.reserve_exact(needed.max(declared) - bytes.len()),
            None => bytes.reserve(more),
        }
    }
}
