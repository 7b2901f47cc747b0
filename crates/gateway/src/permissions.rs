//! `GET /permissions/v1` and `/permissions/v1/<system>`: what the caller may do, asked with the token that it calls with.
//! There is no way to ask for somebody else: who asks is who the token names.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::permissions::{self, Permission, Permissions};
use bailiwick_model::{
    decision::Reason,
    name::{RoleName, SystemName},
};
use bailiwick_pdp::visibility::{Deciding, Outcome};
use bailiwick_web::{problem::Problem, verify};
use http::StatusCode;
use serde::Serialize;

use crate::mcp::{Gateway, Place};

/// What one caller may do.
#[derive(Serialize)]
struct Document {
    /// Everybody on whose authority calls are made, the initiating one first.
    chain: Vec<String>,
    /// The task that the token is bound to.
    task: Option<String>,
    /// Roles to whose agents the caller may delegate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delegates_to: Vec<RoleName>,
    systems: Vec<SystemDocument>,
}

#[derive(Serialize)]
struct SystemDocument {
    system: SystemName,
    bundle: String,
    evaluation_id: String,
    actions: Vec<ActionDocument>,
}

#[derive(Serialize)]
struct ActionDocument {
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    /// `allow`, `ask`, `deny`, or `depends` if the arguments decide.
    decision: &'static str,
    /// What a call can come to.
    may: Vec<Outcome>,
    /// The rules that decide on the arguments, and the gates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Deciding>,
    #[serde(skip_serializing_if = "is_zero")]
    more_rules: usize,
    /// Whether the task pins arguments.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    task_pins: bool,
    /// Why every call is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// `/permissions/v1/<system>`
pub(crate) async fn one_system(
    State(gateway): State<Arc<Gateway>>,
    Path(system): Path<String>,
    message: Request,
) -> Response {
    match system.parse::<SystemName>() {
        Ok(system) => answer(&gateway, &Place::System(system.clone()), message, |_| vec![system]).await,
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `/permissions/v1`
pub(crate) async fn all_systems(State(gateway): State<Arc<Gateway>>, message: Request) -> Response {
    let every = |gateway: &Gateway| {
        let policy = gateway.broker().live().policy.clone();
        policy.iter().flat_map(|policy| policy.catalogue().systems().map(|system| system.name.clone())).collect()
    };
    answer(&gateway, &Place::All, message, every).await
}

async fn answer(
    gateway: &Gateway,
    place: &Place,
    message: Request,
    systems: impl FnOnce(&Gateway) -> Vec<SystemName>,
) -> Response {
    let (parts, _) = message.into_parts();
    let mut caller = match verify::verify(&gateway.entrance, &parts, &place.protected_resource(gateway)).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    // It looks at every action of every system, so it counts like a call.
    let _guest = match gateway.crowd.enter(&caller.chain) {
        Ok(guest) => guest,
        Err(crowded) => return Problem::from(crowded).into_response(),
    };
    let mut document = Document {
        chain: caller.chain.principals().iter().map(ToString::to_string).collect(),
        task: caller.task.map(|id| id.to_string()),
        delegates_to: permissions::delegates_to(gateway.broker(), &caller),
        systems: Vec::new(),
    };
    let systems = systems(gateway);
    if systems.is_empty() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "missing", "no system is behind this broker yet");
        return problem.into_response();
    }
    for system in systems {
        match permissions::own(gateway.broker(), &caller, &system).await {
            Ok(permissions) => document.systems.push(system_document(system, permissions)),
            Err(denied) => return Problem::from(denied.as_ref()).into_response(),
        }
        // The proof is used up once, with the first system.
        caller.spent.clear();
    }
    Json(document).into_response()
}

fn system_document(system: SystemName, permissions: Permissions) -> SystemDocument {
    let Permissions { id, bundle, actions } = permissions;
    SystemDocument {
        system,
        bundle: bundle.to_string(),
        evaluation_id: id.to_string(),
        actions: actions.into_iter().map(action_document).collect(),
    }
}

fn action_document(permission: Permission) -> ActionDocument {
    let decision = permission.decision();
    let Permission { action, class, prospect } = permission;
    ActionDocument {
        action: action.to_string(),
        class: class.map(|class| class.as_str()),
        decision,
        may: prospect.outcomes.into_iter().collect(),
        rules: prospect.deciding,
        more_rules: prospect.more,
        task_pins: prospect.pinned,
        reason: prospect.reason,
    }
}
