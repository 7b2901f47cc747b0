//! Headers that every answer carries, and the caller's own id for its call.
//! Must not carry anything about the caller outside the answer to it.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue, header};

/// Characters of an `X-Request-ID` that is echoed; a longer one is ignored.
pub const REQUEST_ID_CHARS_MAX: usize = 128;

/// The header with the caller's own id for its call.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a browser may do with our answers: nothing. Pages set their own `Content-Security-Policy` and keep it.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    // Decisions, tokens and evidence are for their caller and for now; what may be kept says so itself.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The caller's own id for its call, bounded and harmless, in the extensions of each request that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRequestId(pub HeaderValue);

/// Adds the security headers unless the handler set them: `axum::middleware::from_fn(headers::security)`.
pub async fn security(message: Request, next: Next) -> Response {
    let mut response = next.run(message).await;
    secure(&mut response);
    response
}

/// Adds the security headers unless they are set.
pub(crate) fn secure(response: &mut Response) {
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
}

/// Adds `Strict-Transport-Security`, for listeners whose `public_url` is https.
pub(crate) fn insist_on_https(response: &mut Response) {
    let two_years = HeaderValue::from_static("max-age=63072000");
    response.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert(two_years);
}

/// Echoes `X-Request-ID` when it is harmless: `axum::middleware::from_fn(headers::request_id)`.
pub async fn request_id(mut message: Request, next: Next) -> Response {
    let id = take_id(&mut message);
    let mut response = next.run(message).await;
    give_id(&mut response, id);
    response
}

/// The caller's own id, if it is harmless, which the message tells in its extensions from now on.
pub(crate) fn take_id(message: &mut Request) -> Option<HeaderValue> {
    let id = harmless(message.headers().get(X_REQUEST_ID))?;
    message.extensions_mut().insert(CallerRequestId(id.clone()));
    Some(id)
}

/// Echoes the caller's own id.
pub(crate) fn give_id(response: &mut Response, id: Option<HeaderValue>) {
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
}

fn harmless(value: Option<&HeaderValue>) -> Option<HeaderValue> {
    let value = value?;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let bytes = value.as_bytes();
    (!bytes.is_empty() && bytes.len() <= REQUEST_ID_CHARS_MAX && bytes.iter().all(fits)).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_echoed() {
        let check = |text: &str, expected: bool| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            assert_eq!(harmless(Some(&value)).is_some(), expected, "{text:?}");
        };
        check("bfe9eb29-ab87-4ca3-be83-a1d5d8305716", true);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736/1", true);
        check("", false);
        check("<script>", false);
        check("a b", false);
        check("a\tb", false);
        check("naïve", false);
        check(&"x".repeat(REQUEST_ID_CHARS_MAX), true);
        check(&"x".repeat(REQUEST_ID_CHARS_MAX + 1), false);
    }
}
