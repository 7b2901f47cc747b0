//! A client that is known by the URL of its document and proves nothing
//! (draft-ietf-oauth-client-id-metadata-document-02). What it redeems is bound to it by other means: a code by PKCE and its
//! redirect URI, a refresh token by its key and by being good once. So only those two lead here.

use bailiwick_engine::hardware::{self, Held};
use bailiwick_model::agent::{Authenticator, ClientUrl};
use bailiwick_oauth::error::ErrorCode;

use super::{Client, Visit};
use crate::failure::{Failure, Why};

impl Visit<'_> {
    /// Looks up who asks. That it is who it says is shown by what it redeems, or not at all.
    pub(crate) async fn public(&mut self, url: &ClientUrl) -> Result<Client, Failure> {
        let name = url.agent_name().ok_or_else(Failure::unauthenticated)?;
        let agent = self.claimed(&name).await?;
        let now = self.entrance().broker().now();
        let is_it =
            |authenticator: &Authenticator| matches!(authenticator, Authenticator::Document(known) if known == url);
        let mut credentials = agent.credentials.iter().filter(|credential| now < credential.expires_at);
        let found = credentials.find(|credential| is_it(&credential.authenticator));
        let credential = found.map(|credential| credential.authenticator.id()).ok_or_else(Failure::unauthenticated)?;
        hardware::check(self.entrance().broker(), &agent, Held::Nothing).map_err(|unprotected| {
            Failure::new(Why::Unprotected, ErrorCode::InvalidClient, &unprotected.to_string())
        })?;
        Ok(Client { agent, credential, once: None })
    }
}
