//! Bare notes and the text of ids from foreign bytes: no panic, and an id only where its note stands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_elf::{BuildId, Endian, build_id_notes};

fuzz_target!(|data: &[u8]| {
    for (endian, kind) in [(Endian::Little, [3, 0, 0, 0]), (Endian::Big, [0, 0, 0, 3])] {
        if let Ok(Some(id)) = build_id_notes(data, endian) {
            let note = [&kind, b"GNU\0".as_slice(), id.as_bytes()].concat();
            assert!(data.windows(note.len()).any(|window| window == note));
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(id) = text.parse::<BuildId>()
    {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert_eq!(BuildId::try_from(id.as_bytes()), Ok(id));
    }
});
