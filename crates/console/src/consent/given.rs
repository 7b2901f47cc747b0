//! `GET /account/grants`, `POST /account/grants/withdraw` and `POST /account/requests/withdraw`: what a user allowed agents,
//! and taking it back. Whatever came of it ends with it, from the very next call on; what no agent came for yet is refused.

use std::sync::Arc;

use askama::Template;
use axum::{Form, extract::State, response::Response};
use bailiwick_engine::authorization::{self, Given, apart};
use bailiwick_model::{
    consent_request::ConsentRequest,
    id::{ConsentRequestId, GrantId},
};
use bailiwick_web::{entrance::Entrance, session::SignedIn};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{notice::Notice, question::see};

/// Where users see what they allowed.
pub const GIVEN_PATH: &str = "/account/grants";
/// Where they take it back.
pub(super) const WITHDRAW_PATH: &str = "/account/grants/withdraw";
/// Where they take back what its agent has not come for.
pub(super) const WITHDRAW_REQUEST_PATH: &str = "/account/requests/withdraw";

/// What is to be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawal {
    grant: GrantId,
    form_token: String,
}

/// The same of what no agent came for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestWithdrawal {
    request: ConsentRequestId,
    form_token: String,
}

#[derive(Template)]
#[template(path = "consent/given.html")]
struct Page<'a> {
    given: &'a [Given],
    unfetched: &'a [ConsentRequest],
    form_token: &'a str,
}

pub(crate) async fn list(State(entrance): State<Arc<Entrance>>, signed_in: SignedIn) -> Result<Response, Notice> {
    let given = authorization::given(entrance.broker(), signed_in.user());
    let unfetched = apart::unfetched(entrance.broker(), signed_in.user()).await?;
    let html = Page { given: &given, unfetched: &unfetched, form_token: signed_in.form_token() }.render();
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

pub(crate) async fn withdraw_request(
    State(entrance): State<Arc<Entrance>>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Form(RequestWithdrawal { request, form_token }): Form<RequestWithdrawal>,
) -> Result<Response, Notice> {
    signed_in.check_form(&entrance, &headers, Some(&form_token))?;
    apart::withdraw(entrance.broker(), signed_in.user(), request).await?;
    Ok(see(&format!("{}{GIVEN_PATH}", entrance.page_origin())))
}
