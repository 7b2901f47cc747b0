//! Users: whom agents act for, and who signs in. One file per endpoint; this one holds what they share.

use bailiwick_model::user::{ADMINISTRATORS, User, UserStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod accounts;
mod add;
mod administrator;
mod connections;
mod end_connection;
mod groups;
mod invite;
mod leave;
mod list;
mod resume;
mod show;
mod suspend;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list::list, add::add))
        .routes(routes!(show::show))
        .routes(routes!(groups::groups))
        .routes(routes!(administrator::administrator))
        .routes(routes!(invite::invite))
        .routes(routes!(accounts::list, accounts::add))
        .routes(routes!(accounts::remove))
        .routes(routes!(suspend::suspend))
        .routes(routes!(resume::resume))
        .routes(routes!(leave::leave))
        .routes(routes!(connections::connections))
        .routes(routes!(end_connection::end_connection))
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "User")]
pub(super) struct UserView {
    /// The pseudonym that policy and evidence know.
    id: String,
    /// What people call them.
    name: String,
    /// Where to reach them.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// What their directory calls them, if one provisioned them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// Their directory's own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// Groups that policy may rely on.
    groups: Vec<String>,
    /// Whether they administer the broker.
    administrator: bool,
    /// `active`, `suspended` or `left`.
    state: String,
    /// Why they are suspended or left.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    state_since: Option<Timestamp>,
    /// When they were first known.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Counts changes.
    version: u64,
}

impl UserView {
    pub(super) fn of(user: &User) -> Self {
        let User { id, name, email, groups, status, directory, created_at, version } = user;
        let stopped = directory.as_ref().is_some_and(|entry| !entry.active) && *status == UserStatus::Active;
        let (state_reason, state_since) = match status {
            UserStatus::Active if stopped => (Some("its directory deactivated them".to_owned()), None),
            UserStatus::Active => (None, None),
            UserStatus::Suspended { at, reason } | UserStatus::Left { at, reason } => (Some(reason.clone()), Some(*at)),
        };
        Self {
            id: id.to_string(),
            name: name.clone(),
            email: email.clone(),
            user_name: directory.as_ref().map(|entry| entry.user_name.clone()),
            external_id: directory.as_ref().and_then(|entry| entry.external_id.clone()),
            groups: groups.iter().cloned().collect(),
            administrator: groups.contains(ADMINISTRATORS),
            state: if stopped { "suspended" } else { status.as_str() }.to_owned(),
            state_reason,
            state_since,
            created_at: *created_at,
            version: *version,
        }
    }
}

/// A change of a user and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "UserReason")]
pub(super) struct UserBecause {
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    pub(super) reason: String,
}
