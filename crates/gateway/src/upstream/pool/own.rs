//! The caller's own connection. Where a system holds its own users it is made with the account of the user behind the
//! caller: nobody else's, and no credential that users share.

use std::sync::Arc;

use bailiwick_engine::connections::NoToken;
use bailiwick_model::secret::Secret;

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
    /// The credential of its user's account, where there are accounts.
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
        let mut own = self.own(system, caller, refused).await?;
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
                    own = self.own(system, caller, Some(&before.secret)).await?;
                    may_renew = false;
                }
                (Err(UpstreamError::CredentialRefused(401)), Some(_)) => return Err(UpstreamError::NotConnected),
                // Connections that were refused again and again are not opened at once, whatever their token.
                (Err(UpstreamError::BackingOff { .. }), Some(_)) if refused.is_some() => {
                    return Err(UpstreamError::NotConnected);
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

    /// The credential of the account of the caller's user; `None` where the system holds no users.
    async fn own(
        &self,
        system: &System,
        caller: &CallerKey,
        refused: Option<&Secret<String>>,
    ) -> Result<Option<Credential>, UpstreamError> {
        if !system.target.has_accounts() {
            return Ok(None);
        }
        let user = caller.user.as_ref().ok_or(UpstreamError::NoUser)?;
        let token = self.secrets.account_token(&system.name, user, refused).await;
        let token = token.map_err(|error| match error {
            NoToken::NotConnected => UpstreamError::NotConnected,
            NoToken::Unavailable => UpstreamError::NotRenewed,
        })?;
        Credential::bearer(&token).map(Some).ok_or(UpstreamError::NotConnected)
    }
}

#[cfg(test)]
mod tests;
