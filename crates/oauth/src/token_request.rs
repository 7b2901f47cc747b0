//! The body of a token request (RFC 6749 §4.4.2 with RFC 7523, RFC 8707).
//!
//! Strict where leniency helps an attacker: a parameter that stands twice is
//! an error, and so is an escape that does not decode.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    id::TaskId,
    name::{AgentName, Scope},
};
use url::Url;

use crate::{
    client_assertion::ASSERTION_TYPE,
    error::{ErrorCode, OAuthError},
};

/// Bytes of one body.
pub const FORM_BYTES_MAX: usize = 64 * 1_024;
/// Parameters of one body.
pub const PARAMETERS_MAX: usize = 32;
/// Scopes that one token may be asked for.
pub const SCOPES_MAX: usize = 64;
/// Bytes of one resource indicator.
pub const RESOURCE_BYTES_MAX: usize = 2_048;

/// What a client asks for. The only grant is `client_credentials`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The signed assertion that authenticates the client.
    pub client_assertion: String,
    /// The client's id, if it was sent beside the assertion; it must be the same.
    pub client: Option<AgentName>,
    /// The resource that the token is to be for, byte for byte.
    pub resource: String,
    /// The scopes that are asked for; empty means the server chooses.
    pub scopes: BTreeSet<Scope>,
    /// The task that the token is to be bound to.
    pub task: Option<TaskId>,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("client", &self.client)
            .field("resource", &self.resource)
            .field("scopes", &self.scopes)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// Parses a body of the type `application/x-www-form-urlencoded`.
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut form = Form::parse(body)?;
        match form.take("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some(_) => {
                return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "the only grant is `client_credentials`"));
            }
            None => return Err(invalid("`grant_type` is missing")),
        }
        if form.take("client_secret").is_some() {
            return Err(OAuthError::new(
                ErrorCode::InvalidClient,
                "shared secrets are not accepted\nhint: authenticate by `private_key_jwt`",
            ));
        }
        let client_assertion = form.take("client_assertion").ok_or_else(|| {
            OAuthError::new(
                ErrorCode::InvalidClient,
                "`client_assertion` is missing\nhint: authenticate by `private_key_jwt`",
            )
        })?;
        if form.take("client_assertion_type").as_deref() != Some(ASSERTION_TYPE) {
            return Err(invalid(&format!("`client_assertion_type` must be `{ASSERTION_TYPE}`")));
        }
        let client = form
            .take("client_id")
            .map(|text| text.parse().map_err(|_| OAuthError::new(ErrorCode::InvalidClient, "`client_id` is no client")))
            .transpose()?;
        let task = form
            .take("bailiwick_task")
            .map(|text| text.parse().map_err(|_| invalid("`bailiwick_task` is not a task id")))
            .transpose()?;
        let scopes = form.take("scope").map_or(Ok(BTreeSet::new()), |text| parse_scopes(&text))?;
        Ok(Self { client_assertion, client, resource: form.resource()?, scopes, task })
    }
}

fn invalid(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

fn parse_scopes(text: &str) -> Result<BTreeSet<Scope>, OAuthError> {
    let unfit = || OAuthError::new(ErrorCode::InvalidScope, "`scope` must be scopes separated by single spaces");
    let scopes: BTreeSet<Scope> =
        text.split(' ').map(|scope| scope.parse().map_err(|_| unfit())).collect::<Result<_, _>>()?;
    if scopes.len() > SCOPES_MAX {
        return Err(OAuthError::new(ErrorCode::InvalidScope, &format!("at most {SCOPES_MAX} scopes")));
    }
    Ok(scopes)
}

/// A decoded form: every parameter once, `resource` aside.
struct Form {
    parameters: BTreeMap<String, String>,
    resources: Vec<String>,
}

impl Form {
    fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        if body.len() > FORM_BYTES_MAX {
            return Err(invalid(&format!("the body has more than {FORM_BYTES_MAX} bytes")));
        }
        let mut form = Self { parameters: BTreeMap::new(), resources: Vec::new() };
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index >= PARAMETERS_MAX {
                return Err(invalid(&format!("the body has more than {PARAMETERS_MAX} parameters")));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            let malformed = || invalid("the body is not a well-formed form");
            let (name, value) = (half().ok_or_else(malformed)?, half().ok_or_else(malformed)?);
            if name == "resource" {
                form.resources.push(value);
            } else if form.parameters.insert(name, value).is_some() {
                return Err(invalid("a parameter stands twice"));
            }
        }
        Ok(form)
    }

    /// A parameter's value; an empty one counts as absent (RFC 6749 §3.1).
    fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name).filter(|value| !value.is_empty())
    }

    fn resource(&mut self) -> Result<String, OAuthError> {
        let unfit = |description: &str| OAuthError::new(ErrorCode::InvalidTarget, description);
        let resource = match (self.resources.pop(), self.resources.is_empty()) {
            (Some(resource), true) => resource,
            (None, _) => return Err(unfit("`resource` is missing\nhint: name the URL that the token is for")),
            (Some(_), false) => return Err(unfit("`resource` stands twice\nhint: ask for one token per resource")),
        };
        let url = Url::parse(&resource).map_err(|_| unfit("`resource` is not an absolute URL"))?;
        if resource.len() > RESOURCE_BYTES_MAX || url.fragment().is_some() || !url.has_host() {
            return Err(unfit("`resource` is not an absolute URL without fragment"));
        }
        Ok(resource)
    }
}

/// Undoes `+` and percent-escapes; `None` where that does not give UTF-8.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => *byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests;
