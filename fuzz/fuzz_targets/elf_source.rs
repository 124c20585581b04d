//! ELF files from foreign bytes through a source that gives little at a time and fails: the answer does not
//! depend on how bytes arrive, and a failing source is told.
#![no_main]

use std::cell::Cell;
use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use zastava_elf::{BuildId, ElfReader, Error, ErrorKind, Limits, Part, ReadAt};

/// Gives a few bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl ReadAt for Dribble<'_> {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = buffer.len().min(self.1);
        self.0.read_at(offset, &mut buffer[..len])
    }
}

/// Fails after so many reads, and claims to have given more than was asked for.
struct Failing<'a>(Dribble<'a>, Cell<u32>);

impl ReadAt for Failing<'_> {
    type Error = ();

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ()> {
        self.1.set(self.1.get().checked_sub(1).ok_or(())?);
        let Ok(got) = self.0.read_at(offset, buffer);
        Ok(if got == buffer.len() { usize::MAX } else { got })
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[few, reads], data)) = data.split_first_chunk() else { return };
    let few = usize::from(few).max(1);
    let mut limits = Limits::DEFAULT;
    limits.preads = u32::MAX;
    limits.bytes = u32::MAX;
    let reader = ElfReader::with_limits(limits);
    let whole = answer(reader, data);
    assert_eq!(whole, answer(reader, &Dribble(data, few)));

    let failing = Failing(Dribble(data, few), Cell::new(reads.into()));
    match (reader.identity(&failing), whole) {
        (Ok(identity), Ok((id, _))) => assert_eq!(identity.build_id, id),
        (Ok(_), Err(error)) => panic!("an answer in place of {error}"),
        (Err(error), Err(wanted)) => assert!(error.kind() == ErrorKind::Io || error.kind() == wanted.kind()),
        (Err(error), Ok(_)) => assert_eq!(error.kind(), ErrorKind::Io),
    }
});

type Answer = Result<(Option<BuildId>, Option<Part>), Error<Infallible>>;

fn answer<S: ReadAt<Error = Infallible> + ?Sized>(reader: ElfReader, source: &S) -> Answer {
    reader.identity(source).map(|identity| (identity.build_id, identity.found_in))
}
