//! Lines of `/proc/<pid>/maps`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use zastava_elf::{Backing, Mapping};

/// Checks the device, the inode and the path of a mapped file.
#[track_caller]
fn check_file(line: &str, wanted: (&str, u64, &str)) {
    let mapping = Mapping::parse(line.as_bytes()).expect("a line of maps");
    let file = mapping.file().expect("a file");
    let path = file.path.as_path();
    assert_eq!(
        (file.device.to_string().as_str(), file.inode, path),
        (wanted.0, wanted.1, Path::new(wanted.2))
    );
}

#[test]
fn a_mapping_has_its_addresses_permissions_and_offset() {
    let line = b"7f1c70a00000-7f1c70b55000 r-xp 00026000 fe:1f 5678                       /usr/lib/libc.so.6";
    let mapping = Mapping::parse(line).expect("a line of maps");
    assert_eq!((mapping.addresses, mapping.offset), (0x7f1c_70a0_0000..0x7f1c_70b5_5000, 0x26000));
    assert_eq!((mapping.is_readable, mapping.is_writable), (true, false));
    assert_eq!((mapping.is_executable, mapping.is_shared), (true, false));
    let shared = Mapping::parse(b"1000-2000 -w-s 00000000 00:01 7 /dev/shm/x").expect("a line of maps");
    assert_eq!((shared.is_readable, shared.is_writable), (false, true));
    assert_eq!((shared.is_executable, shared.is_shared), (false, true));
}

#[test]
fn a_mapped_file_has_its_device_its_inode_and_its_path() {
    check_file("0-1 r-xp 0 fe:00 12 /usr/bin/sleep", ("fe:00", 12, "/usr/bin/sleep"));
    check_file("0-1 r-xp 0 00:1f 77    /opt/my app/lib one.so ", ("00:1f", 77, "/opt/my app/lib one.so "));
    check_file("0-1 r-xp 0 103:05 1 /a", ("103:05", 1, "/a"));
    check_file("0-1 r-xp 0 fe:00 99 /tmp/two\\012lines.so", ("fe:00", 99, "/tmp/two\nlines.so"));
    check_file("0-1 r-xp 0 fe:00 99 /\\012\\012a\\011\\01\\", ("fe:00", 99, "/\n\na\\011\\01\\"));
    check_file("0-1 rwxs 0 00:01 1025 /memfd:jit (deleted)", ("00:01", 1025, "/memfd:jit (deleted)"));
    check_file("0-1 rw-s 0 00:01 4 /dev/zero (deleted)", ("00:01", 4, "/dev/zero (deleted)"));
    // File systems in user space may give any number, and the first System V segment has none.
    check_file("0-1 r-xp 0 00:2f 0 /mnt/fuse/lib.so", ("00:2f", 0, "/mnt/fuse/lib.so"));
    check_file("0-1 rwxs 0 00:01 0 /SYSV00000000 (deleted)", ("00:01", 0, "/SYSV00000000 (deleted)"));
    check_file("0-1 r-xp 0 fe:00 5 /x//deleted", ("fe:00", 5, "/x//deleted"));
}

/// The kernel numbers inodes for each file system: a workload can have a library with its program's number.
#[test]
fn files_with_the_same_inode_on_two_file_systems_differ() {
    let file = |line: &str| Mapping::parse(line.as_bytes()).expect("a line of maps").file().cloned();
    let program = file("0-1 r-xp 0 fe:00 77 /app").expect("a file");
    for other in ["fe:01", "00:2f", "fd:00", "00:fe", "0fe:10"] {
        let library = file(&format!("1-2 r-xp 0 {other} 77 /app")).expect("a file");
        assert_eq!((library.inode, &library.path), (program.inode, &program.path));
        assert_ne!(library.device, program.device, "{other}");
    }
}

#[test]
fn deleted_is_an_ending_of_the_path_and_no_more() {
    for (path, wanted) in [
        ("/tmp/gone.so (deleted)", Some("/tmp/gone.so")),
        ("/tmp/gone.so (deleted) (deleted)", Some("/tmp/gone.so (deleted)")),
        ("/tmp/gone (deleted).so", None),
        ("/tmp/gone.so(deleted)", None),
        ("/tmp/gone.so (DELETED)", None),
        ("/tmp/here.so", None),
    ] {
        let mapping =
            Mapping::parse(format!("0-1 r-xp 0 fe:00 1 {path}").as_bytes()).expect("a line of maps");
        let file = mapping.file().expect("a file");
        assert_eq!(file.path.as_path(), Path::new(path));
        assert_eq!(file.path.strip_deleted(), wanted.map(Path::new));
    }
}

#[test]
fn anonymous_memory_and_special_mappings_are_not_files() {
    let backing = |line: &str| Mapping::parse(line.as_bytes()).expect("a line of maps").backing;
    assert_eq!(backing("7f1c6c000000-7f1c6c021000 rw-p 00000000 00:00 0 "), Backing::Anonymous);
    assert_eq!(backing("7f1c6c000000-7f1c6c021000 rw-p 00000000 00:00 0"), Backing::Anonymous);
    for name in
        ["[heap]", "[stack]", "[vdso]", "[anon:a b]", "[anon_shmem:/x]", "anon_inode:[io_uring]", "/x"]
    {
        assert_eq!(backing(&format!("0-1 r-xp 0 00:00 0          {name}")), Backing::Special(name.into()));
    }
    assert_eq!(backing("0-1 rw-s 0 00:0e 7 anon_inode:[x]"), Backing::Special("anon_inode:[x]".into()));
    let vsyscall = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";
    assert_eq!(backing(vsyscall), Backing::Special("[vsyscall]".into()));
}

#[test]
fn lines_that_the_kernel_does_not_write_are_refused() {
    for line in [
        "",
        "x",
        "a b c d",
        "0-1 r-xp 0 fe:00",
        "0-1 r-xp 0 fe:00 x /a",
        "0-1 r-xp 0 fe:00 -1 /a",
        "0-1 r-xp 0 fe:00 +1 /a",
        "0-1 r-xp 0 fe00 1 /a",
        "0-1 r-xp 0 1fffffffff:00 1 /a",
        "0-1 rx 0 fe:00 1 /a",
        "0-10000000000000000 r-xp 0 fe:00 1 /a",
        "01 r-xp 0 fe:00 1 /a",
        "0-1  r-xp 0 fe:00 1 /a",
        "\u{fffd} \u{0}",
    ] {
        assert_eq!(Mapping::parse(line.as_bytes()), None, "{line:?}");
    }
}

#[test]
fn each_reading_of_a_path_is_tried_the_likely_one_first() {
    for (shown, wanted) in [
        ("/lib.so", &["/lib.so"][..]),
        ("/lib.so (deleted)", &["/lib.so (deleted)", "/lib.so"]),
        ("/a\\012b", &["/a\nb", "/a\\012b"]),
        ("/a\\012b (deleted)", &["/a\nb (deleted)", "/a\nb", "/a\\012b (deleted)", "/a\\012b"]),
        ("/lib.so//deleted", &["/lib.so//deleted"]),
    ] {
        let mapping =
            Mapping::parse(format!("0-1 r-xp 0 fe:00 1 {shown}").as_bytes()).expect("a line of maps");
        let readings: Vec<&Path> = mapping.file().expect("a file").path.readings().collect();
        assert_eq!(readings, wanted.iter().map(Path::new).collect::<Vec<_>>());
    }
}

proptest! {
    /// Written as `show_map_vma` writes it (fs/proc/task_mmu.c).
    #[test]
    fn what_the_kernel_writes_is_read_back(
        numbers in any::<[u64; 4]>(),
        device in any::<(u8, u8)>(),
        flags in any::<[bool; 4]>(),
        name in vec(1..=u8::MAX, 0..24),
    ) {
        let [start, end, offset, inode] = numbers;
        let [read, write, execute, shared] = flags;
        let flag = |is: bool, letter: char| if is { letter } else { '-' };
        let permissions = [flag(read, 'r'), flag(write, 'w'), flag(execute, 'x'), if shared { 's' } else { 'p' }];
        let permissions = String::from_iter(permissions);
        let inode = inode.max(1);
        let (major, minor) = device;
        let fields = format!("{start:08x}-{end:08x} {permissions} {offset:08x} {major:02x}:{minor:02x} {inode} ");
        let path = [b"/", name.as_slice()].concat();
        // A name that contains the kernel's escape is the one that is not read back.
        prop_assume!(!path.windows(4).any(|window| window == b"\\012"));
        let escaped = path.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(b"\\012".as_slice());
        let line = [fields.as_bytes(), b"         ", &escaped].concat();
        let mapping = Mapping::parse(&line).expect("a line of maps");
        prop_assert_eq!(mapping.file().expect("a file").path.readings().next().unwrap().as_os_str().as_bytes(), &path);
        prop_assert_eq!((&mapping.addresses, mapping.offset), (&(start..end), offset));
        prop_assert_eq!((mapping.is_readable, mapping.is_writable), (read, write));
        prop_assert_eq!((mapping.is_executable, mapping.is_shared), (execute, shared));
        let file = mapping.file().expect("a file");
        prop_assert_eq!((file.device.major, file.device.minor), (major.into(), minor.into()));
        prop_assert_eq!((file.inode, file.path.as_path().as_os_str().as_bytes()), (inode, path.as_slice()));
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in vec(any::<u8>(), 0..80)) {
        let _ = Mapping::parse(&line);
    }
}
