//! `POST /api/v1/observations/start`: from the next call on, what rules of the organisation would stop goes through.

use axum::{Json, extract::State};
use bailiwick_engine::observation::{self, ObservationAsk};
use bailiwick_model::observation::{Observation, ObservationScope};
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Shared,
    list::{Observations, all},
};
use crate::{Operator, openapi::Refusals};

/// What to observe, for how long, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "ObservationStart")]
pub(super) struct ObservationStart {
    /// `agent:<name>` or `system:<name>`.
    #[schema(value_type = String, example = "system:files")]
    scope: ObservationScope,
    /// Seconds until everything is enforced again; at most 30 days.
    lifetime_s: u64,
    /// Why, in one line; required.
    #[serde(default)]
    reason: String,
    /// Whether it covers agents and systems of production too.
    #[serde(default)]
    production: bool,
}

/// Turns an observation on. Enforcement returns by itself at its end.
#[utoipa::path(
    post,
    path = "/api/v1/observations/start",
    tag = "observation",
    request_body = ObservationStart,
    responses((status = 200, body = Observations), Refusals)
)]
pub(super) async fn start(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(ObservationStart { scope, lifetime_s, reason, production }): StrictJson<ObservationStart>,
) -> Result<Json<Observations>, Problem> {
    let ask = ObservationAsk { observation: Observation { scope, production }, lifetime_s, reason };
    observation::start(&admin.broker, &operator.principal(), ask).await?;
    all(&admin).await
}
