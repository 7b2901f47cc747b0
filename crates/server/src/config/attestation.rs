//! `[attestation]`: makers of devices that are believed when they say that a key is held in one, and attesters that are
//! believed when they vouch for an instance of a client.

use std::path::{Path, PathBuf};

use bailiwick_model::name::AttesterName;
use bailiwick_oauth::{
    certificate_path::Authorities,
    client_attestation::{ATTESTATION_AGE_S_MAX, Attester, Attesters},
};
use serde::Deserialize;

use super::{Config, ConfigError, certificates};

/// `[attestation]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttestationFile {
    #[serde(default)]
    roots: Vec<PathBuf>,
    #[serde(default)]
    client_authentication: bool,
    #[serde(default)]
    attesters: Vec<AttesterFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttesterFile {
    name: AttesterName,
    keys: PathBuf,
    max_age_s: Option<u32>,
}

/// `[attestation]`, checked.
#[derive(Debug, Clone, Default)]
pub struct Attestation {
    /// Makers of devices that are believed when they say that a key is held in one: certificates in PEM.
    pub roots: Vec<PathBuf>,
    /// Whether clients may authenticate by what an attester says of them.
    pub client_authentication: bool,
    /// Those attesters: name, key set, and how many seconds old an attestation may be.
    pub attesters: Vec<(AttesterName, PathBuf, i64)>,
}

impl AttestationFile {
    pub(super) fn checked(self, within: impl Fn(PathBuf) -> PathBuf) -> Attestation {
        let Self { roots, client_authentication, attesters } = self;
        let attester = |AttesterFile { name, keys, max_age_s }| {
            (name, within(keys), max_age_s.map_or(ATTESTATION_AGE_S_MAX, i64::from))
        };
        Attestation {
            attesters: attesters.into_iter().map(attester).collect(),
            roots: roots.into_iter().map(&within).collect(),
            client_authentication,
        }
    }
}

impl Config {
    /// Reads the certificates of these makers. None may be an authority of clients under another file's name.
    pub fn attestation_roots(&self) -> Result<Authorities, ConfigError> {
        let mut roots = Authorities::default();
        for file in &self.attestation.roots {
            roots.extend(certificates::read(file)?);
        }
        if self.attestation.roots.is_empty() {
            return Ok(roots);
        }
        for file in self.client_authorities() {
            if roots.shares_a_key_with(&certificates::read(file)?) {
                let (message, hint) = is_both(file);
                return Err(ConfigError { file: file.clone(), message, hint: Some(hint.to_owned()) });
            }
        }
        Ok(roots)
    }

    /// The files of all who may issue certificates of clients.
    fn client_authorities(&self) -> impl Iterator<Item = &PathBuf> {
        let trusted = &self.client_certificates;
        trusted.authorities.iter().chain(trusted.trust_domains.iter().map(|(_, bundle)| bundle))
    }

    /// Reads the key sets of attesters of clients.
    pub fn client_attesters(&self) -> Result<Attesters, ConfigError> {
        let mut attesters = Attesters::default();
        for (name, file, age_s_max) in &self.attestation.attesters {
            let refused = |message: String| ConfigError {
                file: file.clone(),
                message,
                hint: Some("it must hold the attester's public keys as a JWK set".to_owned()),
            };
            let text = std::fs::read(file).map_err(|error| refused(format!("cannot be read: {error}")))?;
            let attester = Attester::new(&text, *age_s_max).map_err(|error| refused(error.to_string()))?;
            attesters.insert(name.clone(), attester);
        }
        Ok(attesters)
    }

    /// Who issues certificates for whatever key asks for one says nothing of where that key is.
    pub(super) fn guard_attestation(&self) -> Result<(), (String, &'static str)> {
        let Attestation { roots, client_authentication, attesters } = &self.attestation;
        if *client_authentication == attesters.is_empty() {
            return Err((
                "`attestation.client_authentication` and `[[attestation.attesters]]` belong together".to_owned(),
                "name who may vouch for clients, and say `client_authentication = true`: its standard is a draft",
            ));
        }
        let mut names: Vec<_> = attesters.iter().map(|(name, ..)| name).collect();
        names.sort();
        if let Some([twice, _]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err((format!("the attester `{twice}` stands twice"), "put all its keys into one set"));
        }
        if let Some((name, ..)) = attesters.iter().find(|(.., age)| !(1..=ATTESTATION_AGE_S_MAX).contains(age)) {
            let message = format!("`max_age_s` of attester `{name}` is not 1 to {ATTESTATION_AGE_S_MAX} seconds");
            return Err((message, "an hour is enough for an instance that can reach its attester"));
        }
        // The certificates in them are compared when they are read.
        self.client_authorities().find(|file| roots.contains(file)).map_or(Ok(()), |file| Err(is_both(file)))
    }
}

fn is_both(file: &Path) -> (String, &'static str) {
    (
        format!("`{}` is an authority of clients, and a root of attestations too", file.display()),
        "name the root that the maker of the devices publishes for attestations, and nothing else",
    )
}
