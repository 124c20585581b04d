//! What a plain word of YAML means to Kubernetes.
//!
//! kubectl and Helm read YAML 1.1, with `yes` and `on` as booleans (`sigs.k8s.io/yaml`). The API server sees what they
//! make of it: a label `on` is a boolean to it, and refused. So it has to be here.

use serde_json::{Number, Value};

pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => false.into(),
        _ => number(text).unwrap_or_else(|| text.into()),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

fn integer(text: &str) -> Option<Value> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // No second sign.
    let number = u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))?;
    match is_negative {
        true => 0_i64.checked_sub_unsigned(number).map(Value::from),
        false => Some(number.into()),
    }
}

fn float(text: &str) -> Option<Value> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    // Rust reads words such as `infinity`, too.
    let is_float =
        text.bytes().all(|byte| is_digit(&byte) || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number = text.parse().ok().filter(|_| is_float && text.as_bytes().iter().any(is_digit))?;
    Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_words_mean_what_kubectl_takes_them_for() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("8080", json!(8080)),
            ("-1", json!(-1)),
            ("0644", json!(0o644)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1.10", json!(1.1)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("1.27.3", json!("1.27.3")),
            ("nginx", json!("nginx")),
            ("-", json!("-")),
            ("--1", json!("--1")),
            (".inf", json!(".inf")),
            ("100m", json!("100m")),
            ("2026-11-30", json!("2026-11-30")),
            ("sha256:00", json!("sha256:00")),
            ("0xyz", json!("0xyz")),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }
}
