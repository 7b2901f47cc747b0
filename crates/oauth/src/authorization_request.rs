//! A client's request for a user's consent (RFC 6749 §4.1.1, OAuth 2.1 draft), in a query or pushed before (RFC 9126).
//!
//! Read in two steps, since an error may be sent to a redirect URI only once that is known to be the client's: first
//! [`Addressee`], whose errors a page shows, then the rest, whose errors go back.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::ClientUrl,
    jwk::Thumbprint,
    name::{Acr, AgentName, Scope},
};

use crate::{
    authorization_details::AuthorizationDetails,
    error::{ErrorCode, OAuthError},
    form::{Form, invalid},
    pkce::{self, CodeChallenge},
};

/// Bytes of one `state`.
pub const STATE_BYTES_MAX: usize = 512;
/// Bytes of one redirect URI as asked for.
pub const REDIRECT_BYTES_MAX: usize = 2_048;
/// Authentication context classes that one request may name.
pub const ACR_VALUES_MAX: usize = 8;
/// What every `request_uri` of ours begins with (RFC 9126 §2.2).
pub const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// What a query to the authorization endpoint holds.
#[derive(Debug)]
pub enum AuthorizationQuery {
    /// The parameters themselves.
    Plain(Addressee),
    /// Those that a client pushed before.
    Pushed {
        /// Who says to have pushed them.
        client: AgentName,
        /// Under what.
        request_uri: String,
    },
}

/// A request of which no more is known than who would get the answer.
#[derive(Debug)]
pub struct Addressee {
    /// Who asks; nothing proves it.
    pub client: AgentName,
    /// The document that it says to be known by.
    pub document: Option<ClientUrl>,
    /// Where the answer would go, byte for byte as asked.
    pub redirect_uri: String,
    /// What the client wants back unchanged.
    pub state: Option<String>,
    rest: Form,
}

/// A request that can be decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client: AgentName,
    /// Where the answer goes, byte for byte as asked.
    pub redirect_uri: String,
    /// What the client wants back unchanged.
    pub state: Option<String>,
    /// What whoever redeems the code must meet.
    pub challenge: CodeChallenge,
    /// The key that the token is to be bound to (RFC 9449 §10).
    pub confirmation: Option<Thumbprint>,
    /// The resource that the token is to be for, byte for byte (RFC 8707 §2.1).
    pub resource: String,
    /// The scopes that are asked for; empty means the server chooses.
    pub scopes: BTreeSet<Scope>,
    /// The tools and arguments that are asked for (RFC 9396 §2); `None` is all that the scopes open.
    pub details: Option<AuthorizationDetails>,
    /// What may or must happen before the answer.
    pub prompt: Prompt,
    /// Seconds since the user proved who they are at most.
    pub max_age_s: Option<u32>,
    /// Authentication context classes, of which one must be met (RFC 9470 §4).
    pub acr_values: BTreeSet<Acr>,
}

/// What may or must happen before the answer (`prompt`, OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Nobody may be asked anything.
    pub none: bool,
    /// The user must prove anew who they are.
    pub login: bool,
    /// The user must be asked even about what they allowed before.
    pub consent: bool,
}

impl AuthorizationQuery {
    /// Parses the query of the authorization endpoint.
    pub fn parse(query: &[u8]) -> Result<Self, OAuthError> {
        let mut form = Form::parse(query)?;
        let (client, document) = client(&mut form)?;
        match form.take("request_uri") {
            None => Ok(Self::Plain(Addressee::take((client, document), form)?)),
            // A client by its document has no key to push with.
            Some(request_uri) if request_uri.starts_with(REQUEST_URI_PREFIX) && document.is_none() => {
                Ok(Self::Pushed { client, request_uri })
            }
            Some(_) => Err(OAuthError::new(
                ErrorCode::InvalidRequestUri,
                "`request_uri` is none of ours\nhint: push the request to the endpoint for that first",
            )),
        }
    }
}

impl Addressee {
    /// Takes the request of an authenticated client out of what it pushed.
    pub fn pushed(client: AgentName, mut form: Form) -> Result<Self, OAuthError> {
        if form.take("request_uri").is_some() {
            return Err(invalid("`request_uri` cannot be pushed"));
        }
        Self::take((client, None), form)
    }

    fn take((client, document): (AgentName, Option<ClientUrl>), mut form: Form) -> Result<Self, OAuthError> {
        let redirect_uri = form.require("redirect_uri")?;
        if redirect_uri.len() > REDIRECT_BYTES_MAX {
            return Err(invalid(&format!("`redirect_uri` has more than {REDIRECT_BYTES_MAX} bytes")));
        }
        let state = form.take("state");
        let fits =
            |state: &String| state.len() <= STATE_BYTES_MAX && state.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !state.as_ref().is_none_or(fits) {
            return Err(invalid(&format!("`state` must be printable ASCII of at most {STATE_BYTES_MAX} bytes")));
        }
        Ok(Self { client, document, redirect_uri, state, rest: form })
    }

    /// Reads the rest. An error may be sent back by now, if client and redirect URI were checked.
    pub fn read(self) -> Result<AuthorizationRequest, OAuthError> {
        let Self { client, document: _, redirect_uri, state, rest: mut form } = self;
        if form.take("request").is_some() {
            return Err(OAuthError::new(ErrorCode::RequestNotSupported, "signed requests are not supported"));
        }
        if form.require("response_type")? != "code" {
            let description = "`response_type` must be `code`";
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, description));
        }
        if form.take("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("`response_mode` must be `query`, or be left out"));
        }
        let challenge = challenge(&mut form)?;
        let confirmation = form.parsed("dpop_jkt", "the thumbprint of a key")?;
        let max_age_s = form.parsed("max_age", "a number of seconds")?;
        let prompt = form.take("prompt").map_or(Ok(Prompt::default()), |text| Prompt::parse(&text))?;
        let acr_values = classes(&mut form)?;
        let scopes = form.scopes()?;
        let details = form.tool_details()?;
        let resource = form.resource()?;
        Ok(AuthorizationRequest {
            client,
            redirect_uri,
            state,
            challenge,
            confirmation,
            resource,
            scopes,
            details,
            prompt,
            max_age_s,
            acr_values,
        })
    }
}

impl Prompt {
    fn parse(text: &str) -> Result<Self, OAuthError> {
        let mut prompt = Self::default();
        for word in text.split(' ') {
            let known = match word {
                "none" => &mut prompt.none,
                "login" | "select_account" => &mut prompt.login,
                "consent" => &mut prompt.consent,
                _ => return Err(invalid("`prompt` is none of `none`, `login`, `consent`, `select_account`")),
            };
            *known = true;
        }
        if prompt.none && (prompt.login || prompt.consent) {
            return Err(invalid("`prompt` cannot be `none` and something else"));
        }
        Ok(prompt)
    }
}

/// The classes that a request wants its user to be authenticated in one of (OpenID Connect Core 1.0 §3.1.2.1).
pub(crate) fn classes(form: &mut Form) -> Result<BTreeSet<Acr>, OAuthError> {
    let Some(text) = form.take("acr_values") else { return Ok(BTreeSet::new()) };
    let words = text.split(' ');
    if words.clone().count() > ACR_VALUES_MAX {
        return Err(invalid(&format!("`acr_values` names more than {ACR_VALUES_MAX} classes")));
    }
    let unfit = |_| invalid("`acr_values` is a list of classes, separated by single spaces");
    words.map(|word| word.parse().map_err(unfit)).collect()
}

/// The client, by its name or by the URL of its document, from which a name follows.
fn client(form: &mut Form) -> Result<(AgentName, Option<ClientUrl>), OAuthError> {
    let unfit = || invalid("`client_id` is not a client's id");
    let id = form.require("client_id")?;
    if !ClientUrl::is_meant(&id) {
        return Ok((id.parse().map_err(|_| unfit())?, None));
    }
    let url: ClientUrl = id.parse().map_err(|_| unfit())?;
    Ok((url.agent_name().ok_or_else(unfit)?, Some(url)))
}

fn challenge(form: &mut Form) -> Result<CodeChallenge, OAuthError> {
    let text = form.require("code_challenge")?;
    // The method's default is `plain` (RFC 7636 §4.3), so leaving it out asks for what is not admitted.
    if form.take("code_challenge_method").as_deref() != Some(pkce::METHOD) {
        return Err(invalid("`code_challenge_method` must be `S256`"));
    }
    CodeChallenge::parse(&text).ok_or_else(|| invalid("`code_challenge` is not a SHA-256 in base64url"))
}

#[cfg(test)]
mod tests;
