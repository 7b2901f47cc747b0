//! Who calls: the access token and its proof of possession become a [`Caller`],
//! here and nowhere else. Whatever does not hold is refused; nothing is decided
//! about the call itself.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bailiwick_engine::{
    alerts::{self, Alert, AlertKind},
    caller::Caller,
    hardware::{self, Held},
    tokens,
};
use bailiwick_model::{
    agent::{Agent, Inactive},
    blame::Blame,
    confirmation::Confirmation,
    decision::ReasonCode,
};
use bailiwick_oauth::{
    access_token::{AccessTokenClaims, AccessTokenError, AccessTokenExpectation},
    dpop::{self, DpopError, NonceRule, ProofExpectation, VerifiedProof},
    error::{ErrorCode, OAuthError},
    jws::JwsError,
    one_time::OneTimeIdentifier,
    presented::{Presented, Scheme},
};
use bailiwick_ports::store::Spent;
use http::{HeaderName, StatusCode, header, request::Parts};
use std::sync::Arc;

use crate::{
    address::Peer,
    certificate::ClientCertificate,
    entrance::Entrance,
    problem::Problem,
    refused::{DPOP_NONCE, ProtectedResource, Refused},
};

/// The header with the proof of possession.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Verifies token and proof of one message for one resource.
pub async fn verify(entrance: &Entrance, parts: &Parts, resource: &ProtectedResource) -> Result<Caller, Refused> {
    let address = entrance.client_address(parts.extensions.get::<Peer>().copied(), &parts.headers);
    let alert = |kind| Alert { kind, agent: entrance.claimed_agent(&parts.headers), address, at: resource.at };
    let scheme = match presented(parts) {
        Ok(Some(presented)) => presented.scheme,
        Ok(None) => {
            entrance.alert(alert(AlertKind::UnregisteredCaller)).await;
            return Err(Refused::unauthenticated(entrance, resource));
        }
        Err(_) => Scheme::Bearer,
    };
    let refused = |error| Refused::of_error(entrance, resource, scheme, error);
    let (claims, proof) = match check(entrance, parts, resource) {
        Ok(verified) => verified,
        Err(unverified) => {
            if unverified.is_forged() {
                entrance.alert(alert(AlertKind::ForgedCredential)).await;
            }
            return Err(refused(unverified.into()));
        }
    };
    if !entrance.broker().live().token_stands(claims.id, claims.grant, entrance.broker().now()) {
        let error = "access token: it was revoked, or what it was issued from has ended\nhint: ask for access anew";
        return Err(refused(OAuthError::new(ErrorCode::InvalidToken, error)));
    }
    let Some(agent) = entrance.broker().agent(&claims.client) else {
        entrance.alert(alert(AlertKind::UnregisteredCaller)).await;
        return Err(refused(OAuthError::new(ErrorCode::InvalidToken, "access token: its client is not registered")));
    };
    if claims.confirmation.is_none() && !agent.bearer_tokens_allowed && !resource.only_asks {
        let error = "access token: plain bearer tokens are not allowed for this client";
        return Err(refused(OAuthError::new(ErrorCode::InvalidToken, error)));
    }
    if let Err(unprotected) = hardware::check(entrance.broker(), &agent, held(&claims, parts)) {
        let error = format!("access token: {unprotected}");
        return Err(refused(OAuthError::new(ErrorCode::InvalidToken, &error)));
    }
    if resource.only_asks {
        let (code, error) = match tokens::key_is_kept(entrance.broker(), &agent, claims.id).await {
            Ok(true) => (None, ""),
            Ok(false) => {
                let error = "access token: the key that it was asked for with is gone\nhint: get a new one with a key of the agent";
                (Some(ErrorCode::InvalidToken), error)
            }
            Err(error) => {
                tracing::error!(%error, "whose key a token came from cannot be read");
                (Some(ErrorCode::ServerError), "the broker cannot look the token up now")
            }
        };
        if let Some(code) = code {
            return Err(refused(OAuthError::new(code, error)));
        }
    }
    let AccessTokenClaims { audience, chain, client: _, id, grant, scopes, details, confirmation, task, .. } = claims;
    let spent = proof.into_iter().map(|proof| spent(proof.once)).collect();
    let caller = Caller { chain, token: id, grant, scopes, details, audience, task, confirmation, address, spent };
    if let Err(inactive) = agent.standing(entrance.broker().now()) {
        return Err(refuse_inactive(entrance, &caller, &agent, inactive).await);
    }
    Ok(caller)
}

/// A one-time identifier as the store uses it up.
pub fn spent(once: OneTimeIdentifier) -> Spent {
    let OneTimeIdentifier { scope, jti, forget_at } = once;
    Spent { scope, jti, forget_at }
}

/// Hands out the current nonce with every answer: `axum::middleware::from_fn_with_state(entrance, verify::with_nonce)`.
pub async fn with_nonce(State(entrance): State<Arc<Entrance>>, message: Request, next: Next) -> Response {
    let mut response = next.run(message).await;
    response.headers_mut().entry(DPOP_NONCE).or_insert_with(|| entrance.nonce());
    response
}

/// Why a caller's token or proof does not hold.
enum Unverified {
    Header(&'static str),
    Token(AccessTokenError),
    Proof(DpopError),
    Keys,
}

impl Unverified {
    /// Whether somebody made or altered a credential, as against one that is merely old or elsewhere at home.
    fn is_forged(&self) -> bool {
        match self {
            Self::Token(AccessTokenError::UnknownKey | AccessTokenError::OtherKey | AccessTokenError::Issuer) => true,
            Self::Token(AccessTokenError::Token(error)) | Self::Proof(DpopError::Token(error)) => {
                matches!(
                    error,
                    JwsError::Signature(_) | JwsError::Algorithm | JwsError::OtherAlgorithm | JwsError::Header(_)
                )
            }
            Self::Header(_) | Self::Token(_) | Self::Proof(_) | Self::Keys => false,
        }
    }
}

impl From<AccessTokenError> for Unverified {
    fn from(error: AccessTokenError) -> Self {
        Self::Token(error)
    }
}

impl From<DpopError> for Unverified {
    fn from(error: DpopError) -> Self {
        Self::Proof(error)
    }
}

impl From<Unverified> for OAuthError {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Header(description) => Self::new(ErrorCode::InvalidRequest, description),
            Unverified::Token(error) => Self::new(ErrorCode::InvalidToken, &error.to_string()),
            Unverified::Proof(error) => error.into(),
            Unverified::Keys => Self::new(ErrorCode::ServerError, "the broker's own keys cannot be used"),
        }
    }
}

/// The only token of a message. A header that cannot be text counts as one.
fn presented(parts: &Parts) -> Result<Option<Presented<'_>>, Unverified> {
    let in_query = parts.uri.query().is_some_and(|query| {
        url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("access_token"))
    });
    if in_query {
        return Err(Unverified::Header("an access token must never stand in a URL\nhint: this one is to be revoked"));
    }
    let values = parts.headers.get_all(header::AUTHORIZATION).iter().map(|value| value.to_str().unwrap_or_default());
    Presented::sole(values).map_err(|_| {
        Unverified::Header("send exactly one `Authorization` header with the scheme `DPoP` or `Bearer` and one token")
    })
}

fn check(
    entrance: &Entrance,
    parts: &Parts,
    resource: &ProtectedResource,
) -> Result<(AccessTokenClaims, Option<VerifiedProof>), Unverified> {
    let Some(presented) = presented(parts)? else {
        return Err(Unverified::Header("an access token is required"));
    };
    let now = entrance.broker().now();
    let keys = entrance.published_keys().map_err(|_| Unverified::Keys)?;
    let expected = AccessTokenExpectation {
        issuer: entrance.issuer(),
        audience: &resource.audience,
        environment: entrance.broker().settings().environment,
    };
    let claims = entrance.read_token_with(presented.token, &keys)?;
    claims.check(&expected, now)?;
    let headers = parts.headers.get_all(DPOP).iter().map(|value| value.to_str().unwrap_or_default());
    let proof = match (dpop::sole_header(headers)?, presented.scheme) {
        (None, Scheme::Bearer) => None,
        (None, Scheme::Dpop) => return Err(DpopError::Missing.into()),
        (Some(proof), _) => {
            let expected = ProofExpectation {
                method: parts.method.as_str(),
                uri: &entrance.url_of(parts),
                access_token: Some(presented.token),
                nonce: NonceRule::Required(entrance.nonces()),
            };
            Some(dpop::verify(proof, &expected, now)?)
        }
    };
    let proved = proof.as_ref().map(VerifiedProof::thumbprint);
    claims.check_possession(presented.scheme, proved, entrance.shown_certificate(parts))?;
    Ok((claims, proof))
}

/// What a token is bound to, as it was proved: by the certificate that the connection has, if it is one.
fn held(claims: &AccessTokenClaims, parts: &Parts) -> Held {
    match claims.confirmation {
        Some(Confirmation::Key(key)) => Held::Key(key),
        Some(Confirmation::Certificate(_)) => shown_key(parts),
        None => Held::Nothing,
    }
}

/// The key of the certificate that the sender of a message has shown.
pub fn shown_key(parts: &Parts) -> Held {
    let shown = parts.extensions.get::<ClientCertificate>();
    shown.map_or(Held::Nothing, |shown| Held::Certificate(shown.public_key()))
}

/// An agent that may not act knocked.
async fn refuse_inactive(entrance: &Entrance, caller: &Caller, agent: &Agent, inactive: Inactive) -> Refused {
    alerts::turned_away(entrance.broker(), caller).await;
    let detail = format!("`{}` may not act: {inactive}", agent.name);
    let problem = Problem::new(StatusCode::FORBIDDEN, ReasonCode::PrincipalInactive.as_str(), detail)
        .blaming(Blame::Operator)
        .with_hint("ask its owner or an operator; `bailiwick agents show` tells them why");
    Refused::inactive(problem)
}

#[cfg(test)]
mod tests;
