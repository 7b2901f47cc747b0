//! `[attestation]`: makers of devices that are believed when they say that a key is held in one.

use std::path::PathBuf;

use bailiwick_oauth::certificate_path::Authorities;
use serde::Deserialize;

use super::{Config, ConfigError, certificates};

/// `[attestation]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttestationFile {
    #[serde(default)]
    pub(super) roots: Vec<PathBuf>,
}

impl Config {
    /// Reads the certificates of these makers.
    pub fn attestation_roots(&self) -> Result<Authorities, ConfigError> {
        let mut roots = Authorities::default();
        for file in &self.attestation_roots {
            roots.extend(certificates::read(file)?);
        }
        Ok(roots)
    }

    /// Who issues certificates for whatever key asks for one says nothing of where that key is.
    pub(super) fn guard_attestation(&self) -> Result<(), (String, &'static str)> {
        let trusted = &self.client_certificates;
        let others = trusted.authorities.iter().chain(trusted.trust_domains.iter().map(|(_, bundle)| bundle));
        match others.into_iter().find(|file| self.attestation_roots.contains(file)) {
            Some(file) => Err((
                format!("`{}` is an authority of clients, and a root of attestations too", file.display()),
                "name the root that the maker of the devices publishes for attestations, and nothing else",
            )),
            None => Ok(()),
        }
    }
}
