//! Requests for a user's consent that is given apart from the client: on another device (RFC 8628 §3.1), or told by the back
//! channel (OpenID CIBA Core 1.0 §7.1, poll mode). The client authenticates with them; the parameters alone are read here.

use std::collections::BTreeSet;

use bailiwick_model::name::{Acr, Scope};

use crate::{
    authorization_details::AuthorizationDetails,
    authorization_request::classes,
    error::{ErrorCode, OAuthError},
    form::{Form, invalid},
};

/// The scope that makes it an `OpenID` request.
pub const OPENID: &str = "openid";
/// Characters of one binding message: it has to fit beside the question, and into the client's own display.
pub const BINDING_MESSAGE_CHARACTERS_MAX: usize = 64;
/// Bytes of one hint.
pub const HINT_BYTES_MAX: usize = 256;

/// What is asked for, either way; it is all of a device's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The resource.
    pub resource: String,
    /// Scopes, `openid` aside; empty means the server chooses.
    pub scopes: BTreeSet<Scope>,
    /// Tools and arguments.
    pub details: Option<AuthorizationDetails>,
    /// How well the user has to prove who they are: any of these classes; empty is any way.
    pub acr_values: BTreeSet<Acr>,
}

/// Whom a client means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A name.
    Login(String),
    /// An ID token that we issued to this client; nothing is known of it.
    IdToken(String),
}

/// What a client asks for by the back channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackchannelRequest {
    /// Whom to ask.
    pub hint: Hint,
    /// What for.
    pub asked: Asked,
    /// What client and user both see.
    pub binding_message: Option<String>,
    /// Seconds that the request may wait.
    pub requested_expiry_s: Option<u32>,
}

impl Asked {
    /// Takes its parameters out of a form.
    pub fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let (scopes, details, acr_values) = (form.scopes()?, form.tool_details()?, classes(form)?);
        Ok(Self { resource: form.resource()?, scopes, details, acr_values })
    }
}

impl BackchannelRequest {
    /// Takes its parameters out of a form.
    pub fn take(form: &mut Form) -> Result<Self, OAuthError> {
        if form.take("request").is_some() {
            return Err(OAuthError::new(ErrorCode::RequestNotSupported, "signed requests are not supported"));
        }
        let hints = [form.take("login_hint"), form.take("id_token_hint"), form.take("login_hint_token")];
        let hint = match hints {
            [Some(hint), None, None] if hint.len() <= HINT_BYTES_MAX => Hint::Login(hint),
            [None, Some(token), None] => Hint::IdToken(token),
            _ => return Err(invalid("name the user by exactly one of `login_hint` and `id_token_hint`")),
        };
        let mut asked = Asked::take(form)?;
        let before = asked.scopes.len();
        asked.scopes.retain(|scope| scope.as_str() != OPENID);
        if asked.scopes.len() == before {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "`scope` must contain `openid`"));
        }
        let binding_message = form.take("binding_message");
        if !binding_message.as_deref().is_none_or(is_plain) {
            let description = format!(
                "`binding_message` must be up to {BINDING_MESSAGE_CHARACTERS_MAX} letters, digits, spaces and `.,:;!?()+-_/#`, and no link"
            );
            return Err(OAuthError::new(ErrorCode::InvalidBindingMessage, &description));
        }
        let requested_expiry_s: Option<u32> = form.parsed("requested_expiry", "a number of seconds")?;
        if requested_expiry_s == Some(0) {
            return Err(invalid("`requested_expiry` is at least one second"));
        }
        Ok(Self { hint, asked, binding_message, requested_expiry_s })
    }
}

/// What two displays show alike, and nobody can read as a link or as something of ours.
fn is_plain(message: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || " .,:;!?()+-_/#".contains(letter);
    let links = message.contains("//") || message.to_ascii_lowercase().contains("www.");
    message.chars().count() <= BINDING_MESSAGE_CHARACTERS_MAX && message.chars().all(fits) && !links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extra: &str) -> Result<BackchannelRequest, OAuthError> {
        let body = format!("resource=https%3A%2F%2Fb.example%2Fmcp%2Fcrm&{extra}");
        BackchannelRequest::take(&mut Form::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_request_names_one_user_and_is_openid() {
        let request = read(
            "scope=openid+crm:read&login_hint=u-ada&binding_message=Order+4711,+1st&requested_expiry=60&acr_values=phr",
        );
        let request = request.unwrap();
        assert_eq!(request.asked.acr_values, BTreeSet::from(["phr".parse().unwrap()]));
        assert_eq!(request.hint, Hint::Login("u-ada".into()));
        assert_eq!(request.asked.scopes, BTreeSet::from(["crm:read".parse().unwrap()]));
        assert_eq!(
            (request.binding_message.as_deref(), request.requested_expiry_s),
            (Some("Order 4711, 1st"), Some(60))
        );
        for (extra, code) in [
            ("scope=openid", ErrorCode::InvalidRequest),
            ("scope=openid&login_hint=a&id_token_hint=b", ErrorCode::InvalidRequest),
            ("scope=openid&login_hint_token=b", ErrorCode::InvalidRequest),
            ("scope=crm:read&login_hint=a", ErrorCode::InvalidScope),
            ("login_hint=a", ErrorCode::InvalidScope),
            ("scope=openid&login_hint=a&requested_expiry=0", ErrorCode::InvalidRequest),
            ("scope=openid&login_hint=a&requested_expiry=soon", ErrorCode::InvalidRequest),
            ("scope=openid&login_hint=a&acr_values=+", ErrorCode::InvalidRequest),
            ("scope=openid&login_hint=a&request=x", ErrorCode::RequestNotSupported),
            ("scope=openid&login_hint=a&binding_message=%E2%80%AEx", ErrorCode::InvalidBindingMessage),
            ("scope=openid&login_hint=a&binding_message=%3Cb%3E", ErrorCode::InvalidBindingMessage),
            (
                "scope=openid&login_hint=a&binding_message=https://evil.example/confirm?1",
                ErrorCode::InvalidBindingMessage,
            ),
            ("scope=openid&login_hint=a&binding_message=//evil.example", ErrorCode::InvalidBindingMessage),
            ("scope=openid&login_hint=a&binding_message=see+WWW.evil.example", ErrorCode::InvalidBindingMessage),
        ] {
            assert_eq!(read(extra).unwrap_err().code, code, "{extra}");
        }
        let long = format!("scope=openid&login_hint=a&binding_message={}", "x".repeat(65));
        assert_eq!(read(&long).unwrap_err().code, ErrorCode::InvalidBindingMessage);
    }
}
