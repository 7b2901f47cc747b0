//! A client that an attester vouches for (draft-ietf-oauth-attestation-based-client-auth-12): the attester is the operator's and
//! a credential of the agent, and the instance proves the key that it speaks of.

use bailiwick_engine::alerts::AlertKind;
use bailiwick_model::{
    agent::{Agent, Authenticator},
    jwk::Thumbprint,
};
use bailiwick_oauth::{
    client_attestation::{
        ATTESTATION_HEADER, AttestedInstance, ClientAttestationError, InstanceProofExpectation, PROOF_HEADER,
        UnverifiedClientAttestation,
    },
    client_authentication::ClientAuthentication,
    error::ErrorCode,
    metadata::{BACKCHANNEL_PATH, DEVICE_AUTHORIZATION_PATH, PUSHED_REQUEST_PATH, TOKEN_PATH},
};
use bailiwick_web::verify::spent;

use super::{Client, Visit};
use crate::failure::{Failure, Why};

/// Where a DPoP proof that comes along is used up.
const USE_UP_PROOFS: [&str; 4] = [TOKEN_PATH, PUSHED_REQUEST_PATH, DEVICE_AUTHORIZATION_PATH, BACKCHANNEL_PATH];

impl Visit<'_> {
    /// Whether one of its headers is there.
    pub(super) fn is_attested(&self) -> bool {
        [ATTESTATION_HEADER, PROOF_HEADER].iter().any(|name| self.parts.headers.contains_key(*name))
    }

    /// Verifies who asks by what an attester signed, and that the instance has the key.
    pub(super) async fn attested(&mut self, sent: &ClientAuthentication) -> Result<Client, Failure> {
        let named = match sent {
            ClientAuthentication::Elsewhere => None,
            ClientAuthentication::Certificate { client } => Some(client),
            ClientAuthentication::Assertion { .. }
            | ClientAuthentication::JwtSvid { .. }
            | ClientAuthentication::Public { .. } => {
                return Err(refused("a client authenticates in one way: an attestation comes alone"));
            }
        };
        if self.entrance().attesters().is_empty() {
            return Err(refused("client attestations are not taken here"));
        }
        let text = self.sole(ATTESTATION_HEADER)?.ok_or_else(|| refused("`OAuth-Client-Attestation` is missing"))?;
        let attestation = UnverifiedClientAttestation::parse(&text).map_err(|_| Failure::unauthenticated())?;
        let claimed = attestation.claimed_client().clone();
        let agent = self.claimed(&claimed).await;
        if named.is_some_and(|named| *named != claimed) {
            return Err(Failure::unauthenticated());
        }
        let agent = agent?;
        let (credential, instance) = match self.vouched(&agent, &attestation) {
            Ok(found) => found,
            // Nobody signed it whom we trust for this client, so whoever sent it learns nothing.
            Err(None) => {
                self.alert(AlertKind::ForgedCredential).await;
                return Err(Failure::unauthenticated());
            }
            Err(Some(error)) => return Err(Failure::of(Why::Attestation, error.into())),
        };
        let once = match self.sole(PROOF_HEADER)? {
            Some(proof) => {
                let entrance = self.entrance();
                let expected = InstanceProofExpectation { audience: entrance.issuer(), challenges: entrance.nonces() };
                let once = instance.prove(&proof, &expected, entrance.broker().now());
                Some(spent(once.map_err(|error| Failure::of(Why::Attestation, error.into()))?))
            }
            None => {
                self.proves_by_dpop(&instance)?;
                None
            }
        };
        self.instance = Some(instance.thumbprint());
        Ok(Client { agent, credential, once })
    }

    /// The credential of the agent whose attester signed this. `None` is a signature by none of them.
    fn vouched(
        &self,
        agent: &Agent,
        attestation: &UnverifiedClientAttestation<'_>,
    ) -> Result<(Thumbprint, AttestedInstance), Option<ClientAttestationError>> {
        let entrance = self.entrance();
        let now = entrance.broker().now();
        for credential in agent.credentials.iter().filter(|credential| now < credential.expires_at) {
            let Authenticator::Attester(client) = &credential.authenticator else { continue };
            let Some(attester) = entrance.attesters().get(&client.attester) else { continue };
            match attestation.verify(attester, now) {
                Ok(instance) => return Ok((credential.authenticator.id(), instance)),
                Err(ClientAttestationError::Token(_) | ClientAttestationError::UnknownKey) => {}
                Err(error) => return Err(Some(error)),
            }
        }
        Err(None)
    }

    /// The combined mode, in which a DPoP proof proves the instance's key too. It is used up where proofs are.
    fn proves_by_dpop(&self, instance: &AttestedInstance) -> Result<(), Failure> {
        if !USE_UP_PROOFS.contains(&self.parts.uri.path()) {
            return Err(refused("`OAuth-Client-Attestation-PoP` is missing, which no DPoP proof stands for here"));
        }
        let missing = || refused("neither `OAuth-Client-Attestation-PoP` nor a DPoP proof proves the instance's key");
        let proof = self.proof()?.ok_or_else(missing)?;
        match proof.thumbprint() == instance.thumbprint() {
            true => Ok(()),
            false => Err(refused("the DPoP proof is by another key than the instance's")),
        }
    }

    /// The one value of a header, or none.
    fn sole(&self, name: &str) -> Result<Option<String>, Failure> {
        let mut values = self.parts.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => one
                .to_str()
                .map(|text| Some(text.to_owned()))
                .map_err(|_| refused("a header of the attestation is no text")),
            (Some(_), Some(_)) => Err(refused("a header of the attestation stands twice")),
        }
    }
}

fn refused(why: &str) -> Failure {
    Failure::new(Why::Attestation, ErrorCode::InvalidClient, &format!("client attestation: {why}"))
}
