//! `GET /.well-known/authzen-configuration`: where decisions are asked for (AuthZEN 1.0 §9).

use axum::{Json, extract::State};
use serde::Serialize;

use super::Shared;

#[derive(Debug, Serialize)]
pub(super) struct Configuration {
    policy_decision_point: String,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
    search_subject_endpoint: String,
    search_resource_endpoint: String,
    search_action_endpoint: String,
}

pub(super) async fn configuration(State(authzen): State<Shared>) -> Json<Configuration> {
    let url = |path| authzen.entrance.external_url(path);
    Json(Configuration {
        policy_decision_point: authzen.entrance.issuer().to_owned(),
        access_evaluation_endpoint: url("/access/v1/evaluation"),
        access_evaluations_endpoint: url("/access/v1/evaluations"),
        search_subject_endpoint: url("/access/v1/search/subject"),
        search_resource_endpoint: url("/access/v1/search/resource"),
        search_action_endpoint: url("/access/v1/search/action"),
    })
}
