//! Which mapped files are libraries.

use std::collections::{BTreeSet, HashSet};

use zastava_elf::{Device, KernelPath, MappedFile, Mapping};

use super::executable::FileId;

/// The program that runs, and the path that the kernel shows for it.
pub(super) struct Program {
    pub(super) file: FileId,
    pub(super) shown: Option<KernelPath>,
}

/// A mapping of code, and its file.
#[derive(Debug)]
pub(super) struct LibraryMapping {
    pub(super) mapping: Mapping,
    pub(super) file: MappedFile,
}

/// Each file that is mapped as code once, without the program itself, and how many are beyond `max`. Lines that the
/// kernel does not write are skipped.
pub(super) fn mapped_libraries(
    maps: &[u8],
    program: Option<&Program>,
    max: usize,
) -> (Vec<LibraryMapping>, usize) {
    let mut seen = HashSet::new();
    let lines = maps.split(|byte| *byte == b'\n').filter_map(Mapping::parse);
    let code = lines.filter(|mapping| mapping.is_executable).filter_map(|mapping| {
        let file = mapping.file()?.clone();
        (!file.is_memory() && seen.insert(file.clone())).then_some(LibraryMapping { mapping, file })
    });
    let mut mapped: Vec<LibraryMapping> = code.collect();
    if let Some(program) = program
        && let Some(device) = program.device_in(&mapped)
    {
        mapped.retain(|library| (library.file.device, library.file.inode) != (device, program.file.inode));
    }
    let left_out = mapped.len().saturating_sub(max);
    mapped.truncate(max);
    (mapped, left_out)
}

impl Program {
    /// The device that `maps` shows for the program; `None` if no mapping is the program's for certain.
    ///
    /// On overlayfs and btrfs it may be another than the file's. The path decides then, unless files on several devices
    /// have both the inode and the path. A library with the program's inode alone is not the program.
    fn device_in(&self, mapped: &[LibraryMapping]) -> Option<Device> {
        let alike =
            || mapped.iter().map(|library| &library.file).filter(|file| file.inode == self.file.inode);
        if alike().any(|file| file.device == self.file.device) {
            return Some(self.file.device);
        }
        let shown = self.shown.as_ref()?.as_path();
        let named = alike().filter(|file| file.path.readings().any(|reading| reading == shown));
        let devices: BTreeSet<Device> = named.map(|file| file.device).collect();
        devices.first().copied().filter(|_| devices.len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "/usr/bin/app";

    /// `maps` holds a device, an inode and a path for each mapping of code. The program is inode 77 of `device`.
    #[track_caller]
    fn check(name: &str, device: (u32, u32), maps: &[&str], wanted: &[&str]) {
        let (major, minor) = device;
        let program = Program {
            file: FileId { device: Device { major, minor }, inode: 77 },
            shown: Mapping::parse(format!("0-1 r-xp 0 00:00 77 {APP}").as_bytes())
                .and_then(|mapping| Some(mapping.file()?.path.clone())),
        };
        let lines: Vec<String> = maps.iter().map(|file| format!("1000-2000 r-xp 0 {file}")).collect();
        let (found, left_out) = mapped_libraries(lines.join("\n").as_bytes(), Some(&program), 8);
        let found: Vec<String> = found
            .iter()
            .map(|library| format!("{} {}", library.file.device, library.file.path.as_path().display()))
            .collect();
        assert_eq!((found, left_out), (wanted.iter().map(|&path| path.to_owned()).collect(), 0), "{name}");
    }

    #[test]
    fn the_program_is_left_out_and_no_library_is() {
        check("ext4", (254, 0), &["fe:00 77 /usr/bin/app", "fe:00 5 /lib/a.so"], &["fe:00 /lib/a.so"]);
        check(
            "a library with the inode on another file system",
            (254, 0),
            &["fe:00 77 /usr/bin/app", "00:2f 77 /mnt/evil.so"],
            &["00:2f /mnt/evil.so"],
        );
        check(
            "the same, and the program is not mapped any more",
            (254, 0),
            &["00:2f 77 /mnt/evil.so", "fe:00 5 /lib/a.so"],
            &["00:2f /mnt/evil.so", "fe:00 /lib/a.so"],
        );
        check(
            "a library that is mounted over the program",
            (254, 0),
            &["fe:00 77 /usr/bin/app", "00:2f 77 /usr/bin/app"],
            &["00:2f /usr/bin/app"],
        );
        check("overlay, other device in maps", (0, 66), &["00:28 77 /usr/bin/app"], &[]);
        check(
            "overlay, a library with the inode on a volume",
            (0, 66),
            &["00:28 77 /usr/bin/app", "00:2f 77 /data/evil.so", "00:28 5 /lib/a.so"],
            &["00:2f /data/evil.so", "00:28 /lib/a.so"],
        );
        check(
            "overlay, a library with inode and path: both are told",
            (0, 66),
            &["00:28 77 /usr/bin/app", "00:2f 77 /usr/bin/app"],
            &["00:28 /usr/bin/app", "00:2f /usr/bin/app"],
        );
        check(
            "hard links of the program",
            (254, 0),
            &["fe:00 77 /usr/bin/app", "fe:00 77 /usr/bin/link"],
            &[],
        );
    }

    #[test]
    fn each_file_is_told_once_and_no_other_for_it() {
        let files = ["fe:00 5 /lib/a.so", "fe:00 5 /lib/a.so", "00:2f 5 /lib/a.so", "fe:00 5 /lib/b.so"];
        check(
            "device, inode and path",
            (254, 0),
            &files,
            &["fe:00 /lib/a.so", "00:2f /lib/a.so", "fe:00 /lib/b.so"],
        );
        check("a file system in user space", (254, 0), &["00:2f 0 /fuse/a.so"], &["00:2f /fuse/a.so"]);
        check("names of memory", (254, 0), &["fe:00 9 /dev/zero (deleted)"], &["fe:00 /dev/zero (deleted)"]);
        check("no file", (254, 0), &["00:00 0 [vdso]", "00:0e 7 anon_inode:[x]", "00:00 0 "], &[]);
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let lines: Vec<String> =
            (1..=5).map(|inode| format!("0-1 r-xp 0 fe:00 {inode} /lib/{inode}.so")).collect();
        let (found, left_out) = mapped_libraries(lines.join("\n").as_bytes(), None, 3);
        assert_eq!((found.len(), left_out), (3, 2));
        let data = b"0-1 rw-p 0 fe:00 1 /lib/data\nnonsense\n";
        assert!(mapped_libraries(data, None, 3).0.is_empty());
    }
}
