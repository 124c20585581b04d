//! What comes with an answer: the part, the cost, the error of the source.

use std::convert::Infallible;

use zastava_elf::{ElfReader, Error, Limit, Part, ReadAt};

use crate::image::{Area, ID, PT_NOTE, SHAPES, SHT_NOTE, SHT_PROGBITS};

#[test]
fn an_identity_says_where_the_id_is_and_what_the_search_cost() {
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
fn an_error_of_the_source_ends_the_search_and_names_the_part() {
    /// Holds a header and fails from the first note on.
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
    /// The first read sees one file, later reads another.
    struct Changing<'a>(&'a [u8], &'a [u8], std::cell::Cell<bool>);

    impl ReadAt for Changing<'_> {
        type Error = Infallible;

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
            if self.2.replace(true) { self.1.read_at(offset, buffer) } else { self.0.read_at(offset, buffer) }
        }
    }

    let shape = SHAPES[0];
    let [old, new] = [[1; 20], [2; 20]].map(|id| shape.image().note_segment(shape.gnu(&id)).bytes());
    let identity = |reader: ElfReader, second: &[u8]| reader.identity(&Changing(&old, second, false.into()));
    let part = Part::Segment(0);
    assert_eq!(identity(ElfReader::new().confirming(), &new), Err(Error::Changed { part }));
    assert_eq!(identity(ElfReader::new().confirming(), &new[..100]), Err(Error::Truncated { part }));
    let confirmed = identity(ElfReader::new().confirming(), &old).expect("the same");
    assert_eq!((confirmed.build_id.unwrap().as_bytes(), confirmed.cost.preads), ([1; 20].as_slice(), 2));
    assert_eq!(identity(ElfReader::new(), &new).expect("the first").cost.preads, 1);
}
