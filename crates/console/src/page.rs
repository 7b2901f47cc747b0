//! How a page goes out: rendered, and with what a browser may do with it.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

/// Nothing but our own style sheet and script, no frame around it, no text that becomes script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Where the forms of a page may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormsLead {
    /// To us alone.
    Here,
    /// To us, and from there on to the client that sent its user: browsers hold a form's redirects against its page.
    OnToAClient,
    /// To us, and from there on to where a system signs its users in.
    Elsewhere,
}

/// A page.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    page_with(status, template, FormsLead::Here)
}

/// A page whose forms may lead elsewhere.
pub(crate) fn page_with(status: StatusCode, template: &impl Template, forms: FormsLead) -> Response {
    let Ok(html) = template.render() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n").into_response();
    };
    let policy = match forms {
        FormsLead::Here => format!("{POLICY}; form-action 'self'"),
        FormsLead::OnToAClient | FormsLead::Elsewhere => POLICY.to_owned(),
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // Without a referrer browsers send `Origin: null` with a form, which is nobody's.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
