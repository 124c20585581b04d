//! Makes small ELF files. Every field can be made wrong.
//!
//! A file consists of header, program headers, areas and section headers. Section 0 is added.

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_NOTE: u32 = 7;

/// An id of 20 bytes, as linkers write it.
pub(crate) const ID: [u8; 20] =
    *b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10\x00\x11\x22\x33";

/// The four kinds of ELF file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) wide: bool,
    pub(crate) big: bool,
}

pub(crate) const SHAPES: [Shape; 4] = [
    Shape { wide: true, big: false },
    Shape { wide: true, big: true },
    Shape { wide: false, big: false },
    Shape { wide: false, big: true },
];

impl Shape {
    fn u16(self, to: &mut Vec<u8>, value: u16) {
        to.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    pub(crate) fn u32(self, to: &mut Vec<u8>, value: u32) {
        to.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    /// As wide as the class, truncated to it.
    fn word(self, to: &mut Vec<u8>, value: u64) {
        if self.wide {
            to.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        } else {
            self.u32(to, value as u32);
        }
    }

    fn header_bytes(self) -> u64 {
        if self.wide { 64 } else { 52 }
    }

    pub(crate) fn segment_bytes(self) -> u64 {
        if self.wide { 56 } else { 32 }
    }

    pub(crate) fn section_bytes(self) -> u64 {
        if self.wide { 64 } else { 40 }
    }

    /// One note, padded to `pad`.
    pub(crate) fn note_padded(self, owner: &[u8], kind: u32, descriptor: &[u8], pad: usize) -> Vec<u8> {
        let mut note = Vec::new();
        self.u32(&mut note, owner.len() as u32);
        self.u32(&mut note, descriptor.len() as u32);
        self.u32(&mut note, kind);
        note.extend(owner);
        note.resize(note.len().next_multiple_of(pad), 0);
        note.extend(descriptor);
        note.resize(note.len().next_multiple_of(pad), 0);
        note
    }

    pub(crate) fn note(self, owner: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
        self.note_padded(owner, kind, descriptor, 4)
    }

    pub(crate) fn gnu(self, id: &[u8]) -> Vec<u8> {
        self.note(b"GNU\0", 3, id)
    }

    /// The three words before an owner, and nothing else.
    pub(crate) fn note_header(self, name: u32, descriptor: u32, kind: u32) -> Vec<u8> {
        let mut header = Vec::new();
        for word in [name, descriptor, kind] {
            self.u32(&mut header, word);
        }
        header
    }

    pub(crate) fn image(self) -> Image {
        Image { shape: self, ..Image::default() }
    }
}

/// The content that a table entry leads to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Area {
    pub(crate) kind: u32,
    pub(crate) align: u64,
    pub(crate) content: Vec<u8>,
    /// Bytes before the content.
    pub(crate) gap: u64,
    /// What the entry says instead of the true value.
    pub(crate) offset: Option<u64>,
    pub(crate) size: Option<u64>,
}

impl Area {
    pub(crate) fn new(kind: u32, align: u64, content: Vec<u8>) -> Self {
        Self { kind, align, content, ..Self::default() }
    }

    pub(crate) fn claims(mut self, offset: Option<u64>, size: Option<u64>) -> Self {
        (self.offset, self.size) = (offset, size);
        self
    }

    pub(crate) fn after(mut self, gap: u64) -> Self {
        self.gap = gap;
        self
    }
}

/// An ELF file to be made. The `Option`s replace the right values.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) shape: Shape,
    pub(crate) kind: u16,
    pub(crate) segments: Vec<Area>,
    pub(crate) sections: Vec<Area>,
    pub(crate) phoff: Option<u64>,
    pub(crate) phentsize: Option<u16>,
    pub(crate) phnum: Option<u16>,
    pub(crate) shoff: Option<u64>,
    pub(crate) shentsize: Option<u16>,
    pub(crate) shnum: Option<u16>,
    pub(crate) section_zero_info: u32,
    pub(crate) section_zero_size: u64,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            shape: SHAPES[0],
            kind: 3,
            segments: Vec::new(),
            sections: Vec::new(),
            phoff: None,
            phentsize: None,
            phnum: None,
            shoff: None,
            shentsize: None,
            shnum: None,
            section_zero_info: 0,
            section_zero_size: 0,
        }
    }
}

impl Image {
    pub(crate) fn segment(mut self, area: Area) -> Self {
        self.segments.push(area);
        self
    }

    pub(crate) fn section(mut self, area: Area) -> Self {
        self.sections.push(area);
        self
    }

    /// A `PT_NOTE` segment, aligned to 4.
    pub(crate) fn note_segment(self, content: Vec<u8>) -> Self {
        self.segment(Area::new(PT_NOTE, 4, content))
    }

    /// A `SHT_NOTE` section, aligned to 4.
    pub(crate) fn note_section(self, content: Vec<u8>) -> Self {
        self.section(Area::new(SHT_NOTE, 4, content))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let shape = self.shape;
        let table_at = shape.header_bytes();
        let mut at = table_at + self.segments.len() as u64 * shape.segment_bytes();
        let mut content = Vec::new();
        let mut place = |area: &Area| {
            let padding = at.next_multiple_of(8) + area.gap - at;
            content.resize(content.len() + padding as usize, 0xee);
            let offset = at + padding;
            content.extend(&area.content);
            at = offset + area.content.len() as u64;
            (area.offset.unwrap_or(offset), area.size.unwrap_or(area.content.len() as u64))
        };
        let segments: Vec<_> = self.segments.iter().map(&mut place).collect();
        let sections: Vec<_> = self.sections.iter().map(&mut place).collect();

        let mut file = Vec::new();
        self.header(&mut file, at);
        for (area, at) in self.segments.iter().zip(segments) {
            self.program_header(&mut file, area, at);
        }
        file.extend(content);
        if self.has_sections() {
            let zero = Area { kind: 0, ..Area::default() };
            self.section_header(&mut file, &zero, (0, self.section_zero_size), self.section_zero_info);
            for (area, at) in self.sections.iter().zip(sections) {
                self.section_header(&mut file, area, at, 0);
            }
        }
        file
    }

    fn has_sections(&self) -> bool {
        !self.sections.is_empty() || self.section_zero_info != 0 || self.section_zero_size != 0
    }

    fn header(&self, to: &mut Vec<u8>, end: u64) {
        let shape = self.shape;
        to.extend(*b"\x7fELF");
        to.extend([if shape.wide { 2 } else { 1 }, if shape.big { 2 } else { 1 }, 1]);
        to.extend([0; 9]);
        shape.u16(to, self.kind);
        shape.u16(to, 62);
        shape.u32(to, 1);
        shape.word(to, 0);
        let phoff = if self.segments.is_empty() { 0 } else { shape.header_bytes() };
        shape.word(to, self.phoff.unwrap_or(phoff));
        let shoff = if self.has_sections() { end } else { 0 };
        shape.word(to, self.shoff.unwrap_or(shoff));
        shape.u32(to, 0);
        shape.u16(to, shape.header_bytes() as u16);
        shape.u16(to, self.phentsize.unwrap_or_else(|| shape.segment_bytes() as u16));
        shape.u16(to, self.phnum.unwrap_or(self.segments.len() as u16));
        shape.u16(to, self.shentsize.unwrap_or_else(|| shape.section_bytes() as u16));
        let sections = if self.has_sections() { self.sections.len() as u16 + 1 } else { 0 };
        shape.u16(to, self.shnum.unwrap_or(sections));
        shape.u16(to, 0);
    }

    fn program_header(&self, to: &mut Vec<u8>, area: &Area, (offset, size): (u64, u64)) {
        let shape = self.shape;
        shape.u32(to, area.kind);
        if shape.wide {
            shape.u32(to, 4);
        }
        for word in [offset, 0, 0, size, size] {
            shape.word(to, word);
        }
        if !shape.wide {
            shape.u32(to, 4);
        }
        shape.word(to, area.align);
    }

    fn section_header(&self, to: &mut Vec<u8>, area: &Area, (offset, size): (u64, u64), info: u32) {
        let shape = self.shape;
        shape.u32(to, 0);
        shape.u32(to, area.kind);
        for word in [0, 0, offset, size] {
            shape.word(to, word);
        }
        shape.u32(to, 0);
        shape.u32(to, info);
        shape.word(to, area.align);
        shape.word(to, 0);
    }
}
