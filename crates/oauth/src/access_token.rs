//! Access tokens (RFC 9068): their claims, making them, verifying them.
//!
//! `sub` is the initiating principal, `act` the current actor with the earlier
//! ones nested inside (RFC 8693 §4.1). We are stricter than that standard:
//! every principal of the chain is decided on.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Environment,
    authentication::Authentication,
    confirmation::Confirmation,
    id::{GrantId, TaskId, TokenId},
    jwk::{PublicKey, Thumbprint},
    limits::CHAIN_DEPTH_MAX,
    name::{AgentName, Scope},
    principal::{DelegationChain, Principal},
    task::ToolGrant,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    authorization_details::{self, from_value},
    claims::{CLOCK_SKEW_S, ClaimError, Claims, later},
    jws::{JwsError, SigningInput, TokenType, UnverifiedToken},
    presented::Scheme,
    verifying_key::KeySet,
};

/// Every claim that we write. A token with another one is refused: a claim
/// that narrows must not be lost on a replica that does not know it yet.
const CLAIM_NAMES: [&str; 18] = [
    "iss",
    "sub",
    "client_id",
    "aud",
    "exp",
    "iat",
    "jti",
    "scope",
    "authorization_details",
    "cnf",
    "act",
    "may_act",
    "acr",
    "amr",
    "auth_time",
    "bailiwick_grant",
    "bailiwick_task",
    "bailiwick_env",
];

/// Methods of one proof of who somebody is.
const METHODS_MAX: usize = 16;

/// Why an access token is refused. On the wire it is `invalid_token`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// The token itself.
    #[error("access token: {0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("access token: {0}")]
    Claim(#[from] ClaimError),
    /// Nobody publishes a key of that name.
    #[error("access token: its key is not one of ours")]
    UnknownKey,
    /// A claim that is not one of ours.
    #[error("access token: it has a claim that is not known here")]
    UnknownClaim,
    /// Another issuer.
    #[error("access token: it was not issued here")]
    Issuer,
    /// Another audience.
    #[error("access token: it is for another resource\nhint: ask for a token with `resource={expected}`")]
    Audience {
        /// The resource that was called.
        expected: String,
    },
    /// Another environment.
    #[error("access token: it is for another environment")]
    Environment,
    /// It is over.
    #[error("access token: it has expired\nhint: ask for a new one")]
    Expired,
    /// It comes from the future.
    #[error("access token: `iat` does not fit our clock")]
    Clock,
    /// Bound to a key, but presented without that key's proof.
    #[error("access token: it is bound to a key\nhint: present it as `DPoP` with a proof by that key")]
    ProofRequired,
    /// The proof is of another key.
    #[error("access token: the proof is of another key")]
    OtherKey,
    /// It hands work over, and was presented as if it acted.
    #[error("access token: it only hands work over\nhint: the agent that it names exchanges it at the token endpoint")]
    HandsOver,
    /// Bound to a certificate, but presented on a connection without it, or with one that is not valid now.
    #[error(
        "access token: it is bound to the certificate of a connection\nhint: present it as `Bearer` over a connection with that certificate"
    )]
    CertificateRequired,
    /// The connection has another certificate.
    #[error("access token: it is bound to another certificate than the connection's")]
    OtherCertificate,
    /// Bound to no key, but presented with a proof.
    #[error("access token: it is bound to no key\nhint: present it as `Bearer`")]
    NotBound,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenClaims {
    /// Who issued it.
    pub issuer: String,
    /// The one resource that it is for.
    pub audience: String,
    /// On whose authority: `sub` first, the current actor last.
    pub chain: DelegationChain,
    /// The client that asked for it.
    pub client: AgentName,
    /// Its id.
    pub id: TokenId,
    /// What it may be used for at most.
    pub scopes: BTreeSet<Scope>,
    /// The tools, and their arguments, that it may be used for (RFC 9396 §9.1); `None` is all that its scopes open.
    pub details: Option<Vec<ToolGrant>>,
    /// When it was issued, to the second.
    pub issued_at: Timestamp,
    /// When it ends, to the second.
    pub expires_at: Timestamp,
    /// What it is bound to; `None` is a bearer token.
    pub confirmation: Option<Confirmation>,
    /// The one agent that may exchange it (RFC 8693 §4.4); such a token opens nothing by itself.
    pub may_act: Option<AgentName>,
    /// How the user of the chain proved who they are: `auth_time`, `amr`, `acr` (§2.2.1).
    pub authentication: Option<Authentication>,
    /// The grant that it was issued from; `None` is its client acting for itself.
    pub grant: Option<GrantId>,
    /// The task that it is bound to.
    pub task: Option<TaskId>,
    /// Where its agent runs.
    pub environment: Environment,
}

/// What an access token is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessTokenExpectation<'a> {
    /// Our issuer, byte for byte.
    pub issuer: &'a str,
    /// The resource that was called, byte for byte.
    pub audience: &'a str,
    /// The environment that is served, where it is only one.
    pub environment: Option<Environment>,
}

impl AccessTokenClaims {
    /// What the owner of `key` has to sign.
    pub fn signing_input(&self, key: &PublicKey) -> SigningInput {
        SigningInput::new(TokenType::AccessToken, key, &self.to_json())
    }

    /// The claims as JSON.
    fn to_json(&self) -> String {
        Value::Object(self.to_map()).to_string()
    }

    /// The claims as they stand in the token.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", self.issuer.as_str().into());
        set("sub", principal_text(self.chain.initiating()).into());
        set("client_id", self.client.as_str().into());
        set("aud", self.audience.as_str().into());
        set("exp", self.expires_at.as_second().into());
        set("iat", self.issued_at.as_second().into());
        set("jti", self.id.to_string().into());
        set("bailiwick_env", self.environment.as_str().into());
        if !self.scopes.is_empty() {
            let scopes: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
            set("scope", scopes.join(" ").into());
        }
        if let Some(tools) = &self.details {
            set("authorization_details", authorization_details::to_value(&self.issuer, tools));
        }
        if let Some(confirmation) = self.confirmation {
            set("cnf", cnf(confirmation));
        }
        if let Some(agent) = &self.may_act {
            set("may_act", json!({ "sub": agent.as_str() }));
        }
        if let Some(Authentication { at, methods, acr }) = &self.authentication {
            set("auth_time", at.as_second().into());
            if !methods.is_empty() {
                set("amr", json!(methods));
            }
            if let Some(acr) = acr {
                set("acr", acr.as_str().into());
            }
        }
        if let Some(grant) = self.grant {
            set("bailiwick_grant", grant.to_string().into());
        }
        if let Some(task) = self.task {
            set("bailiwick_task", task.to_string().into());
        }
        let actors = self.chain.principals().iter().skip(1);
        if let Some(act) = actors.fold(None, |inner: Option<Value>, actor| {
            let mut act = json!({ "sub": principal_text(actor) });
            if let (Some(act), Some(inner)) = (act.as_object_mut(), inner) {
                act.insert("act".to_owned(), inner);
            }
            Some(act)
        }) {
            set("act", act);
        }
        claims
    }

    /// Reads claims that were verified.
    fn read(claims: &Claims) -> Result<Self, AccessTokenError> {
        if claims.names().any(|name| !CLAIM_NAMES.contains(&name)) {
            return Err(AccessTokenError::UnknownClaim);
        }
        let client: AgentName = claims.parsed("client_id", "a client's id")?;
        let chain = read_chain(claims)?;
        if *chain.current() != Principal::Agent(client.clone()) {
            return Err(ClaimError::Unfit { name: "client_id", expected: "the current actor" }.into());
        }
        Ok(Self {
            issuer: claims.text("iss")?.to_owned(),
            audience: claims.text("aud")?.to_owned(),
            chain,
            client,
            id: claims.parsed("jti", "a token id")?,
            scopes: read_scopes(claims)?,
            details: read_details(claims)?,
            issued_at: claims.time("iat")?,
            expires_at: claims.time("exp")?,
            confirmation: read_confirmation(claims)?,
            may_act: read_may_act(claims)?,
            authentication: read_authentication(claims)?,
            grant: claims.optional_parsed("bailiwick_grant", "a grant's id")?,
            task: claims.optional_parsed("bailiwick_task", "a task id")?,
            environment: claims.parsed("bailiwick_env", "an environment")?,
        })
    }

    /// Checks that the token is ours, for this resource, and of this moment.
    pub fn check(&self, expected: &AccessTokenExpectation<'_>, now: Timestamp) -> Result<(), AccessTokenError> {
        if self.issuer != expected.issuer {
            return Err(AccessTokenError::Issuer);
        }
        if self.audience != expected.audience {
            return Err(AccessTokenError::Audience { expected: expected.audience.to_owned() });
        }
        if expected.environment.is_some_and(|environment| environment != self.environment) {
            return Err(AccessTokenError::Environment);
        }
        self.check_times(now)
    }

    /// Checks that the token is of this moment.
    pub fn check_times(&self, now: Timestamp) -> Result<(), AccessTokenError> {
        // We issued it ourselves, so its end needs no allowance for another's clock.
        if self.expires_at <= now {
            return Err(AccessTokenError::Expired);
        }
        if self.issued_at > later(now, CLOCK_SKEW_S) || self.issued_at >= self.expires_at {
            return Err(AccessTokenError::Clock);
        }
        Ok(())
    }

    /// Checks that the token is presented as it was bound: to a key with a proof by it, to a certificate on a connection
    /// with it, an unbound one without any proof (RFC 9449 §7.1 and §7.2, RFC 8705 §3), and one that hands work over not
    /// at all. `certificate` is the connection's, if it is valid now.
    pub fn check_possession(
        &self,
        scheme: Scheme,
        proof_key: Option<Thumbprint>,
        certificate: Option<Thumbprint>,
    ) -> Result<(), AccessTokenError> {
        if self.may_act.is_some() {
            return Err(AccessTokenError::HandsOver);
        }
        match (self.confirmation, scheme, proof_key) {
            (Some(Confirmation::Key(bound)), Scheme::Dpop, Some(proved)) if bound == proved => Ok(()),
            (Some(Confirmation::Key(_)), Scheme::Dpop, Some(_)) => Err(AccessTokenError::OtherKey),
            (Some(Confirmation::Key(_)), Scheme::Bearer, _) | (Some(Confirmation::Key(_)), Scheme::Dpop, None) => {
                Err(AccessTokenError::ProofRequired)
            }
            (Some(Confirmation::Certificate(bound)), Scheme::Bearer, None) => match certificate {
                Some(shown) if shown == bound => Ok(()),
                Some(_) => Err(AccessTokenError::OtherCertificate),
                None => Err(AccessTokenError::CertificateRequired),
            },
            (Some(Confirmation::Certificate(_)), Scheme::Dpop, _)
            | (Some(Confirmation::Certificate(_)), Scheme::Bearer, Some(_)) => {
                Err(AccessTokenError::CertificateRequired)
            }
            (None, Scheme::Bearer, None) => Ok(()),
            (None, Scheme::Dpop, _) | (None, Scheme::Bearer, Some(_)) => Err(AccessTokenError::NotBound),
        }
    }
}

/// Reads what one of our published keys has signed. Whether it holds here and now is still to be checked:
/// [`AccessTokenClaims::check`].
pub fn read_signed(token: &str, keys: &KeySet) -> Result<AccessTokenClaims, AccessTokenError> {
    let unverified = UnverifiedToken::parse(token, TokenType::AccessToken)?;
    let key = unverified.kid().and_then(|kid| keys.named(kid)).ok_or(AccessTokenError::UnknownKey)?;
    AccessTokenClaims::read(unverified.verify(key)?.claims())
}

/// An agent by its bare name, anybody else as `user:…`, `workload:…`, `operator:…`.
fn principal_text(principal: &Principal) -> String {
    match principal {
        Principal::Agent(name) => name.to_string(),
        Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => principal.to_string(),
    }
}

fn read_principal(text: &str) -> Option<Principal> {
    match text.split_once(':') {
        None => text.parse().ok().map(Principal::Agent),
        Some(("user", id)) => id.parse().ok().map(Principal::User),
        Some(("workload", name)) => name.parse().ok().map(Principal::Workload),
        Some(("operator", name)) => name.parse().ok().map(Principal::Operator),
        Some(_) => None,
    }
}

/// `sub` first, then the actors from the innermost to the outermost.
fn read_chain(claims: &Claims) -> Result<DelegationChain, ClaimError> {
    const ACT: ClaimError = ClaimError::Unfit { name: "act", expected: "a chain of actors" };
    let unfit = ClaimError::Unfit { name: "sub", expected: "a principal" };
    let initiating = read_principal(claims.text("sub")?).ok_or(unfit)?;
    let mut actors = Vec::new();
    let mut next = claims.value("act");
    while let Some(act) = next {
        let act = act.as_object().ok_or(ACT)?;
        if actors.len() >= CHAIN_DEPTH_MAX || act.keys().any(|name| name != "sub" && name != "act") {
            return Err(ACT);
        }
        actors.push(act.get("sub").and_then(Value::as_str).and_then(read_principal).ok_or(ACT)?);
        next = act.get("act");
    }
    actors.push(initiating);
    actors.reverse();
    DelegationChain::new(actors).map_err(|_| ACT)
}

fn read_scopes(claims: &Claims) -> Result<BTreeSet<Scope>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "scope", expected: "scopes separated by single spaces" };
    claims
        .optional_text("scope")?
        .map_or(Ok(BTreeSet::new()), |text| text.split(' ').map(|scope| scope.parse().map_err(|_| UNFIT)).collect())
}

fn read_details(claims: &Claims) -> Result<Option<Vec<ToolGrant>>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "authorization_details", expected: "tools and arguments" };
    claims.value("authorization_details").map(|value| from_value(value).ok_or(UNFIT)).transpose()
}

fn read_confirmation(claims: &Claims) -> Result<Option<Confirmation>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "cnf", expected: "the thumbprint of one key or certificate" };
    let Some(confirmation) = claims.value("cnf") else { return Ok(None) };
    let members = confirmation.as_object().filter(|members| members.len() == 1).ok_or(UNFIT)?;
    let thumbprint = |name| members.get(name).and_then(Value::as_str).map(|text| text.parse().map_err(|_| UNFIT));
    match (thumbprint("jkt"), thumbprint("x5t#S256")) {
        (Some(key), None) => key.map(|key| Some(Confirmation::Key(key))),
        (None, Some(certificate)) => certificate.map(|certificate| Some(Confirmation::Certificate(certificate))),
        _ => Err(UNFIT),
    }
}

/// All of it hangs on `auth_time`: a class or methods of no time say nothing.
fn read_authentication(claims: &Claims) -> Result<Option<Authentication>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "amr", expected: "a list of methods" };
    let methods = match claims.value("amr") {
        None => BTreeSet::new(),
        Some(methods) => {
            let methods = methods.as_array().filter(|methods| methods.len() <= METHODS_MAX).ok_or(UNFIT)?;
            methods.iter().map(|method| method.as_str().map(str::to_owned).ok_or(UNFIT)).collect::<Result<_, _>>()?
        }
    };
    let acr = claims.optional_parsed("acr", "an authentication context class")?;
    match claims.optional_time("auth_time")? {
        Some(at) => Ok(Some(Authentication { at, methods, acr })),
        None if methods.is_empty() && acr.is_none() => Ok(None),
        None => Err(ClaimError::Missing("auth_time")),
    }
}

/// The claim `cnf` (RFC 9449 §6.1, RFC 8705 §3.1).
fn cnf(confirmation: Confirmation) -> Value {
    match confirmation {
        Confirmation::Key(thumbprint) => json!({ "jkt": thumbprint.to_string() }),
        Confirmation::Certificate(thumbprint) => json!({ "x5t#S256": thumbprint.to_string() }),
    }
}

fn read_may_act(claims: &Claims) -> Result<Option<AgentName>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "may_act", expected: "an agent" };
    let Some(may_act) = claims.value("may_act") else { return Ok(None) };
    match may_act.as_object() {
        Some(members) if members.len() == 1 => {
            let agent = members.get("sub").and_then(Value::as_str).and_then(|text| text.parse().ok());
            agent.map(Some).ok_or(UNFIT)
        }
        _ => Err(UNFIT),
    }
}

#[cfg(test)]
mod tests;
