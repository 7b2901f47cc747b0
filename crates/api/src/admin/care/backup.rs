//! `POST /api/v1/backup`: writes a consistent copy of state and evidence to a new file on the broker's machine.

use std::path::PathBuf;

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, openapi::Refusals};

/// Where to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "BackupTarget")]
pub(crate) struct BackupTarget {
    /// An absolute path that does not exist yet.
    #[schema(value_type = String)]
    path: PathBuf,
}

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Backup")]
pub(crate) struct Backup {
    /// Where it is.
    path: String,
}

/// Writes a copy of the store. Keys are not in it.
#[utoipa::path(
    post,
    path = "/api/v1/backup",
    tag = "broker",
    request_body = BackupTarget,
    responses((status = 200, body = Backup), Refusals)
)]
pub(super) async fn backup(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(BackupTarget { path }): StrictJson<BackupTarget>,
) -> Result<Json<Backup>, Problem> {
    if !path.is_absolute() {
        return Err(Refusal::invalid("the path of a backup must be absolute", "write it from the root on").into());
    }
    admin.broker.store().backup(&path).await.map_err(Refusal::from)?;
    tracing::info!(operator = operator.0.as_str(), path = %path.display(), "a backup was written");
    Ok(Json(Backup { path: path.display().to_string() }))
}
