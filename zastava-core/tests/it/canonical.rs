//! The canonical form that is hashed in a stream equals that of RFC 8785 written from a tree.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;
use zastava_core::contract::{CanonicalError, canonical_json_digest};
use zastava_core::image::Digest;

/// The digest by a tree: `None` when the text is not JSON or holds a number that is not an integer.
fn by_tree(text: &str) -> Option<Digest> {
    fn has_float(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(items) => items.iter().any(has_float),
            Value::Object(members) => members.values().any(has_float),
            _ => false,
        }
    }
    let value: Value = serde_json::from_str(text).ok().filter(|value| !has_float(value))?;
    Some(Digest::of(&serde_json_canonicalizer::to_vec(&value).expect("a canonical form")))
}

#[track_caller]
fn check(text: &str) {
    let shown: String = text.chars().take(200).collect();
    assert_eq!(canonical_json_digest(text).ok(), by_tree(text), "{shown}");
}

/// Texts in every odd form: with a canonical form first, then those without.
const ODD_TEXTS: &[&str] = &[
    "{}",
    "[]",
    "\"\"",
    "null",
    "true",
    "false",
    " [ ] ",
    "\t{\n}\r ",
    "0",
    "-1",
    "[1, 2 ,3]",
    // Members: order, the same name twice, names that differ by escapes only, surrogates below the end of the basic plane.
    r#"{"b":1,"a":2}"#,
    r#"{"b":{"d":1,"c":[{"z":1,"y":2}]},"a":{}}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":{"x":1},"b":0,"a":{"y":[1,{"q":1,"p":2}]},"a":[{"k":1,"j":{}}]}"#,
    r#"{"a":1,"\u0061":2,"b":3}"#,
    r#"{"b":1,"\u0061":2}"#,
    r#"{"":1,"a":2,"":3}"#,
    r#"{"\ufb33":3,"\ud83d\ude00":2,"ä":"Grüße","a":1}"#,
    "{\"\u{ffff}\":1,\"\u{10000}\":2,\"\u{d7ff}\":3,\"\u{e000}\":4}",
    r#"{"a\"":1,"aB":2,"a\\":3,"a!":4,"a\u0001":5,"a\n":6,"a\t":7,"a]":8}"#,
    r#"{"ab":1,"a":2,"abc":3,"":4}"#,
    r#"{"\uD83D\uDE00":1,"\uD83D\uDE01":2,"\uFFFD":3}"#,
    // Escapes.
    r#"["\"\\\/\b\f\n\r\t\u0000\u001F\u001f\u007f\u0080\u2028\uD834\uDD1E\u00e9"]"#,
    "\"\u{7f}\u{80}\u{2028}\"",
    r#""\u0022\u005c\u002f\u0008\u000c\u000a\u000d\u0009""#,
    r#""\u003c\u003e\u0026""#,
    // Numbers at the ends of their ranges, where doubles lose digits.
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "999999999999999",
    "1000000000000001",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "123456789012345678",
    "[10,100,1000000000000000000]",
    // Without a canonical form, or not JSON.
    "1.0",
    "1e3",
    "1E3",
    "-0",
    "-0.0",
    "0.0",
    "18446744073709551616",
    "-9223372036854775809",
    "1e999",
    "[1e999]",
    "-1.5e-10",
    "1.5E+3",
    "1e",
    "1e+",
    "1.5.5",
    "1-1",
    "{\"a\":1.5,\"a\":2}",
    "{\"a\":[18446744073709551616],\"b\":1,\"a\":2}",
    "{\"a\":1,\"a\":2.5}",
    "{\"a\":[1,],\"a\":2}",
    "{\"a\":1e999,\"a\":2}",
    "[1.5]",
    "",
    " ",
    "{",
    "[",
    "\"",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "[1,]",
    "[1",
    "[,]",
    "{,}",
    "{1:2}",
    "01",
    "-01",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e3",
    "nul",
    "nulll",
    "True",
    "[null]x",
    "{} {}",
    "'a'",
    "{\"a\" 1}",
    "{a:1}",
    "[1 2]",
    r#""\x""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\ud800""#,
    r#""\ud800\n""#,
    r#""\ud800\u0041""#,
    r#""\udc00""#,
    r#""\udc00\ud800""#,
    r#""\ud800\ud800""#,
    "\"\n\"",
    "\"\u{1}\"",
    "\u{feff}{}",
    "[\u{a0}]",
    "\u{0}",
    "{\"a\":1}\u{0}",
    "\"\\",
    "\"\\u",
    "tru",
];

#[test]
fn odd_texts_have_the_digest_that_a_tree_gives() {
    for text in ODD_TEXTS {
        check(text);
    }
}

#[test]
fn depth_is_bounded_where_the_tree_bounds_it() {
    for depth in [1, 64, 126, 127, 128, 129, 200_000] {
        for (open, close) in [("[", "]"), ("{\"b\":0,\"a\":", "}"), ("[[{\"a\":", "}]]")] {
            check(&format!("{}1{}", open.repeat(depth), close.repeat(depth)));
            check(&format!("{}{}", open.repeat(depth), close.repeat(depth)));
            check(&open.repeat(depth));
        }
    }
    let deep = "[".repeat(128);
    assert!(matches!(canonical_json_digest(&deep), Err(CanonicalError::TooDeep)));
    assert!(matches!(canonical_json_digest("[1,]"), Err(CanonicalError::Malformed { at: 3 })));
    assert!(matches!(canonical_json_digest("[1, 2.5]"), Err(CanonicalError::Float)));
}

/// Many members make the order large, and pieces that do not fit the buffer are hashed by themselves.
#[test]
fn large_texts_have_the_digest_that_a_tree_gives() {
    let mut members = String::new();
    for number in 0..50_000_u32 {
        let _ = write!(members, "\"k{}\":\"v\",", number.wrapping_mul(2_654_435_761));
    }
    let long = "\u{e9}x".repeat(20_000);
    let escaped = "\\u003c\\n".repeat(10_000);
    check(&format!("{{\"z\":{{{members}\"a\":1}},\"a\":\"{long}\",\"m\":[\"{escaped}\"]}}"));
    check(&format!("[{}1]", "{\"b\":0,\"a\":0},".repeat(30_000)));
    check(&format!("[{}1]", "{\"\":0,\"\":1},{},[],".repeat(30_000)));
    for length in 4090..4100 {
        check(&format!("[\"{}\",\"{}\"]", "x".repeat(length), "\\t".repeat(length)));
    }
}

#[test]
fn too_many_members_have_no_digest() {
    let text = format!("[{}0]", "{\"b\":0,\"a\":0},".repeat(1_300_000));
    assert!(matches!(canonical_json_digest(&text), Err(CanonicalError::TooLarge)));
}

#[test]
fn an_object_with_very_many_members_must_have_them_in_order() {
    let members = |count: u32, last: &str| {
        let members: Vec<_> = (0..count).map(|number| format!("\"k{number:06}\":0")).collect();
        format!("{{{},{last}}}", members.join(","))
    };
    assert!(canonical_json_digest(&members(100_000, r#""z":0"#)).is_ok());
    let sorted = canonical_json_digest(&format!("{{\"a\":0,{}", &members(65_534, r#""z":0"#)[1..])).unwrap();
    assert_eq!(canonical_json_digest(&members(65_534, r#""z":0,"a":0"#)).unwrap(), sorted);
    for last in [r#""a":0"#, r#""k000000":0"#] {
        let found = canonical_json_digest(&members(65_536, last));
        assert!(matches!(found, Err(CanonicalError::TooLarge)), "{found:?}");
    }
}

/// JSON text in odd forms: white space, escapes, repeated names, numbers of any kind.
fn json() -> impl Strategy<Value = String> {
    let space = prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t\r ")];
    let character = prop_oneof![
        4 => "[a-c]", 2 => "[ -!#-\\[\\]-~]", 2 => "[^\\x00-\\x1f\"\\\\]",
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")), 1 => any::<char>().prop_map(|character| {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().fold(String::new(), |text, unit| text + &format!("\\u{unit:04X}"))
        }),
        1 => prop::sample::select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]).prop_map(str::to_owned),
    ];
    let string =
        prop::collection::vec(character, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat())).boxed();
    let leaf = prop_oneof![
        4 => string.clone(), 2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()), 2 => (-9..99_i32).prop_map(|number| number.to_string()),
        2 => prop::sample::select(vec!["true", "false", "null", "{}", "[]"]).prop_map(str::to_owned),
    ];
    let spaced = (leaf, space.clone()).prop_map(|(leaf, space)| format!("{space}{leaf}{space}"));
    spaced.prop_recursive(6, 60, 6, move |inner| {
        let member = (string.clone(), space.clone(), inner.clone())
            .prop_map(|(name, space, value)| format!("{space}{name}{space}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn generated_texts_have_the_digest_that_a_tree_gives(text in json()) {
        prop_assert_eq!(canonical_json_digest(&text).ok(), by_tree(&text), "{}", text);
    }

    #[test]
    fn damaged_texts_are_refused_where_a_tree_refuses_them(text in json(), cut in any::<prop::sample::Index>(), byte in "[ -~]") {
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let damaged = format!("{}{byte}{}", &text[..at], &text[at..]);
        prop_assert_eq!(canonical_json_digest(&damaged).ok(), by_tree(&damaged), "{}", damaged);
        prop_assert_eq!(canonical_json_digest(&text[..at]).ok(), by_tree(&text[..at]), "{}", &text[..at]);
    }
}
