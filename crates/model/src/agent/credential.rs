//! What an agent proves itself by: a key that signs, the certificate of its connection, or what its platform signs for it.
//! A credential says what is looked for; whoever looks verifies it (`oauth`).

use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attestation, ClientUrl, DistinguishedName, PlatformIdentity, SpiffeId};
use crate::{
    jwk::{PublicKey, Thumbprint},
    name::{AgentName, AttesterName, NameError},
};

/// Bytes of a name in a certificate at most.
const CERTIFICATE_NAME_BYTES_MAX: usize = 512;

/// One credential of an agent, with its own life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What it consists of.
    pub authenticator: Authenticator,
    /// What the maker of a device says of its key, if anything.
    pub attestation: Option<Attestation>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// The last time it authenticated its agent; kept to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// What a credential consists of. There is no shared secret among them, and there will be none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authenticator {
    /// A key that signs assertions (RFC 7523 §2.2).
    Key(PublicKey),
    /// A certificate under an authority that the operator trusts, by one of its names (RFC 8705 §2.1).
    Certificate(CertificateName),
    /// A certificate that nobody need have issued, by itself or by its key (RFC 8705 §2.2).
    SelfSigned(PinnedCertificate),
    /// An SVID of a trust domain that the operator configured, by its whole id
    /// (draft-ietf-oauth-spiffe-client-auth-02).
    Spiffe(SpiffeId),
    /// A token that the platform on which the agent runs signs for it (RFC 7523 §2.2, by an issuer that is not the
    /// client). Which of the platform's tokens stands in the active bundle.
    Platform(PlatformIdentity),
    /// Nothing but the URL of a document that a client publishes, which proves nobody: all that such a client can do is to send
    /// users to our own pages, and redeem what they allow (draft-ietf-oauth-client-id-metadata-document-02).
    Document(ClientUrl),
    /// A key of each instance, of which an attester that the operator configured says so
    /// (draft-ietf-oauth-attestation-based-client-auth).
    Attester(AttestedClient),
}

/// A client of which an attester speaks: several may have the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedClient {
    /// The attester, as the configuration names it.
    pub attester: AttesterName,
    /// The client, so that no two agents have one credential.
    pub agent: AgentName,
}

/// The one name that a certificate must bear (RFC 8705 §2.1.2). Each is compared whole: no name stands for several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// The subject.
    SubjectDn(DistinguishedName),
    /// A DNS name among the alternative ones, in lower case.
    SanDns(String),
    /// A URI among them.
    SanUri(String),
    /// An address among them.
    SanIp(IpAddr),
    /// A mail address among them.
    SanEmail(String),
}

/// A self-signed certificate as registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedCertificate {
    /// SHA-256 of the DER of its public key (SubjectPublicKeyInfo).
    pub public_key: Thumbprint,
    /// SHA-256 of its DER, if this very one is meant; `None` is any certificate of the key.
    pub certificate: Option<Thumbprint>,
}

impl Authenticator {
    /// The method as the OAuth registry calls it, or its draft.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Key(_) => "private_key_jwt",
            Self::Certificate(_) => "tls_client_auth",
            Self::SelfSigned(_) => "self_signed_tls_client_auth",
            // Its SVID may be a certificate or a JWT.
            Self::Spiffe(_) => "spiffe",
            Self::Platform(_) => "workload_identity",
            Self::Document(_) => "none",
            Self::Attester(_) => "attest_jwt_client_auth",
        }
    }

    /// What tokens and evidence cite it by.
    pub fn id(&self) -> Thumbprint {
        match self {
            Self::Key(key) => key.thumbprint,
            Self::Certificate(name) => Thumbprint::of_canonical_json(&format!("{}:{name}", name.kind())),
            Self::SelfSigned(pinned) => pinned.public_key,
            Self::Spiffe(id) => Thumbprint::of_canonical_json(&format!("spiffe_id:{id}")),
            Self::Platform(identity) => Thumbprint::of_canonical_json(&format!("workload:{identity}")),
            Self::Document(url) => Thumbprint::of_canonical_json(&format!("client_document:{url}")),
            Self::Attester(AttestedClient { attester, agent }) => {
                Thumbprint::of_canonical_json(&format!("client_attester:{attester} {agent}"))
            }
        }
    }

    /// What it is called within its agent: the name of a key, otherwise its id.
    pub fn name(&self) -> String {
        match self {
            Self::Key(key) => key.kid.clone(),
            Self::Certificate(_)
            | Self::SelfSigned(_)
            | Self::Spiffe(_)
            | Self::Platform(_)
            | Self::Document(_)
            | Self::Attester(_) => self.id().to_string(),
        }
    }

    /// The key, if it is one.
    pub const fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Certificate(_)
            | Self::SelfSigned(_)
            | Self::Spiffe(_)
            | Self::Platform(_)
            | Self::Document(_)
            | Self::Attester(_) => None,
        }
    }
}

impl CertificateName {
    /// The client metadata of RFC 8705 §2.1.2 that names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SubjectDn(_) => "tls_client_auth_subject_dn",
            Self::SanDns(_) => "tls_client_auth_san_dns",
            Self::SanUri(_) => "tls_client_auth_san_uri",
            Self::SanIp(_) => "tls_client_auth_san_ip",
            Self::SanEmail(_) => "tls_client_auth_san_email",
        }
    }

    /// A DNS name. One with a `*` would stand for several agents, so it is none.
    pub fn san_dns(text: &str) -> Result<Self, NameError> {
        let expected = "write one whole DNS name, without `*`";
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(NameError::new("DNS name of a certificate", text, expected));
        }
        Ok(Self::SanDns(text.to_ascii_lowercase()))
    }

    /// A URI, compared byte for byte.
    pub fn san_uri(text: &str) -> Result<Self, NameError> {
        match plain(text) && text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) {
            true => Ok(Self::SanUri(text.to_owned())),
            false => {
                Err(NameError::new("URI of a certificate", text, "write an absolute URI as the certificate has it"))
            }
        }
    }

    /// An IP address.
    pub fn san_ip(text: &str) -> Result<Self, NameError> {
        let refused = |_| NameError::new("address of a certificate", text, "write one IPv4 or IPv6 address");
        text.parse().map(Self::SanIp).map_err(refused)
    }

    /// A mail address, compared byte for byte.
    pub fn san_email(text: &str) -> Result<Self, NameError> {
        match plain(text) && text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()) {
            true => Ok(Self::SanEmail(text.to_owned())),
            false => Err(NameError::new("mail address of a certificate", text, "write it as the certificate has it")),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectDn(name) => name.fmt(f),
            Self::SanDns(name) | Self::SanUri(name) | Self::SanEmail(name) => f.write_str(name),
            Self::SanIp(address) => address.fmt(f),
        }
    }
}

/// One word of printable ASCII.
fn plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= CERTIFICATE_NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_name() {
        for bad in ["", "*.example.com", "a..b", "a b", "bot.example.com.", "böt.example"] {
            assert!(CertificateName::san_dns(bad).is_err(), "{bad}");
        }
        assert_eq!(CertificateName::san_dns("Bot.Example.com").unwrap().to_string(), "bot.example.com");
        assert!(CertificateName::san_uri("bot").is_err() && CertificateName::san_uri("urn:a b").is_err());
        assert!(CertificateName::san_ip("10.0.0.0/8").is_err() && CertificateName::san_email("@x").is_err());
    }

    #[test]
    fn what_differs_has_another_id() {
        let names = [
            CertificateName::san_dns("a@b").or_else(|_| CertificateName::san_dns("a.example")).unwrap(),
            CertificateName::san_uri("urn:a.example").unwrap(),
            CertificateName::san_email("x@a.example").unwrap(),
            CertificateName::SubjectDn("CN=a.example".parse().unwrap()),
            CertificateName::san_ip("10.0.0.1").unwrap(),
        ];
        let mut ids: Vec<_> = names.into_iter().map(|name| Authenticator::Certificate(name).id()).collect();
        ids.push(Authenticator::Spiffe("spiffe://a.example/bot".parse().unwrap()).id());
        let platform = |issuer: &str, agent: &str| {
            let (issuer, agent) = (issuer.parse().unwrap(), agent.parse().unwrap());
            Authenticator::Platform(PlatformIdentity { issuer, agent })
        };
        // Agents of one platform are never known by one credential.
        ids.push(platform("https://a.example", "bot").id());
        ids.push(platform("https://a.example", "other").id());
        ids.push(platform("https://b.example", "bot").id());
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn a_stored_credential_reads_back() {
        for authenticator in [
            Authenticator::Certificate(CertificateName::SubjectDn("CN=bot,O=Acme\\, Inc".parse().unwrap())),
            Authenticator::Certificate(CertificateName::san_ip("2001:db8::1").unwrap()),
            Authenticator::SelfSigned(PinnedCertificate {
                public_key: Thumbprint::of_der(b"key"),
                certificate: Some(Thumbprint::of_der(b"certificate")),
            }),
            Authenticator::Spiffe("spiffe://prod.example/ns/bots/reader".parse().unwrap()),
            Authenticator::Platform(PlatformIdentity {
                issuer: "https://token.actions.example".parse().unwrap(),
                agent: "reader".parse().unwrap(),
            }),
            Authenticator::Attester(AttestedClient {
                attester: "acme".parse().unwrap(),
                agent: "reader".parse().unwrap(),
            }),
        ] {
            let json = serde_json::to_string(&authenticator).unwrap();
            assert_eq!(serde_json::from_str::<Authenticator>(&json).unwrap(), authenticator, "{json}");
        }
        assert!(serde_json::from_str::<Authenticator>(r#"{"spiffe":"spiffe://x"}"#).is_err());
    }
}
