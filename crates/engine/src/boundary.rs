//! The signed boundary: which policies nobody gets past, tied to the bundle that holds them.

use bailiwick_model::bundle::BundleFiles;
use bailiwick_oauth::verifying_key::VerifyingKey;
use bailiwick_ports::{signer::TokenSigner, store::PublishedBundle};

use crate::refusal::Refusal;

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
    if signed { Ok(()) } else { Err(altered("the boundary's signature")) }
}
