//! Credentials of the broker: put in, taken out, opened only for the hop that injects them.

use std::collections::BTreeSet;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{name::SecretName, principal::Principal, secret::Secret};

use crate::{broker::Broker, evidence::Draft, refusal::Refusal};

/// Bytes of one upstream credential.
pub const SECRET_BYTES_MAX: usize = 16 * 1_024;
const PURPOSE: &str = "upstream-credential";
/// How the names of those begin that prove the broker to a provider by whose word people sign in.
pub const SIGN_IN_PREFIX: &str = "sign_in/";

fn subject(name: &SecretName) -> String {
    // One data key per system, so that one system's secrets can be erased together.
    let system = name.as_str().split('/').next().unwrap_or_default();
    format!("system:{system}")
}

fn purpose(name: &SecretName) -> String {
    format!("{PURPOSE}:{name}")
}

/// Keeps a credential, sealed; replaces one of the same name.
pub async fn put(broker: &Broker, by: &Principal, name: SecretName, value: &Secret<Vec<u8>>) -> Result<(), Refusal> {
    if value.expose().is_empty() || value.expose().len() > SECRET_BYTES_MAX {
        return Err(Refusal::invalid(
            format!("a secret holds 1 to {SECRET_BYTES_MAX} bytes"),
            "give it on standard input or with `--from-file`",
        ));
    }
    if value.expose().iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        return Err(Refusal::invalid("a secret is one line without NUL bytes", "strip the line break at its end"));
    }
    let ciphertext = broker.ports.vault.seal(&subject(&name), &purpose(&name), value.expose()).await?;
    let entry = draft(broker, by, &name, "put").public(broker);
    Ok(broker.ports.store.put_secret(name, ciphertext, entry).await?)
}

/// Removes a credential.
pub async fn remove(broker: &Broker, by: &Principal, name: SecretName) -> Result<(), Refusal> {
    let entry = draft(broker, by, &name, "removed").public(broker);
    Ok(broker.ports.store.remove_secret(name, entry).await?)
}

/// The names of all credentials; never their values.
pub async fn list(broker: &Broker) -> Result<BTreeSet<SecretName>, Refusal> {
    Ok(broker.ports.store.secrets().await?)
}

/// Opens a credential for `gateway::upstream`, the one place that injects it.
pub async fn open_for_upstream(broker: &Broker, name: &SecretName) -> Result<Secret<Vec<u8>>, Refusal> {
    if name.as_str().starts_with(SIGN_IN_PREFIX) {
        return Err(Refusal::Missing(format!("an upstream's secret `{name}`")));
    }
    open(broker, name).await
}

/// Opens what proves the broker to a provider by whose word people sign in. Of those that are kept for that, and of no system
/// that agents reach: no slip of a configuration hands one to the other.
pub async fn open_for_sign_in(broker: &Broker, name: &SecretName) -> Result<Secret<Vec<u8>>, Refusal> {
    if !name.as_str().starts_with(SIGN_IN_PREFIX) {
        return Err(Refusal::Missing(format!("a secret `{SIGN_IN_PREFIX}…` called `{name}`")));
    }
    open(broker, name).await
}

async fn open(broker: &Broker, name: &SecretName) -> Result<Secret<Vec<u8>>, Refusal> {
    let ciphertext =
        broker.ports.store.secret(name).await?.ok_or_else(|| Refusal::Missing(format!("secret `{name}`")))?;
    Ok(broker.ports.vault.open(&subject(name), &purpose(name), &ciphertext).await?)
}

fn draft(broker: &Broker, by: &Principal, name: &SecretName, verb: &str) -> Draft {
    Draft::event(broker, EventKind::SecretChanged)
        .field("by", by.to_string())
        .field("change", verb)
        .field("secret", name.as_str())
}
