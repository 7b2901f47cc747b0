//! `POST /oauth/device_authorization` (RFC 8628 §3.1) and `POST /oauth/bc-authorize` (OpenID CIBA §7): an agent that may do so
//! asks a user who is not at its browser. The answer is waited for at the token endpoint.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::{
    authorization::apart::{self, AskApart, INTERVAL_S, NotAsked, USER_ASK, Waiting},
    refusal::Refusal,
};
use bailiwick_model::{grant::GrantKind, name::UserId};
use bailiwick_oauth::{
    apart_request::{Asked, BackchannelRequest, Hint},
    client_authentication::ClientAuthentication,
    error::{ErrorCode, OAuthError},
    form::Form,
    id_token,
};
use bailiwick_web::entrance::DEVICE_PATH;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    clients::{Client, ClientDoor, Possession, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT_DEVICES: &str = "endpoint for devices";
const AT_BACKCHANNEL: &str = "endpoint for the back channel";

pub(crate) async fn device(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT_DEVICES, async |visit, body| answer(visit, body, GrantKind::DeviceCode).await).await
}

pub(crate) async fn backchannel(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT_BACKCHANNEL, async |visit, body| answer(visit, body, GrantKind::Ciba).await).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8], kind: GrantKind) -> Result<Response, Failure> {
    let json = asked(visit, body, kind).await?;
    Ok(failure::answer(visit.entrance(), StatusCode::OK, &json.to_string()))
}

async fn asked(visit: &mut Visit<'_>, body: &[u8], kind: GrantKind) -> Result<Value, Failure> {
    visit.check_head()?;
    let mut form = Form::parse(body).map_err(of_request)?;
    let sent = ClientAuthentication::take(&mut form).map_err(of_request)?;
    let Client { agent, credential: _, once } = visit.authenticate(&sent).await?;
    if !apart::may_ask(&agent) {
        let description = format!(
            "this client may not ask users apart from itself\nhint: its registration needs the scope `{USER_ASK}`"
        );
        return Err(Failure::new(Why::Client, ErrorCode::UnauthorizedClient, &description));
    }
    let Possession { confirmation, once: proof } = visit.possession()?;
    visit.count_question(&agent.name)?;
    let from = visit.address();
    let ask = match kind {
        GrantKind::Ciba => {
            let BackchannelRequest { hint, asked, binding_message, requested_expiry_s: waits_s } =
                BackchannelRequest::take(&mut form).map_err(of_request)?;
            let user = Some(user(visit, &hint, &agent.name)?);
            AskApart { kind, user, asked, binding_message, confirmation, from, waits_s }
        }
        _ => {
            let asked = Asked::take(&mut form).map_err(of_request)?;
            AskApart { kind, user: None, asked, binding_message: None, confirmation, from, waits_s: None }
        }
    };
    let used = once.into_iter().chain(proof).collect();
    let entrance = visit.entrance();
    let waiting = apart::ask(entrance.broker(), &agent, ask, used).await.map_err(not_asked)?;
    let Waiting { secret, user_code, expires_in_s } = waiting;
    Ok(match user_code {
        None => json!({ "auth_req_id": secret.expose(), "expires_in": expires_in_s, "interval": INTERVAL_S }),
        Some(code) => {
            let (first, second) = code.expose().split_at(code.expose().len() / 2);
            let shown = format!("{first}-{second}");
            let page = format!("{}{DEVICE_PATH}", entrance.page_origin());
            json!({
                "device_code": secret.expose(),
                "user_code": shown,
                "verification_uri": page,
                "verification_uri_complete": format!("{page}?user_code={shown}"),
                "expires_in": expires_in_s,
                "interval": INTERVAL_S,
            })
        }
    })
}

fn user(visit: &Visit<'_>, hint: &Hint, client: &bailiwick_model::name::AgentName) -> Result<UserId, Failure> {
    let entrance = visit.entrance();
    let broker = entrance.broker();
    let found = match hint {
        Hint::Login(name) => apart::hinted(broker, name),
        Hint::IdToken(token) => {
            let keys = entrance.published_keys().map_err(|_| Failure::without_keys())?;
            id_token::hinted_user(token, &keys, entrance.issuer(), client)
                .and_then(|user| apart::hinted(broker, user.as_str()))
        }
    };
    found.ok_or_else(|| Failure::new(Why::User, ErrorCode::UnknownUserId, "no active user is called so"))
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

fn not_asked(error: NotAsked) -> Failure {
    match error {
        NotAsked::Unfit(error) => of_request(error),
        // Others may have taken the room: that is no failure of this client, whose pace is bounded by itself.
        NotAsked::TooMany => Failure::new(Why::Answer, ErrorCode::AccessDenied, &error.to_string()),
        NotAsked::Refused(Refusal::Unavailable(cause)) => {
            tracing::error!(error = cause, "no request can be kept");
            let description = "the broker cannot keep a request now\nhint: try again shortly";
            Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
        }
        NotAsked::Refused(_) => Failure::unauthenticated(),
    }
}
