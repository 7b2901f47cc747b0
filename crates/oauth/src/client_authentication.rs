//! How a client says who it is (RFC 6749 §2.3): the parameters alone, nothing of them is verified.

use bailiwick_model::name::AgentName;

use crate::{
    client_assertion::ASSERTION_TYPE,
    error::{ErrorCode, OAuthError},
    form::{Form, invalid},
};

/// What a client sent to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAuthentication {
    /// The signed assertion (RFC 7523 §2.2).
    pub assertion: String,
    /// The client's id, if it was sent beside the assertion; it must be the same.
    pub client: Option<AgentName>,
}

impl std::fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuthentication").field("client", &self.client).finish_non_exhaustive()
    }
}

impl ClientAuthentication {
    /// Takes its parameters out of a form.
    pub fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let refused = |description: &str| OAuthError::new(ErrorCode::InvalidClient, description);
        if form.take("client_secret").is_some() {
            return Err(refused("shared secrets are not accepted\nhint: authenticate by `private_key_jwt`"));
        }
        let assertion = form
            .take("client_assertion")
            .ok_or_else(|| refused("`client_assertion` is missing\nhint: authenticate by `private_key_jwt`"))?;
        if form.take("client_assertion_type").as_deref() != Some(ASSERTION_TYPE) {
            return Err(invalid(&format!("`client_assertion_type` must be `{ASSERTION_TYPE}`")));
        }
        let client = form
            .take("client_id")
            .map(|text| text.parse().map_err(|_| refused("`client_id` is no client")))
            .transpose()?;
        Ok(Self { assertion, client })
    }
}
