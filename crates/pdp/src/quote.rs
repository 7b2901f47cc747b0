//! Text between double quotes, for the languages that we generate. They differ only in how they spell a character that
//! must not be seen.

use crate::normalise::is_hidden;

/// Quotes `text`; `hidden` spells the code point of a hidden character.
pub(crate) fn quoted(text: &str, hidden: impl Fn(u32) -> String) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            unseen if is_hidden(unseen) => quoted.push_str(&hidden(u32::from(unseen))),
            seen => quoted.push(seen),
        }
    }
    quoted.push('"');
    quoted
}
