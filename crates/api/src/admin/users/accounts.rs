//! `/api/v1/users/{id}/accounts`: accounts of other providers by which a user signs in, on an operator's word.

use axum::{Json, extract::State};
use bailiwick_engine::identities;
use bailiwick_model::{identity::ExternalAccount, name::UserId};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

/// An account of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ProviderAccount")]
pub(crate) struct AccountView {
    /// The provider.
    issuer: String,
    /// Who there.
    subject: String,
    /// `operator`, `match` (a name or an address led to the user), `creation` (it made the user known) or `removed`.
    linked_by: &'static str,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A user's accounts of providers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ProviderAccounts")]
pub(crate) struct Accounts {
    accounts: Vec<AccountView>,
}

/// One account, named as its provider does.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "ProviderAccountName")]
pub(crate) struct AccountName {
    /// The provider's issuer, byte for byte.
    issuer: String,
    /// `sub` there.
    subject: String,
}

impl AccountView {
    fn of(account: ExternalAccount) -> Self {
        let ExternalAccount { issuer, subject, user: _, linked_by, created_at } = account;
        Self { issuer, subject, linked_by: linked_by.as_str(), created_at }
    }
}

/// Lists the accounts of providers by which a user signs in.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/accounts",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 200, body = Accounts), Refusals)
)]
pub(super) async fn list(State(admin): State<Shared>, Named(id): Named<UserId>) -> Result<Json<Accounts>, Problem> {
    told(&admin, &id).await
}

/// Lets an account sign a user in: the one way for administrators, and for an account that was of somebody who left.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/accounts",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = AccountName,
    responses((status = 201, body = Accounts), Refusals)
)]
pub(super) async fn add(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(body): StrictJson<AccountName>,
) -> Result<(StatusCode, Json<Accounts>), Problem> {
    identities::add(&admin.broker, &operator.principal(), &id, &body.issuer, &body.subject).await?;
    Ok((StatusCode::CREATED, told(&admin, &id).await?))
}

/// Takes an account away from a user; their sessions end with it.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/accounts/remove",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = AccountName,
    responses((status = 200, body = Accounts), Refusals)
)]
pub(super) async fn remove(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(body): StrictJson<AccountName>,
) -> Result<Json<Accounts>, Problem> {
    identities::remove(&admin.broker, &operator.principal(), &id, &body.issuer, &body.subject).await?;
    told(&admin, &id).await
}

async fn told(admin: &Shared, id: &UserId) -> Result<Json<Accounts>, Problem> {
    let accounts = identities::of_user(&admin.broker, id).await?;
    Ok(Json(Accounts { accounts: accounts.into_iter().map(AccountView::of).collect() }))
}
