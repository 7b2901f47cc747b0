//! URLs, by the WHATWG rules that clients follow, made stricter.

use url::Url;

use super::{Refused, plain};

/// How often a percent sign may hide another one before the URL is refused.
const DECODINGS_MAX: usize = 4;

/// The one spelling of an absolute URL: scheme and host in lower case, no
/// default port, dot segments resolved, no final dot in the host, and no
/// percent-encoding of characters that need none. Refused: user information,
/// fragments, backslashes, and encodings that hide a dot segment or a NUL.
pub fn url(text: &str) -> Result<String, Refused> {
    plain(text)?;
    if text.contains('\\') {
        return Err(Refused("contains a backslash, which clients read as `/`"));
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(Refused("starts or ends with a space"));
    }
    let mut url = Url::parse(text).map_err(|_| Refused("is not an absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() || has_empty_user(text) {
        return Err(Refused("carries user information before the host"));
    }
    if text.contains('#') {
        return Err(Refused("carries a fragment, which the other side never sees"));
    }
    if let Some(host) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned)
        && (host.is_empty() || host.ends_with('.') || url.set_host(Some(&host)).is_err())
    {
        return Err(Refused("names no plain host"));
    }
    hides_nothing(url.path())?;
    let path = plain_encoding(url.path())?;
    let query = url.query().map(plain_encoding).transpose()?;
    let origin_end = url.as_str().len() - suffix_length(&url);
    let before = url.as_str().get(..origin_end).unwrap_or_default();
    Ok(match query {
        Some(query) => format!("{before}{path}?{query}"),
        None => format!("{before}{path}"),
    })
}

/// Bytes of path, `?` and query at the end of a serialised URL without fragment.
fn suffix_length(url: &Url) -> usize {
    url.path().len() + url.query().map_or(0, |query| query.len() + 1)
}

/// `https://@host` carries an empty user, which the parser drops silently.
fn has_empty_user(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|host| host.contains('@')))
}

/// Refuses a path of which some decoding has a dot segment or a NUL.
fn hides_nothing(path: &str) -> Result<(), Refused> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..DECODINGS_MAX {
        let decoded = decode(&bytes);
        if decoded == bytes {
            return Ok(());
        }
        if decoded.contains(&0) {
            return Err(Refused("hides a NUL in its encoding"));
        }
        let dots = |segment: &[u8]| segment == b"." || segment == b"..";
        if decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(dots) {
            return Err(Refused("hides a `.` or `..` segment in its encoding"));
        }
        bytes = decoded;
    }
    Err(Refused("is encoded too many times over"))
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match after.get(..2).filter(|_| *first == b'%').and_then(hex_pair) {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    match pair {
        [high, low] => {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(*high)? * 16 + digit(*low)?)
        }
        _ => None,
    }
}

/// RFC 3986 §6.2.2: unreserved characters stand for themselves, other
/// encodings have upper-case digits. A stray `%` is refused.
fn plain_encoding(text: &str) -> Result<String, Refused> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(rest.get(..at).unwrap_or_default());
        let pair = rest.get(at + 1..at + 3).ok_or(Refused("has a `%` that encodes nothing"))?;
        let byte = hex_pair(pair.as_bytes()).ok_or(Refused("has a `%` that encodes nothing"))?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            plain.push('%');
            plain.push_str(&pair.to_ascii_uppercase());
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    plain.push_str(rest);
    Ok(plain)
}
