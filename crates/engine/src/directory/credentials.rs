//! Static bearer tokens for directories that can send nothing better (Okta, Entra): made by an operator, shown once, kept as
//! a digest, ending by themselves within a year.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    digest::Digest, directory::ProvisioningToken, name::WorkloadName, principal::Principal, secret::Secret,
};
use bailiwick_ports::{entry::Entry, store::StoreError};
use jiff::{SignedDuration, Timestamp};

use crate::{broker::Broker, evidence::Draft, refusal::Refusal, sessions};

/// What each of them begins with, for scanners that look for lost secrets.
pub const TOKEN_PREFIX: &str = "bwp_";
/// Days that one lives unless its maker says less.
const DAYS: u16 = 180;
/// Days that one lives at most.
const DAYS_MAX: u16 = 366;
/// Credentials at a time: one for each directory, and one more while it changes.
const CREDENTIALS_MAX: usize = 16;

/// A credential that was just made. It is told here and nowhere else.
#[derive(Debug)]
pub struct ProvisioningCredential {
    /// What to give to the directory.
    pub token: Secret<String>,
    /// What is kept of it.
    pub kept: ProvisioningToken,
}

/// Makes a credential under a name that the evidence will show.
pub async fn create(
    broker: &Broker,
    by: &Principal,
    name: WorkloadName,
    days: Option<u16>,
) -> Result<ProvisioningCredential, Refusal> {
    let days = days.unwrap_or(DAYS);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Refusal::invalid(format!("a credential lives 1 to {DAYS_MAX} days"), "make another one in time"));
    }
    let _changing = broker.changing().await;
    let now = broker.now();
    let all = broker.store().provisioning_tokens().await?;
    if all.len() >= CREDENTIALS_MAX {
        return Err(Refusal::invalid(format!("there are {CREDENTIALS_MAX} credentials already"), "revoke one first"));
    }
    let secret = sessions::new_token(broker);
    let token = Secret::new(format!("{TOKEN_PREFIX}{}", secret.expose()));
    let kept = ProvisioningToken {
        name,
        token: Digest::of(token.expose().as_bytes()),
        created_at: now,
        expires_at: sessions::after(now, SignedDuration::from_hours(24 * i64::from(days)))?,
    };
    let entry = draft(broker, by, &kept.name, "provisioning credential made", Some(kept.expires_at));
    match broker.store().add_provisioning_token(kept.clone(), entry).await {
        Ok(_) => Ok(ProvisioningCredential { token, kept }),
        Err(StoreError::Exists(_)) => Err(Refusal::Conflict(format!("credential `{}` exists already", kept.name))),
        Err(error) => Err(error.into()),
    }
}

/// All of them, by name.
pub async fn credentials(broker: &Broker) -> Result<Vec<ProvisioningToken>, Refusal> {
    Ok(broker.store().provisioning_tokens().await?)
}

/// Ends one, from the very next message on.
pub async fn revoke(broker: &Broker, by: &Principal, name: &WorkloadName) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let entry = draft(broker, by, name, "provisioning credential revoked", None);
    match broker.store().remove_provisioning_token(name.clone(), entry).await {
        Ok(_) => Ok(()),
        Err(StoreError::Missing(_)) => Err(Refusal::Missing(format!("credential `{name}`"))),
        Err(error) => Err(error.into()),
    }
}

/// Whom a token stands for, if it is good now.
pub async fn find(broker: &Broker, token: &str) -> Result<Option<Principal>, Refusal> {
    let found = broker.store().provisioning_token(Digest::of(token.as_bytes())).await?;
    Ok(found.filter(|found| broker.now() < found.expires_at).map(|found| Principal::Workload(found.name)))
}

fn draft(broker: &Broker, by: &Principal, name: &WorkloadName, change: &str, until: Option<Timestamp>) -> Entry {
    Draft::event(broker, EventKind::UserChanged)
        .field("by", by.to_string())
        .field("change", change)
        .field("credential", name.as_str())
        .field_if("expires_at", until.map(|until| until.to_string()))
        .public(broker)
}
