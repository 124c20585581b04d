//! JUnit XML, as far as the readers of build servers agree on it: a suite, its cases, `failure`, `skipped`, `system-out`.

use std::fmt::Write as _;

use super::{Decided, counts};

pub(super) fn write(decided: &[Decided]) -> String {
    let [_, denied, skipped] = counts(decided);
    let counts =
        format!("tests=\"{}\" failures=\"{denied}\" errors=\"0\" skipped=\"{skipped}\"", decided.len());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"zastava-webhook review\" {counts}>\n"
    );
    decided.iter().for_each(|one| case(one, &mut out));
    out += "  </testsuite>\n</testsuites>\n";
    out
}

fn case(one: &Decided, out: &mut String) {
    let place = one.subject.place.as_ref();
    let class = place.map_or("command line", |place| place.source.as_deref().unwrap_or(&place.file));
    // Two cases of one name would be taken for one.
    let number = match place.map(|place| (place.document, place.item)) {
        None => String::new(),
        Some((document, None)) => format!(" (document {document})"),
        Some((document, Some(item))) => format!(" (document {document}, item {item})"),
    };
    let name = format!("{}{number}", one.object());
    _ = write!(out, "    <testcase classname=\"{}\" name=\"{}\"", escaped(class), escaped(&name));
    let Some(answer) = one.outcome.answer() else {
        *out += "><skipped message=\"a kind that holds no pod\"/></testcase>\n";
        return;
    };
    *out += ">\n";
    if !answer.allowed {
        let rule = answer.annotations.get("rule").map_or("", String::as_str);
        let place = place.map(|place| format!("\n{place}")).unwrap_or_default();
        _ = writeln!(
            out,
            "      <failure type=\"{}\" message=\"{}\">{}</failure>",
            escaped(rule),
            escaped(answer.message()),
            escaped(&format!("{}{place}", answer.message()))
        );
    }
    if !answer.warnings.is_empty() {
        _ = writeln!(out, "      <system-out>{}</system-out>", escaped(&answer.warnings.join("\n")));
    }
    *out += "    </testcase>\n";
}

/// Text for XML 1.0, in which most control characters cannot stand, not even escaped (section 2.2).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // A parser would make a space of it in an attribute.
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_leaves_its_place_in_the_xml() {
        let text = "a\"b<c>&d\u{1b}[2J\n\u{0}é";
        assert_eq!(escaped(text), "a&quot;b&lt;c&gt;&amp;d\u{fffd}[2J&#10;\u{fffd}é");
    }
}
