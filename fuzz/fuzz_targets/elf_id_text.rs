//! The text of ids from foreign bytes: an id exactly when it is plain hex of 1 to 64 bytes, and back again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_elf::{Artifact, BuildId};

fuzz_target!(|data: &[u8]| {
    if let Ok(id) = BuildId::try_from(data) {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with(id.short().as_str()));
        if let Some(path) = id.debuginfod_path(Artifact::DebugInfo) {
            assert_eq!(path.as_str(), format!("/buildid/{id}/debuginfo"));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = text.len().is_multiple_of(2) && (2..=128).contains(&text.len());
    let parsed = text.parse::<BuildId>();
    assert_eq!(parsed.is_ok(), is_hex && fits);
    if let Ok(id) = parsed {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
});
