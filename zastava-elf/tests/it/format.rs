//! The rules of the format, as rows: an image and the answer it must get.
//!
//! Each row is asked as a slice, through a source that gives a few bytes at a time, and as a file.

use std::convert::Infallible;

use zastava_elf::{
    BuildId, ElfReader, Endian, Error, ErrorKind, Limit, Limits, Part, ReadAt, build_id_in, build_id_in_notes,
};

use crate::image::{Area, ID, Image, PT_LOAD, PT_NOTE, SHAPES, SHT_NOTE, SHT_PROGBITS, Shape};

#[derive(Debug, Clone, PartialEq)]
enum Want {
    Id(Vec<u8>),
    None,
    Fails(ErrorKind),
}

use Want::{Fails, None as Nothing};

fn id() -> Want {
    Want::Id(ID.to_vec())
}

const OTHER: [u8; 8] = *b"otherid!";

fn answer<E>(result: Result<Option<BuildId>, Error<E>>) -> Want {
    match result {
        Ok(Some(id)) => Want::Id(id.as_bytes().to_vec()),
        Ok(None) => Nothing,
        Err(error) => Fails(error.kind()),
    }
}

/// Gives at most 7 bytes at a time.
struct Dribble<'a>(&'a [u8]);

impl ReadAt for Dribble<'_> {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = buffer.len().min(7);
        self.0.read_at(offset, &mut buffer[..len])
    }
}

/// Seeds for the fuzz targets: with `ZASTAVA_ELF_CORPUS` set to a directory, every file that is asked about is
/// also written there.
pub(crate) fn keep_as_seed(bytes: &[u8]) {
    const SEED_BYTES_MAX: usize = 64 << 10;
    if let Some(directory) = std::env::var_os("ZASTAVA_ELF_CORPUS")
        && bytes.len() <= SEED_BYTES_MAX
    {
        let name =
            bytes.iter().fold(0_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let path = std::path::Path::new(&directory).join(format!("{name:016x}-{}", bytes.len()));
        std::fs::write(path, bytes).expect("the directory of ZASTAVA_ELF_CORPUS can be written");
    }
}

fn check(name: &str, shape: Shape, bytes: &[u8], want: &Want) {
    keep_as_seed(bytes);
    assert_eq!(answer(build_id_in(bytes)), *want, "{name} as a slice, {shape:?}");

    let mut limits = Limits::DEFAULT;
    limits.preads = 1 << 20;
    let dribbled = ElfReader::with_limits(limits).identity(&Dribble(bytes)).map(|identity| identity.build_id);
    assert_eq!(answer(dribbled), *want, "{name} in short reads, {shape:?}");

    #[cfg(all(feature = "linux", target_os = "linux"))]
    {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("written");
        assert_eq!(answer(zastava_elf::build_id(file.path())), *want, "{name} by path, {shape:?}");
        assert_eq!(answer(zastava_elf::build_id_of(&file)), *want, "{name} by descriptor, {shape:?}");
    }
}

type Row = (&'static str, fn(Shape) -> Image, Want);

fn check_rows(rows: &[Row]) {
    for (name, image, want) in rows {
        for shape in SHAPES {
            check(name, shape, &image(shape).bytes(), want);
        }
    }
}

#[test]
fn both_tables_are_searched_segments_first() {
    check_rows(&[
        ("no tables", |s| s.image(), Nothing),
        ("segment only", |s| s.image().note_segment(s.gnu(&ID)), id()),
        ("section only", |s| s.image().note_section(s.gnu(&ID)), id()),
        (
            "section outside the only note segment",
            |s| s.image().note_segment(s.note(b"Go\0\0", 4, b"gogo")).note_section(s.gnu(&ID)),
            id(),
        ),
        (
            "segment and section differ",
            |s| s.image().note_segment(s.gnu(&ID)).note_section(s.gnu(&OTHER)),
            id(),
        ),
        (
            "second note segment",
            |s| s.image().note_segment(s.note(b"GNU\0", 5, &[0; 16])).note_segment(s.gnu(&ID)),
            id(),
        ),
        ("first of two ids", |s| s.image().note_segment([s.gnu(&ID), s.gnu(&OTHER)].concat()), id()),
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
            id(),
        ),
        (
            "note across the edge of the head",
            |s| s.image().segment(Area::new(PT_NOTE, 4, s.gnu(&ID)).after(4096 - 64 - 56 - 20)),
            id(),
        ),
    ]);
}

#[test]
fn owner_and_type_count_together() {
    check_rows(&[
        ("probe alone", |s| s.image().note_segment(s.note(b"stapsdt\0", 3, &[7; 54])), Nothing),
        (
            "probe before the id",
            |s| s.image().note_section([s.note(b"stapsdt\0", 3, &[7; 54]), s.gnu(&ID)].concat()),
            id(),
        ),
        (
            "Xen note before the id",
            |s| s.image().note_segment([s.note(b"Xen\0", 3, &[1; 8]), s.gnu(&ID)].concat()),
            id(),
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
            id(),
        ),
        ("no owner", |s| s.image().note_segment([s.note(b"", 3, &ID), s.gnu(&ID)].concat()), id()),
        (
            "merged notes",
            |s| {
                let others = [s.note(b"GNU\0", 1, &[0; 16]), s.note(b"Go\0\0", 4, &[b'g'; 83])];
                s.image().note_segment([others.concat(), s.gnu(&ID)].concat())
            },
            id(),
        ),
    ]);
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
            check(&name, shape, &shape.image().segment(area(PT_NOTE)).bytes(), &id());
            check(&name, shape, &shape.image().section(area(SHT_NOTE)).bytes(), &id());
        }
    }
    check_rows(&[
        (
            "padded to eight after an odd descriptor",
            |s| {
                let notes = [s.note_padded(b"odd\0", 1, &[1], 8), s.note_padded(b"GNU\0", 3, &ID, 8)];
                s.image().segment(Area::new(PT_NOTE, 8, notes.concat()))
            },
            id(),
        ),
        (
            "padded to eight after an owner of sixteen",
            |s| {
                let notes =
                    [s.note_padded(b"sixteen letters\0", 1, &[1; 4], 8), s.note_padded(b"GNU\0", 3, &ID, 8)];
                s.image().section(Area::new(SHT_NOTE, 8, notes.concat()))
            },
            id(),
        ),
        (
            "one segment of each",
            |s| {
                let property = s.note_padded(b"GNU\0", 5, &[0; 12], 8);
                s.image().segment(Area::new(PT_NOTE, 8, property)).note_segment(s.gnu(&ID))
            },
            id(),
        ),
        ("fewer bytes than a note at the end", |s| s.image().note_segment(vec![0; 8]), Nothing),
        (
            "last note without its padding",
            |s| s.image().note_segment(s.gnu(b"abcde")[..21].to_vec()),
            Want::Id(b"abcde".to_vec()),
        ),
    ]);
}

#[test]
fn ids_have_one_to_sixty_four_bytes() {
    for shape in SHAPES {
        for len in 0..=255_usize {
            let image = shape.image().note_segment(shape.gnu(&vec![0xa5; len]));
            let want = match len {
                0 => Nothing,
                1..=64 => Want::Id(vec![0xa5; len]),
                _ => Fails(ErrorKind::IdTooLong),
            };
            assert_eq!(answer(build_id_in(&image.bytes())), want, "{len} bytes, {shape:?}");
        }
    }
    check_rows(&[
        ("empty and then a good one", |s| s.image().note_segment([s.gnu(b""), s.gnu(&ID)].concat()), id()),
        (
            "too long and then a good one",
            |s| s.image().note_segment([s.gnu(&[1; 65]), s.gnu(&ID)].concat()),
            id(),
        ),
        (
            "too long here, a good one there",
            |s| s.image().note_segment(s.gnu(&[1; 65])).note_section(s.gnu(&ID)),
            id(),
        ),
    ]);
    let long = SHAPES[0].image().note_section(SHAPES[0].gnu(&[1; 65])).bytes();
    assert_eq!(build_id_in(&long), Err(Error::IdTooLong { part: Part::Section(1), bytes: 65 }));
}

#[test]
fn counts_that_do_not_fit_the_header_are_in_section_zero() {
    fn extended(s: Shape) -> Image {
        s.image().note_segment(s.note(b"Go\0\0", 4, b"gogo")).note_segment(s.gnu(&ID)).with(|image| {
            image.phnum = Some(0xffff);
            image.section_zero_info = 2;
        })
    }
    check_rows(&[
        ("PN_XNUM", extended, id()),
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
            id(),
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
    ]);
}

#[test]
fn damage_in_one_place_does_not_hide_an_id_in_another() {
    check_rows(&[
        (
            "sections beyond the end",
            |s| s.image().note_segment(s.gnu(&ID)).with(|image| image.shoff = Some(1 << 30)),
            id(),
        ),
        (
            "sections at the end of the address space",
            |s| s.image().note_segment(s.gnu(&ID)).with(|image| image.shoff = Some(u64::MAX)),
            id(),
        ),
        (
            "segments at the end of the address space",
            |s| {
                let image = s.image().note_segment(s.gnu(&OTHER)).note_section(s.gnu(&ID));
                image.with(|image| image.phoff = Some(u64::MAX))
            },
            id(),
        ),
        (
            "odd program headers",
            |s| {
                let image = s.image().note_segment(s.gnu(&OTHER)).note_section(s.gnu(&ID));
                image.with(|image| image.phentsize = Some(3))
            },
            id(),
        ),
        (
            "odd section headers",
            |s| {
                let image = s.image().note_segment(s.gnu(&ID)).note_section(s.gnu(&OTHER));
                image.with(|image| image.shentsize = Some(0))
            },
            id(),
        ),
        (
            "first segment out of the file",
            |s| {
                let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(1 << 30), Some(36));
                s.image().segment(out).note_segment(s.gnu(&ID))
            },
            id(),
        ),
        (
            "first segment at the end of the address space",
            |s| {
                let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(u64::MAX - 3), Some(36));
                s.image().segment(out).note_segment(s.gnu(&ID))
            },
            id(),
        ),
        (
            "first note says too much",
            |s| s.image().note_segment(s.note_header(u32::MAX, u32::MAX, 3)).note_segment(s.gnu(&ID)),
            id(),
        ),
        (
            "segment without end",
            |s| s.image().segment(Area::new(PT_NOTE, 4, s.gnu(&ID)).claims(None, Some(u64::MAX))),
            id(),
        ),
        (
            "stale segment of a debug file",
            |s| {
                let stale = Area::new(PT_NOTE, 4, vec![0xc3; 64]);
                s.image().segment(stale).note_section(s.gnu(&ID))
            },
            id(),
        ),
        (
            "section at offset 0 first",
            |s| {
                let zero = Area::new(SHT_NOTE, 4, Vec::new()).claims(Some(0), Some(64));
                s.image().section(zero).note_section(s.gnu(&ID))
            },
            id(),
        ),
        (
            "overlapping sections",
            |s| {
                let image = s.image().note_section(s.gnu(&ID));
                let over = Area::new(SHT_NOTE, 4, Vec::new()).claims(Some(s.segment_bytes()), Some(99));
                image.section(over)
            },
            id(),
        ),
    ]);
}

#[test]
fn damage_is_told_when_nothing_is_found() {
    check_rows(&[
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
    ]);
    let lost = SHAPES[0].image().note_section(SHAPES[0].gnu(&ID)).with(|image| image.shentsize = Some(1));
    assert_eq!(build_id_in(&lost.bytes()), Err(Error::Malformed { part: Part::SectionTable }));
}

#[test]
fn headers_of_other_files_are_told_apart() {
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

#[test]
fn an_answer_tells_where_the_id_was_and_what_it_cost() {
    let shape = SHAPES[0];
    let near = shape.image().note_segment(shape.note(b"Go\0\0", 4, b"gogo")).note_segment(shape.gnu(&ID));
    let identity = ElfReader::new().identity(near.bytes().as_slice()).expect("an identity");
    assert_eq!(identity.found_in, Some(Part::Segment(1)));
    assert_eq!((identity.cost.preads, identity.cost.notes), (1, 2));
    assert_eq!(identity.cost.bytes as usize, near.bytes().len());

    // The head, the section headers, the notes.
    let far = Area::new(SHT_NOTE, 4, shape.gnu(&ID)).after(20_000);
    let far = shape.image().section(Area::new(SHT_PROGBITS, 1, vec![0; 9000])).section(far);
    let far = far.section(Area::new(SHT_PROGBITS, 1, vec![0; 20_000]));
    let identity = ElfReader::new().identity(far.bytes().as_slice()).expect("an identity");
    assert_eq!(identity.found_in, Some(Part::Section(2)));
    assert_eq!(identity.cost.preads, 3);
}

#[test]
fn a_table_of_segments_out_of_the_file_costs_one_read() {
    let shape = SHAPES[0];
    let mut image = shape.image().note_section(shape.gnu(&ID));
    for n in 0..20 {
        image = image.segment(Area::new(PT_NOTE, 4, Vec::new()).claims(Some((1 << 30) + n), Some(36)));
    }
    let identity = ElfReader::new().identity(image.bytes().as_slice()).expect("an identity");
    assert_eq!(identity.cost.preads, 2);
}

#[test]
fn bare_notes_are_read_in_the_byte_order_given() {
    for (shape, endian) in [(SHAPES[0], Endian::Little), (SHAPES[1], Endian::Big)] {
        let notes = [shape.note(b"Linux\0", 0x101, &[1; 7]), shape.gnu(&ID)].concat();
        assert_eq!(answer(build_id_in_notes(&notes, endian)), id());
        assert_eq!(answer(build_id_in_notes(&notes[..28], endian)), Nothing, "the first note alone");
        assert_eq!(answer(build_id_in_notes(b"", endian)), Nothing);
        let cut = build_id_in_notes(&notes[..notes.len() - 1], endian);
        assert_eq!(cut, Err(Error::Malformed { part: Part::Notes }));
        let other = if endian == Endian::Big { Endian::Little } else { Endian::Big };
        assert_eq!(answer(build_id_in_notes(&notes, other)), Fails(ErrorKind::Malformed));
    }
}

#[test]
fn errors_of_the_source_end_the_scan_with_their_place() {
    /// Has a header and fails from the first note on.
    struct Failing<'a>(&'a [u8]);

    impl ReadAt for Failing<'_> {
        type Error = u8;

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, u8> {
            let head = self.0[..120].get(offset as usize..).filter(|head| !head.is_empty()).ok_or(5)?;
            buffer[..head.len()].copy_from_slice(head);
            Ok(head.len())
        }
    }

    let shape = SHAPES[0];
    let image = shape.image().segment(Area::new(PT_NOTE, 4, shape.gnu(&ID))).bytes();
    let error = ElfReader::new().identity(&Failing(&image)).expect_err("the notes cannot be read");
    assert_eq!(error, Error::Io { part: Part::Segment(0), error: 5 });
    assert_eq!(error.to_string(), "cannot read ELF note segment 0");
    assert_eq!(error.kind().as_str(), "io");
}

#[test]
fn limit_errors_name_the_limit() {
    let error: Error = Error::Limit { limit: Limit::Notes, part: Part::Segment(7) };
    assert_eq!(error.to_string(), "limit on notes reached in ELF note segment 7");
}

#[test]
fn an_id_that_changes_between_two_reads_is_an_error_when_confirming() {
    /// Each read sees the next of two files.
    struct Changing<'a>(&'a [u8], &'a [u8], std::cell::Cell<bool>);

    impl ReadAt for Changing<'_> {
        type Error = Infallible;

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
            if self.2.replace(true) { self.1.read_at(offset, buffer) } else { self.0.read_at(offset, buffer) }
        }
    }

    let shape = SHAPES[0];
    let [old, new] = [[1; 20], [2; 20]].map(|id| shape.image().note_segment(shape.gnu(&id)).bytes());
    let scan = |reader: ElfReader, second: &[u8]| reader.identity(&Changing(&old, second, false.into()));
    let part = Part::Segment(0);
    assert_eq!(scan(ElfReader::new().confirming(), &new), Err(Error::Changed { part }));
    assert_eq!(scan(ElfReader::new().confirming(), &new[..100]), Err(Error::Truncated { part }));
    let confirmed = scan(ElfReader::new().confirming(), &old).expect("the same");
    assert_eq!((confirmed.build_id.unwrap().as_bytes(), confirmed.cost.preads), ([1; 20].as_slice(), 2));
    assert_eq!(scan(ElfReader::new(), &new).expect("the first").cost.preads, 1);
}
