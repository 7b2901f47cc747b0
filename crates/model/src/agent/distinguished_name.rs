//! The subject of a certificate as text (RFC 4514), in one spelling, so that two are the same where their texts are.

use std::{fmt, str::FromStr};

use crate::name::{NameError, serde_by_str};

/// Bytes of a whole name at most.
pub const DISTINGUISHED_NAME_BYTES_MAX: usize = 1024;
/// Attributes of a whole name at most.
pub const ATTRIBUTES_MAX: usize = 32;

/// The attribute types that have a name of their own (RFC 4514 §3); any other is written as an object identifier.
pub const ATTRIBUTE_TYPES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// A distinguished name in its one spelling: types in capitals, no space around `,`, `+` and `=`, each character that
/// must be escaped behind one backslash. Values are compared as they are, case included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinguishedName(String);

impl DistinguishedName {
    /// The name of these sets of attributes (type by name or number, value as text), the innermost first as RFC 4514 §2.1
    /// writes them. Within a set the order says nothing.
    pub fn new(sets: &[Vec<(String, String)>]) -> Result<Self, NameError> {
        let mut text = String::new();
        for set in sets {
            let mut attributes: Vec<String> =
                set.iter().map(|(of, value)| format!("{}={}", attribute_type(of), escaped(value))).collect();
            attributes.sort();
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&attributes.join("+"));
        }
        let values = || sets.iter().flatten();
        let empty = sets.iter().any(Vec::is_empty) || values().any(|(of, value)| of.is_empty() || value.is_empty());
        if sets.is_empty() || empty || values().count() > ATTRIBUTES_MAX || text.len() > DISTINGUISHED_NAME_BYTES_MAX {
            return Err(refused(&text));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > DISTINGUISHED_NAME_BYTES_MAX {
            return Err(refused(text));
        }
        let sets: Option<Vec<Vec<(String, String)>>> =
            split(text, ',').map(|set| split(&set, '+').map(|one| attribute(&one)).collect()).collect();
        Self::new(&sets.ok_or_else(|| refused(text))?)
    }
}

serde_by_str!(DistinguishedName);

fn refused(text: &str) -> NameError {
    NameError::new("distinguished name", text, "write it as RFC 4514 does, such as `CN=bot,O=Acme`")
}

fn attribute_type(of: &str) -> String {
    let of = of.to_ascii_uppercase();
    ATTRIBUTE_TYPES.iter().find(|(number, _)| *number == of).map_or(of, |(_, name)| (*name).to_owned())
}

/// `type=value` with the value unescaped; `None` if it is not that. Values in hexadecimal are not taken.
fn attribute(text: &str) -> Option<(String, String)> {
    let (of, value) = text.split_once('=')?;
    let of = of.trim();
    let numbered = of.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let named = ATTRIBUTE_TYPES.iter().any(|(_, name)| name.eq_ignore_ascii_case(of));
    let value = unescaped(value)?;
    (numbered || named).then(|| (of.to_owned(), value))
}

/// Splits where `at` stands without a backslash before it.
fn split(text: &str, at: char) -> impl Iterator<Item = String> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == at && !escaped {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        part.push(c);
        escaped = c == '\\' && !escaped;
    }
    parts.push(part);
    parts.into_iter()
}

/// The value of RFC 4514 §3: spaces around it are layout unless escaped.
fn unescaped(text: &str) -> Option<String> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        return None;
    }
    let (mut bytes, mut kept, mut rest) = (Vec::new(), 0, text.bytes().peekable());
    while let Some(byte) = rest.next() {
        let value = match byte {
            b'\\' => {
                let next = rest.next()?;
                match (char::from(next).to_digit(16), rest.peek().and_then(|b| char::from(*b).to_digit(16))) {
                    (Some(high), Some(low)) => {
                        rest.next();
                        u8::try_from(high * 16 + low).ok()?
                    }
                    _ if b" \"#+,;<=>\\".contains(&next) => next,
                    _ => return None,
                }
            }
            b'"' | b';' | b'<' | b'>' | b'+' | b',' | 0 => return None,
            b' ' => {
                bytes.push(byte);
                continue;
            }
            byte => byte,
        };
        bytes.push(value);
        kept = bytes.len();
    }
    bytes.truncate(kept);
    String::from_utf8(bytes).ok().filter(|value| !value.is_empty())
}

fn escaped(value: &str) -> String {
    let (mut text, last) = (String::new(), value.len().saturating_sub(1));
    for (at, c) in value.char_indices() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            '#' if at == 0 => text.push_str("\\#"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("\\{byte:02X}")));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = text.parse::<DistinguishedName>().ok().map(|name| name.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
        if let Some(found) = found {
            assert_eq!(found.parse::<DistinguishedName>().unwrap().to_string(), found, "one spelling is its own");
        }
    }

    #[test]
    fn one_name_has_one_spelling() {
        check("CN=bot,O=Acme", Some("CN=bot,O=Acme"));
        check("cn = bot , o=Acme", Some("CN=bot,O=Acme"));
        check("2.5.4.3=bot", Some("CN=bot"));
        check("OU=b+CN=a,O=x", Some("CN=a+OU=b,O=x"));
        check(r"CN=a\2Cb,O=Acme\, Inc", Some(r"CN=a\,b,O=Acme\, Inc"));
        check(r"CN=b\C3\B6t", Some("CN=böt"));
        check(r"CN=\ a\ ", Some(r"CN=\ a\ "));
        check("1.2.840.113549.1.9.1=x@y", Some("1.2.840.113549.1.9.1=x@y"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in
            ["", "bot", "CN=", "CN=a,", ",CN=a", "CN=a;O=b", "CN=#0401", "X=a", r"CN=a\", r"CN=\zz", "CN=a+", "C\"N=a"]
        {
            check(bad, None);
        }
        check(&format!("CN={}", "a".repeat(DISTINGUISHED_NAME_BYTES_MAX)), None);
        check(&vec!["CN=a"; ATTRIBUTES_MAX + 1].join(","), None);
    }

    /// Two certificates whose subjects differ never have one text.
    #[test]
    fn no_value_breaks_out_of_its_place() {
        let name = |sets: &[&[(&str, &str)]]| {
            let sets: Vec<Vec<(String, String)>> =
                sets.iter().map(|set| set.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()).collect();
            DistinguishedName::new(&sets).unwrap()
        };
        assert_ne!(name(&[&[("CN", "bot,O=Acme")]]), name(&[&[("CN", "bot")], &[("O", "Acme")]]));
        assert_ne!(name(&[&[("CN", "bot+O=Acme")]]), name(&[&[("CN", "bot"), ("O", "Acme")]]));
        assert_ne!(name(&[&[("CN", r"bot\,O=Acme")]]), name(&[&[("CN", "bot,O=Acme")]]));
        assert_ne!(name(&[&[("CN", "bot\u{0}")]]), name(&[&[("CN", "bot")]]));
    }
}
