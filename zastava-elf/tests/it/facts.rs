//! The other facts of a file, and the policies of where to look.

use zastava_elf::{
    Artifact, BuildId, Class, ElfReader, Endian, Error, Extent, FileType, Identity, Machine, Order, Part,
};

use crate::image::{Area, ID, Image, PT_NOTE, SHAPES, SHT_PROGBITS, Shape};

const GO: &[u8] = b"abc_-/def/ghi/jkl";
const PACKAGE: u32 = 0xcafe_1a7e;
const JSON: &[u8] = b"{\"type\":\"deb\",\"name\":\"hello\"}\0\0";
const OTHER: [u8; 8] = *b"otherid!";

fn scan(reader: ElfReader, image: &Image) -> Identity {
    let bytes = image.bytes();
    crate::format::keep_as_seed(&bytes);
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
                let identity = scan(ElfReader::new(), &image);
                assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
                assert_eq!(identity.go_build_id.expect("a Go id").as_str().as_bytes(), GO);
                assert_eq!(identity.package.expect("a package").as_str(), r#"{"type":"deb","name":"hello"}"#);
                assert_eq!(identity.cost.preads, 1);
            }
        }
    }
}

#[test]
fn other_notes_that_cannot_be_taken_are_left_out_and_said_to_be() {
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
        let identity = scan(ElfReader::new().through(Extent::Everything), &image);
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
        let identity = scan(ElfReader::new(), &SHAPES[0].image().note_segment(note));
        assert_eq!((identity.go_build_id, identity.package, identity.complete), (None, None, true), "{name}");
    }
    let longest =
        SHAPES[0].image().note_segment([go_owner(&[b'a'; 256]), package_owner(&[b'{'; 1024])].concat());
    let identity = scan(ElfReader::new(), &longest);
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
        let identity = scan(ElfReader::new().through(extent), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
        assert_eq!((identity.go_build_id.is_some(), identity.package.is_some()), (has_go, has_package));
        assert_eq!(identity.complete, extent == Extent::Everything);
    }
}

#[test]
fn damage_after_the_id_leaves_the_answer_incomplete_and_not_an_error() {
    let shape = SHAPES[0];
    let out = Area::new(PT_NOTE, 4, Vec::new()).claims(Some(1 << 30), Some(36));
    let identity = scan(ElfReader::new(), &shape.image().note_segment(shape.gnu(&ID)).segment(out));
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
        let identity = scan(ElfReader::new().in_order(Order::SectionsThenSegments), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
        assert_eq!(identity.found_in, Some(Part::Section(1)));
        let identity = scan(ElfReader::new(), &image);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), OTHER);

        let segments_only = shape.image().note_segment(shape.gnu(&ID));
        let identity = scan(ElfReader::new().in_order(Order::SectionsThenSegments), &segments_only);
        assert_eq!(identity.build_id.expect("an id").as_bytes(), ID);
    }
}

#[test]
fn the_header_tells_class_order_type_and_machine() {
    for shape in SHAPES {
        for (kind, wanted) in [
            (1, FileType::Relocatable),
            (2, FileType::Executable),
            (3, FileType::Shared),
            (4, FileType::Core),
            (0xfe00, FileType::Other(0xfe00)),
        ] {
            let identity = scan(ElfReader::new(), &shape.image().with(|image| image.kind = kind));
            let header = identity.header.expect("a header");
            assert_eq!(header.class, if shape.wide { Class::Elf64 } else { Class::Elf32 });
            assert_eq!(header.endian, if shape.big { Endian::Big } else { Endian::Little });
            assert_eq!((header.file_type, header.machine), (wanted, Machine(62)));
            assert_eq!(header.machine.to_string(), "x86_64");
        }
    }
}

/// An image whose section names are the first section and whose second is named `.gnu_debuglink`.
fn linked(shape: Shape, content: &[u8]) -> Vec<u8> {
    let names = Area::new(3, 1, b"\0.gnu_debuglink\0".to_vec());
    let mut bytes =
        shape.image().section(names).section(Area::new(SHT_PROGBITS, 4, content.to_vec())).bytes();
    let half = |value: u16| if shape.big { value.to_be_bytes() } else { value.to_le_bytes() };
    let at = if shape.wide { 62 } else { 50 };
    bytes[at..at + 2].copy_from_slice(&half(1));
    // sh_name is the first word of a section header.
    let last = bytes.len() - shape.section_bytes() as usize;
    let one = 1_u32;
    bytes[last..last + 4].copy_from_slice(&if shape.big { one.to_be_bytes() } else { one.to_le_bytes() });
    crate::format::keep_as_seed(&bytes);
    bytes
}

#[test]
fn a_debug_link_is_one_plain_file_name_and_a_checksum() {
    for shape in SHAPES {
        let mut content = b"hello.debug\0".to_vec();
        shape.u32(&mut content, 0xdead_beef);
        let link = ElfReader::new()
            .debug_link(linked(shape, &content).as_slice())
            .expect("readable")
            .expect("a link");
        assert_eq!((link.file_name(), link.crc32()), (b"hello.debug".as_slice(), 0xdead_beef));
        assert_eq!(ElfReader::new().debug_link(shape.image().bytes().as_slice()), Ok(None));
        assert_eq!(
            ElfReader::new().debug_link(shape.image().note_section(shape.gnu(&ID)).bytes().as_slice()),
            Ok(None)
        );
    }
    let too_long = [[b'a'; 256].as_slice(), &[0; 8]].concat();
    let rows: [(&str, &[u8]); 10] = [
        ("nothing", b""),
        ("no name", b"\0\0\0\0CRC0"),
        ("no end", b"abcdCRC0"),
        ("no checksum", b"abc\0"),
        ("two checksums", b"abc\0CRC0CRC1"),
        ("a path", b"a/b\0CRC0"),
        ("the parent", b"..\0\0CRC0"),
        ("the directory itself", b".\0\0\0CRC0"),
        ("absolute", b"/ab\0CRC0"),
        ("too long", &too_long),
    ];
    for (name, content) in rows {
        let link = ElfReader::new().debug_link(linked(SHAPES[0], content).as_slice());
        assert_eq!(link, Err(Error::Malformed { part: Part::Section(2) }), "{name}");
    }
}

#[test]
fn names_of_an_id_are_made_from_its_bytes() {
    let id = BuildId::try_from(ID.as_slice()).unwrap();
    let hex = "0123456789abcdeffedcba987654321000112233";
    assert_eq!(id.short().to_string(), "0123456789ab");
    assert_eq!(id.executable_path().unwrap().as_str(), format!(".build-id/01/{}", &hex[2..]));
    let paths =
        [Artifact::DebugInfo, Artifact::Executable].map(|a| id.debuginfod_path(a).unwrap().to_string());
    assert_eq!(paths, [format!("/buildid/{hex}/debuginfo"), format!("/buildid/{hex}/executable")]);
    // debuginfod's clients draw the line below 64 bytes.
    let longest = BuildId::try_from([1; 64].as_slice()).unwrap();
    assert!(longest.debuginfod_path(Artifact::Executable).is_none());
    assert!(BuildId::try_from([1; 63].as_slice()).unwrap().debuginfod_path(Artifact::Executable).is_some());
}

#[test]
fn ids_of_equal_bytes_are_degenerate() {
    for (bytes, wanted) in
        [(&[0; 20][..], true), (&[0xff; 8], true), (&[7], true), (&ID, false), (&[0, 1], false)]
    {
        assert_eq!(BuildId::try_from(bytes).unwrap().is_degenerate(), wanted, "{bytes:?}");
    }
}

#[test]
fn a_core_has_no_id_of_its_own() {
    let shape = SHAPES[0];
    let image = shape.image().note_segment(shape.note(b"CORE\0", 3, &[9; 136])).with(|image| image.kind = 4);
    let identity = scan(ElfReader::new(), &image);
    assert_eq!(identity.build_id, None);
    assert_eq!(identity.header.map(|header| header.file_type), Some(FileType::Core));
}

#[cfg(feature = "htlhash")]
#[test]
fn the_hash_is_the_one_that_opentelemetry_defines() {
    use sha2::{Digest as _, Sha256};
    let shape = SHAPES[0];
    for filler in [0, 1, 3000, 3900, 4000, 4100, 9000, 100_000] {
        let text = Area::new(SHT_PROGBITS, 1, (0..filler).map(|n| n as u8).collect());
        let bytes = shape.image().note_segment(shape.gnu(&ID)).section(text).bytes();
        let part = bytes.len().min(4096);
        let mut hasher = Sha256::new();
        hasher.update(&bytes[..part]);
        hasher.update(&bytes[bytes.len() - part..]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        let wanted = hasher.finalize();
        let (identity, hash) = ElfReader::new().identity_and_hash(bytes.as_slice(), bytes.len() as u64);
        assert_eq!(hash.expect("a hash").as_bytes()[..], wanted[..16]);
        let alone = ElfReader::new().identity(bytes.as_slice()).expect("an identity");
        assert_eq!(
            identity.expect("an identity").cost.preads,
            alone.cost.preads + u32::from(bytes.len() > 4096)
        );
        let (_, short) = ElfReader::new().identity_and_hash(bytes.as_slice(), bytes.len() as u64 + 1);
        assert_eq!(short.map_err(|error| error.kind()), Err(zastava_elf::ErrorKind::Truncated));
    }
    // Known outside: SHA-256 of eight zero bytes, for an empty file.
    let (_, hash) = ElfReader::new().identity_and_hash(b"".as_slice(), 0);
    assert_eq!(hash.expect("a hash").to_string(), "af5570f5a1810b7af78caf4bc70a660f");
}
