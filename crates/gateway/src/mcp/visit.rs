//! One message of one verified caller: lets it in for what is no operation, and
//! turns denials into the answer that its sender understands.

use std::{collections::BTreeSet, sync::Arc};

use axum::response::Response;
use bailiwick_engine::{
    admit::{self, Admitted},
    caller::Caller,
    refusal::Denied,
};
use bailiwick_model::{
    authentication::StepUp,
    id::SessionId,
    name::{Scope, SystemName},
};
use bailiwick_oauth::{
    challenge::Challenge,
    error::{ErrorCode, OAuthError},
    metadata::protected_resource_metadata_url,
    presented::Scheme,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::{
    denial::{self, Rendered},
    envelope::{self, Id},
    mcp::{
        Gateway, Place, answer, headers,
        message::Fault,
        session::{NoSession, Session},
    },
    upstream::Era,
};

/// What every function that serves a message is given.
pub(crate) struct Visit {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) place: Place,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
    /// The message, byte for byte.
    pub(crate) body: Bytes,
    /// The revision family that the message came in.
    pub(crate) era: Era,
    /// The session of a 2025-11-25 client.
    pub(crate) session: Option<Arc<Session>>,
}

impl Visit {
    /// Lets the caller in for something that is no operation, and uses up its proof.
    pub(crate) async fn admit(&self, id: Option<&Id>, what: &str) -> Result<Admitted, Response> {
        let system = self.place.system().cloned().or_else(|| self.first_system());
        let Some(system) = system else {
            let fault = Fault::new(StatusCode::NOT_FOUND, -32_600, "no system is behind this broker yet");
            return Err(answer::fault(Some(self.era), id, &fault));
        };
        self.admit_to(&self.caller, &system, id, what).await
    }

    /// The same, for one of several systems; `caller` brings its proof to the first of them only.
    pub(crate) async fn admit_to(
        &self,
        caller: &Caller,
        system: &SystemName,
        id: Option<&Id>,
        what: &str,
    ) -> Result<Admitted, Response> {
        match admit::admit(self.gateway.broker(), caller, system, what).await {
            Ok(admitted) => Ok(admitted),
            Err(denied) => Err(self.denied(id, what, &denied, false)),
        }
    }

    /// What concerns no single system is recorded under the first one.
    fn first_system(&self) -> Option<SystemName> {
        let policy = self.gateway.broker().live().policy.clone()?;
        policy.catalogue().servers().next().map(|system| system.name.clone())
    }

    /// The answer to a denied message; `structured` as in [`denial::render`].
    pub(crate) fn denied(&self, id: Option<&Id>, method: &str, denied: &Denied, structured: bool) -> Response {
        let error = |status, error: &Value| {
            let raw = id.map_or("null", Id::raw);
            answer::json(status, envelope::error(raw, &error.to_string()))
        };
        match denial::render(denied, method, structured) {
            Rendered::ToolResult(result) => {
                let raw = id.map_or("null", Id::raw);
                let result = answer::typed(self.era, result);
                answer::json(StatusCode::OK, envelope::result(raw, &result.to_string()))
            }
            // What has no id is told by status alone.
            Rendered::RpcError(object) if id.is_none() => error(StatusCode::FORBIDDEN, &object),
            Rendered::RpcError(object) => error(StatusCode::OK, &object),
            Rendered::Scope { scopes, error: object } => {
                let scopes = scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
                let description = "the token lacks a scope that this call needs";
                let refused = OAuthError::new(ErrorCode::InsufficientScope, description);
                self.challenged(error(StatusCode::FORBIDDEN, &object), refused, scopes, None)
            }
            Rendered::StepUp { wanted, scopes, error: object } => {
                let scopes = scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
                let description = "the user has to prove anew who they are";
                let refused = OAuthError::new(ErrorCode::InsufficientUserAuthentication, description);
                self.challenged(error(StatusCode::UNAUTHORIZED, &object), refused, scopes, Some(wanted))
            }
            Rendered::Proof(object) => {
                let description = "this proof of possession was used before";
                let refused = OAuthError::new(ErrorCode::InvalidDpopProof, description);
                self.challenged(error(StatusCode::UNAUTHORIZED, &object), refused, BTreeSet::new(), None)
            }
        }
    }

    /// Adds the challenge that tells an OAuth client what to do next.
    fn challenged(
        &self,
        mut response: Response,
        error: OAuthError,
        scopes: BTreeSet<Scope>,
        step_up: Option<StepUp>,
    ) -> Response {
        let resource = self.place.protected_resource(&self.gateway);
        let challenge = Challenge {
            scheme: Scheme::of(self.caller.confirmation),
            resource_metadata: protected_resource_metadata_url(self.gateway.entrance.issuer(), &resource.audience)
                .unwrap_or_default(),
            scopes,
            step_up,
            error: Some(error),
        };
        if let Ok(value) = HeaderValue::from_str(&challenge.header()) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// Finds the session that the message belongs to.
    pub(crate) fn in_session(mut self) -> Result<Self, Fault> {
        let refuse = |status, message| Fault::new(status, -32_600, message);
        let mut ids = self.headers.get_all(headers::SESSION_ID).iter();
        let id = match (ids.next(), ids.next()) {
            (Some(id), None) => id,
            (None, _) => {
                let message = "header `Mcp-Session-Id` is missing: open a session with `initialize` first";
                return Err(refuse(StatusCode::BAD_REQUEST, message));
            }
            (Some(_), Some(_)) => {
                return Err(refuse(StatusCode::BAD_REQUEST, "header `Mcp-Session-Id` stands more than once"));
            }
        };
        let unknown = || refuse(StatusCode::NOT_FOUND, "no such session: open one with `initialize`");
        let id: SessionId = id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        let session = self.gateway.sessions.of(id, &self.caller.chain, self.place.system());
        self.session = Some(session.map_err(|_: NoSession| unknown())?);
        Ok(self)
    }
}
