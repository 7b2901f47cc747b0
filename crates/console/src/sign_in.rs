//! `/sign-in` and `/sign-out`: the ways to a session are a passkey, the link that makes the first one, and the providers that
//! the operator named.

use askama::Template;
use axum::{
    Extension,
    body::Bytes,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use bailiwick_engine::sessions::{self, Opened};
use bailiwick_model::{grant::Authentication, name::UserId};
use bailiwick_oauth::form::Form;
use bailiwick_web::{
    address::Peer,
    session::{self, FORM_TOKEN, SignedIn},
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{
    ceremonies::Asked,
    federated::{self, Choice},
    page::{FormsLead, page_with},
    router::Console,
    trouble::Trouble,
};

/// Where the authorization endpoint is: from there a form may lead on to a client.
const AUTHORIZATION_PREFIX: &str = "/oauth/";

/// What the address of the page may say.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wish {
    /// Where to go afterwards.
    pub(crate) return_to: Option<String>,
    /// Sign in again, though somebody is signed in.
    pub(crate) step_up: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    /// `None` where there can be no passkeys.
    asked: Option<Asked>,
    providers: Vec<Choice>,
    return_to: String,
    again: bool,
}

/// `GET /sign-in`.
pub(crate) async fn page(
    State(console): State<Console>,
    Query(wish): Query<Wish>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let from = console.slow_down(peer, &headers)?;
    let broker = console.entrance.broker();
    let return_to = wish.return_to.as_deref().and_then(session::return_to).unwrap_or("/account").to_owned();
    let again = wish.step_up.is_some();
    let signed_in = session::find(&console.entrance, &headers).await?.is_some();
    if signed_in && !again {
        return Ok(Redirect::to(&return_to).into_response());
    }
    let forms = if return_to.starts_with(AUTHORIZATION_PREFIX) { FormsLead::OnToAClient } else { FormsLead::Here };
    let providers = federated::choices(&console, &return_to, again);
    let asked = match console.ceremonies.ask_sign_in(broker, &from) {
        Ok(asked) => Some(asked),
        Err(Trouble::NoName) if !providers.is_empty() => None,
        Err(trouble) => return Err(trouble),
    };
    Ok(page_with(StatusCode::OK, &SignInPage { asked, providers, return_to, again: signed_in }, forms))
}

/// `POST /sign-in`.
pub(crate) async fn sign_in(
    State(console): State<Console>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    session::check_origin(&console.entrance, &headers)?;
    let mut form = Form::parse(&body)?;
    let (id, answer) = (form.require("ceremony")?, form.require("credential")?);
    let return_to = form.take("return_to");
    let return_to = return_to.as_deref().and_then(session::return_to).unwrap_or("/account");
    let (user, authentication) = console.ceremonies.sign_in(console.entrance.broker(), &id, &answer).await?;
    opened(&console, &headers, (&user, authentication), return_to).await
}

/// Signs a browser in: under a token of its own, and the session that it had is closed.
pub(crate) async fn opened(
    console: &Console,
    headers: &HeaderMap,
    (user, authentication): (&UserId, Authentication),
    return_to: &str,
) -> Result<Response, Trouble> {
    let opened = sessions::open(console.entrance.broker(), user, authentication).await?;
    leads_on(console, headers, &opened, return_to).await
}

/// Gives a browser the session that was opened for it in the place of the one that it had, and leads on.
pub(crate) async fn leads_on(
    console: &Console,
    headers: &HeaderMap,
    opened: &Opened,
    return_to: &str,
) -> Result<Response, Trouble> {
    let broker = console.entrance.broker();
    let before = session::find(&console.entrance, headers).await?;
    if let Some(before) = before {
        sessions::close(broker, &before.principal(), &before.session).await?;
    }
    let cookie = session::set_cookie(&console.entrance, opened)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(return_to)).into_response())
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(
    State(console): State<Console>,
    signed_in: SignedIn,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    let mut form = Form::parse(&body)?;
    signed_in.check_form(&console.entrance, &headers, form.take(FORM_TOKEN).as_deref())?;
    sessions::close(console.entrance.broker(), &signed_in.principal(), &signed_in.session).await?;
    let cookie = session::clear_cookie(&console.entrance)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(session::SIGN_IN_PATH)).into_response())
}
