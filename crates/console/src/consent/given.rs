//! `GET /account/grants` and `POST /account/grants/withdraw`: what a user allowed agents, and taking it back. Whatever came
//! of it ends with it, from the very next call on.

use std::sync::Arc;

use askama::Template;
use axum::{Form, extract::State, response::Response};
use bailiwick_engine::authorization::{self, Given};
use bailiwick_model::id::GrantId;
use bailiwick_web::{entrance::Entrance, session::SignedIn};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{notice::Notice, question::see};

/// Where users see what they allowed.
pub const GIVEN_PATH: &str = "/account/grants";
/// Where they take it back.
pub(super) const WITHDRAW_PATH: &str = "/account/grants/withdraw";

/// What is to be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawal {
    grant: GrantId,
    form_token: String,
}

#[derive(Template)]
#[template(path = "consent/given.html")]
struct Page<'a> {
    given: &'a [Given],
    form_token: &'a str,
}

pub(crate) async fn list(State(entrance): State<Arc<Entrance>>, signed_in: SignedIn) -> Result<Response, Notice> {
    let given = authorization::given(entrance.broker(), signed_in.user());
    let html = Page { given: &given, form_token: signed_in.form_token() }.render();
    html.ok()
        .and_then(super::page::respond)
        .ok_or_else(|| Notice::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made"))
}

pub(crate) async fn withdraw(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Form(Withdrawal { grant, form_token }): Form<Withdrawal>,
) -> Result<Response, Notice> {
    signed_in.check_form(&entrance, &headers, Some(&form_token))?;
    authorization::withdraw(entrance.broker(), signed_in.user(), grant).await?;
    Ok(see(&format!("{}{GIVEN_PATH}", entrance.page_origin())))
}
