//! `GET` and `POST /oauth/consent`: a user is asked whether an agent may act for them, and answers. Works without JavaScript.
//!
//! The page cannot be framed, and its form goes to this broker and on to the client's redirect URI, nowhere else: browsers
//! hold redirects of a form against `form-action` too, so the page names that origin.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::authorization::{self, Lasting, Opened, Question, Visitor};
use bailiwick_model::redirect_uri::RedirectUri;
use bailiwick_web::{
    entrance::Entrance,
    session::{self, SignedIn},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{notice::Notice, words};

/// Where users are asked: below the authorization endpoint, from where a form may lead on to a client.
pub const CONSENT_PATH: &str = "/oauth/consent";

/// Names a question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    request: String,
}

/// An answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    request: String,
    form_token: String,
    lasting: Choice,
    decision: Decision,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Choice {
    Session,
    Day,
    Month,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Allow,
    Refuse,
}

impl From<Choice> for Lasting {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Session => Self::Session,
            Choice::Day => Self::Day,
            Choice::Month => Self::Month,
        }
    }
}

#[derive(Template)]
#[template(path = "consent/question.html")]
struct Page<'a> {
    question: &'a Question,
    request: &'a str,
    form_token: &'a str,
    user: &'a str,
    goes_to: &'a str,
    choices: Vec<(&'static str, String)>,
}

pub(crate) async fn show(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    Query(Asked { request }): Query<Asked>,
) -> Result<Response, Notice> {
    match authorization::open(entrance.broker(), &request, &visitor(&signed_in)).await? {
        Opened::Answer(location) => Ok(see(&location)),
        Opened::SignIn => Ok(see(&sign_in_anew(&entrance, &request))),
        Opened::Question(question) => page(&entrance, &question, &request, &signed_in),
    }
}

pub(crate) async fn decide(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Form(Answer { request, form_token, lasting, decision }): Form<Answer>,
) -> Result<Response, Notice> {
    signed_in.check_form(&entrance, &headers, Some(&form_token))?;
    let (broker, visitor) = (entrance.broker(), visitor(&signed_in));
    let location = match decision {
        Decision::Allow => authorization::allow(broker, &request, &visitor, lasting.into()).await?,
        Decision::Refuse => authorization::refuse(broker, &request, &visitor).await?,
    };
    Ok(see(&location))
}

/// Whoever is signed in, as the engine sees them.
pub(crate) fn visitor(signed_in: &SignedIn) -> Visitor {
    Visitor {
        user: signed_in.user().clone(),
        authentication: signed_in.session.authentication.clone(),
        session_ends_at: signed_in.session.ends_at,
    }
}

/// The path of a question.
pub(crate) fn path(handle: &str) -> String {
    format!("{CONSENT_PATH}?request={handle}")
}

/// The URL of a question.
pub(crate) fn where_asked(entrance: &Entrance, handle: &str) -> String {
    format!("{}{}", entrance.page_origin(), path(handle))
}

/// Where somebody proves anew who they are, though they are signed in, and comes back to a question.
pub(crate) fn sign_in_anew(entrance: &Entrance, handle: &str) -> String {
    format!("{}&step_up=1", session::sign_in_url(entrance, &path(handle)))
}

/// Sends a browser on by `GET`, whatever it came with.
pub(crate) fn see(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn page(entrance: &Entrance, question: &Question, request: &str, signed_in: &SignedIn) -> Result<Response, Notice> {
    let broken = || Notice::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made");
    let goes_to = question.redirect_uri.as_deref().and_then(RedirectUri::origin_of).ok_or_else(broken)?;
    let live = entrance.broker().live();
    let user = live.users.get(signed_in.user()).map_or("", |user| user.name.as_str());
    let html = Page {
        question,
        request,
        form_token: signed_in.form_token(),
        user,
        goes_to: &goes_to,
        choices: question.until.iter().map(|(lasting, until)| words::choice(*lasting, *until)).collect(),
    }
    .render()
    .map_err(|_| broken())?;
    super::page::respond_with_form_to(html, &goes_to).ok_or_else(broken)
}
