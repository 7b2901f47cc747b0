//! SCIM 2.0 (RFC 7643, RFC 7644): a directory provisions users and groups, and deprovisions them. Who comes here, and what
//! every answer has in common; one file per resource.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bailiwick_engine::{
    directory::{self, DirectoryRefusal, SCIM_MANAGE, TOKEN_PREFIX},
    refusal::Refusal,
    tokens::Audience,
};
use bailiwick_model::principal::Principal;
use bailiwick_oauth::presented::{Presented, Scheme};
use bailiwick_scim::{BASE_PATH, MEDIA_TYPE, error::ScimError};
use bailiwick_web::{
    address::Peer,
    entrance::Entrance,
    json::{is_json, read_value},
    limits::Limits,
    problem::Problem,
    refused::{ProtectedResource, Refused},
    throttle::{Allowance, Throttle, address_key},
    verify::{verify, with_nonce},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde_json::Value;

mod discovery;
mod groups;
mod search;
mod users;

/// Bytes of one body: a group with as many members as one message may name.
const BODY_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Values of one body.
const VALUES_MAX: usize = 100_000;
/// Wrong credentials of one address that are put up with.
const PER_ADDRESS: Allowance = Allowance { burst: 10, refill_s: 10, keys_max: 16_384 };
/// How often a change is made anew that another one overtook.
const TRIES_MAX: usize = 5;

/// The provisioning interface.
pub struct Scim {
    entrance: Arc<Entrance>,
    resource: ProtectedResource,
    wrong: Throttle,
}

type Shared = Arc<Scim>;

impl Scim {
    /// Made once at start.
    pub fn new(entrance: Arc<Entrance>) -> Self {
        let resource = ProtectedResource {
            audience: Audience::Provisioning.resource(entrance.issuer()),
            scopes: SCIM_MANAGE.parse().into_iter().collect(),
            only_asks: false,
            at: "provisioning interface",
        };
        Self { entrance, resource, wrong: Throttle::new(PER_ADDRESS) }
    }

    /// Its routes: everything below `/scim/v2`.
    pub fn router(self) -> Router {
        let entrance = Arc::clone(&self.entrance);
        let routes = Router::new()
            .route("/Users", get(users::list).post(users::create))
            .route("/Users/{id}", get(users::show).put(users::replace).patch(users::patch).delete(users::remove))
            .route("/Groups", get(groups::list).post(groups::create))
            .route("/Groups/{id}", get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::remove))
            .route("/ServiceProviderConfig", get(discovery::service_provider_config))
            .route("/ResourceTypes", get(discovery::resource_types))
            .route("/ResourceTypes/{id}", get(discovery::resource_type))
            .route("/Schemas", get(discovery::schemas))
            .route("/Schemas/{id}", get(discovery::schema))
            .route("/.search", post(search::all))
            .route("/Users/.search", post(search::users))
            .route("/Groups/.search", post(search::groups))
            .fallback(|| async { Fault::from(ScimError::new(404, "there is no such endpoint")).0 })
            .method_not_allowed_fallback(|| async {
                Fault::from(ScimError::new(405, "this endpoint does not take this method")).0
            })
            .with_state(Arc::new(self))
            .layer(from_fn_with_state(entrance, with_nonce));
        let limits = Limits { body_bytes_max: BODY_BYTES_MAX, to_its_end: true, ..Limits::default() };
        limits.around(Router::new().nest(BASE_PATH, routes))
    }

    fn issuer(&self) -> &str {
        self.entrance.issuer()
    }

    /// Whoever may provision: a directory by its credential, or a client by its token.
    async fn admit(&self, parts: &Parts) -> Result<Principal, Fault> {
        let presented = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let presented = presented.and_then(|value| Presented::parse(value).ok());
        if let Some(Presented { scheme: Scheme::Bearer, token }) = presented
            && token.starts_with(TOKEN_PREFIX)
        {
            return self.by_credential(parts, token).await;
        }
        let caller = verify(&self.entrance, parts, &self.resource).await.map_err(Fault::of)?;
        // Nobody provisions for somebody else.
        let alone = caller.chain.principals().len() == 1;
        if !(alone && self.resource.scopes.is_subset(&caller.scopes)) {
            let detail = format!("the token lacks the scope `{SCIM_MANAGE}`");
            let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail)
                .with_hint("register the client with this scope and ask for a token with it");
            let scheme = if caller.confirmation.is_some() { Scheme::Dpop } else { Scheme::Bearer };
            let scopes = &self.resource.scopes;
            let refused = Refused::insufficient_scope(&self.entrance, &self.resource, scheme, scopes, problem);
            return Err(Fault::of(refused));
        }
        Ok(directory::admit(self.entrance.broker(), &caller).await?)
    }

    async fn by_credential(&self, parts: &Parts, token: &str) -> Result<Principal, Fault> {
        let broker = self.entrance.broker();
        let address = self.entrance.client_address(parts.extensions.get::<Peer>().copied(), &parts.headers);
        let key = address_key(address);
        // Looked up first: nobody guesses one, and whoever shares an address with somebody who tries must be heard.
        if let Some(by) = directory::find(broker, token).await? {
            return Ok(by);
        }
        if let Err(throttled) = self.wrong.admit(&key, broker.now()) {
            let mut response =
                answer(StatusCode::TOO_MANY_REQUESTS, &ScimError::new(429, "too many wrong credentials").to_json());
            response.headers_mut().insert(header::RETRY_AFTER, throttled.retry_after_s.into());
            return Err(Fault(response));
        }
        self.wrong.failed(&key, broker.now());
        tracing::warn!(address = key, "a provisioning credential is not known");
        let error = ScimError::new(401, "this credential is not known here, was revoked, or is over");
        let mut response = answer(StatusCode::UNAUTHORIZED, &error.to_json());
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        Err(Fault(response))
    }
}

/// A message that is answered with an error.
struct Fault(Response);

impl Fault {
    /// One who was not let in, in the words of SCIM and with the challenge of OAuth.
    fn of(refused: Refused) -> Self {
        let status = refused.status();
        let error = ScimError::new(status.as_u16(), refused.problem().detail());
        let mut response = answer(status, &error.to_json());
        response.headers_mut().extend(refused.headers());
        Self(response)
    }
}

impl From<ScimError> for Fault {
    fn from(error: ScimError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self(answer(status, &error.to_json()))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let problem = Problem::from(refusal);
        let detail = match problem.hint() {
            Some(hint) => format!("{}; {hint}", problem.detail()),
            None => problem.detail().to_owned(),
        };
        match problem.status() {
            StatusCode::BAD_REQUEST => ScimError::value(detail).into(),
            status => ScimError::new(status.as_u16(), detail).into(),
        }
    }
}

impl From<DirectoryRefusal> for Fault {
    fn from(refusal: DirectoryRefusal) -> Self {
        match refusal {
            DirectoryRefusal::Taken(_) => ScimError::uniqueness(refusal.to_string()).into(),
            DirectoryRefusal::Changed(_) => ScimError::new(412, refusal.to_string()).into(),
            DirectoryRefusal::Full(_) => ScimError::new(403, refusal.to_string()).into(),
            DirectoryRefusal::Refused(refusal) => refusal.into(),
        }
    }
}

/// One answer.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// One resource, with its version and where it is.
fn resource(status: StatusCode, body: &Value) -> Response {
    let mut response = answer(status, body);
    for (name, pointer) in [(header::ETAG, "/meta/version"), (header::LOCATION, "/meta/location")] {
        let value = body.pointer(pointer).and_then(Value::as_str).and_then(|text| HeaderValue::from_str(text).ok());
        value.map(|value| response.headers_mut().insert(name, value));
    }
    response
}

/// The JSON of a message.
async fn body(headers: &HeaderMap, message: axum::body::Body) -> Result<Value, Fault> {
    if !is_json(headers) {
        return Err(ScimError::new(415, format!("the body must be sent as `{MEDIA_TYPE}`")).into());
    }
    let bytes: Bytes = axum::body::to_bytes(message, BODY_BYTES_MAX)
        .await
        .map_err(|_| ScimError::new(413, format!("a body has at most {BODY_BYTES_MAX} bytes")))?;
    Ok(read_value(&bytes, VALUES_MAX).map_err(|problem| ScimError::syntax(problem.detail()))?)
}

/// Splits a message of somebody who is let in.
async fn admitted(scim: &Scim, message: Request) -> Result<(Principal, Parts, axum::body::Body), Fault> {
    let (parts, body) = message.into_parts();
    let by = scim.admit(&parts).await?;
    Ok((by, parts, body))
}

/// Whether a condition on a version holds (RFC 7644 §3.14): `Some(false)` is one that does not.
fn condition(headers: &HeaderMap, name: header::HeaderName, version: u64) -> Option<bool> {
    let tag = bailiwick_scim::user::etag(version);
    let listed = headers.get(name)?.to_str().unwrap_or_default();
    let is = |one: &str| one == "*" || one.trim_start_matches("W/") == tag.trim_start_matches("W/");
    Some(listed.split(',').map(str::trim).any(is))
}

/// Makes a change to what was read until nothing overtakes it. A message that names a version is not made anew.
macro_rules! until_made {
    ($headers:expr, $read:expr, |$found:ident| $change:expr) => {{
        let mut tries = 0;
        loop {
            let $found = $read?;
            if condition($headers, header::IF_MATCH, $found.version()) == Some(false) {
                return Err(ScimError::new(412, "it was changed meanwhile: read it again").into());
            }
            tries += 1;
            match $change {
                Err(DirectoryRefusal::Changed(_)) if tries < TRIES_MAX && !$headers.contains_key(header::IF_MATCH) => {}
                made => break made?,
            }
        }
    }};
}
use until_made;
