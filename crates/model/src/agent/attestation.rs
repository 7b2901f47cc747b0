//! What the maker of a device says of a key: that it was made inside and never leaves. Here are the certificates as they were
//! registered; whether they hold is found out each time that it matters (`oauth`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::name::NameError;

/// Certificates of one attestation at most: the key's own, and those between it and a root.
pub const ATTESTATION_CERTIFICATES_MAX: usize = 8;
/// Bytes of one of them at most.
pub const ATTESTATION_CERTIFICATE_BYTES_MAX: usize = 12 * 1_024;

/// How an agent's keys must be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProtection {
    /// As its owner sees fit.
    #[default]
    Any,
    /// In hardware, attested: whatever it proves itself by and whatever its tokens are bound to.
    Hardware,
}

impl KeyProtection {
    /// As written in configuration and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Hardware => "hardware",
        }
    }
}

impl std::fmt::Display for KeyProtection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for KeyProtection {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "any" => Ok(Self::Any),
            "hardware" => Ok(Self::Hardware),
            _ => Err(NameError::new("key protection", text, "use `any` or `hardware`")),
        }
    }
}

/// The certificates of an attestation in DER, the key's own first. As JSON a list of Base64 texts, as `x5c` of a JWK is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Attestation(Vec<Vec<u8>>);

impl Attestation {
    /// One to [`ATTESTATION_CERTIFICATES_MAX`] certificates; nothing is said of what they are.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, NameError> {
        let fit = |one: &Vec<u8>| (1..=ATTESTATION_CERTIFICATE_BYTES_MAX).contains(&one.len());
        if (1..=ATTESTATION_CERTIFICATES_MAX).contains(&certificates.len()) && certificates.iter().all(fit) {
            return Ok(Self(certificates));
        }
        Err(NameError::new("attestation", "…", "give 1 to 8 certificates of 12 KiB each at most, the key's own first"))
    }

    /// The certificates in DER, the key's own first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.0
    }
}

impl From<Attestation> for Vec<String> {
    fn from(attestation: Attestation) -> Self {
        attestation.0.iter().map(|der| STANDARD.encode(der)).collect()
    }
}

impl TryFrom<Vec<String>> for Attestation {
    type Error = NameError;

    fn try_from(texts: Vec<String>) -> Result<Self, NameError> {
        let decoded = texts.iter().map(|text| STANDARD.decode(text)).collect::<Result<Vec<_>, _>>();
        Self::new(decoded.map_err(|_| NameError::new("attestation", "…", "write each certificate in Base64"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_reads_back() {
        let attestation = Attestation::new(vec![vec![1, 2], vec![3]]).unwrap();
        let text = serde_json::to_string(&attestation).unwrap();
        assert_eq!(
            (text.as_str(), serde_json::from_str::<Attestation>(&text).unwrap()),
            (r#"["AQI=","Aw=="]"#, attestation)
        );
        let long = vec![vec![0; ATTESTATION_CERTIFICATE_BYTES_MAX + 1]];
        for bad in [vec![], vec![vec![]], vec![vec![1]; ATTESTATION_CERTIFICATES_MAX + 1], long] {
            assert!(Attestation::new(bad).is_err());
        }
        assert!(serde_json::from_str::<Attestation>(r#"["AQI"]"#).is_err(), "Base64 has its padding");
        assert_eq!("hardware".parse(), Ok(KeyProtection::Hardware));
        assert!("Hardware".parse::<KeyProtection>().is_err());
    }
}
