//! What engines, the kernel and workloads write about a container, from foreign bytes: `mountinfo`, a first line, an OCI
//! specification, CRI-O's `info`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_observer::fuzzing::{container_info, mountinfo, oci_spec, shebang};

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    match choice % 4 {
        0 => mountinfo(text),
        1 => shebang(&text[..text.len().min(256)]),
        2 => oci_spec(text),
        _ => container_info(text),
    }
});
