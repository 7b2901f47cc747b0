//! `POST /oauth/par` (RFC 9126): an authenticated client leaves its request here, and its user's browser carries only a
//! name for it. Nobody on the way reads or changes it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::{
    authorization::{self, PUSHED_LIVES_S},
    refusal::Refusal,
};
use bailiwick_oauth::{
    authorization_request::Addressee,
    client_authentication::ClientAuthentication,
    dpop::VerifiedProof,
    error::{ErrorCode, OAuthError},
    form::Form,
};
use bailiwick_web::verify::spent;
use http::StatusCode;

use crate::{
    clients::{Client, ClientDoor, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT: &str = "endpoint for pushed requests";

pub(crate) async fn push(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, answer).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let mut form = Form::parse(body).map_err(of_request)?;
    let sent = ClientAuthentication::take(&mut form).map_err(of_request)?;
    let Client { agent, credential: _, once } = visit.authenticate(&sent).await?;
    let proof = visit.proof()?;
    if agent.redirect_uris.is_empty() {
        let description = "the client has no redirect URI\nhint: `bailiwick agents redirect-uris` gives it one";
        return Err(Failure::new(Why::Client, ErrorCode::UnauthorizedClient, description));
    }
    let addressee = Addressee::pushed(agent.name.clone(), form).map_err(of_request)?;
    let broker = visit.entrance().broker();
    authorization::client(broker, &agent.name, &addressee.redirect_uri).map_err(of_engine)?;
    let mut request = addressee.read().map_err(of_request)?;
    let key = proof.as_ref().map(VerifiedProof::thumbprint);
    if request.confirmation.is_some() && key.is_some() && request.confirmation != key {
        let description = "`dpop_jkt` is not the key of the proof";
        return Err(Failure::new(Why::Proof, ErrorCode::InvalidDpopProof, description));
    }
    request.confirmation = request.confirmation.or(key);
    authorization::wanted(broker, &agent, &request).map_err(of_request)?;
    let used = once.into_iter().chain(proof.map(|proof| spent(proof.once))).collect();
    let request_uri = authorization::push(broker, request, used).await.map_err(of_engine)?;
    let json = serde_json::json!({ "request_uri": request_uri, "expires_in": PUSHED_LIVES_S });
    Ok(failure::answer(visit.entrance(), StatusCode::CREATED, &json.to_string()))
}

fn of_request(error: OAuthError) -> Failure {
    let why = match error.code {
        ErrorCode::InvalidTarget => Why::Target,
        ErrorCode::InvalidScope => Why::Scope,
        ErrorCode::InvalidAuthorizationDetails => Why::Details,
        ErrorCode::InvalidClient => Why::Client,
        _ => Why::Form,
    };
    Failure::of(why, error)
}

fn of_engine(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Unavailable(cause) => {
            tracing::error!(error = cause, "no request can be kept");
            let description = "the broker cannot keep a request now\nhint: try again shortly";
            Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
        }
        Refusal::Conflict(_) => Failure::unauthenticated(),
        other => Failure::new(Why::Form, ErrorCode::InvalidRequest, &other.to_string()),
    }
}
