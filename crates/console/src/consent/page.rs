//! What every page is sent with: nothing from elsewhere, no script, no frame, no cache.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

/// A page whose forms go to this broker alone.
pub(crate) fn respond(html: String) -> Option<Response> {
    with_policy(html, "")
}

/// A page whose form is answered with a redirect to `origin`: browsers hold that against `form-action` too.
pub(crate) fn respond_with_form_to(html: String, origin: &str) -> Option<Response> {
    // A host may not hold them, but a policy must not be widened by what we did not think of.
    let one_source = !origin.contains([' ', ';', ',', '\'', '*']);
    one_source.then(|| with_policy(html, &format!(" {origin}"))).flatten()
}

fn with_policy(html: String, form_targets: &str) -> Option<Response> {
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{form_targets}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).ok()?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // With `no-referrer` a form's `Origin` would be `null`, and forgery could not be told from our own.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    Some((headers, html).into_response())
}
