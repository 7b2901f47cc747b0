//! `/account`: what a person has here: passkeys and open sessions, and how to end them.

use askama::Template;
use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use bailiwick_engine::{passkeys, refusal::Refusal, sessions};
use bailiwick_model::{id::BrowserSessionId, user::ADMINISTRATORS};
use bailiwick_oauth::form::Form;
use bailiwick_web::{
    entrance::Entrance,
    session::{self, FORM_TOKEN, NotSignedIn, SignedIn},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};

use crate::{
    ceremonies::{Asked, Registrant},
    page::page as render,
    router::Console,
    trouble::Trouble,
};

/// How long ago somebody may have proved who they are who changes passkeys: whoever has a cookie alone could add one of
/// their own and take the owner's away. By what they proved it counts as well: a passkey outlasts what another provider says.
const PROVED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

struct PasskeyRow {
    id: String,
    name: String,
    added: String,
    used: String,
}

struct SessionRow {
    id: String,
    here: bool,
    since: String,
    until: String,
    by: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    name: String,
    id: String,
    administrator: bool,
    form_token: String,
    passkeys: Vec<PasskeyRow>,
    sessions: Vec<SessionRow>,
}

#[derive(Template)]
#[template(path = "new_passkey.html")]
struct NewPasskeyPage {
    asked: Asked,
    form_token: String,
}

/// Somebody who is signed in; everybody else gets a page that says so.
type Known = Result<SignedIn, NotSignedIn>;

/// `GET /account`.
pub(crate) async fn page(State(console): State<Console>, known: Known) -> Result<Response, Trouble> {
    let (signed_in, broker) = (known?, console.entrance.broker());
    let user = broker.live().users.get(signed_in.user()).cloned();
    let user = user.ok_or_else(|| Refusal::Missing("this user".to_owned()))?;
    let passkeys = passkeys::of_user(broker, &user.id).await?.into_iter().map(|passkey| PasskeyRow {
        id: URL_SAFE_NO_PAD.encode(&passkey.credential),
        name: passkey.name,
        added: minute(passkey.created_at),
        used: passkey.last_used_at.map_or_else(|| "never".to_owned(), minute),
    });
    let sessions = sessions::of_user(broker, &user.id).await?.into_iter().map(|session| SessionRow {
        here: session.id == signed_in.session.id,
        id: session.id.to_string(),
        since: minute(session.created_at),
        until: minute(session.ends_at),
        by: session.authentication.methods.iter().map(|method| words(method)).collect::<Vec<_>>().join(", "),
    });
    let template = AccountPage {
        name: user.name.clone(),
        id: user.id.to_string(),
        administrator: user.groups.contains(ADMINISTRATORS),
        form_token: signed_in.form_token().to_owned(),
        passkeys: passkeys.collect(),
        sessions: sessions.collect(),
    };
    Ok(render(StatusCode::OK, &template))
}

/// A form that one of this session's own pages sent.
fn posted(console: &Console, known: Known, headers: &HeaderMap, body: &[u8]) -> Result<(SignedIn, Form), Trouble> {
    let (signed_in, mut form) = (known?, Form::parse(body)?);
    signed_in.check_form(&console.entrance, headers, form.take(FORM_TOKEN).as_deref())?;
    Ok((signed_in, form))
}

/// Where whoever has not proved who they are lately does so again, before their passkeys change. Whoever took over an account
/// at another provider gains nothing here that lasts.
fn to_prove_again(console: &Console, signed_in: &SignedIn, here: &str) -> Result<Option<Response>, Trouble> {
    if !signed_in.session.authentication.is_own() {
        return Err(Trouble::PasskeyFirst);
    }
    Ok(to_prove_lately(&console.entrance, signed_in, here))
}

/// Where whoever has not proved who they are lately does so again, in whichever way they sign in.
pub(crate) fn to_prove_lately(entrance: &Entrance, signed_in: &SignedIn, here: &str) -> Option<Response> {
    let age = entrance.broker().now().duration_since(signed_in.session.authentication.at);
    let again = || format!("{}&step_up=1", session::sign_in_url(entrance, here));
    (age > PROVED_WITHIN).then(|| Redirect::to(&again()).into_response())
}

/// `GET /account/passkeys/new`.
pub(crate) async fn new_passkey(State(console): State<Console>, known: Known) -> Result<Response, Trouble> {
    let (signed_in, broker) = (known?, console.entrance.broker());
    if let Some(again) = to_prove_again(&console, &signed_in, "/account/passkeys/new")? {
        return Ok(again);
    }
    let user = broker.live().users.get(signed_in.user()).cloned();
    let user = user.ok_or_else(|| Refusal::Missing("this user".to_owned()))?;
    let asked = console.ceremonies.ask_registration(broker, &user, None).await?;
    Ok(render(StatusCode::OK, &NewPasskeyPage { asked, form_token: signed_in.form_token().to_owned() }))
}

/// `POST /account/passkeys`.
pub(crate) async fn add_passkey(
    State(console): State<Console>,
    known: Known,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let (signed_in, mut form) = posted(&console, known, &headers, &body)?;
    if let Some(again) = to_prove_again(&console, &signed_in, "/account/passkeys/new")? {
        return Ok(again);
    }
    let (id, answer) = (form.require("ceremony")?, form.require("credential")?);
    let name = form.require("name")?;
    let registrant = Registrant { user: signed_in.user().clone(), link: None };
    console.ceremonies.register(console.entrance.broker(), &id, &answer, (&registrant, &name)).await?;
    Ok(Redirect::to("/account").into_response())
}

/// `POST /account/passkeys/remove`.
pub(crate) async fn remove_passkey(
    State(console): State<Console>,
    known: Known,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let (signed_in, mut form) = posted(&console, known, &headers, &body)?;
    if let Some(again) = to_prove_again(&console, &signed_in, "/account")? {
        return Ok(again);
    }
    let unknown = || Refusal::Missing("this passkey".to_owned());
    let credential = URL_SAFE_NO_PAD.decode(form.require("passkey")?).map_err(|_| unknown())?;
    let broker = console.entrance.broker();
    passkeys::remove(broker, &signed_in.principal(), signed_in.user(), credential).await?;
    // Whoever signed in with it elsewhere is not to stay.
    let elsewhere = sessions::of_user(broker, signed_in.user()).await?;
    for session in elsewhere.iter().filter(|session| session.id != signed_in.session.id) {
        sessions::close(broker, &signed_in.principal(), session).await?;
    }
    Ok(Redirect::to("/account").into_response())
}

/// `POST /account/sessions/end`.
pub(crate) async fn end_session(
    State(console): State<Console>,
    known: Known,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let (signed_in, mut form) = posted(&console, known, &headers, &body)?;
    let id: BrowserSessionId =
        form.parsed("session", "a session")?.ok_or_else(|| Refusal::Missing("this session".to_owned()))?;
    let broker = console.entrance.broker();
    // Only one's own: an id of somebody else is not among them.
    let own = sessions::of_user(broker, signed_in.user()).await?;
    let found = own.iter().find(|session| session.id == id);
    let found = found.ok_or_else(|| Refusal::Missing("this session".to_owned()))?;
    sessions::close(broker, &signed_in.principal(), found).await?;
    Ok(Redirect::to("/account").into_response())
}

pub(crate) fn minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect::<String>().replace('T', " ") + " UTC"
}

/// A method of RFC 8176 in words.
fn words(method: &str) -> &str {
    match method {
        "hwk" => "passkey of one device",
        "swk" => "synchronised passkey",
        "user" => "in person",
        "otp" => "one-time link",
        "fed" => "another provider",
        other => other,
    }
}
