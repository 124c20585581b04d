//! Asks for the build-id of an image: as a slice, through a source that gives a few bytes at a time, and as a file.

use std::borrow::Cow;
use std::convert::Infallible;

use zastava_elf::{BuildId, ElfReader, Error, ErrorKind, Limits, ReadAt, build_id_in};

use crate::image::{ID, Image, SHAPES, Shape};

/// The answer that an image must get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Want {
    Id(Cow<'static, [u8]>),
    Nothing,
    Fails(ErrorKind),
}

pub(crate) const FOUND: Want = Want::Id(Cow::Borrowed(&ID));

/// An id that must not be found.
pub(crate) const OTHER: [u8; 8] = *b"otherid!";

pub(crate) fn answer<E>(result: Result<Option<BuildId>, Error<E>>) -> Want {
    match result {
        Ok(Some(id)) => Want::Id(id.as_bytes().to_vec().into()),
        Ok(None) => Want::Nothing,
        Err(error) => Want::Fails(error.kind()),
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

/// Writes a seed for the fuzz targets if `ZASTAVA_ELF_CORPUS` names a directory.
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

pub(crate) fn check(name: &str, shape: Shape, bytes: &[u8], want: &Want) {
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

/// A name, an image in each shape, and the answer that it must get.
pub(crate) type Row = (&'static str, fn(Shape) -> Image, Want);

pub(crate) fn check_rows(rows: &[Row]) {
    for (name, image, want) in rows {
        for shape in SHAPES {
            check(name, shape, &image(shape).bytes(), want);
        }
    }
}
