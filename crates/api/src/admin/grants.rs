//! Grants: what somebody allowed a client, until it ends. One file per endpoint; this one holds what they share.

use bailiwick_model::grant::{Grant, GrantStatus};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Shared, tasks::GrantBody};

mod end;
mod list;
mod show;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(show::show)).routes(routes!(end::end))
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Grant")]
pub(super) struct GrantView {
    /// Its id: `grant_…`.
    id: String,
    /// How it came to be.
    #[schema(example = "authorization_code")]
    kind: String,
    /// Everybody on whose authority its tokens act: the initiating principal first, its client last.
    chain: Vec<String>,
    /// The grant that it comes from, and ends with.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// The token that it was exchanged for, and ends with.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_token: Option<String>,
    /// What its tokens may be for.
    resources: Vec<String>,
    /// What they may be used for at most.
    scopes: Vec<String>,
    /// The tools that they may call at most, and with what; without it, all that the scopes open.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<GrantBody>>,
    /// The task that they are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// `active`, `ended`, or `expired` once its time is over.
    state: String,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// When its user proved who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    authenticated_at: Option<Timestamp>,
    /// The issuer that vouched for its user, where that user was not asked here.
    #[serde(skip_serializing_if = "Option::is_none")]
    vouched_by: Option<String>,
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl GrantView {
    fn of(grant: &Grant, now: Timestamp) -> Self {
        let Grant {
            id,
            kind,
            chain,
            parent,
            subject,
            resources,
            scopes,
            details,
            task,
            authentication,
            vouched,
            status,
            created_at,
            expires_at,
        } = grant;
        let (state, state_reason, ended_at) = match status {
            GrantStatus::Active if now < *expires_at => ("active", None, None),
            GrantStatus::Active => ("expired", None, None),
            GrantStatus::Ended { at, reason } => ("ended", Some(reason.clone()), Some(*at)),
        };
        Self {
            id: id.to_string(),
            kind: kind.as_str().to_owned(),
            chain: chain.principals().iter().map(ToString::to_string).collect(),
            parent: parent.map(|parent| parent.to_string()),
            subject_token: subject.map(|subject| subject.id.to_string()),
            resources: resources.iter().cloned().collect(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            details: details.as_ref().map(|tools| tools.iter().map(GrantBody::from).collect()),
            task: task.map(|task| task.to_string()),
            state: state.to_owned(),
            state_reason,
            ended_at,
            authenticated_at: authentication.as_ref().map(|authentication| authentication.at),
            vouched_by: vouched.as_ref().map(|vouched| vouched.issuer.clone()),
            created_at: *created_at,
            expires_at: *expires_at,
        }
    }
}
