//! Each limit has its own error. Reaching a limit is never "no build-id".

use std::convert::Infallible;

use zastava_elf::{ElfReader, Error, ErrorKind, Extent, Limit, Limits, Part, ReadAt, build_id_in};

use crate::image::{Area, ID, PT_LOAD, PT_NOTE, SHAPES, SHT_NOTE, SHT_PROGBITS};

fn limited(change: impl FnOnce(&mut Limits)) -> ElfReader {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    ElfReader::with_limits(limits)
}

fn check(reader: ElfReader, bytes: &[u8], want: (Limit, Part)) {
    let error = reader.identity(bytes).expect_err("over the limit");
    assert_eq!(error, Error::Limit { limit: want.0, part: want.1 });
}

#[test]
fn each_limit_ends_in_its_own_error() {
    let shape = SHAPES[0];
    let far = shape.image().segment(Area::new(PT_NOTE, 4, shape.gnu(&ID)).after(8192)).bytes();
    check(limited(|limits| limits.preads = 0), &far, (Limit::Preads, Part::Header));
    check(limited(|limits| limits.preads = 1), &far, (Limit::Preads, Part::Segment(0)));
    check(limited(|limits| limits.bytes = 0), &far, (Limit::Bytes, Part::Header));
    check(limited(|limits| limits.bytes = 4096), &far, (Limit::Bytes, Part::Segment(0)));
    check(limited(|limits| limits.bytes = 4096 + 15), &far, (Limit::Bytes, Part::Segment(0)));

    let notes = [shape.note(b"Go\0\0", 4, b"gogo"), shape.gnu(&ID)].concat();
    let second = shape.image().note_segment(notes).bytes();
    check(limited(|limits| limits.notes = 1), &second, (Limit::Notes, Part::Segment(0)));
    check(limited(|limits| limits.note_area_bytes = 20), &second, (Limit::NoteAreaBytes, Part::Segment(0)));
    check(limited(|limits| limits.note_area_bytes = 55), &second, (Limit::NoteAreaBytes, Part::Segment(0)));

    let other = Area::new(PT_LOAD, 4, Vec::new());
    let segments = shape.image().segment(other.clone()).note_segment(shape.gnu(&ID)).bytes();
    let part = Part::SegmentTable;
    check(limited(|limits| limits.program_headers = 1), &segments, (Limit::ProgramHeaders, part));

    // Section 0 counts.
    let sections = shape.image().note_section(shape.gnu(&ID)).bytes();
    let part = Part::SectionTable;
    check(limited(|limits| limits.section_headers = 1), &sections, (Limit::SectionHeaders, part));
}

#[test]
fn what_just_fits_is_found() {
    let shape = SHAPES[0];
    let far = shape.image().segment(Area::new(PT_NOTE, 4, shape.gnu(&ID)).after(8192)).bytes();
    let exact = limited(|limits| {
        limits.preads = 2;
        limits.bytes = 4096 + 36;
        limits.note_area_bytes = 36;
        limits.notes = 1;
        limits.program_headers = 1;
        limits.section_headers = 0;
    });
    assert_eq!(exact.identity(far.as_slice()).expect("within the limits").build_id.unwrap().as_bytes(), ID);
}

#[test]
fn a_limit_on_one_part_does_not_hide_an_id_in_another() {
    let shape = SHAPES[0];
    let mut image = shape.image().note_section(shape.gnu(&ID));
    image.segments = vec![Area::new(PT_LOAD, 4, Vec::new()); 1025];
    assert_eq!(build_id_in(&image.bytes()).expect("an id").unwrap().as_bytes(), ID);

    let long = [shape.note(b"long", 1, &[0; 65_536]), shape.gnu(b"beyond")].concat();
    let image = shape.image().note_segment(long).note_section(shape.gnu(&ID));
    assert_eq!(build_id_in(&image.bytes()).expect("an id").unwrap().as_bytes(), ID);
}

/// What is optional must not cost the id, even if it is read again.
#[test]
fn a_limit_after_the_id_leaves_the_answer_incomplete() {
    let shape = SHAPES[0];
    let far = |at: u64| Area::new(PT_NOTE, 4, shape.note(b"GNU\0", 5, &[0; 16])).after(at);
    let near = shape.image().note_segment(shape.gnu(&ID));
    let bytes = near.segment(far(8192)).segment(far(8192)).bytes();
    let check = |name: &str, change: fn(&mut Limits)| {
        for extent in [Extent::Table, Extent::Everything] {
            for reader in [limited(change), limited(change).confirming()] {
                let identity = reader.through(extent).identity(bytes.as_slice()).expect(name);
                assert_eq!(identity.build_id.expect(name).as_bytes(), ID);
                assert!(!identity.complete, "{name}");
            }
        }
    };
    check("reads", |limits| limits.preads = 1);
    check("bytes", |limits| limits.bytes = 4096);
    check("notes", |limits| limits.notes = 1);
    check("program headers", |limits| limits.program_headers = 1);
}

/// An object file with a section for each function: its table alone takes more reads than the default.
fn object_file(sections: usize, at: usize) -> Vec<u8> {
    let shape = SHAPES[0];
    let mut image = shape.image().with(|image| image.kind = 1);
    image.sections = vec![Area::new(SHT_PROGBITS, 1, vec![0xc3; 16]); sections];
    image.sections[at] = Area::new(SHT_NOTE, 4, shape.gnu(&ID));
    image.bytes()
}

/// The second read, and the read of the tail for the hash, have a budget of their own.
#[test]
fn an_id_that_was_found_is_not_thrown_away_for_the_rest_of_the_table() {
    for sections in [700, 838, 840, 841, 850, 900, 1000, 1022] {
        for at in [0, 1, sections / 2, 800.min(sections - 1)] {
            let bytes = object_file(sections, at);
            for reader in [ElfReader::new(), ElfReader::new().confirming()] {
                for extent in [Extent::BuildId, Extent::Table, Extent::Everything] {
                    let identity = reader.through(extent).identity(bytes.as_slice());
                    let id = identity.unwrap_or_else(|error| panic!("{sections}, {at}, {extent:?}: {error}"));
                    assert_eq!(id.build_id.expect("an id").as_bytes(), ID);
                }
                #[cfg(feature = "htlhash")]
                {
                    let (identity, hash) = reader.identity_and_hash(bytes.as_slice(), bytes.len() as u64);
                    let alone = reader.identity(bytes.as_slice()).expect("an id");
                    let identity = identity.unwrap_or_else(|error| panic!("{sections}, {at}: {error}"));
                    assert_eq!((identity.build_id, identity.complete), (alone.build_id, alone.complete));
                    hash.expect("a hash");
                }
            }
            assert_eq!(build_id_in(&bytes).expect("an id").unwrap().as_bytes(), ID);
        }
    }
}

#[test]
fn the_second_read_is_bounded_and_counted() {
    let shape = SHAPES[0];
    let bytes = shape.image().note_segment(shape.gnu(&ID)).bytes();
    let once = ElfReader::new().identity(bytes.as_slice()).expect("an id").cost;
    let twice = ElfReader::new().confirming().identity(bytes.as_slice()).expect("an id").cost;
    assert_eq!((twice.preads, twice.bytes), (once.preads + 1, once.bytes + 20));
    // A source that gives a byte at a time.
    struct Slow<'a>(&'a [u8]);
    impl ReadAt for Slow<'_> {
        type Error = Infallible;

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
            let len = buffer.len().min(if offset == 0 { 4096 } else { 1 });
            self.0.read_at(offset, &mut buffer[..len])
        }
    }
    let error =
        ElfReader::new().confirming().identity(&Slow(&bytes)).expect_err("16 reads give 16 bytes of 20");
    assert!(matches!(error, Error::Limit { limit: Limit::Preads, .. }), "{error:?}");
}

#[test]
fn a_limit_outweighs_damage() {
    let shape = SHAPES[0];
    let mut image = shape.image().note_section(shape.note_header(u32::MAX, 0, 3));
    image.segments = vec![Area::new(PT_LOAD, 4, Vec::new()); 1025];
    assert_eq!(build_id_in(&image.bytes()).map_err(|error| error.kind()), Err(ErrorKind::Limit));
}

#[test]
fn an_id_too_deep_in_its_area_is_a_limit_and_not_none() {
    let shape = SHAPES[0];
    let notes = [shape.note(b"long", 1, &[0; 65_536]), shape.gnu(&ID)].concat();
    let image = shape.image().note_segment(notes).bytes();
    check(ElfReader::new(), &image, (Limit::NoteAreaBytes, Part::Segment(0)));
}

#[test]
fn many_segments_over_many_notes_cost_the_notes_of_the_limit() {
    let shape = SHAPES[0];
    let notes = shape.note(b"", 0, b"").repeat(20_000);
    let at = 64 + 65_000 * shape.segment_bytes();
    let over = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(at), Some(notes.len() as u64));
    let mut image = shape.image();
    image.segments = vec![over; 64_999];
    let image = image.note_segment(notes).bytes();
    assert!(image.len() > 3_800_000);

    let counted = Counting::new(&image);
    let error = ElfReader::new().identity(&counted).expect_err("over the limit");
    assert_eq!(error, Error::Limit { limit: Limit::Notes, part: Part::Segment(0) });
    assert!(counted.reads.get() <= 5, "{} reads", counted.reads.get());
}

#[test]
fn many_small_areas_far_apart_cost_the_reads_of_the_limit() {
    let shape = SHAPES[0];
    let mut image = shape.image();
    for _ in 0..100 {
        image = image.section(Area::new(SHT_NOTE, 4, shape.note(b"Go\0\0", 4, b"gogo")).after(8192));
    }
    let bytes = image.section(Area::new(SHT_PROGBITS, 1, vec![0; 8192])).bytes();
    let counted = Counting::new(&bytes);
    let error = ElfReader::new().identity(&counted).expect_err("over the limit");
    assert!(matches!(error, Error::Limit { limit: Limit::Preads, .. }), "{error:?}");
    assert_eq!(counted.reads.get(), Limits::DEFAULT.preads);
}

struct Counting<'a> {
    bytes: &'a [u8],
    reads: std::cell::Cell<u32>,
}

impl<'a> Counting<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, reads: std::cell::Cell::new(0) }
    }
}

impl ReadAt for Counting<'_> {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.reads.set(self.reads.get() + 1);
        self.bytes.read_at(offset, buffer)
    }
}
