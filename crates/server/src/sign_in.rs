//! The providers of the configuration, ready to sign people in.

use bailiwick_console::federated::{ClientAuthentication, ProviderRules, Providers};
use bailiwick_fetch::Fetcher;
use bailiwick_keys::secret_file::{self, Access, SecretFileError};
use bailiwick_model::secret::Secret;

use crate::config::{Config, ProviderConfig};

/// All of them.
pub(crate) fn providers(config: &Config, fetcher: &Fetcher) -> Result<Providers, SecretFileError> {
    let rules = config.providers.iter().map(rules).collect::<Result<_, _>>()?;
    Ok(Providers::new(rules, fetcher))
}

fn rules(config: &ProviderConfig) -> Result<ProviderRules, SecretFileError> {
    let authentication = match &config.client_secret_file {
        Some(file) => {
            let bytes = secret_file::read(file, Access::Owner)?;
            let text = String::from_utf8_lossy(bytes.expose()).trim().to_owned();
            ClientAuthentication::Secret(Secret::new(text))
        }
        None => ClientAuthentication::OwnKey { audience: config.assertion_audience.clone() },
    };
    Ok(ProviderRules {
        name: config.name.clone(),
        title: config.title.clone().unwrap_or_else(|| config.name.clone()),
        issuer: config.issuer.clone(),
        client_id: config.client_id.clone(),
        authentication,
        scopes: config.scopes.clone(),
        algorithms: config.algorithms.clone(),
        require: config.require.clone(),
        acr: config.acr.clone(),
        admission: config.admission(),
    })
}
