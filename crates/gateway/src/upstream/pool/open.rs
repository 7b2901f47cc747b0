//! Opens one connection: reveals its secrets, starts or dials, introduces the
//! broker. The only place where an upstream's credential is in the clear.

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_model::{name::SecretName, secret::Secret};
use bailiwick_pdp::catalogue::{HttpCredential, InjectedCredential, Upstream};
use http::{HeaderName, HeaderValue};

use super::{Inner, System};
use crate::upstream::{
    UpstreamError,
    connection::{Connection, Live, OPEN_TIMEOUT, PROBE_TIMEOUT, probe},
    era::{Era, Offers},
    http::{Credential, Dial, HttpConnection},
    stdio::{Spawn, StdioConnection},
};

impl Inner {
    /// A principal's connection, under the token of its user's own account where the system holds its users.
    pub(super) async fn open(
        &self,
        system: &System,
        era: Era,
        capabilities: &str,
        own: Option<&Credential>,
    ) -> Result<Live, UpstreamError> {
        let connection = self.connect(system, era, self.limits.idle_timeout, own).await?;
        Live::greet(connection, era, capabilities, OPEN_TIMEOUT).await
    }

    /// The control connection, in nobody's name. Opening it finds out which eras the server speaks.
    pub(super) async fn control(&self, system: &System) -> Result<Arc<Live>, UpstreamError> {
        let own = self.own(system, None, None).await?;
        match (self.control_by(system, own.as_ref()).await, own) {
            (Err(UpstreamError::CredentialRefused(401)), Some(before)) => {
                let renewed = self.own(system, None, Some(&before.secret)).await?;
                self.control_by(system, renewed.as_ref()).await
            }
            (opened, _) => opened,
        }
    }

    async fn control_by(&self, system: &System, own: Option<&Credential>) -> Result<Arc<Live>, UpstreamError> {
        // It stays open as long as its system does.
        let forever = std::time::Duration::from_secs(10 * 365 * 24 * 3_600);
        let open = async {
            let era = system.target.revision.map(|revision| revision.era());
            let probing = self.connect(system, era.unwrap_or(Era::Stateless), forever, own).await?;
            let offers = match era {
                Some(era) => Offers::only(era),
                None => probe(&probing, &system.name).await?,
            };
            let era = offers.era_for(Era::Stateless);
            let connection = match probing {
                Connection::Http(_) if era == Era::Handshake => self.connect(system, era, forever, own).await?,
                same => same,
            };
            let live = Live::greet(connection, era, "{}", OPEN_TIMEOUT).await?;
            *system.handshake_tried.lock().await = false;
            *system.offers() = Some(offers);
            Ok(live)
        };
        let (live, _) = system.control.live(system, open).await?;
        if let (Connection::Http(connection), Some(own)) = (&live.connection, own) {
            connection.renew(own.clone());
        }
        Ok(live)
    }

    /// Whether it takes `initialize`, on a connection of its own.
    pub(super) async fn takes_handshake(&self, system: &System) -> bool {
        let greet = async {
            let own = self.own(system, None, None).await?;
            let connection = self.connect(system, Era::Handshake, PROBE_TIMEOUT, own.as_ref()).await?;
            Live::greet(connection, Era::Handshake, "{}", PROBE_TIMEOUT).await
        };
        greet.await.is_ok()
    }

    async fn connect(
        &self,
        system: &System,
        era: Era,
        idle_timeout: std::time::Duration,
        own: Option<&Credential>,
    ) -> Result<Connection, UpstreamError> {
        let target = &system.target;
        match &target.upstream {
            Upstream::Stdio { command, args, env, secret_env, shared } => {
                let mut revealed = BTreeMap::new();
                for (variable, name) in secret_env {
                    revealed.insert(variable.clone(), self.reveal(name).await?);
                }
                let spawn = Spawn {
                    system: &system.name,
                    command,
                    args,
                    env,
                    directory: target.directory.as_deref(),
                    secret_env: revealed,
                    limits: target.limits,
                    shared: *shared,
                    call_timeout: target.call_timeout,
                    idle_timeout,
                };
                StdioConnection::open(spawn).map(Connection::Stdio)
            }
            Upstream::Client(_) => Err(UpstreamError::Unknown(system.name.clone())),
            Upstream::Http { url, credential, accounts: _ } => {
                let credential = match (own, credential) {
                    (Some(own), _) => Some(own.clone()),
                    (None, Some(HttpCredential::Header(declared))) => Some(self.credential(declared).await?),
                    (None, Some(HttpCredential::Token(_)) | None) => None,
                };
                let dial = Dial {
                    client: self.client.clone(),
                    url: url.clone(),
                    credential,
                    era,
                    call_timeout: target.call_timeout,
                };
                Ok(Connection::Http(HttpConnection::new(dial)))
            }
        }
    }

    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, UpstreamError> {
        self.secrets.reveal(name).await.map_err(|error| {
            tracing::warn!(secret.name = %name, error = %error, "an upstream's secret is not to be had");
            UpstreamError::Secret(name.clone())
        })
    }

    async fn credential(&self, declared: &InjectedCredential) -> Result<Credential, UpstreamError> {
        let secret = self.reveal(&declared.secret).await?;
        let unfit = |_| UpstreamError::Secret(declared.secret.clone());
        let name = HeaderName::from_bytes(declared.header.as_bytes())
            .map_err(|_| UpstreamError::Secret(declared.secret.clone()))?;
        let line = Secret::new([declared.prefix.as_str(), secret.expose()].concat());
        let mut value = HeaderValue::from_str(line.expose()).map_err(unfit)?;
        value.set_sensitive(true);
        Ok(Credential { name, value, secret })
    }
}
