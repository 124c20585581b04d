use serde_json::json;

use super::*;

fn read(text: &str) -> Vec<Manifest> {
    manifests("app.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn documents_are_counted_with_their_lines_and_templates() {
    let text = "---
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
---
# Source: shop/templates/nothing.yaml
---
# a comment
apiVersion: v1
kind: Pod
metadata: {name: a}
";
    let found = read(text);
    let places: Vec<_> = found.iter().map(|one| one.place.clone()).collect();
    let place = |document, line, source: Option<&str>| Place {
        file: "app.yaml".to_owned(),
        document,
        line,
        item: None,
        source: source.map(str::to_owned),
    };
    assert_eq!(places[0], place(1, 3, Some("shop/templates/web.yaml")));
    assert_eq!((places[1].document, places[1].line), (3, 9));
    assert_eq!(
        found[1].object,
        object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}))
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn lists_are_their_items() {
    let yaml = "apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
- {apiVersion: v1, kind: Service}
";
    let found: Vec<_> = read(yaml).into_iter().map(|one| (one.place.line, one.place.item)).collect();
    assert_eq!(found, [(4, Some(1)), (6, Some(2))]);
    let typed = r#"{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}"#;
    let expected = object(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}));
    assert_eq!(read(typed)[0].object, expected);
    assert_eq!(read("{kind: PodList, apiVersion: v1, items: }"), []);
    // A kind of somebody's that ends so and is none.
    assert_eq!(read("{kind: AllowList, apiVersion: example.com/v1}").len(), 1);
}

#[test]
fn json_may_follow_json_and_yaml_may_begin_with_a_brace() {
    let json = "{\"kind\": \"Pod\", \"apiVersion\": \"v1\"}\n\n{\"kind\": \"Pod\", \"apiVersion\": \"v1\"}";
    let places: Vec<_> = read(json).into_iter().map(|one| (one.place.document, one.place.line)).collect();
    assert_eq!(places, [(1, 1), (2, 3)]);
    assert_eq!(read("{kind: Pod, apiVersion: v1}\n---\n{kind: Pod, apiVersion: v1}").len(), 2);
    assert_eq!(read("\u{feff}kind: Pod\napiVersion: v1").len(), 1);
    assert_eq!(read(" \n# nothing\n---\n"), []);
}

#[test]
fn anchors_and_merged_mappings_are_what_they_stand_for() {
    let yaml = "kind: Pod
apiVersion: v1
base: &base {image: nginx, tag: a}
one: {<<: *base, tag: b}
two: *base
three: {<<: [{x: 1}, {x: 2, z: 3}]}
text: !!str 12
quoted: '12'
";
    let object = &read(yaml)[0].object;
    assert_eq!(object["one"], json!({"image": "nginx", "tag": "b"}));
    assert_eq!(object["two"], json!({"image": "nginx", "tag": "a"}));
    assert_eq!(object["three"], json!({"x": 1, "z": 3}));
    assert_eq!((&object["text"], &object["quoted"]), (&json!("12"), &json!("12")));
}

/// Each alias means ten of the one before: 10^9 values in a few lines.
#[test]
fn few_lines_cannot_become_gigabytes() {
    let mut yaml = "kind: Pod\napiVersion: v1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        yaml += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    // A long text, in a few thousand places; and anchors around anchors, each of which keeps what it stands for.
    let long =
        format!("kind: Pod\napiVersion: v1\na: &a {}\nb: [{}*a]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
    let mut nested = format!("[{}x]", "x, ".repeat(100_000));
    for level in 0..50 {
        nested = format!("&a{level} [{nested}]");
    }
    for yaml in [yaml, long, format!("kind: Pod\napiVersion: v1\na: {nested}\n")] {
        let error = manifests("app.yaml", &yaml).unwrap_err();
        assert!(error.to_string().contains("more than 4000000 values"), "{error}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let deep = format!("kind: Pod\napiVersion: v1\na: {}", "[".repeat(1000));
    for (text, place, problem) in [
        ("kind: Pod\napiVersion: v1\nkind: Pod\n", "document 1, line 3", "the key \"kind\" stands twice"),
        ("kind: Pod\napiVersion: v1\n---\nkind: Pod\n  image: x\n", "document 2, line 5", "cannot be read"),
        ("kind: Pod\n", "document 1, line 1", "no kind or no apiVersion"),
        ("kind: Pod\napiVersion: v1\n---\n\n- a\n", "document 2, line 5", "expected an object"),
        ("word", "document 1, line 1", "expected an object"),
        ("kind: Pod\na: *b\n", "document 1, line 2", "cannot be read"),
        ("kind: Pod\na: !!binary x\n", "document 1, line 2", "is not read"),
        ("kind: Pod\n<<: x\n", "document 1, line 2", "only a mapping can be merged"),
        ("kind: Pod\na: {b: 1, <<: {b: 2}}\n", "document 1, line 2", "repeats the key \"b\""),
        ("kind: Pod\na:\n  <<: {b: 1}\n  <<: {b: 2}\n", "document 1, line 4", "repeats the key \"b\""),
        (
            "kind: Pod\napiVersion: v1\n---\nkind: Pod\n# a\u{85}spec: b\n",
            "document 2, line 5",
            "write them as escapes",
        ),
        ("kind: Pod\n#\u{2028}spec: b\napiVersion: v1\n", "document 1, line 2", "write them as escapes"),
        ("kind: Pod\nb: \"\u{2029}\"\n", "document 1, line 2", "write them as escapes"),
        ("{kind: Pod, a: b} #\u{2028}", "document 1, line 1", ""),
        ("kind: Pod\na: &a [*a]\n", "document 1, line 2", "an alias stands in what it means"),
        ("kind: Pod\n? [a]\n: b\n", "document 1, line 2", "a key must be a word"),
        ("{\"kind\": \"Pod\"}\n{\"kind\": ]", "document 2, line 2", "expected value"),
        ("{\"kind\": \"Pod\",\n \"apiVersion\"", "document 1, line 2", "EOF while parsing"),
        (
            "kind: List\napiVersion: v1\nitems:\n- kind: Pod\n  apiVersion: v1\n- kind: Pod\n",
            "document 1, line 6, item 2",
            "no kind or no apiVersion",
        ),
        (
            "kind: List\napiVersion: v1\nitems: [{kind: List, apiVersion: v1, items: []}]",
            "document 1, line 3, item 1",
            "a list in a list",
        ),
        (&deep, "document 1, line 3", ""),
    ] {
        let error = manifests("app.yaml", text).expect_err(text).to_string();
        assert!(error.starts_with(&format!("app.yaml, {place}: ")), "{text}: {error}");
        assert!(error.contains(problem), "{text}: {error}");
    }
}
