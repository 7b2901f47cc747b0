//! How the pool meets the use cases: secrets and users' tokens are opened by the engine, and what a look at a system's
//! definitions found is told to it. Nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bailiwick_engine::{
    broker::Broker,
    connections::{self, NoToken},
    definitions, secrets,
};
use bailiwick_model::{
    digest::Digest,
    name::{SecretName, SystemName, UserId},
    secret::Secret,
};
use bailiwick_pdp::catalogue::OauthClient;
use bailiwick_ports::connections::FormPosts;

use super::{
    pool::Observer,
    secrets::{SecretUnavailable, Secrets},
};

/// The vault behind the broker, and the way to the servers that renew users' tokens.
pub struct BrokerSecrets {
    broker: Arc<Broker>,
    posts: Arc<dyn FormPosts>,
}

impl BrokerSecrets {
    /// Both of them.
    pub const fn new(broker: Arc<Broker>, posts: Arc<dyn FormPosts>) -> Self {
        Self { broker, posts }
    }
}

#[async_trait]
impl Secrets for BrokerSecrets {
    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, SecretUnavailable> {
        let opened = secrets::open_for_upstream(&self.broker, name).await;
        let opened = opened.map_err(|error| SecretUnavailable(error.to_string()))?;
        let text = std::str::from_utf8(opened.expose()).map_err(|_| SecretUnavailable("it is not text".into()))?;
        Ok(Secret::new(text.to_owned()))
    }

    async fn own_token(
        &self,
        system: &SystemName,
        client: (&OauthClient, Digest),
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        connections::own_token(&self.broker, self.posts.as_ref(), system, client, refused).await
    }

    async fn account_token(
        &self,
        system: &SystemName,
        user: &UserId,
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        connections::token(&self.broker, &self.posts, user, system, refused).await
    }
}

/// Tells the engine what was found, for [`super::Pool::watch`].
pub fn observer(broker: Arc<Broker>) -> Arc<Observer> {
    Arc::new(move |system, discovered| {
        let broker = Arc::clone(&broker);
        Box::pin(async move {
            if let Err(error) = definitions::observe(&broker, &system, &discovered).await {
                tracing::warn!(system.name = %system, error = %error, "what a system offers cannot be compared");
            }
        })
    })
}
