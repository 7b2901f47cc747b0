//! Who is signed in in a browser, and whether it was a page of ours that sent the form. Fails closed.
//!
//! The session's token travels in one cookie and nowhere else. A form carries the session's own token against forgery,
//! and its `Origin` must be ours: either alone would do, and neither is left out.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Redirect, Response},
};
use bailiwick_engine::sessions::{self, LIFE_MAX, Opened};
use bailiwick_model::{name::UserId, principal::Principal, session::Session};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use url::form_urlencoded;

use crate::{entrance::Entrance, problem::Problem};

/// Where people sign in. A page of ours that needs somebody sends them there, with `return_to`.
pub const SIGN_IN_PATH: &str = "/sign-in";
/// The field of a form that carries the session's token against forgery.
pub const FORM_TOKEN: &str = "form_token";
/// Characters of a place to come back to after signing in.
pub const RETURN_TO_CHARS_MAX: usize = 4_096;
/// Characters of our cookie's value: base64url of 32 bytes.
const TOKEN_CHARS: usize = 43;

/// Somebody who is signed in: as an extractor it sends everybody else to sign in first.
#[derive(Clone)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    form_token: String,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

impl SignedIn {
    /// Who.
    pub fn user(&self) -> &UserId {
        &self.session.user
    }

    /// The same, as whoever changes something.
    pub fn principal(&self) -> Principal {
        Principal::User(self.session.user.clone())
    }

    /// What each form of this session carries as [`FORM_TOKEN`].
    pub fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Refuses a form that no page of this session sent.
    pub fn check_form(
        &self,
        entrance: &Entrance,
        headers: &HeaderMap,
        form_token: Option<&str>,
    ) -> Result<(), Problem> {
        check_origin(entrance, headers)?;
        let sent = form_token.and_then(|token| URL_SAFE_NO_PAD.decode(token).ok()).unwrap_or_default();
        let ours = entrance.nonces().is_tag(&sent, FORM_TOKEN, &[self.session.token.as_bytes()]);
        if ours { Ok(()) } else { Err(forged("the form was not made for this session")) }
    }
}

/// Who a message's cookie says is signed in. `None` is nobody; a session that cannot be looked up is an error.
pub async fn find(entrance: &Entrance, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    let Some(token) = cookie(entrance, headers) else { return Ok(None) };
    let session = sessions::find(entrance.broker(), token).await.map_err(Problem::from)?;
    Ok(session.map(|session| {
        let tag = entrance.nonces().tag(FORM_TOKEN, &[session.token.as_bytes()]);
        SignedIn { form_token: URL_SAFE_NO_PAD.encode(tag), session }
    }))
}

/// Why nobody is signed in for a message.
#[derive(Debug)]
pub enum NotSignedIn {
    /// Nobody is: the way to sign in and to come back.
    Elsewhere(String),
    /// A form whose session has ended: it is not sent again by itself.
    Over(Problem),
    /// The session cannot be looked up.
    Unknown(Problem),
}

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        match self {
            Self::Elsewhere(url) => Redirect::to(&url).into_response(),
            Self::Over(problem) | Self::Unknown(problem) => problem.into_response(),
        }
    }
}

impl<S> FromRequestParts<S> for SignedIn
where
    Arc<Entrance>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, NotSignedIn> {
        let entrance = Arc::<Entrance>::from_ref(state);
        match find(&entrance, &parts.headers).await {
            Ok(Some(signed_in)) => Ok(signed_in),
            Ok(None) if matches!(parts.method, Method::GET | Method::HEAD) => {
                let here = parts.uri.path_and_query().map_or("/", |target| target.as_str());
                Err(NotSignedIn::Elsewhere(sign_in_url(&entrance, here)))
            }
            Ok(None) => {
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "not_signed_in", "nobody is signed in any more");
                Err(NotSignedIn::Over(problem.with_hint("sign in, then do it again")))
            }
            Err(problem) => Err(NotSignedIn::Unknown(problem)),
        }
    }
}

/// Where to sign in, to come back to `here` (a path with query of this broker).
pub fn sign_in_url(entrance: &Entrance, here: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(here) = return_to(here) {
        query.append_pair("return_to", here);
    }
    format!("{}{SIGN_IN_PATH}?{}", entrance.page_origin(), query.finish())
}

/// A place of this broker to go to after signing in: a path, and nothing that a browser could read as another host.
pub fn return_to(text: &str) -> Option<&str> {
    let ours = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= RETURN_TO_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    ours.then_some(text)
}

/// Refuses a form that was not sent by a page of ours. For those that nobody is signed in for, too.
pub fn check_origin(entrance: &Entrance, headers: &HeaderMap) -> Result<(), Problem> {
    let ours = |origin: &HeaderValue| origin.as_bytes().eq_ignore_ascii_case(entrance.page_origin().as_bytes());
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if ours(origin) => Ok(()),
        _ => Err(forged("the form was not sent by a page of this broker")),
    }
}

/// The cookie that signs a browser in: for all pages of this host, until it is closed or the session ends.
pub fn set_cookie(entrance: &Entrance, opened: &Opened) -> Result<HeaderValue, Problem> {
    cookie_line(entrance, opened.token.expose(), LIFE_MAX.as_secs())
}

/// Takes the cookie away.
pub fn clear_cookie(entrance: &Entrance) -> Result<HeaderValue, Problem> {
    cookie_line(entrance, "", 0)
}

fn cookie_line(entrance: &Entrance, value: &str, max_age_s: i64) -> Result<HeaderValue, Problem> {
    let secure = if is_secure(entrance) { "; Secure" } else { "" };
    let line =
        format!("{}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}", cookie_name(entrance));
    let mut line = HeaderValue::try_from(line)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no cookie could be made"))?;
    line.set_sensitive(true);
    Ok(line)
}

fn is_secure(entrance: &Entrance) -> bool {
    entrance.page_origin().starts_with("https://")
}

/// With the prefix that no other host and no plain connection can set; on loopback, where browsers share cookies among
/// ports, with the port.
fn cookie_name(entrance: &Entrance) -> String {
    if is_secure(entrance) {
        return "__Host-bailiwick".to_owned();
    }
    let port = entrance.page_origin().rsplit(':').next().filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    format!("bailiwick-{}", port.unwrap_or("80"))
}

/// Our cookie's value. Two of one name are none: somebody may have put one of them there.
fn cookie<'h>(entrance: &Entrance, headers: &'h HeaderMap) -> Option<&'h str> {
    let name = cookie_name(entrance);
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(cookie, _)| *cookie == name)
        .map(|(_, value)| value);
    let (value, None) = (found.next()?, found.next()) else { return None };
    (value.len() == TOKEN_CHARS).then_some(value)
}

fn forged(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "form_refused", detail).with_hint("open the page again and send its form")
}

#[cfg(test)]
mod tests;
