//! Publishing policy: a bundle is checked, tested, signed and swapped in whole, or not at all.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    bundle::{BundleFiles, BundleRevision},
    digest::Digest,
    name::SystemName,
    principal::Principal,
};
use bailiwick_pdp::{finding::Finding, scenario, snapshot::Snapshot};
use bailiwick_ports::store::PublishedBundle;

use crate::{boundary, broker::Broker, evidence::Draft, refusal::Refusal};

/// Why a bundle was not published.
#[derive(Debug)]
pub enum PublishRefusal {
    /// It does not compile: everything that is wrong with it.
    Findings(Vec<Finding>),
    /// Its own tests fail.
    Tests(scenario::Report),
    /// Its boundary differs from the active one, and nobody said that this is meant.
    BoundaryChanged,
    /// It could not be kept.
    Refused(Refusal),
}

impl<T: Into<Refusal>> From<T> for PublishRefusal {
    fn from(error: T) -> Self {
        Self::Refused(error.into())
    }
}

/// A bundle that is active now.
#[derive(Debug)]
pub struct Activated {
    /// Its revision.
    pub revision: BundleRevision,
    /// The one that was active before.
    pub previous: Option<BundleRevision>,
    /// What somebody should look at.
    pub warnings: Vec<Finding>,
    /// How many of its tests passed.
    pub tests_passed: usize,
}

/// Publishes a bundle and makes it the active one. A changed boundary must be meant.
pub async fn publish(
    broker: &Broker,
    by: &Principal,
    files: BundleFiles,
    boundary_change_meant: bool,
) -> Result<Activated, PublishRefusal> {
    let snapshot = Snapshot::compile(&files).map_err(PublishRefusal::Findings)?;
    let report = scenario::run(&files);
    if report.failed() > 0 {
        return Err(PublishRefusal::Tests(report));
    }
    let _changing = broker.changing().await;
    let boundary = files.boundary_digest();
    let previous = previous(broker, boundary, boundary_change_meant).await?;
    let revision = files.revision();
    let signature = broker
        .token_signer()
        .sign(boundary::statement(&files).as_bytes())
        .map_err(|error| Refusal::Unavailable(error.to_string()))?;
    let entry = draft(broker, by, revision, previous, "published")
        .field("boundary", boundary.to_string())
        .field("boundary_signature", bailiwick_audit_log::event::Canonical::Bytes(signature.clone()))
        .field("tests_passed", i64::try_from(report.passed()).unwrap_or(i64::MAX))
        .public(broker);
    let bundle = PublishedBundle {
        revision,
        files,
        boundary,
        boundary_signature: signature,
        published_at: broker.now(),
        published_by: by.to_string(),
    };
    let epoch = broker.ports.store.publish_bundle(bundle, entry).await?;
    let warnings = bailiwick_pdp::lint(&snapshot);
    install(broker, epoch, snapshot);
    Ok(Activated { revision, previous, warnings, tests_passed: report.passed() })
}

/// Makes an earlier bundle the active one again. Its boundary comes back with it, so a different one must be meant.
pub async fn rollback(
    broker: &Broker,
    by: &Principal,
    revision: BundleRevision,
    boundary_change_meant: bool,
) -> Result<Activated, PublishRefusal> {
    let _changing = broker.changing().await;
    let bundle =
        broker.ports.store.bundle(revision).await?.ok_or_else(|| Refusal::Missing(format!("bundle `{revision}`")))?;
    boundary::check(broker.token_signer(), &bundle)?;
    let snapshot = Snapshot::compile(&bundle.files).map_err(PublishRefusal::Findings)?;
    let previous = previous(broker, bundle.boundary, boundary_change_meant).await?;
    let entry = draft(broker, by, revision, previous, "rolled_back").public(broker);
    let epoch = broker.ports.store.activate_bundle(revision, entry).await?;
    let warnings = snapshot.warnings().to_vec();
    install(broker, epoch, snapshot);
    Ok(Activated { revision, previous, warnings, tests_passed: 0 })
}

/// The active bundle, which a bundle of this boundary may follow: of the same one, or of another that is meant.
async fn previous(
    broker: &Broker,
    boundary: Digest,
    boundary_change_meant: bool,
) -> Result<Option<BundleRevision>, PublishRefusal> {
    let previous = broker.live().policy.as_ref().map(|policy| policy.revision());
    if let Some(previous) = previous
        && let Some(active) = broker.ports.store.bundle(previous).await?
        && active.boundary != boundary
        && !boundary_change_meant
    {
        return Err(PublishRefusal::BoundaryChanged);
    }
    Ok(previous)
}

fn draft(
    broker: &Broker,
    by: &Principal,
    revision: BundleRevision,
    previous: Option<BundleRevision>,
    verb: &str,
) -> Draft {
    Draft::event(broker, EventKind::BundleActivated)
        .field("by", by.to_string())
        .field("change", verb)
        .field("bundle", revision.to_string())
        .field_if("previous", previous.map(|revision| revision.to_string()))
}

fn install(broker: &Broker, epoch: u64, snapshot: Snapshot) {
    let snapshot = Arc::new(snapshot);
    broker.replace_live(epoch, |live| {
        // What was seen of a system is compared with the new pins by its next verification, not carried over: a
        // quarantine computed against the old bundle says nothing about the new one, so nothing is called meanwhile.
        let unchanged = live.policy.as_deref().map(|old| same_definitions(old, &snapshot));
        let mut definitions = std::collections::HashMap::clone(&live.definitions);
        definitions.retain(|system, _| unchanged.as_ref().is_some_and(|names| names.contains(system)));
        live.definitions = Arc::new(definitions);
        live.policy = Some(snapshot);
    });
}

/// The systems whose pinned definitions are the same in both bundles.
fn same_definitions(old: &Snapshot, new: &Snapshot) -> BTreeSet<SystemName> {
    new.catalogue()
        .systems()
        .filter(|system| {
            old.catalogue().system(&system.name).is_some_and(|before| {
                before.tools.len() == system.tools.len()
                    && before.upstream == system.upstream
                    && system
                        .tools
                        .iter()
                        .all(|(name, tool)| before.tools.get(name).is_some_and(|earlier| earlier.digest == tool.digest))
            })
        })
        .map(|system| system.name.clone())
        .collect()
}
