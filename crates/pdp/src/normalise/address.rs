//! Mail addresses. Only the plain form that people write; the odd forms of
//! RFC 5322 (quotes, comments, routes, display names) are refused.

use super::{Refused, plain};

/// Bytes before the `@` (RFC 5321 §4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;

/// The one spelling of a mail address: the domain in lower case and ASCII, the
/// rest as it stands (RFC 5321 §2.4 leaves its case to the receiving system).
pub fn email(text: &str) -> Result<String, Refused> {
    plain(text)?;
    let (local, domain) = text.split_once('@').ok_or(Refused("has no `@`"))?;
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-/=?^_`{|}~.".contains(&byte);
    // `%` and `!` once meant "relay through": no one sends such mail on purpose.
    if !local.bytes().all(ordinary) || local.contains('!') {
        return Err(Refused("has characters before the `@` that plain addresses do not have"));
    }
    if local.is_empty() || local.len() > LOCAL_BYTES_MAX || local.split('.').any(str::is_empty) {
        return Err(Refused("has no plain name before the `@`"));
    }
    if domain.contains(['%', '@', '[', ']']) {
        return Err(Refused("has no plain domain after the `@`"));
    }
    match url::Host::parse(domain.strip_suffix('.').unwrap_or(domain)) {
        Ok(url::Host::Domain(domain)) if is_domain(&domain) => Ok(format!("{local}@{domain}")),
        _ => Err(Refused("has no plain domain after the `@`")),
    }
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label)
}
