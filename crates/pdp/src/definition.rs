//! Tool definitions as bytes: one canonical form, its digest, and the
//! difference between two of them for people. Never judges a definition.
//!
//! The canonical form is RFC 8785 (JCS) of the whole object without its
//! top-level `_meta`. Integers beyond 2^53, which RFC 8785 leaves out, keep all
//! their digits, so that two different definitions never share a form.

use std::fmt::Write as _;

use bailiwick_model::digest::Digest;
use serde_json::{Map, Number, Value};
use similar::TextDiff;

use crate::normalise::is_hidden;

/// Lines of context around each change of a [`difference`].
const CONTEXT_LINES: usize = 3;

/// The canonical form (RFC 8785) of a definition without its top-level `_meta`.
pub fn canonical(definition: &Value) -> String {
    let mut text = String::new();
    match definition {
        Value::Object(members) => write_object(&mut text, members, Some("_meta")),
        other => write_value(&mut text, other),
    }
    text
}

/// The digest of the canonical form.
pub fn digest(definition: &Value) -> Digest {
    Digest::of(canonical(definition).as_bytes())
}

/// What changed between the pinned and the seen definition, as a unified diff
/// over one readable line per member. Characters that a reader would not see
/// are written as `\u{202e}`. Empty if nothing changed but `_meta`.
pub fn difference(pinned: &Value, seen: &Value) -> String {
    let (before, after) = (readable(pinned), readable(seen));
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(CONTEXT_LINES).header("pinned", "seen").to_string()
}

/// A definition as indented JSON with sorted members, without `_meta`, everything visible.
pub fn readable(definition: &Value) -> String {
    let mut text = String::new();
    match definition {
        Value::Object(members) => {
            let rest = members.iter().filter(|(name, _)| *name != "_meta");
            let members: Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
            write_readable(&mut text, &Value::Object(members), 0);
        }
        other => write_readable(&mut text, other, 0),
    }
    text.push('\n');
    text
}

/// Text in which every character can be seen.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) && character != '\n' {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    // RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from UTF-8 order above U+FFFF.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    members
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(text, number),
        Value::String(string) => write_string(text, string),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, element);
            }
            text.push(']');
        }
        Value::Object(members) => write_object(text, members, None),
    }
}

fn write_object(text: &mut String, members: &Map<String, Value>, without: Option<&str>) {
    text.push('{');
    let members = sorted(members).into_iter().filter(|(name, _)| Some(name.as_str()) != without);
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write_value(text, value);
    }
    text.push('}');
}

/// RFC 8785 §3.2.2.2.
fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

fn write_number(text: &mut String, number: &Number) {
    match number.as_f64() {
        Some(double) if number.is_f64() => write_double(text, double),
        _ => {
            let _ = write!(text, "{number}");
        }
    }
}

/// ECMAScript's `Number::toString` (ECMA-262 §6.1.6.1.20), which RFC 8785 §3.2.2.3 takes over.
fn write_double(text: &mut String, double: f64) {
    if double == 0.0 {
        return text.push('0');
    }
    // Rust gives the shortest digits that read back, as ECMAScript does: `-1.25e-7`.
    let scientific = format!("{double:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|character| *character != '.').collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exponent + 1;
    text.push_str(sign);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    if (count..=21).contains(&point) {
        text.push_str(&digits);
        text.push_str(&zeros(point - count));
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
        let _ = write!(text, "{whole}.{fraction}");
    } else if (-5..=0).contains(&point) {
        let _ = write!(text, "0.{}{digits}", zeros(-point));
    } else {
        let (first, rest) = digits.split_at(1);
        let point_and_rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        let _ = write!(text, "{first}{point_and_rest}e{exponent:+}");
    }
}

fn write_readable(text: &mut String, value: &Value, depth: usize) {
    let indent = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('{');
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                indent(text, depth + 1);
                let mut key = String::new();
                write_string(&mut key, name);
                text.push_str(&visible(&key));
                text.push_str(": ");
                write_readable(text, member, depth + 1);
            }
            indent(text, depth);
            text.push('}');
        }
        Value::Array(elements) if !elements.is_empty() => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                indent(text, depth + 1);
                write_readable(text, element, depth + 1);
            }
            indent(text, depth);
            text.push(']');
        }
        other => {
            let mut plain = String::new();
            write_value(&mut plain, other);
            text.push_str(&visible(&plain));
        }
    }
}

#[cfg(test)]
mod tests;
