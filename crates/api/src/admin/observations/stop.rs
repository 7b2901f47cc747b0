//! `POST /api/v1/observations/stop`: from the next call on everything is enforced.

use axum::{Json, extract::State};
use bailiwick_engine::observation;
use bailiwick_model::observation::ObservationScope;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Shared,
    list::{Observations, all},
};
use crate::{Operator, openapi::Refusals};

/// What to enforce again, and why now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "ObservationStop")]
pub(super) struct ObservationStop {
    /// `agent:<name>` or `system:<name>`.
    #[schema(value_type = String, example = "system:files")]
    scope: ObservationScope,
    /// Why, in one line; required.
    #[serde(default)]
    reason: String,
}

/// Stops an observation before its end.
#[utoipa::path(
    post,
    path = "/api/v1/observations/stop",
    tag = "observation",
    request_body = ObservationStop,
    responses((status = 200, body = Observations), Refusals)
)]
pub(super) async fn stop(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(ObservationStop { scope, reason }): StrictJson<ObservationStop>,
) -> Result<Json<Observations>, Problem> {
    observation::stop(&admin.broker, &operator.principal(), &scope, &reason).await?;
    all(&admin).await
}
