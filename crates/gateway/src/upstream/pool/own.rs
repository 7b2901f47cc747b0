//! The caller's own connection. Where a system holds its own users it is made with the account of the user behind the
//! caller: nobody else's, and no credential that users share.

use std::sync::Arc;

use bailiwick_engine::connections::NoToken;
use bailiwick_model::{digest::Digest, secret::Secret};
use bailiwick_pdp::catalogue::{HttpCredential, Upstream};

use super::{Inner, Key, System};
use crate::upstream::{
    CallerKey, UpstreamError,
    connection::{Connection, Live},
    era::Revision,
    http::Credential,
};

/// A caller's connection.
pub(super) struct Opened {
    pub(super) live: Arc<Live>,
    /// Whether it was opened just now.
    pub(super) fresh: bool,
    /// The credential, where it is a token that is renewed: of its user's account, or the broker's own.
    pub(super) own: Option<Credential>,
}

impl Inner {
    /// The caller's connection, opened if need be.
    pub(super) async fn live_for(
        &self,
        system: &System,
        caller: &CallerKey,
        revision: Revision,
    ) -> Result<Arc<Live>, UpstreamError> {
        self.opened_for(system, caller, revision, None).await.map(|opened| opened.live)
    }

    /// The same, not with the token that was `refused`. One that is refused as the connection is opened is renewed once.
    pub(super) async fn opened_for(
        &self,
        system: &System,
        caller: &CallerKey,
        revision: Revision,
        refused: Option<&Secret<String>>,
    ) -> Result<Opened, UpstreamError> {
        let era = revision.era();
        // Before anything is opened: without an account nothing is, and who lacks one waits for nobody's patience.
        let mut own = self.own(system, Some(caller), refused).await?;
        if self.era_for(system, era).await? != era {
            return Err(UpstreamError::Revision { system: system.name.clone(), revision });
        }
        let key = Key::of(system, caller, era);
        let mut may_renew = refused.is_none();
        loop {
            let slot = self.slot(&key)?;
            let opened = slot.live(system, self.open(system, era, &key.capabilities, own.as_ref())).await;
            match (opened, &own) {
                (Err(UpstreamError::CredentialRefused(401)), Some(before)) if may_renew => {
                    own = self.own(system, Some(caller), Some(&before.secret)).await?;
                    may_renew = false;
                }
                (Err(UpstreamError::CredentialRefused(401)), Some(_)) => return Err(system.refused()),
                // Connections that were refused again and again are not opened at once, whatever their token.
                (Err(UpstreamError::BackingOff { .. }), Some(_)) if refused.is_some() => {
                    return Err(system.refused());
                }
                (Err(error), _) => return Err(error),
                (Ok((live, fresh)), _) => {
                    if let (Connection::Http(connection), Some(own)) = (&live.connection, &own) {
                        connection.renew(own.clone());
                    }
                    return Ok(Opened { live, fresh, own });
                }
            }
        }
    }

    /// The token to come with, where tokens are renewed: that of the account of the caller's user, or the broker's own. A
    /// caller at a system that holds its own users never comes with the broker's.
    pub(super) async fn own(
        &self,
        system: &System,
        caller: Option<&CallerKey>,
        refused: Option<&Secret<String>>,
    ) -> Result<Option<Credential>, UpstreamError> {
        let Upstream::Http { url, credential, accounts } = &system.target.upstream else { return Ok(None) };
        let token = match (caller, accounts, credential) {
            (Some(caller), Some(_), _) => {
                let user = caller.user.as_ref().ok_or(UpstreamError::NoUser)?;
                self.secrets.account_token(&system.name, user, refused).await
            }
            (_, _, Some(HttpCredential::Token(client))) => {
                let binding = system.of_its_own(client.binding(url));
                self.secrets.own_token(&system.name, (client.as_ref(), binding), refused).await
            }
            (_, _, Some(HttpCredential::Header(_)) | None) => return Ok(None),
        };
        let token = token.map_err(|error| match error {
            NoToken::NotConnected => UpstreamError::NotConnected,
            NoToken::Unavailable => UpstreamError::NotRenewed,
        })?;
        Credential::bearer(&token).map(Some).ok_or(UpstreamError::NotConnected)
    }
}

impl System {
    /// What the broker's own token is bound to: one that a proposal was tried out with stays apart from what is published.
    fn of_its_own(&self, binding: Digest) -> Digest {
        if self.tried_out { Digest::of(format!("tried out:{binding}").as_bytes()) } else { binding }
    }

    /// What it means that a token is refused which was just renewed.
    pub(super) const fn refused(&self) -> UpstreamError {
        if self.target.has_accounts() { UpstreamError::NotConnected } else { UpstreamError::CredentialRefused(401) }
    }
}

#[cfg(test)]
mod tests;
