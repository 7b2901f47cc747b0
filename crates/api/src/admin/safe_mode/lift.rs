//! `POST /api/v1/safe-mode/lift`: lifts safe mode; no approval and no grant does.

use axum::{Json, extract::State};
use bailiwick_engine::safe_mode;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{
    SafeModeChange, Shared,
    list::{SafeModes, view},
};
use crate::{Operator, openapi::Refusals};

/// Lifts safe mode; no approval and no grant does.
#[utoipa::path(
    post,
    path = "/api/v1/safe-mode/lift",
    tag = "safe mode",
    request_body = SafeModeChange,
    responses((status = 200, body = SafeModes), Refusals)
)]
pub(super) async fn lift(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(SafeModeChange { scope, reason }): StrictJson<SafeModeChange>,
) -> Result<Json<SafeModes>, Problem> {
    safe_mode::lift(&admin.broker, &operator.principal(), scope, &reason).await?;
    Ok(Json(view(&admin)))
}
