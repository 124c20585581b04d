//! Build-ids in serde.

use zastava_elf::BuildId;

#[test]
fn ids_are_hex_text_in_json_and_read_strictly() {
    let id: BuildId = "00ab12".parse().unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"00ab12\"");
    assert_eq!(serde_json::from_str::<BuildId>("\"00AB12\"").unwrap(), id);
    // Escapes make the text a temporary, which the visitor cannot borrow.
    assert_eq!(serde_json::from_str::<BuildId>(r#""\u0030\u0030ab12""#).unwrap(), id);
    for bad in ["\"\"", "\"0\"", "\"zz\"", "12", "null", "[1,2]"] {
        assert!(serde_json::from_str::<BuildId>(bad).is_err(), "{bad}");
    }
}
