//! `POST /api/v1/safe-mode/enter`: turns safe mode on; the very next call that is no read is refused.

use axum::{Json, extract::State};
use bailiwick_engine::safe_mode;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{
    SafeModeChange, Shared,
    list::{SafeModes, view},
};
use crate::{Operator, openapi::Refusals};

/// Turns safe mode on; the very next call that is no read is refused.
#[utoipa::path(
    post,
    path = "/api/v1/safe-mode/enter",
    tag = "safe mode",
    request_body = SafeModeChange,
    responses((status = 200, body = SafeModes), Refusals)
)]
pub(super) async fn enter(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(SafeModeChange { scope, reason }): StrictJson<SafeModeChange>,
) -> Result<Json<SafeModes>, Problem> {
    safe_mode::enter(&admin.broker, &operator.principal(), scope, &reason).await?;
    Ok(Json(view(&admin)))
}
