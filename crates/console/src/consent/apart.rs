//! `/device` and `/account/requests`: a user answers an agent that is not at their browser: a device whose code they type in
//! (RFC 8628 §3.3), or a request that came by the back channel (CIBA). Each wants a fresh passkey.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{FromRef, Path, Query, State},
    response::Response,
};
use bailiwick_engine::{
    authorization::{
        Lasting, Question,
        apart::{self, Seen},
    },
    refusal::Refusal,
};
use bailiwick_model::{consent_request::ConsentRequest, id::ConsentRequestId, name::AgentName};
use bailiwick_web::{
    entrance::{DEVICE_PATH, Entrance},
    session::{self, SignedIn},
    throttle::{Allowance, Throttle, Throttled},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{
    notice::Notice,
    question::{Choice, Decision, see, visitor},
    words,
};

/// Where users see who waits for them.
pub const REQUESTS_PATH: &str = "/account/requests";
/// Wrong codes of one user: 34.5 bits are not guessed with five tries and one a minute (RFC 8628 §5.1).
const WRONG_CODES: Allowance = Allowance { burst: 5, refill_s: 60, keys_max: 65_536 };
/// Characters of what the address of a page may put into its field.
const CODE_CHARACTERS_MAX: usize = 16;

/// What these pages need.
#[derive(Clone)]
pub(crate) struct Apart {
    entrance: Arc<Entrance>,
    tries: Arc<Throttle>,
}

impl Apart {
    pub(crate) fn new(entrance: Arc<Entrance>) -> Self {
        Self { entrance, tries: Arc::new(Throttle::new(WRONG_CODES)) }
    }
}

impl FromRef<Apart> for Arc<Entrance> {
    fn from_ref(apart: &Apart) -> Self {
        Self::clone(&apart.entrance)
    }
}

/// What the address of the page may say.
#[derive(Debug, Deserialize)]
pub(crate) struct Prefilled {
    #[serde(default)]
    user_code: String,
}

/// A code that somebody typed in, or confirmed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typed {
    user_code: String,
    form_token: String,
}

/// An answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    form_token: String,
    lasting: Choice,
    decision: Decision,
}

#[derive(Template)]
#[template(path = "consent/device.html")]
struct DevicePage<'a> {
    user: &'a str,
    code: &'a str,
    wrong: Option<&'a str>,
    form_token: &'a str,
}

#[derive(Template)]
#[template(path = "consent/requests.html")]
struct RequestsPage<'a> {
    waiting: &'a [ConsentRequest],
}

#[derive(Template)]
#[template(path = "consent/request.html")]
struct RequestPage<'a> {
    asked: &'a ConsentRequest,
    question: &'a Question,
    user: &'a str,
    form_token: &'a str,
    choices: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "consent/answered.html")]
struct AnsweredPage<'a> {
    agent: &'a AgentName,
    allowed: bool,
}

pub(crate) async fn device(
    State(apart): State<Apart>,
    signed_in: SignedIn,
    Query(Prefilled { user_code }): Query<Prefilled>,
) -> Result<Response, Notice> {
    let code: String = user_code.chars().take(CODE_CHARACTERS_MAX).collect();
    device_page(&apart, &signed_in, &code, None)
}

pub(crate) async fn enter(
    State(apart): State<Apart>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Form(Typed { user_code, form_token }): Form<Typed>,
) -> Result<Response, Notice> {
    signed_in.check_form(&apart.entrance, &headers, Some(&form_token))?;
    let (broker, user) = (apart.entrance.broker(), signed_in.user().as_str());
    // Before it is looked up: many at once are no more tries than one after the other.
    if let Err(Throttled { retry_after_s }) = apart.tries.take(user, broker.now()) {
        let wait = format!("too many wrong codes: wait {retry_after_s} seconds");
        return Err(Notice::new(StatusCode::TOO_MANY_REQUESTS, wait));
    }
    let found = apart::by_code(broker, &visitor(&signed_in), &user_code).await;
    if let Err(Refusal::Missing(_)) = found {
        return device_page(&apart, &signed_in, "", Some("No device waits with this code. Codes last five minutes."));
    }
    apart.tries.give_back(user);
    Ok(see(&format!("{}{REQUESTS_PATH}/{}", apart.entrance.page_origin(), found?)))
}

pub(crate) async fn list(State(entrance): State<Arc<Entrance>>, signed_in: SignedIn) -> Result<Response, Notice> {
    let waiting = apart::waiting(entrance.broker(), signed_in.user()).await?;
    respond(&RequestsPage { waiting: &waiting })
}

pub(crate) async fn show(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Notice> {
    let broker = entrance.broker();
    let visitor = visitor(&signed_in);
    let Some(Seen { request, question }) = apart::open(broker, &visitor, named(&id)?).await? else {
        return Ok(see(&sign_in_anew(&entrance, &id)));
    };
    respond(&RequestPage {
        asked: &request,
        question: &question,
        user: &name(&entrance, &signed_in),
        form_token: signed_in.form_token(),
        choices: question.until.iter().map(|(lasting, until)| words::choice(*lasting, *until)).collect(),
    })
}

pub(crate) async fn decide(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(Answer { form_token, lasting, decision }): Form<Answer>,
) -> Result<Response, Notice> {
    signed_in.check_form(&entrance, &headers, Some(&form_token))?;
    let allowed = match decision {
        Decision::Allow => Some(Lasting::from(lasting)),
        Decision::Refuse => None,
    };
    let agent = apart::answer(entrance.broker(), &visitor(&signed_in), named(&id)?, allowed).await?;
    respond(&AnsweredPage { agent: &agent, allowed: allowed.is_some() })
}

fn named(id: &str) -> Result<ConsentRequestId, Notice> {
    id.parse().map_err(|_| Refusal::Missing("this request".to_owned()).into())
}

fn sign_in_anew(entrance: &Entrance, id: &str) -> String {
    format!("{}&step_up=1", session::sign_in_url(entrance, &format!("{REQUESTS_PATH}/{id}")))
}

fn name(entrance: &Entrance, signed_in: &SignedIn) -> String {
    entrance.broker().live().users.get(signed_in.user()).map_or(String::new(), |user| user.name.clone())
}

fn device_page(apart: &Apart, signed_in: &SignedIn, code: &str, wrong: Option<&str>) -> Result<Response, Notice> {
    let user = name(&apart.entrance, signed_in);
    respond(&DevicePage { user: &user, code, wrong, form_token: signed_in.form_token() })
}

fn respond(page: &impl Template) -> Result<Response, Notice> {
    let html = page.render().ok().and_then(super::page::respond);
    html.ok_or_else(|| Notice::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made"))
}

/// Where the code of a device is typed in.
pub(crate) const ENTER_PATH: &str = DEVICE_PATH;
