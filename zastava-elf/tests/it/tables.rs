//! The two header tables: where they are searched, and how many entries they have.

use zastava_elf::ErrorKind;

use crate::ask::Want::{Fails, Nothing};
use crate::ask::{FOUND, OTHER, Row, check_rows};
use crate::image::{Area, ID, Image, PT_LOAD, PT_NOTE, SHT_NOTE, SHT_PROGBITS, Shape};

#[test]
fn both_tables_are_searched_segments_first() {
    check_rows(TABLES);
}

#[test]
fn counts_that_do_not_fit_the_header_are_in_section_zero() {
    check_rows(COUNTS);
}

const TABLES: &[Row] = &[
    ("no tables", |s| s.image(), Nothing),
    ("segment only", |s| s.image().note_segment(s.gnu(&ID)), FOUND),
    ("section only", |s| s.image().note_section(s.gnu(&ID)), FOUND),
    (
        "section outside the only note segment",
        |s| s.image().note_segment(s.note(b"Go\0\0", 4, b"gogo")).note_section(s.gnu(&ID)),
        FOUND,
    ),
    ("segment and section differ", |s| s.image().note_segment(s.gnu(&ID)).note_section(s.gnu(&OTHER)), FOUND),
    (
        "second note segment",
        |s| s.image().note_segment(s.note(b"GNU\0", 5, &[0; 16])).note_segment(s.gnu(&ID)),
        FOUND,
    ),
    ("first of two ids", |s| s.image().note_segment([s.gnu(&ID), s.gnu(&OTHER)].concat()), FOUND),
    (
        "not in a load segment nor in a plain section",
        |s| {
            let image = s.image().segment(Area::new(PT_LOAD, 4, s.gnu(&ID)));
            image.section(Area::new(SHT_PROGBITS, 4, s.gnu(&ID)))
        },
        Nothing,
    ),
    ("empty note segment", |s| s.image().note_segment(Vec::new()), Nothing),
    (
        "areas and tables beyond the head",
        |s| {
            let far = Area::new(SHT_NOTE, 4, s.gnu(&ID)).after(40_000);
            s.image().note_segment(s.note(b"Go\0\0", 4, b"gogo")).section(far)
        },
        FOUND,
    ),
    (
        "note across the edge of the head",
        |s| s.image().segment(Area::new(PT_NOTE, 4, s.gnu(&ID)).after(4096 - 64 - 56 - 20)),
        FOUND,
    ),
];

fn extended(s: Shape) -> Image {
    s.image().note_segment(s.note(b"Go\0\0", 4, b"gogo")).note_segment(s.gnu(&ID)).with(|image| {
        image.phnum = Some(0xffff);
        image.section_zero_info = 2;
    })
}

const COUNTS: &[Row] = &[
    ("PN_XNUM", extended, FOUND),
    (
        "PN_XNUM without sections",
        |s| extended(s).with(|image| image.shoff = Some(0)),
        Fails(ErrorKind::Malformed),
    ),
    (
        "PN_XNUM and odd section headers",
        |s| extended(s).with(|image| image.shentsize = Some(1)),
        Fails(ErrorKind::Malformed),
    ),
    (
        "e_shnum 0",
        |s| {
            s.image().note_section(s.gnu(&ID)).with(|image| {
                image.shnum = Some(0);
                image.section_zero_size = 2;
            })
        },
        FOUND,
    ),
    (
        "e_shnum 0 and no sections",
        |s| s.image().with(|image| (image.shnum, image.shentsize) = (Some(0), Some(0))),
        Nothing,
    ),
    (
        "PN_XNUM and a note in segment 65536",
        |s| {
            let mut image = s.image().with(|image| {
                image.phnum = Some(0xffff);
                image.section_zero_info = 65_537;
            });
            image.segments = vec![Area::new(PT_LOAD, 4, Vec::new()); 65_536];
            image.note_segment(s.gnu(&ID))
        },
        Fails(ErrorKind::Limit),
    ),
];
