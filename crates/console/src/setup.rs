//! `/setup/<token>`: a one-time link, with which its user adds a passkey and is signed in. Looking at it uses nothing up.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use bailiwick_engine::{invitations, passkeys};
use bailiwick_model::authentication::{Authentication, ONE_TIME_LINK};
use bailiwick_oauth::form::Form;
use bailiwick_web::session;
use http::{HeaderMap, StatusCode};

use crate::{
    ceremonies::{Asked, Registrant},
    page,
    router::Console,
    sign_in,
    trouble::Trouble,
};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    asked: Asked,
    name: String,
    has_some: bool,
}

/// `GET /setup/<token>`.
pub(crate) async fn page(State(console): State<Console>, Path(token): Path<String>) -> Result<Response, Trouble> {
    let broker = console.entrance.broker();
    let (link, user) = invitations::find(broker, &token).await?.ok_or(Trouble::Link)?;
    let has_some = !passkeys::of_user(broker, &user.id).await?.is_empty();
    let asked = console.ceremonies.ask_registration(broker, &user, Some(link)).await?;
    Ok(page::page(StatusCode::OK, &SetupPage { asked, name: user.name.clone(), has_some }))
}

/// `POST /setup/<token>`.
pub(crate) async fn add_passkey(
    State(console): State<Console>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Trouble> {
    session::check_origin(&console.entrance, &headers)?;
    let broker = console.entrance.broker();
    let (link, user) = invitations::find(broker, &token).await?.ok_or(Trouble::Link)?;
    let mut form = Form::parse(&body)?;
    let (id, answer) = (form.require("ceremony")?, form.require("credential")?);
    let name = form.require("name")?;
    let registrant = Registrant { user: user.id.clone(), link: Some(link) };
    console.ceremonies.register(broker, &id, &answer, (&registrant, &name)).await?;
    // Making a passkey proves presence; what holds the key is only known when it signs.
    let methods = BTreeSet::from([ONE_TIME_LINK.to_owned(), "user".to_owned()]);
    let authentication = Authentication { at: broker.now(), methods, acr: None };
    sign_in::opened(&console, &headers, (&user.id, authentication), "/account").await
}
