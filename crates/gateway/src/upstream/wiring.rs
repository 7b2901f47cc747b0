//! How the pool meets the use cases: secrets are opened by the engine, and what
//! a look at a system's definitions found is told to it. Nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bailiwick_engine::{broker::Broker, definitions, secrets};
use bailiwick_model::{name::SecretName, secret::Secret};

use super::{
    pool::Observer,
    secrets::{SecretUnavailable, Secrets},
};

#[async_trait]
impl Secrets for Broker {
    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, SecretUnavailable> {
        let opened =
            secrets::open_for_upstream(self, name).await.map_err(|error| SecretUnavailable(error.to_string()))?;
        let text = std::str::from_utf8(opened.expose()).map_err(|_| SecretUnavailable("it is not text".into()))?;
        Ok(Secret::new(text.to_owned()))
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
