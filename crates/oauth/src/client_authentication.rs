//! How a client says who it is (RFC 6749 §2.3): the parameters alone, nothing of them is verified.

use bailiwick_model::{agent::ClientUrl, name::AgentName};

use crate::{
    client_assertion::ASSERTION_TYPE,
    error::{ErrorCode, OAuthError},
    form::{Form, invalid},
};

/// The `client_assertion_type` of a JWT-SVID.
pub const SVID_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// What a client sent to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// An assertion that a key of its own signed (RFC 7523 §2.2).
    Assertion {
        /// The signed assertion.
        assertion: String,
        /// The client's id, if it was sent beside the assertion; it must be the same.
        client: Option<AgentName>,
    },
    /// What a SPIFFE trust domain signed (draft-ietf-oauth-spiffe-client-auth-02).
    JwtSvid {
        /// The JWT-SVID.
        svid: String,
        /// The client's id, if it was sent beside it; it must be the agent that the SPIFFE id is.
        client: Option<AgentName>,
    },
    /// Nothing: an attestation in the headers is to say who it is and to prove it.
    Elsewhere,
    /// Its id alone: the certificate of the connection is to prove it (RFC 8705 §2).
    Certificate {
        /// The client's id.
        client: AgentName,
    },
    /// The URL of its document alone, which proves nothing (draft-ietf-oauth-client-id-metadata-document-02).
    Public {
        /// Its id.
        url: ClientUrl,
    },
}

impl std::fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Assertion { assertion: _, client } => {
                f.debug_struct("Assertion").field("client", client).finish_non_exhaustive()
            }
            Self::JwtSvid { svid: _, client } => {
                f.debug_struct("JwtSvid").field("client", client).finish_non_exhaustive()
            }
            Self::Elsewhere => f.write_str("Elsewhere"),
            Self::Certificate { client } => f.debug_struct("Certificate").field("client", client).finish(),
            Self::Public { url } => f.debug_struct("Public").field("url", url).finish(),
        }
    }
}

impl ClientAuthentication {
    /// Takes its parameters out of a form. A client authenticates in one way (RFC 6749 §2.3).
    pub fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let refused = |description: &str| OAuthError::new(ErrorCode::InvalidClient, description);
        if form.take("client_secret").is_some() {
            return Err(refused("shared secrets are not accepted\nhint: authenticate by `private_key_jwt`"));
        }
        let assertion = form.take("client_assertion");
        let kind = form.take("client_assertion_type");
        let id = form.take("client_id");
        if let Some(url) = id.as_deref().filter(|id| ClientUrl::is_meant(id)) {
            let url = url.parse().map_err(|_| refused("`client_id` is no client"))?;
            // Whoever has a key is not known by a document.
            return match (assertion, kind) {
                (None, None) => Ok(Self::Public { url }),
                _ => Err(refused("a client by its document has no assertion\nhint: leave out `client_assertion`")),
            };
        }
        let client = id.map(|text| text.parse().map_err(|_| refused("`client_id` is no client"))).transpose()?;
        match (assertion, kind.as_deref()) {
            (Some(assertion), Some(ASSERTION_TYPE)) => Ok(Self::Assertion { assertion, client }),
            (Some(svid), Some(SVID_TYPE)) => Ok(Self::JwtSvid { svid, client }),
            (Some(_), _) => Err(invalid(&format!("`client_assertion_type` must be `{ASSERTION_TYPE}`"))),
            (None, Some(_)) => Err(refused("`client_assertion` is missing\nhint: authenticate by `private_key_jwt`")),
            (None, None) => Ok(client.map_or(Self::Elsewhere, |client| Self::Certificate { client })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<ClientAuthentication, ErrorCode>) {
        let taken = ClientAuthentication::take(&mut Form::parse(body.as_bytes()).unwrap());
        assert_eq!(taken.map_err(|error| error.code), expected, "{body}");
    }

    #[test]
    fn a_client_authenticates_in_one_way() {
        let kind = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let client: AgentName = "bot".parse().unwrap();
        let assertion = "a.b.c".to_owned();
        let by_key = ClientAuthentication::Assertion { assertion: assertion.clone(), client: None };
        check(&format!("{kind}&client_assertion=a.b.c"), Ok(by_key));
        let named = ClientAuthentication::Assertion { assertion, client: Some(client.clone()) };
        check(&format!("{kind}&client_assertion=a.b.c&client_id=bot"), Ok(named));
        let svid = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-spiffe";
        let by_svid = ClientAuthentication::JwtSvid { svid: "a.b.c".to_owned(), client: None };
        check(&format!("{svid}&client_assertion=a.b.c"), Ok(by_svid));
        check(svid, Err(ErrorCode::InvalidClient));
        check("client_id=bot", Ok(ClientAuthentication::Certificate { client }));
        check(&format!("{kind}&client_id=bot"), Err(ErrorCode::InvalidClient));
        check("client_assertion=a.b.c&client_id=bot", Err(ErrorCode::InvalidRequest));
        check("client_id=bot&client_secret=x", Err(ErrorCode::InvalidClient));
        check("client_id=B%20t", Err(ErrorCode::InvalidClient));
        let url = "client_id=https%3A%2F%2Fa.example%2Fc";
        check(url, Ok(ClientAuthentication::Public { url: "https://a.example/c".parse().unwrap() }));
        check(&format!("{url}&{kind}&client_assertion=a.b.c"), Err(ErrorCode::InvalidClient));
        check(&format!("{url}&client_secret=x"), Err(ErrorCode::InvalidClient));
        check("client_id=http%3A%2F%2Fa.example%2Fc", Err(ErrorCode::InvalidClient));
        check("client_id=https%3A%2F%2Fa.example%2Fx%2F..%2Fc", Err(ErrorCode::InvalidClient));
        check("scope=x", Ok(ClientAuthentication::Elsewhere));
    }
}
