//! Keys in hardware. An agent whose registration or role demands `key_protection = "hardware"` proves itself by nothing else,
//! and every token of its is bound to such a key: what whoever copies its files cannot take along. Whether the maker of a
//! device vouches for a key is looked at each time, so that a root that is trusted no longer, a certificate that ran out and
//! a bundle that demands more all hold at once.

use bailiwick_model::{
    agent::{Agent, Attestation, Credential, KeyProtection},
    confirmation::Confirmation,
    jwk::Thumbprint,
};
use bailiwick_oauth::attestation::{self, AttestationError, AttestedKey};
use jiff::Timestamp;

use crate::{broker::Broker, live::Live, refusal::Refusal};

/// What somebody proved to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The key that signed: its thumbprint by RFC 7638.
    Key(Thumbprint),
    /// The key of a connection's certificate: SHA-256 of the DER of the public key.
    Certificate(Thumbprint),
    /// No key: it showed what others have signed.
    Nothing,
}

/// An agent whose keys must be held in hardware, and one that is not, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unprotected {
    /// A key in software, or of a device that nobody vouches for.
    #[error(
        "the agent's keys must be held in hardware, and this one is not attested\nhint: an operator adds a key of the device with its attestation: `bailiwick agents add-key --attestation FILE`"
    )]
    Software,
    /// No key at all.
    #[error(
        "the agent's keys must be held in hardware, and no key was proved\nhint: sign with the attested key, and bind tokens to it by a DPoP proof"
    )]
    NoKey,
}

/// What an agent's registration or its role demands of its keys, whichever is stricter.
pub fn demanded(live: &Live, agent: &Agent) -> KeyProtection {
    // Without a bundle nobody may do anything.
    let by_role = live.policy.as_deref().map(|policy| policy.key_protection(&agent.role)).unwrap_or_default();
    agent.key_protection.max(by_role)
}

/// Refuses what was proved if the agent needs better.
pub fn check(broker: &Broker, agent: &Agent, held: Held) -> Result<(), Unprotected> {
    if demanded(&broker.live(), agent) == KeyProtection::Any {
        return Ok(());
    }
    let fits = |key: AttestedKey| match held {
        Held::Key(thumbprint) => key.jwk == Some(thumbprint),
        Held::Certificate(public_key) => key.public_key == public_key,
        Held::Nothing => false,
    };
    match held {
        Held::Nothing => Err(Unprotected::NoKey),
        Held::Key(_) | Held::Certificate(_) if attested(broker, agent).any(fits) => Ok(()),
        Held::Key(_) | Held::Certificate(_) => Err(Unprotected::Software),
    }
}

/// Whether a token that is bound so can be one of the agent's. Which key a certificate has is known to whoever sees it shown.
pub(crate) fn may_be_bound(broker: &Broker, agent: &Agent, confirmation: Option<Confirmation>) -> bool {
    match confirmation {
        Some(Confirmation::Key(key)) => check(broker, agent, Held::Key(key)).is_ok(),
        Some(Confirmation::Certificate(_)) => {
            demanded(&broker.live(), agent) == KeyProtection::Any || attested(broker, agent).next().is_some()
        }
        None => check(broker, agent, Held::Nothing).is_ok(),
    }
}

/// Refuses a credential that an agent is to get: an attestation must hold, and where hardware is demanded, it needs one. What
/// the agent has already is not asked about: it is refused where it is used.
pub(crate) fn admit(broker: &Broker, agent: &Agent, credential: &Credential) -> Result<(), Refusal> {
    match (standing(broker, credential), demanded(&broker.live(), agent)) {
        (Some(Ok(_)), _) | (None, KeyProtection::Any) => Ok(()),
        (Some(Err(error)), _) => Err(unattested(&error)),
        (None, KeyProtection::Hardware) => Err(Refusal::invalid(
            format!(
                "the keys of agent `{}` must be held in hardware, and `{}` has no attestation",
                agent.name,
                credential.authenticator.name()
            ),
            "make the key inside a device, and give what its maker says of it: `--attestation FILE`",
        )),
    }
}

/// Adds what the maker of a device says to the one credential that it says it of.
pub(crate) fn attest(broker: &Broker, credentials: &mut [Credential], attestation: Attestation) -> Result<(), Refusal> {
    let mut error = AttestationError::OtherKey;
    for credential in credentials {
        let before = credential.attestation.replace(attestation.clone());
        match standing(broker, credential) {
            Some(Ok(_)) => return Ok(()),
            Some(Err(why)) => error = why,
            None => {}
        }
        credential.attestation = before;
    }
    Err(unattested(&error))
}

/// What is to be said of a credential's attestation now; `None` if it has none.
pub fn standing(broker: &Broker, credential: &Credential) -> Option<Result<AttestedKey, AttestationError>> {
    attestation::verify_credential(credential, &broker.settings().attestation_roots, broker.now())
}

fn unattested(error: &AttestationError) -> Refusal {
    let hint = "give the certificate that the device's maker issued for this very key, then those up to a root of \
                `[attestation] roots`";
    Refusal::invalid(error.to_string(), hint)
}

fn attested(broker: &Broker, agent: &Agent) -> impl Iterator<Item = AttestedKey> {
    let now: Timestamp = broker.now();
    let unexpired = agent.credentials.iter().filter(move |credential| now < credential.expires_at);
    unexpired.filter_map(|credential| standing(broker, credential)?.ok())
}
