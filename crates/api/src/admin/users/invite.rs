//! `POST /api/v1/users/{id}/invite`: makes a one-time link with which a user adds a passkey.

use axum::{Json, extract::State};
use bailiwick_engine::invitations;
use bailiwick_model::name::UserId;
use bailiwick_web::{entrance, problem::Problem};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

/// A link that works once. It is told here and nowhere else.
#[derive(Serialize, ToSchema)]
#[schema(title = "Invitation")]
pub(crate) struct InvitationView {
    /// Whom it is for.
    user: String,
    /// The link: whoever opens it can become this user.
    url: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Makes a one-time link for a user; the one before is good no more.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/invite",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 201, body = InvitationView), Refusals)
)]
pub(super) async fn invite(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
) -> Result<(StatusCode, Json<InvitationView>), Problem> {
    let invited = invitations::invite(&admin.broker, &operator.principal(), &id).await?;
    let url = entrance::setup_url(&admin.broker.settings().issuer, &invited.token);
    Ok((StatusCode::CREATED, Json(InvitationView { user: id.to_string(), url, expires_at: invited.expires_at })))
}
