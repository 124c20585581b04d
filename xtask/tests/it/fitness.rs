//! Which programs may go into an image.

use std::fs;
use std::path::Path;

use xtask::images::{Platform, check_static};

use crate::skip::skip;

const BUSYBOX: &str = "/bin/busybox";
const HERE: Platform =
    if cfg!(target_arch = "aarch64") { Platform::LinuxArm64 } else { Platform::LinuxAmd64 };
const ELSEWHERE: Platform =
    if cfg!(target_arch = "aarch64") { Platform::LinuxAmd64 } else { Platform::LinuxArm64 };

fn fault(path: &Path, bytes: &[u8], platform: Platform) -> String {
    check_static(path, bytes, platform).expect_err("is refused").to_string()
}

#[test]
fn a_program_that_needs_a_loader_is_refused() {
    let this = std::env::current_exe().expect("is there");
    let bytes = fs::read(&this).expect("can be read");
    let said = fault(&this, &bytes, HERE);
    assert_eq!(said, format!("{} needs a dynamic loader, which the images do not contain", this.display()));
}

#[test]
fn a_static_program_is_taken_for_its_own_platform_only() {
    let path = Path::new(BUSYBOX);
    let Ok(bytes) = fs::read(path) else {
        return skip("static programs that may go into images: needs busybox-static");
    };
    let id = check_static(path, &bytes, HERE).expect("is static");
    assert_eq!(zastava_elf::build_id(BUSYBOX), Ok(Some(id)));
    assert_eq!(fault(path, &bytes, ELSEWHERE), "/bin/busybox is for another machine");
}

#[test]
fn what_is_no_program_is_refused() {
    let script = Path::new("run.sh");
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x01\x01\x01"] {
        assert_eq!(
            fault(script, bytes, Platform::LinuxAmd64),
            "run.sh is not a 64-bit ELF file",
            "{bytes:?}"
        );
    }
}
