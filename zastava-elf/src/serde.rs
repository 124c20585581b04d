//! serde for `BuildId`: hex text in readable formats, bytes in others. Reading is as strict as `FromStr`.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::build_id::BuildId;

impl Serialize for BuildId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.hex().as_str())
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for BuildId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(HexVisitor)
        } else {
            deserializer.deserialize_bytes(BytesVisitor)
        }
    }
}

struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = BuildId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a build-id in hex")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<BuildId, E> {
        text.parse().map_err(E::custom)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = BuildId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a build-id")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<BuildId, E> {
        BuildId::try_from(bytes).map_err(E::custom)
    }

    /// Formats without a byte string give a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<BuildId, A::Error> {
        let mut bytes = [0; BuildId::BYTES_MAX + 1];
        let mut len = 0;
        // There is room for one byte too many, so that a longer sequence is refused and not cut.
        while let Some(slot) = bytes.get_mut(len) {
            let Some(byte) = sequence.next_element()? else { break };
            *slot = byte;
            len += 1;
        }
        self.visit_bytes(&bytes[..len])
    }
}
