//! The upstream's credentials: revealed here, put into the one place that
//! needs them, and taken out of whatever the upstream says afterwards.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bailiwick_engine::connections::NoToken;
use bailiwick_model::{
    digest::Digest,
    name::{SecretName, SystemName, UserId},
    secret::Secret,
};
use bailiwick_pdp::catalogue::OauthClient;
use bytes::Bytes;

/// Secrets shorter than this are not looked for in what an upstream says: they would be found everywhere.
pub const REDACTED_BYTES_MIN: usize = 6;

/// Where the pool gets upstream credentials from.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of a secret, or why there is none.
    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, SecretUnavailable>;
    /// The broker's own token at a system, as this client; `binding` is what it is bound to. One that the system has just
    /// `refused` is renewed.
    async fn own_token(
        &self,
        system: &SystemName,
        client: (&OauthClient, Digest),
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken>;
    /// The token of a user's own account at a system. One that the system has just `refused` is renewed.
    async fn account_token(
        &self,
        system: &SystemName,
        user: &UserId,
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken>;
}

/// A secret cannot be had. The reason is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SecretUnavailable(pub String);

/// Forms of secrets that one redactor looks for; beyond them, those that it learnt first are forgotten.
const FORMS_MAX: usize = 64;

/// Takes secrets out of texts. Cheap to clone: clones know the same.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Arc<RwLock<Arc<[Secret<String>]>>>);

impl Redactor {
    /// Knows each secret, and each of its lines, as it is and as a JSON string holds it.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret<String>>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            let whole = secret.expose().as_str();
            for plain in std::iter::once(whole).chain(whole.lines()).filter(|part| part.len() >= REDACTED_BYTES_MIN) {
                let quoted = serde_json::Value::from(plain).to_string();
                let escaped = quoted.get(1..quoted.len() - 1).unwrap_or(plain);
                forms.push(Secret::new(escaped.to_owned()));
                if escaped != plain {
                    forms.push(Secret::new(plain.to_owned()));
                }
            }
        }
        forms.dedup();
        Self(Arc::new(RwLock::new(forms.into())))
    }

    /// Looks for one more from now on: a token that took the place of another, which may still be echoed.
    pub(crate) fn learn(&self, secret: &Secret<String>) {
        let new = Self::new([secret]).forms();
        let mut forms = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = forms.iter().filter(|form| !new.contains(form));
        let all: Vec<_> = known.chain(new.iter()).cloned().collect();
        *forms = all.get(all.len().saturating_sub(FORMS_MAX)..).unwrap_or_default().into();
    }

    fn forms(&self) -> Arc<[Secret<String>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The message without secrets; the very same bytes if it held none. Bytes that are no text pass: the parser refuses them.
    pub(crate) fn clean(&self, message: Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(&message) else { return message };
        match self.clean_text(text) {
            Some(clean) => clean.into(),
            None => message,
        }
    }

    /// The text without secrets, if it held any.
    pub(crate) fn clean_text(&self, text: &str) -> Option<String> {
        let mut clean: Option<String> = None;
        for secret in self.forms().iter() {
            let current = clean.as_deref().unwrap_or(text);
            if current.contains(secret.expose().as_str()) {
                clean = Some(current.replace(secret.expose().as_str(), "****"));
            }
        }
        clean
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.forms().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_in_every_form() {
        let secret = Secret::new(String::from("p\"ss\\word\""));
        let lines = Secret::new(String::from("first-line\nsecond-line"));
        let redactor = Redactor::new([&secret, &lines, &Secret::new(String::from("abc"))]);
        assert_eq!(redactor.clean_text("x p\"ss\\word\" y").as_deref(), Some("x **** y"));
        assert_eq!(redactor.clean_text("log: second-line").as_deref(), Some("log: ****"));
        let json = serde_json::json!({ "env": "KEY=p\"ss\\word\"" }).to_string();
        assert_eq!(redactor.clean(json.into()), Bytes::from_static(b"{\"env\":\"KEY=****\"}"));
        assert_eq!(redactor.clean_text("abc"), None, "too short to look for");
        assert!(!format!("{redactor:?}").contains("word"));
        let clone = redactor.clone();
        clone.learn(&Secret::new(String::from("a-second-token")));
        assert_eq!(redactor.clean_text("first-line, a-second-token").as_deref(), Some("****, ****"));
        (0..FORMS_MAX).for_each(|number| clone.learn(&Secret::new(format!("token-number-{number}"))));
        assert_eq!(clone.forms().len(), FORMS_MAX);
    }
}
