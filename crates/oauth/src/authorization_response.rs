//! What goes back to a client by way of its user's browser (RFC 6749 §4.1.2), always with who says it (RFC 9207): a
//! client that talks to several servers must not take one's answer for another's.

use url::Url;

use crate::error::OAuthError;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationResponse {
    /// The user, or what they allowed before, says yes.
    Code(String),
    /// Not so.
    Error(OAuthError),
}

impl AuthorizationResponse {
    /// The URL to send the browser to: the redirect URI, to whose query the answer is added. `None` if the redirect URI is
    /// none, which no checked one is.
    pub fn location(&self, redirect_uri: &str, state: Option<&str>, issuer: &str) -> Option<String> {
        let mut url = Url::parse(redirect_uri).ok()?;
        {
            let mut query = url.query_pairs_mut();
            match self {
                Self::Code(code) => {
                    query.append_pair("code", code);
                }
                Self::Error(OAuthError { code, description }) => {
                    query.append_pair("error", code.as_str()).append_pair("error_description", description);
                }
            }
            if let Some(state) = state {
                query.append_pair("state", state);
            }
            query.append_pair("iss", issuer);
        }
        Some(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn the_answer_is_added_and_nothing_else_changes() {
        let code = AuthorizationResponse::Code("abc".to_owned());
        assert_eq!(
            code.location("https://c.example/cb?tenant=a%20b", Some("x&iss=evil y"), "https://b.example").unwrap(),
            "https://c.example/cb?tenant=a%20b&code=abc&state=x%26iss%3Devil+y&iss=https%3A%2F%2Fb.example"
        );
        let refused = AuthorizationResponse::Error(OAuthError::new(ErrorCode::AccessDenied, "no"));
        assert_eq!(
            refused.location("http://127.0.0.1:8000/cb", None, "https://b.example").unwrap(),
            "http://127.0.0.1:8000/cb?error=access_denied&error_description=no&iss=https%3A%2F%2Fb.example"
        );
    }
}
