//! The hash of head, tail and length.

use sha2::{Digest as _, Sha256};
use zastava_elf::{ElfReader, ErrorKind};

use crate::image::{Area, ID, SHAPES, SHT_PROGBITS};

#[test]
fn the_hash_is_as_opentelemetry_defines_it() {
    let shape = SHAPES[0];
    for filler in [0, 1, 3000, 3900, 4000, 4100, 9000, 100_000] {
        let text = Area::new(SHT_PROGBITS, 1, (0..filler).map(|n| n as u8).collect());
        let bytes = shape.image().note_segment(shape.gnu(&ID)).section(text).bytes();
        let part = bytes.len().min(4096);
        let mut hasher = Sha256::new();
        hasher.update(&bytes[..part]);
        hasher.update(&bytes[bytes.len() - part..]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        let wanted = hasher.finalize();
        let (identity, hash) = ElfReader::new().identity_and_hash(bytes.as_slice(), bytes.len() as u64);
        assert_eq!(hash.expect("a hash").as_bytes()[..], wanted[..16]);
        let alone = ElfReader::new().identity(bytes.as_slice()).expect("an identity");
        assert_eq!(
            identity.expect("an identity").cost.preads,
            alone.cost.preads + u32::from(bytes.len() > 4096)
        );
        let (_, short) = ElfReader::new().identity_and_hash(bytes.as_slice(), bytes.len() as u64 + 1);
        assert_eq!(short.map_err(|error| error.kind()), Err(ErrorKind::Truncated));
    }
    // For an empty file it is SHA-256 of eight zero bytes, a known value.
    let (_, hash) = ElfReader::new().identity_and_hash(b"".as_slice(), 0);
    assert_eq!(hash.expect("a hash").to_string(), "af5570f5a1810b7af78caf4bc70a660f");
}
