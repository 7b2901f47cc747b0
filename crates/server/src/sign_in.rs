//! The providers of the configuration, ready to sign people in.

use bailiwick_console::federated::{ClientAuthentication, GroupRules, ProviderRules, Providers};
use bailiwick_fetch::Fetcher;

use crate::config::{Config, ProviderConfig};

/// All of them.
pub(crate) fn providers(config: &Config, fetcher: &Fetcher) -> Providers {
    Providers::new(config.providers.iter().map(rules).collect(), fetcher)
}

fn rules(config: &ProviderConfig) -> ProviderRules {
    let own_key = || ClientAuthentication::OwnKey { audience: config.assertion_audience.clone() };
    ProviderRules {
        name: config.name.clone(),
        title: config.title.clone().unwrap_or_else(|| config.name.clone()),
        issuer: config.issuer.clone(),
        client_id: config.client_id.clone(),
        authentication: config.client_secret.clone().map_or_else(own_key, ClientAuthentication::Secret),
        scopes: config.scopes.clone(),
        algorithms: config.algorithms.clone(),
        require: config.require.clone(),
        acr: config.acr.clone(),
        amr: config.amr.clone(),
        groups: config
            .groups
            .as_ref()
            .map(|groups| GroupRules { claim: groups.claim.clone(), map: groups.map.clone() }),
        admission: config.admission(),
    }
}
