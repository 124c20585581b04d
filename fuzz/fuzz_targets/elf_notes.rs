//! Bare notes from foreign bytes: no panic, and an id only where its note stands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_elf::{ElfReader, Endian, build_id_in_notes};

fuzz_target!(|data: &[u8]| {
    for (endian, kind) in [(Endian::Little, [3, 0, 0, 0]), (Endian::Big, [0, 0, 0, 3])] {
        let alone = build_id_in_notes(data, endian);
        if let Ok(Some(id)) = alone {
            let note = [&kind, b"GNU\0".as_slice(), id.as_bytes()].concat();
            assert!(data.windows(note.len()).any(|window| window == note));
        }
        assert_eq!(
            alone.ok(),
            ElfReader::new().identity_in_notes(data, endian).ok().map(|identity| identity.build_id)
        );
    }
});
