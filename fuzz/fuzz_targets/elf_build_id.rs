//! ELF files from foreign bytes, as a slice: no panic, every fact is in the file, and all ways of asking agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_elf::{ElfReader, ErrorKind, Extent, Limits, Order, build_id_in};

fuzz_target!(|data: &[u8]| {
    let is_in_file = |bytes: &[u8]| data.windows(bytes.len()).any(|window| window == bytes);
    let alone = build_id_in(data);
    if let Ok(Some(id)) = alone {
        assert!(is_in_file(id.as_bytes()));
        assert_eq!(id.debug_path().is_some(), id.as_bytes().len() > 1);
    }

    // What does not change is confirmed, within the reads that are left.
    match ElfReader::new().confirming().identity(data) {
        Ok(identity) => assert_eq!(alone, Ok(identity.build_id)),
        Err(error) => assert!(alone.is_err() || error.kind() == ErrorKind::Limit),
    }

    for order in [Order::SegmentsThenSections, Order::SectionsThenSegments] {
        for extent in [Extent::BuildId, Extent::Table, Extent::Everything] {
            let Ok(identity) = ElfReader::new().in_order(order).through(extent).identity(data) else {
                continue;
            };
            if order == Order::SegmentsThenSections {
                assert_eq!(alone.ok(), Some(identity.build_id));
            }
            assert!(identity.go_build_id.is_none_or(|id| is_in_file(id.as_str().as_bytes())));
            assert!(identity.package.is_none_or(|note| is_in_file(note.as_str().as_bytes())));
            let (cost, limits) = (identity.cost, Limits::DEFAULT);
            assert!(cost.preads <= limits.preads && cost.bytes <= limits.bytes && cost.notes <= limits.notes);
        }
    }

    if let Ok(Some(link)) = ElfReader::new().debug_link(data) {
        let name = link.file_name();
        assert!(
            !name.is_empty()
                && !name.contains(&b'/')
                && !name.contains(&0)
                && name != b".."
                && is_in_file(name)
        );
    }
});
