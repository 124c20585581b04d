//! Notes: owner and type, padding, the length of an id, notes without a file.

use std::borrow::Cow;

use zastava_elf::{Endian, Error, ErrorKind, Part, build_id_in, build_id_in_notes};

use crate::ask::Want::{self, Fails, Nothing};
use crate::ask::{FOUND, Row, answer, check, check_rows};
use crate::image::{Area, ID, PT_NOTE, SHAPES, SHT_NOTE};

#[test]
fn owner_and_type_count_together() {
    check_rows(OWNERS);
}

#[test]
fn notes_are_padded_to_eight_only_when_the_entry_says_exactly_eight() {
    for align in [0, 1, 2, 4, 16, 4096, 1 << 31] {
        for shape in SHAPES {
            let area = |kind| {
                let odd = shape.note(b"odd\0", 1, &[1]);
                Area::new(kind, align, [odd, shape.gnu(&ID)].concat())
            };
            let name = format!("align {align}");
            check(&name, shape, &shape.image().segment(area(PT_NOTE)).bytes(), &FOUND);
            check(&name, shape, &shape.image().section(area(SHT_NOTE)).bytes(), &FOUND);
        }
    }
    check_rows(PADDING);
}

#[test]
fn ids_have_one_to_sixty_four_bytes() {
    for shape in SHAPES {
        for len in 0..=255_usize {
            let image = shape.image().note_segment(shape.gnu(&vec![0xa5; len]));
            let want = match len {
                0 => Nothing,
                1..=64 => Want::Id(vec![0xa5; len].into()),
                _ => Fails(ErrorKind::IdTooLong),
            };
            assert_eq!(answer(build_id_in(&image.bytes())), want, "{len} bytes, {shape:?}");
        }
    }
    check_rows(LENGTHS);
    let long = SHAPES[0].image().note_section(SHAPES[0].gnu(&[1; 65])).bytes();
    assert_eq!(build_id_in(&long), Err(Error::IdTooLong { part: Part::Section(1), bytes: 65 }));
}

#[test]
fn bare_notes_are_read_in_the_byte_order_given() {
    for (shape, endian) in [(SHAPES[0], Endian::Little), (SHAPES[1], Endian::Big)] {
        let notes = [shape.note(b"Linux\0", 0x101, &[1; 7]), shape.gnu(&ID)].concat();
        assert_eq!(answer(build_id_in_notes(&notes, endian)), FOUND);
        assert_eq!(answer(build_id_in_notes(&notes[..28], endian)), Nothing, "the first note alone");
        assert_eq!(answer(build_id_in_notes(b"", endian)), Nothing);
        let cut = build_id_in_notes(&notes[..notes.len() - 1], endian);
        assert_eq!(cut, Err(Error::Malformed { part: Part::Notes }));
        let other = if endian == Endian::Big { Endian::Little } else { Endian::Big };
        assert_eq!(answer(build_id_in_notes(&notes, other)), Fails(ErrorKind::Malformed));
    }
}

const OWNERS: &[Row] = &[
    ("probe alone", |s| s.image().note_segment(s.note(b"stapsdt\0", 3, &[7; 54])), Nothing),
    (
        "probe before the id",
        |s| s.image().note_section([s.note(b"stapsdt\0", 3, &[7; 54]), s.gnu(&ID)].concat()),
        FOUND,
    ),
    (
        "Xen note before the id",
        |s| s.image().note_segment([s.note(b"Xen\0", 3, &[1; 8]), s.gnu(&ID)].concat()),
        FOUND,
    ),
    ("PaX note", |s| s.image().note_segment(s.note(b"PaX\0", 3, &[0; 4])), Nothing),
    (
        "process record of a core",
        |s| s.image().note_segment(s.note(b"CORE\0", 3, &[9; 136])).with(|image| image.kind = 4),
        Nothing,
    ),
    ("owner without NUL", |s| s.image().note_segment(s.note(b"GNU", 3, &ID)), Nothing),
    ("owner of eight", |s| s.image().note_segment(s.note(b"GNU\0\0\0\0\0", 3, &ID)), Nothing),
    ("owner in lower case", |s| s.image().note_segment(s.note(b"gnu\0", 3, &ID)), Nothing),
    ("owner and another type", |s| s.image().note_segment(s.note(b"GNU\0", 1, &ID)), Nothing),
    (
        "owner that is no text",
        |s| s.image().note_segment([s.note(b"\xff\xfe\xfd", 3, &[1]), s.gnu(&ID)].concat()),
        FOUND,
    ),
    ("no owner", |s| s.image().note_segment([s.note(b"", 3, &ID), s.gnu(&ID)].concat()), FOUND),
    (
        "merged notes",
        |s| {
            let others = [s.note(b"GNU\0", 1, &[0; 16]), s.note(b"Go\0\0", 4, &[b'g'; 83])];
            s.image().note_segment([others.concat(), s.gnu(&ID)].concat())
        },
        FOUND,
    ),
];

const PADDING: &[Row] = &[
    (
        "padded to eight after an odd descriptor",
        |s| {
            let notes = [s.note_padded(b"odd\0", 1, &[1], 8), s.note_padded(b"GNU\0", 3, &ID, 8)];
            s.image().segment(Area::new(PT_NOTE, 8, notes.concat()))
        },
        FOUND,
    ),
    (
        "padded to eight after an owner of sixteen",
        |s| {
            let notes =
                [s.note_padded(b"sixteen letters\0", 1, &[1; 4], 8), s.note_padded(b"GNU\0", 3, &ID, 8)];
            s.image().section(Area::new(SHT_NOTE, 8, notes.concat()))
        },
        FOUND,
    ),
    (
        "one segment of each",
        |s| {
            let property = s.note_padded(b"GNU\0", 5, &[0; 12], 8);
            s.image().segment(Area::new(PT_NOTE, 8, property)).note_segment(s.gnu(&ID))
        },
        FOUND,
    ),
    ("fewer bytes than a note at the end", |s| s.image().note_segment(vec![0; 8]), Nothing),
    (
        "last note without its padding",
        |s| s.image().note_segment(s.gnu(b"abcde")[..21].to_vec()),
        Want::Id(Cow::Borrowed(b"abcde")),
    ),
];

const LENGTHS: &[Row] = &[
    ("empty and then a good one", |s| s.image().note_segment([s.gnu(b""), s.gnu(&ID)].concat()), FOUND),
    (
        "too long and then a good one",
        |s| s.image().note_segment([s.gnu(&[1; 65]), s.gnu(&ID)].concat()),
        FOUND,
    ),
    (
        "too long here, a good one there",
        |s| s.image().note_segment(s.gnu(&[1; 65])).note_section(s.gnu(&ID)),
        FOUND,
    ),
];
