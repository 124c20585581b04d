//! `.gnu_debuglink`: one plain file name and a checksum.

use zastava_elf::{ElfReader, Error, Part};

use crate::image::{Area, ID, SHAPES, SHT_PROGBITS, Shape};

/// An image with two sections: the names of sections, and a `.gnu_debuglink` with this content.
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
    crate::ask::keep_as_seed(&bytes);
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
