//! Build-ids: parsing, printing, comparing, and the names made from them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;
use zastava_elf::{Artifact, BuildId, InvalidBuildId};

use crate::image::ID;

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn id(bytes: &[u8]) -> BuildId {
    BuildId::try_from(bytes).expect("1 to 64 bytes")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_and_text_come_back(bytes in vec(any::<u8>(), 1..=64)) {
        let id = id(&bytes);
        prop_assert_eq!(id.as_bytes(), &bytes);
        let text = id.to_string();
        let wanted: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(&text, &wanted);
        prop_assert_eq!(text.parse(), Ok(id));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn text_is_an_id_exactly_when_it_is_hex(text in "[0-9a-fA-F]{0,140}|[0-9a-fg+ -]{0,6}|\\PC{0,8}") {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = text.len().is_multiple_of(2) && (2..=128).contains(&text.len());
        prop_assert_eq!(text.parse::<BuildId>().is_ok(), hex && fits);
    }

    #[test]
    fn ids_compare_and_hash_as_their_bytes(a in vec(0..3_u8, 1..4), b in vec(0..3_u8, 1..4)) {
        prop_assert_eq!(id(&a).cmp(&id(&b)), a.cmp(&b));
        prop_assert_eq!(id(&a) == id(&b), a == b);
        prop_assert_eq!(hash(id(&a)), hash(a.as_slice()));
    }
}

#[test]
fn what_is_not_an_id_is_refused_with_the_reason() {
    let long = "ab".repeat(65);
    let rows = [
        ("", InvalidBuildId::Empty),
        ("a", InvalidBuildId::OddLength),
        ("abc", InvalidBuildId::OddLength),
        ("+a", InvalidBuildId::NotHex { at: 0 }),
        ("0x12", InvalidBuildId::NotHex { at: 1 }),
        (" ab", InvalidBuildId::NotHex { at: 0 }),
        ("ab\n", InvalidBuildId::NotHex { at: 2 }),
        ("ab-cd", InvalidBuildId::NotHex { at: 2 }),
        ("../..", InvalidBuildId::NotHex { at: 0 }),
        ("a\u{e9}", InvalidBuildId::NotHex { at: 1 }),
        ("\u{ff11}\u{ff12}", InvalidBuildId::NotHex { at: 0 }),
        (&long, InvalidBuildId::TooLong),
    ];
    for (text, reason) in rows {
        assert_eq!(text.parse::<BuildId>(), Err(reason), "{text:?}");
    }
    assert_eq!(BuildId::try_from([].as_slice()), Err(InvalidBuildId::Empty));
    assert_eq!(BuildId::try_from([0; 65].as_slice()), Err(InvalidBuildId::TooLong));
}

#[test]
fn ids_print_as_lower_case_hex() {
    let id: BuildId = "ABcd01".parse().unwrap();
    assert_eq!(format!("{id} {id:x} {id:?} {id:>8}"), "abcd01 abcd01 BuildId(abcd01)   abcd01");
}

#[test]
fn debug_paths_split_after_the_first_byte() {
    assert_eq!(id(&[0xab]).debug_path().map(|path| path.to_string()), None);
    assert_eq!(id(&[0xab, 0xcd]).debug_path().unwrap().to_string(), ".build-id/ab/cd.debug");
    let longest = id(&[0xff; 64]).debug_path().unwrap();
    assert_eq!(longest.as_str(), format!(".build-id/ff/{}.debug", "ff".repeat(63)));
}

#[test]
fn names_of_an_id_are_made_from_its_bytes() {
    let id = BuildId::try_from(ID.as_slice()).unwrap();
    let hex = "0123456789abcdeffedcba987654321000112233";
    assert_eq!(id.short().to_string(), "0123456789ab");
    assert_eq!(id.executable_path().unwrap().as_str(), format!(".build-id/01/{}", &hex[2..]));
    let paths =
        [Artifact::DebugInfo, Artifact::Executable].map(|a| id.debuginfod_path(a).unwrap().to_string());
    assert_eq!(paths, [format!("/buildid/{hex}/debuginfo"), format!("/buildid/{hex}/executable")]);
    // Clients of debuginfod refuse 64 bytes.
    let longest = BuildId::try_from([1; 64].as_slice()).unwrap();
    assert!(longest.debuginfod_path(Artifact::Executable).is_none());
    assert!(BuildId::try_from([1; 63].as_slice()).unwrap().debuginfod_path(Artifact::Executable).is_some());
}

/// What `go build -ldflags=-buildid=redacted` writes, as Bazel's rules call it.
#[test]
fn the_id_that_go_derives_from_a_redacted_one_is_degenerate() {
    use sha2::Digest as _;
    for (go, id) in [
        ("1.25.1 and 1.26.8", "498919aff001d8366249403a2544fba2d833084f"),
        ("1.24.0", "b78919aff001d8366249403a2544fba2d833084f"),
        ("1.23.4 with -B gobuildid", "4976e6500ffe27c99db6bfc5dabb045d27ccf7b0"),
    ] {
        let id: BuildId = id.parse().unwrap();
        assert!(id.is_degenerate(), "Go {go}");
        let longer = [id.as_bytes(), b"!"].concat();
        assert!(!BuildId::try_from(longer.as_slice()).unwrap().is_degenerate());
        assert!(!BuildId::try_from(&id.as_bytes()[..19]).unwrap().is_degenerate());
    }
    for other in ["", "redacted", "redacted ", "Redacted", "A0dF/b1/c2/d3", "go-openbsd"] {
        let mut id: [u8; 20] = sha2::Sha256::digest(other)[..20].try_into().unwrap();
        assert!(!BuildId::try_from(id.as_slice()).unwrap().is_degenerate(), "{other}");
        id[0] ^= 0xff;
        assert_eq!(BuildId::try_from(id.as_slice()).unwrap().is_degenerate(), other == "redacted", "{other}");
    }
}

#[test]
fn ids_of_equal_bytes_are_degenerate() {
    for (bytes, wanted) in
        [(&[0; 20][..], true), (&[0xff; 8], true), (&[7], true), (&ID, false), (&[0, 1], false)]
    {
        assert_eq!(BuildId::try_from(bytes).unwrap().is_degenerate(), wanted, "{bytes:?}");
    }
}
