//! The signed boundary: which policies nobody gets past, tied to the bundle that holds them.

use bailiwick_audit_log::event::{Canonical, EventKind};
use bailiwick_model::{bundle::BundleFiles, principal::Principal};
use bailiwick_oauth::verifying_key::VerifyingKey;
use bailiwick_ports::{signer::TokenSigner, store::PublishedBundle};

use crate::{broker::Broker, evidence::Draft, refusal::Refusal};

/// The text whose signature ties a boundary to a bundle.
pub(crate) fn statement(files: &BundleFiles) -> String {
    format!("bailiwick-boundary-v1 {} {}", files.boundary_digest(), files.revision())
}

/// Refuses a bundle whose files are not the ones that were published, or whose boundary nobody signed.
pub(crate) fn check(signer: &dyn TokenSigner, bundle: &PublishedBundle) -> Result<(), Refusal> {
    let altered = |what: &str| {
        Refusal::Unavailable(format!(
            "{what} of bundle {} is not what was published; restore a backup",
            bundle.revision
        ))
    };
    if bundle.files.revision() != bundle.revision {
        return Err(altered("a file"));
    }
    if bundle.files.boundary_digest() != bundle.boundary {
        return Err(altered("the boundary"));
    }
    let statement = statement(&bundle.files);
    let signed = signer.trusted_for_long().iter().any(|key| {
        VerifyingKey::of(key).is_ok_and(|key| key.verify(statement.as_bytes(), &bundle.boundary_signature).is_ok())
    });
    if signed {
        return Ok(());
    }
    Err(Refusal::Conflict(format!(
        "no key that is trusted signed the boundary of bundle {}: restore a backup, or publish its files again if the key \
         was given up",
        bundle.revision
    )))
}

/// Signs the active bundle's boundary with the next key of that name, if it is what was published.
pub(crate) async fn sign_anew(broker: &Broker, by: &Principal, kid: &str) -> Result<(), Refusal> {
    let Some(revision) = broker.live().policy.as_ref().map(|policy| policy.revision()) else { return Ok(()) };
    let store = &broker.ports.store;
    let kept = store.bundle(revision).await?.ok_or_else(|| Refusal::Missing(format!("bundle `{revision}`")))?;
    check(broker.token_signer(), &kept)?;
    let signed = broker.token_signer().sign_ahead(kid, statement(&kept.files).as_bytes());
    let signature = signed.map_err(|error| Refusal::Unavailable(error.to_string()))?;
    let entry = Draft::event(broker, EventKind::BundleActivated)
        .field("by", by.to_string())
        .field("change", "signed_anew")
        .field("bundle", revision.to_string())
        .field("boundary", kept.boundary.to_string())
        .field("boundary_signature", Canonical::Bytes(signature.clone()))
        .public(broker);
    let epoch = store.publish_bundle(PublishedBundle { boundary_signature: signature, ..kept }, entry).await?;
    broker.replace_live(epoch, |_| ());
    Ok(())
}
