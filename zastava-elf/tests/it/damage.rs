//! Damage: it does not hide an id elsewhere, and it is reported if there is none.

use zastava_elf::{Error, ErrorKind, Part, build_id_in};

use crate::ask::Want::Fails;
use crate::ask::{FOUND, OTHER, Row, check, check_rows};
use crate::image::{Area, ID, PT_NOTE, SHAPES, SHT_NOTE};

#[test]
fn damage_in_one_place_does_not_hide_an_id_in_another() {
    check_rows(DAMAGE_BESIDE_AN_ID);
}

#[test]
fn damage_is_an_error_if_no_id_is_found() {
    check_rows(DAMAGE_ALONE);
    let lost = SHAPES[0].image().note_section(SHAPES[0].gnu(&ID)).with(|image| image.shentsize = Some(1));
    assert_eq!(build_id_in(&lost.bytes()), Err(Error::Malformed { part: Part::SectionTable }));
}

#[test]
fn other_files_and_broken_headers_each_have_their_error() {
    let patched = |at: usize, value: u8| {
        let mut bytes = SHAPES[0].image().note_segment(SHAPES[0].gnu(&ID)).bytes();
        bytes[at] = value;
        bytes
    };
    let rows: [(&str, Vec<u8>, ErrorKind); 12] = [
        ("empty", Vec::new(), ErrorKind::NotElf),
        ("three bytes of magic", b"\x7fEL".to_vec(), ErrorKind::NotElf),
        ("script", b"#!/bin/sh\nexec true\n".to_vec(), ErrorKind::NotElf),
        ("magic off by one", patched(3, b'G'), ErrorKind::NotElf),
        ("magic alone", b"\x7fELF".to_vec(), ErrorKind::Truncated),
        ("magic and class", b"\x7fELF\x02".to_vec(), ErrorKind::Truncated),
        ("half a header", patched(0, 0x7f)[..40].to_vec(), ErrorKind::Truncated),
        ("class 0", patched(4, 0), ErrorKind::Unsupported),
        ("class 3", patched(4, 3), ErrorKind::Unsupported),
        ("byte order 0", patched(5, 0), ErrorKind::Unsupported),
        ("byte order 3", patched(5, 3), ErrorKind::Unsupported),
        ("version 0", patched(6, 0), ErrorKind::Unsupported),
    ];
    for (name, bytes, kind) in rows {
        check(name, SHAPES[0], &bytes, &Fails(kind));
    }
}

const DAMAGE_BESIDE_AN_ID: &[Row] = &[
    (
        "sections beyond the end",
        |s| s.image().note_segment(s.gnu(&ID)).with(|image| image.shoff = Some(1 << 30)),
        FOUND,
    ),
    (
        "sections at the end of the address space",
        |s| s.image().note_segment(s.gnu(&ID)).with(|image| image.shoff = Some(u64::MAX)),
        FOUND,
    ),
    (
        "segments at the end of the address space",
        |s| {
            let image = s.image().note_segment(s.gnu(&OTHER)).note_section(s.gnu(&ID));
            image.with(|image| image.phoff = Some(u64::MAX))
        },
        FOUND,
    ),
    (
        "odd program headers",
        |s| {
            let image = s.image().note_segment(s.gnu(&OTHER)).note_section(s.gnu(&ID));
            image.with(|image| image.phentsize = Some(3))
        },
        FOUND,
    ),
    (
        "odd section headers",
        |s| {
            let image = s.image().note_segment(s.gnu(&ID)).note_section(s.gnu(&OTHER));
            image.with(|image| image.shentsize = Some(0))
        },
        FOUND,
    ),
    (
        "first segment out of the file",
        |s| {
            let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(1 << 30), Some(36));
            s.image().segment(out).note_segment(s.gnu(&ID))
        },
        FOUND,
    ),
    (
        "first segment at the end of the address space",
        |s| {
            let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(u64::MAX - 3), Some(36));
            s.image().segment(out).note_segment(s.gnu(&ID))
        },
        FOUND,
    ),
    (
        "first note says too much",
        |s| s.image().note_segment(s.note_header(u32::MAX, u32::MAX, 3)).note_segment(s.gnu(&ID)),
        FOUND,
    ),
    (
        "segment without end",
        |s| s.image().segment(Area::new(PT_NOTE, 4, s.gnu(&ID)).claims(None, Some(u64::MAX))),
        FOUND,
    ),
    (
        "stale segment of a debug file",
        |s| {
            let stale = Area::new(PT_NOTE, 4, vec![0xc3; 64]);
            s.image().segment(stale).note_section(s.gnu(&ID))
        },
        FOUND,
    ),
    (
        "section at offset 0 first",
        |s| {
            let zero = Area::new(SHT_NOTE, 4, Vec::new()).claims(Some(0), Some(64));
            s.image().section(zero).note_section(s.gnu(&ID))
        },
        FOUND,
    ),
    (
        "overlapping sections",
        |s| {
            let image = s.image().note_section(s.gnu(&ID));
            let over = Area::new(SHT_NOTE, 4, Vec::new()).claims(Some(s.segment_bytes()), Some(99));
            image.section(over)
        },
        FOUND,
    ),
];

const DAMAGE_ALONE: &[Row] = &[
    (
        "sections beyond the end",
        |s| s.image().with(|image| (image.shoff, image.shnum) = (Some(1 << 30), Some(3))),
        Fails(ErrorKind::Truncated),
    ),
    (
        "segment out of the file",
        |s| s.image().segment(Area::new(PT_NOTE, 4, Vec::new()).claims(Some(1 << 30), Some(36))),
        Fails(ErrorKind::Truncated),
    ),
    (
        "odd program headers",
        |s| s.image().note_segment(s.gnu(&ID)).with(|image| image.phentsize = Some(0)),
        Fails(ErrorKind::Malformed),
    ),
    (
        "name runs out of the area",
        |s| s.image().note_segment(s.note_header(u32::MAX, 0, 3)),
        Fails(ErrorKind::Malformed),
    ),
    (
        "descriptor runs out of the area",
        |s| s.image().note_section(s.note_header(0, u32::MAX, 3)),
        Fails(ErrorKind::Malformed),
    ),
    (
        "id runs out of the area",
        |s| s.image().note_segment(s.gnu(&ID)[..35].to_vec()),
        Fails(ErrorKind::Malformed),
    ),
];
