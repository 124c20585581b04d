//! The other facts of a file, and how far and in which order they are searched.

use zastava_elf::{Class, ElfReader, Endian, Extent, FileType, Identity, Machine, Order, Part};

use crate::image::{Area, ID, Image, PT_NOTE, SHAPES, Shape};

const GO: &[u8] = b"abc_-/def/ghi/jkl";
const PACKAGE: u32 = 0xcafe_1a7e;
const JSON: &[u8] = b"{\"type\":\"deb\",\"name\":\"hello\"}\0\0";
const OTHER: [u8; 8] = *b"otherid!";

fn identity_of(reader: ElfReader, image: &Image) -> Identity {
    let bytes = image.bytes();
    crate::ask::keep_as_seed(&bytes);
    reader.identity(bytes.as_slice()).expect("an identity")
}

fn go(shape: Shape) -> Vec<u8> {
    shape.note(b"Go\0\0", 4, GO)
}

fn package(shape: Shape) -> Vec<u8> {
    shape.note(b"FDO\0", PACKAGE, JSON)
}

#[test]
fn one_pass_finds_all_three_notes_in_any_order() {
    for shape in SHAPES {
        let notes = [go(shape), shape.gnu(&ID), package(shape)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let [a, b, c] = order.map(|at: usize| notes[at].clone());
            let merged = shape.image().note_segment([a.clone(), b.clone(), c.clone()].concat());
            let apart = shape.image().note_segment(a.clone()).note_segment(b.clone()).note_segment(c.clone());
            let sections = shape.image().note_section(a).note_section(b).note_section(c);
            for image in [merged, apart, sections] {
                let identity = identity_of(ElfReader::new(), &image);
                assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
                assert_eq!(identity.go_build_id.expect("a Go id").as_str().as_bytes(), GO);
                assert_eq!(identity.package.expect("a package").as_str(), r#"{"type":"deb","name":"hello"}"#);
                assert_eq!(identity.cost.preads, 1);
            }
        }
    }
}

#[test]
fn unusable_notes_are_left_out_and_make_the_identity_incomplete() {
    let go_owner = |descriptor: &[u8]| SHAPES[0].note(b"Go\0\0", 4, descriptor);
    let package_owner = |descriptor: &[u8]| SHAPES[0].note(b"FDO\0", PACKAGE, descriptor);
    let rows = [
        ("empty Go id", go_owner(b"")),
        ("Go id with a space", go_owner(b"a b")),
        ("Go id that steers terminals", go_owner(b"\x1b[2J")),
        ("Go id that is no text", go_owner(b"\xff")),
        ("Go id too long", go_owner(&[b'a'; 257])),
        ("empty package", package_owner(b"\0\0")),
        ("package that is no text", package_owner(b"\xff\xfe")),
        ("package too long", package_owner(&[b'{'; 1025])),
    ];
    for (name, note) in rows {
        let image = SHAPES[0].image().note_segment([note, SHAPES[0].gnu(&ID)].concat());
        let identity = identity_of(ElfReader::new().through(Extent::Everything), &image);
        assert_eq!(identity.build_id.expect(name).as_bytes(), ID);
        assert_eq!(
            (identity.go_build_id, identity.package, identity.complete),
            (None, None, false),
            "{name}"
        );
    }
    for (name, note) in [
        ("Go id of another owner", SHAPES[0].note(b"Go\0", 4, GO)),
        ("ABI tag of type 4", SHAPES[0].note(b"GNU\0", 4, GO)),
        ("package of another owner", SHAPES[0].note(b"DEB\0", PACKAGE, JSON)),
    ] {
        let identity = identity_of(ElfReader::new(), &SHAPES[0].image().note_segment(note));
        assert_eq!((identity.go_build_id, identity.package, identity.complete), (None, None, true), "{name}");
    }
    let longest =
        SHAPES[0].image().note_segment([go_owner(&[b'a'; 256]), package_owner(&[b'{'; 1024])].concat());
    let identity = identity_of(ElfReader::new(), &longest);
    assert_eq!(identity.go_build_id.map(|id| id.as_str().len()), Some(256));
    assert_eq!(identity.package.map(|note| note.as_str().len()), Some(1024));
}

#[test]
fn the_extent_says_how_far_the_search_goes_after_the_id() {
    let shape = SHAPES[0];
    let image =
        shape.image().note_segment(shape.gnu(&ID)).note_segment(go(shape)).note_section(package(shape));
    for (extent, has_go, has_package) in
        [(Extent::BuildId, false, false), (Extent::Table, true, false), (Extent::Everything, true, true)]
    {
        let identity = identity_of(ElfReader::new().through(extent), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
        assert_eq!((identity.go_build_id.is_some(), identity.package.is_some()), (has_go, has_package));
        assert_eq!(identity.complete, extent == Extent::Everything);
    }
}

#[test]
fn damage_after_the_id_leaves_the_answer_incomplete_and_not_an_error() {
    let shape = SHAPES[0];
    let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(1 << 30), Some(36));
    let identity = identity_of(ElfReader::new(), &shape.image().note_segment(shape.gnu(&ID)).segment(out));
    assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
    assert!(!identity.complete);
}

/// Found by fuzzing: the last bytes of the file are the header of a Go note.
#[test]
fn another_note_that_is_cut_off_does_not_hide_that_there_is_no_id() {
    for shape in SHAPES {
        let cut = Area::new(PT_NOTE, 4, shape.note_header(4, 4, 4)).claims(None, Some(20));
        let bytes = shape.image().segment(cut).bytes();
        assert_eq!(zastava_elf::build_id_in(&bytes), Ok(None));
        let identity = ElfReader::new().identity(bytes.as_slice()).expect("an identity");
        assert_eq!((identity.build_id, identity.complete), (None, false));
    }
}

#[test]
fn the_order_decides_between_two_ids() {
    for shape in SHAPES {
        let image = shape.image().note_segment(shape.gnu(&OTHER)).note_section(shape.gnu(&ID));
        let identity = identity_of(ElfReader::new().in_order(Order::SectionsThenSegments), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
        assert_eq!(identity.found_in, Some(Part::Section(1)));
        let identity = identity_of(ElfReader::new(), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), OTHER);

        let segments_only = shape.image().note_segment(shape.gnu(&ID));
        let identity = identity_of(ElfReader::new().in_order(Order::SectionsThenSegments), &segments_only);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
    }
}

#[test]
fn the_header_has_class_byte_order_type_and_machine() {
    for shape in SHAPES {
        for (kind, wanted) in [
            (1, FileType::Relocatable),
            (2, FileType::Executable),
            (3, FileType::Shared),
            (4, FileType::Core),
            (0xfe00, FileType::Other(0xfe00)),
        ] {
            let identity = identity_of(ElfReader::new(), &shape.image().with(|image| image.kind = kind));
            let header = identity.header.expect("a header");
            assert_eq!(header.class, if shape.wide { Class::Elf64 } else { Class::Elf32 });
            assert_eq!(header.endian, if shape.big { Endian::Big } else { Endian::Little });
            assert_eq!((header.file_type, header.machine), (wanted, Machine(62)));
            assert_eq!(header.machine.to_string(), "x86_64");
        }
    }
}

#[test]
fn a_core_has_no_id_of_its_own() {
    let shape = SHAPES[0];
    let image = shape.image().note_segment(shape.note(b"CORE\0", 3, &[9; 136])).with(|image| image.kind = 4);
    let identity = identity_of(ElfReader::new(), &image);
    assert_eq!(identity.build_id, None);
    assert_eq!(identity.header.map(|header| header.file_type), Some(FileType::Core));
}
