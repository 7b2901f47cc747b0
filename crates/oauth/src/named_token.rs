//! The body of a request about a token: revocation (RFC 7009 §2.1) and introspection (RFC 7662 §2.1) name it alike.

use bailiwick_model::secret::Secret;

use crate::{client_authentication::ClientAuthentication, error::OAuthError, form::Form};

/// A client names a token by presenting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToken {
    /// Who asks.
    pub client: ClientAuthentication,
    /// The token; nothing is known of it.
    pub token: Secret<String>,
}

impl NamedToken {
    /// Parses a body of the type `application/x-www-form-urlencoded`. `token_type_hint` is a hint: what a token is shows
    /// by itself, so a wrong or unknown hint changes nothing.
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut form = Form::parse(body)?;
        let client = ClientAuthentication::take(&mut form)?;
        Ok(Self { client, token: Secret::new(form.require("token")?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    const CLIENT: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
        &client_assertion=a.b.c";

    #[test]
    fn a_token_is_named_whatever_the_hint_says() {
        for hint in ["", "&token_type_hint=access_token", "&token_type_hint=refresh_token", "&token_type_hint=x"] {
            let named = NamedToken::parse(format!("{CLIENT}&token=t0k%2Ben{hint}").as_bytes()).unwrap();
            assert_eq!(named.token.expose(), "t0k+en");
            assert!(!format!("{named:?}").contains("t0k"), "a token never prints");
        }
    }

    #[test]
    fn every_refusal_has_its_code() {
        for (body, code) in [
            (CLIENT.to_owned(), ErrorCode::InvalidRequest),
            (format!("{CLIENT}&token="), ErrorCode::InvalidRequest),
            (format!("{CLIENT}&token=a&token=b"), ErrorCode::InvalidRequest),
            (format!("{CLIENT}&token=a&client_secret=x"), ErrorCode::InvalidClient),
            (format!("{CLIENT}&token=%zz"), ErrorCode::InvalidRequest),
            (format!("{CLIENT}&token={}", "x".repeat(crate::form::FORM_BYTES_MAX)), ErrorCode::InvalidRequest),
        ] {
            assert_eq!(NamedToken::parse(body.as_bytes()).unwrap_err().code, code);
        }
    }
}
