//! Cut, changed and invented bytes: an answer or an error within the limits, never a panic, never a wrong
//! "none".

use proptest::collection::vec;
use proptest::prelude::*;
use zastava_elf::{ElfReader, Endian, Limits, build_id_in, build_id_in_notes};

use crate::image::{Area, ID, Image, PT_LOAD, PT_NOTE, SHAPES, SHT_NOTE, SHT_PROGBITS, Shape};

/// Small files that together use every branch of the reader.
fn seeds(shape: Shape) -> Vec<Image> {
    let other = shape.note(b"stapsdt\0", 3, &[7; 54]);
    let merged = [other, shape.gnu(&ID)].concat();
    let eight = [shape.note_padded(b"odd\0", 5, &[1], 8), shape.note_padded(b"GNU\0", 3, &ID, 8)].concat();
    let extended = shape.image().note_segment(merged.clone()).note_section(shape.gnu(&ID)).with(|image| {
        image.phnum = Some(0xffff);
        image.section_zero_info = 1;
        image.shnum = Some(0);
        image.section_zero_size = 2;
    });
    let load = Area::new(PT_LOAD, 4096, vec![0; 16]);
    let text = Area::new(SHT_PROGBITS, 16, vec![0; 16]);
    vec![
        shape.image().segment(load).note_segment(merged.clone()),
        shape.image().section(text).note_section(merged),
        shape.image().segment(Area::new(PT_NOTE, 8, eight.clone())).section(Area::new(SHT_NOTE, 8, eight)),
        extended,
    ]
}

fn all_seeds() -> Vec<Vec<u8>> {
    SHAPES.into_iter().flat_map(seeds).map(|image| image.bytes()).collect()
}

#[test]
fn a_file_cut_off_anywhere_has_its_id_or_an_error() {
    for bytes in all_seeds() {
        for len in 0..bytes.len() {
            if let Ok(id) = build_id_in(&bytes[..len]) {
                let id = id.unwrap_or_else(|| panic!("searched completely at {len} of {}", bytes.len()));
                assert_eq!(id.as_bytes(), ID);
            }
        }
        assert_eq!(build_id_in(&bytes).expect("whole").expect("an id").as_bytes(), ID);
    }
}

#[test]
fn every_byte_of_a_file_may_take_any_value() {
    for bytes in all_seeds() {
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            for value in 0..=255 {
                bytes[at] = value;
                check_limits(&bytes);
            }
        }
    }
}

/// The cost of an answer is within the limits; an error is an answer too.
fn check_limits(bytes: &[u8]) {
    if let Ok(identity) = ElfReader::new().identity(bytes) {
        let (cost, limits) = (identity.cost, Limits::DEFAULT);
        assert!(cost.preads <= limits.preads && cost.bytes <= limits.bytes && cost.notes <= limits.notes);
        assert_eq!(identity.build_id.is_some(), identity.found_in.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_never_panic(
        seed in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        words in vec((any::<prop::sample::Index>(), prop::sample::select(vec![0, 1, u32::MAX, 1 << 31, 0x7fff_ffff, 0xffff])), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let seeds = all_seeds();
        let mut bytes = seed.get(&seeds).clone();
        for (at, word) in words {
            let at = at.index(bytes.len()) & !3;
            for (byte, value) in bytes[at..].iter_mut().zip(word.to_le_bytes()) {
                *byte = value;
            }
        }
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_limits(&bytes);
    }

    #[test]
    fn invented_notes_never_panic(bytes in vec(prop::sample::select(vec![0_u8, 1, 3, 4, 20, 255, b'G', b'N', b'U']), 0..200)) {
        let _ = build_id_in_notes(&bytes, Endian::Little);
        let _ = build_id_in_notes(&bytes, Endian::Big);
    }
}
