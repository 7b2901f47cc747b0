//! Attribute paths (RFC 7644 §3.10, §3.5.2): `userName`, `name.givenName`, `emails[type eq "work"].value`, each also with
//! its schema before it.

use crate::{
    error::ScimError,
    filter::{Filter, Reader, Token},
    group, user,
};

/// Bytes of one path.
pub const PATH_BYTES_MAX: usize = 1_024;

/// An attribute, in lower case, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttributePath {
    /// Whether it is one of an extension, of which we keep none.
    pub foreign: bool,
    /// Its name.
    pub name: String,
    /// The part of it.
    pub sub: Option<String>,
}

/// Where a change is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// The attribute.
    pub attribute: AttributePath,
    /// Which of its values; `None` is all.
    pub which: Option<Filter>,
}

impl AttributePath {
    /// Reads `name` or `name.sub`, with or without a schema.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::path(format!("`{}` is no attribute", text.chars().take(80).collect::<String>()));
        let (foreign, plain) = without_schema(text);
        let mut parts = plain.split('.');
        let (Some(name), sub, None) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
        let fits = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
        };
        // What an extension calls its attributes is its own matter.
        if !(foreign || fits(name) && sub.is_none_or(fits)) {
            return Err(wrong());
        }
        Ok(Self { foreign, name: name.to_ascii_lowercase(), sub: sub.map(str::to_ascii_lowercase) })
    }
}

/// The rest after one of our two schemas; of another one, everything.
fn without_schema(text: &str) -> (bool, &str) {
    for schema in [user::SCHEMA, group::SCHEMA] {
        let prefix = text.get(..schema.len()).filter(|prefix| prefix.eq_ignore_ascii_case(schema));
        if let Some(rest) = prefix.and_then(|_| text.get(schema.len()..)?.strip_prefix(':')) {
            return (false, rest);
        }
    }
    let urn = text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("urn:"));
    (urn, text)
}

impl Path {
    /// Reads a whole path.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(ScimError::path(format!("a path has at most {PATH_BYTES_MAX} bytes")));
        }
        let Some((before, rest)) = text.split_once('[') else {
            return Ok(Self { attribute: AttributePath::parse(text)?, which: None });
        };
        let mut reader = Reader::of(rest)?;
        let which = reader.any()?;
        if reader.next() != Some(Token::Close(']')) {
            return Err(ScimError::path("`]` is missing in the path"));
        }
        let mut attribute = AttributePath::parse(before)?;
        match reader.next() {
            None => {}
            Some(Token::Word(word)) if word.starts_with('.') && attribute.sub.is_none() && reader.next().is_none() => {
                attribute = AttributePath::parse(&format!("{before}{word}"))?;
            }
            Some(_) => return Err(ScimError::path("what stands behind `]` is not understood")),
        }
        Ok(Self { attribute, which: Some(which) })
    }
}
