//! One spelling per value, so that a policy that compares text compares what
//! is meant. Refuses what has no single meaning; never asks the outside.
//!
//! The upstream gets the value as it was sent. A normaliser therefore only
//! says what a value means by the rules of its kind; it cannot know symbolic
//! links, case-insensitive disks or mail systems with rules of their own.

mod address;
mod uri;

use serde::{Deserialize, Serialize};

pub use self::{address::email, uri::url};

/// Bytes of one value that is normalised.
pub const NORMALISED_BYTES_MAX: usize = 8_192;

/// How an argument is brought to one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// An absolute path with `/`, see [`path`].
    Path,
    /// An absolute URL, see [`url`].
    Url,
    /// A mail address, see [`email`].
    Email,
}

impl Normaliser {
    /// As written in the catalogue.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Url => "url",
            Self::Email => "email",
        }
    }

    /// The one spelling of `text`.
    pub fn apply(self, text: &str) -> Result<String, Refused> {
        match self {
            Self::Path => path(text),
            Self::Url => url(text),
            Self::Email => email(text),
        }
    }
}

/// A value that has no single spelling: a fragment that says why, after "it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

/// The one spelling of an absolute path: `.`, `..`, `//` and a trailing `/`
/// are resolved by the text alone, `..` above the root stays at the root.
/// Percent signs are ordinary characters.
pub fn path(text: &str) -> Result<String, Refused> {
    plain(text)?;
    if text.contains('\\') {
        return Err(Refused("contains a backslash, which some systems read as a separator"));
    }
    let Some(relative) = text.strip_prefix('/') else {
        return Err(Refused("is not an absolute path that starts with `/`"));
    };
    let mut components: Vec<&str> = Vec::new();
    for component in relative.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    Ok(format!("/{}", components.join("/")))
}

/// Whether a path is `folder` itself or lies under it, component by component
/// (`/data` holds `/data/a` and not `/database`). Both are normalised first.
pub fn path_is_under(folder: &str, text: &str) -> Result<bool, Refused> {
    let (folder, path) = (path(folder)?, path(text)?);
    let folder = folder.trim_end_matches('/');
    Ok(path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Refuses what cannot be read as it stands: nothing at all, too much, control
/// characters, and characters that are invisible or turn the direction of text.
pub fn plain(text: &str) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(Refused("is empty"));
    }
    if text.len() > NORMALISED_BYTES_MAX {
        return Err(Refused("is longer than 8,192 bytes"));
    }
    if text.chars().any(is_hidden) {
        return Err(Refused("contains a control character, or one that is invisible or turns the direction of text"));
    }
    Ok(())
}

/// Whether a reader would not see this character, or be misled by it:
/// controls, bidirectional formatting, zero-width and tag characters.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
