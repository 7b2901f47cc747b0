//! `GET /api/v1/users/{id}/connections`: the accounts that a user connected at systems. Metadata alone: no token is told.

use axum::{Json, extract::State};
use bailiwick_engine::connections::{self, Place};
use bailiwick_model::name::UserId;
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::{extract::Named, openapi::Refusals};

/// A connected account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ConnectedAccount")]
pub(crate) struct ConnectionView {
    /// Its id, as the evidence has it.
    id: String,
    /// Where the account is.
    system: String,
    /// What its tokens allow there.
    scopes: Vec<String>,
    /// Whether calls can be made with it: the catalogue still describes what it was connected to.
    works: bool,
    /// When the user connected it.
    #[schema(value_type = String, format = DateTime)]
    connected_at: Timestamp,
    /// When its tokens were last renewed.
    #[schema(value_type = String, format = DateTime)]
    renewed_at: Timestamp,
    /// When its access token ends, if its server says so; it is renewed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl ConnectionView {
    fn of(place: Place) -> Option<Self> {
        let Place { connection, works, .. } = place;
        let connection = connection?;
        Some(Self {
            id: connection.id.to_string(),
            system: connection.system.to_string(),
            scopes: connection.scopes.iter().map(ToString::to_string).collect(),
            works,
            connected_at: connection.connected_at,
            renewed_at: connection.renewed_at,
            expires_at: connection.expires_at,
        })
    }
}

/// The accounts of a user, by system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ConnectedAccounts")]
pub(crate) struct Connections {
    connections: Vec<ConnectionView>,
}

/// Lists the accounts that a user connected.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/connections",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 200, body = Connections), Refusals)
)]
pub(super) async fn connections(
    State(admin): State<Shared>,
    Named(id): Named<UserId>,
) -> Result<Json<Connections>, Problem> {
    let places = connections::of_user(&admin.broker, &id).await?;
    Ok(Json(Connections { connections: places.into_iter().filter_map(ConnectionView::of).collect() }))
}
