//! ELF files from foreign bytes: no panic, and the same answer however the bytes arrive.
#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use zastava_elf::{BuildId, Error, Limits, Place, Scanner, Source, build_id_in};

/// Gives a few bytes at a time.
struct Dribble<'a>(&'a [u8]);

impl Source for Dribble<'_> {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = buffer.len().min(13);
        self.0.read_at(offset, &mut buffer[..len])
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(id)) = build_id_in(data) {
        let bytes = id.as_bytes();
        assert!(data.windows(bytes.len()).any(|window| window == bytes), "the id is in the file");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.debug_path().is_some(), bytes.len() > 1);
    }

    let mut limits = Limits::DEFAULT;
    limits.preads = u32::MAX;
    limits.bytes = u32::MAX;
    let scanner = Scanner::with_limits(limits);
    assert_eq!(answer(scanner, data), answer(scanner, &Dribble(data)));
});

type Answer = Result<(Option<BuildId>, Option<Place>), Error<Infallible>>;

fn answer<S: Source<Error = Infallible> + ?Sized>(scanner: Scanner, source: &S) -> Answer {
    scanner.scan(source).map(|identity| (identity.build_id, identity.found_in))
}
