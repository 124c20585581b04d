//! `/proc/<pid>/maps` from foreign bytes: no panic, and a mapping that is written as the kernel writes it is the
//! same mapping when it is read again.
#![no_main]

use std::os::unix::ffi::OsStrExt as _;

use libfuzzer_sys::fuzz_target;
use zastava_elf::{Backing, Mapping};

fuzz_target!(|data: &[u8]| {
    for line in data.split(|&byte| byte == b'\n') {
        let Some(mapping) = Mapping::parse(line) else { continue };
        if let Some(file) = mapping.file() {
            assert!(file.path.as_path().is_absolute() && file.path.readings().count() > 0);
        }
        assert_eq!(Mapping::parse(&written(&mapping)), Some(mapping));
    }
});

fn written(mapping: &Mapping) -> Vec<u8> {
    let flag = |is: bool, letter: char| if is { letter } else { '-' };
    let (device, inode, name) = match &mapping.backing {
        Backing::File(file) => {
            let path = file.path.as_path().as_os_str().as_bytes();
            let lines: Vec<&[u8]> = path.split(|&byte| byte == b'\n').collect();
            (file.device.to_string(), file.inode, lines.join(b"\\012".as_slice()))
        }
        Backing::Special(name) => ("00:00".to_owned(), 0, name.as_bytes().to_vec()),
        _ => ("00:00".to_owned(), 0, Vec::new()),
    };
    let fields = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {device} {inode}    ",
        mapping.addresses.start,
        mapping.addresses.end,
        flag(mapping.is_readable, 'r'),
        flag(mapping.is_writable, 'w'),
        flag(mapping.is_executable, 'x'),
        if mapping.is_shared { 's' } else { 'p' },
        mapping.offset,
    );
    [fields.as_bytes(), &name].concat()
}
