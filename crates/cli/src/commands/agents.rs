//! `bailiwick agents`: who may act.

use std::path::Path;

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::{jwk::SigningAlgorithm, name::AgentName};
use http::Method;
use serde_json::{Value, json};

use super::{door, observe::notice};
use crate::{
    agent::identity::{is_device, read_key},
    arguments::{Agents, Arguments, CertificateOf, Register},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, fields, table, text},
};

/// Days before an expiry from which it is worth a word.
const EXPIRY_ALERT_DAYS: i64 = 7;

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Agents, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Agents::Register(register) => self::register(&door, register, output).await?,
        Agents::List { unregistered: false } => list(&door, output).await?,
        Agents::List { unregistered: true } => sightings(&door, output).await?,
        Agents::Findings { unused_days } => findings(&door, *unused_days, output).await?,
        Agents::Show { name } => show(&door, &agent_name(name)?, output).await?,
        Agents::Promote(named) => change(&door, "promote", &named.name, &named.reason, output).await?,
        Agents::Suspend(named) => change(&door, "suspend", &named.name, &named.reason, output).await?,
        Agents::Resume(named) => change(&door, "resume", &named.name, &named.reason, output).await?,
        Agents::Retire(named) => change(&door, "retire", &named.name, &named.reason, output).await?,
        Agents::Review { name, days, reason } => {
            let path = format!("/api/v1/agents/{}/review", agent_name(name)?);
            output.document(&door.change(&path, &json!({"reason": reason, "days": days})).await?, one);
        }
        Agents::Role { name, role, reason } => {
            let path = format!("/api/v1/agents/{}/role", agent_name(name)?);
            let done = door.change(&path, &json!({"role": role, "reason": reason})).await?;
            output.document(&done, one);
            let grants = done.get("grants_ended").and_then(Value::as_array).map_or(0, Vec::len);
            let tokens = text(&done, "/tokens_revoked");
            output.note(&format!("\nof its old job {grants} grants ended and {tokens} tokens were revoked"));
        }
        Agents::Owner { name, owner, reason } => {
            let path = format!("/api/v1/agents/{}/owner", agent_name(name)?);
            output.document(&door.change(&path, &json!({"owner": owner, "reason": reason})).await?, one);
        }
        Agents::OwnerLeft { owner, successor, hours, reason } => {
            let body = json!({"owner": owner, "successor": successor, "hours": hours, "reason": reason});
            let left = door.change("/api/v1/owners/left", &body).await?;
            output.document(&left, rows);
        }
        Agents::AddKey { name, public_key, key_algorithm, attestation } => {
            let attestation = attestation.as_deref().map(read_certificate).transpose()?;
            let key = read_public_key(public_key)?;
            let body = json!({"key": key, "key_algorithm": key_algorithm, "attestation": attestation});
            let agent = door.change(&format!("/api/v1/agents/{}/keys", agent_name(name)?), &body).await?;
            output.document(&agent, one);
        }
        Agents::RedirectUris { name, uris } => {
            let path = format!("/api/v1/agents/{}/redirect-uris", agent_name(name)?);
            output.document(&door.change(&path, &json!({"redirect_uris": uris})).await?, one);
        }
        Agents::KeyProtection { name, key_protection, reason } => {
            let path = format!("/api/v1/agents/{}/key-protection", agent_name(name)?);
            let done = door.change(&path, &json!({"key_protection": key_protection, "reason": reason})).await?;
            output.document(&done, one);
            output.note(&format!("\n{} tokens were revoked", text(&done, "/tokens_revoked")));
        }
        Agents::AddCertificate { name, certificate, attestation } => {
            let body = credential(certificate, attestation.as_deref())?;
            let agent = door.change(&format!("/api/v1/agents/{}/credentials", agent_name(name)?), &body).await?;
            output.document(&agent, one);
        }
        Agents::RemoveCredential { name, id } => {
            let path = format!("/api/v1/agents/{}/credentials/{}", agent_name(name)?, percent(id));
            output.document(&door.ask(Method::DELETE, &path, None).await?, one);
        }
        Agents::RemoveKey { name, kid } => {
            let kid = percent(kid);
            let agent =
                door.ask(Method::DELETE, &format!("/api/v1/agents/{}/keys/{kid}", agent_name(name)?), None).await?;
            output.document(&agent, one);
        }
    }
    Ok(Exit::Done)
}

/// Checks a name before it becomes part of a path.
pub(crate) fn agent_name(name: &str) -> Result<AgentName, Failure> {
    name.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

/// A text as one segment of a path.
pub(crate) fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

async fn register(door: &Door, ask: &Register, output: &Output) -> Result<(), Failure> {
    let name = agent_name(&ask.name)?;
    let pair = match &ask.generate_key {
        None => None,
        Some(path) if path.exists() => {
            return Err(Failure::new(format!("`{}` exists already", path.display())).hint("keys are never overwritten"));
        }
        Some(path) => {
            let pair = AgentKey::generate(SigningAlgorithm::ES256).map_err(|error| Failure::new(error.to_string()))?;
            Some((path, pair))
        }
    };
    let key = match (&pair, &ask.public_key) {
        (Some((_, pair)), _) => serde_json::from_str(pair.public_jwk()).unwrap_or_default(),
        (None, Some(path)) => read_public_key(path)?,
        (None, None) => Value::Null,
    };
    let credential = ask.certificate.as_ref().map(|certificate| credential(certificate, None)).transpose()?;
    let attestation = ask.attestation.as_deref().map(read_certificate).transpose()?;
    let body = json!({
        "name": name, "owner": ask.owner, "purpose": ask.purpose, "environment": ask.environment, "role": ask.role,
        "key": key, "key_algorithm": ask.key_algorithm, "credential": credential,
        "attestation": attestation, "key_protection": ask.key_protection, "systems": ask.systems,
        "scopes": ask.scopes,
        "redirect_uris": ask.redirect_uris,
        "bearer_tokens_allowed": ask.danger_allow_bearer_tokens, "task_required": ask.task_required,
        "token_ttl_s": ask.token_ttl_s, "lifetime_days": ask.lifetime_days, "review_days": ask.review_days,
    });
    // The key file comes first: an agent whose key could not be kept would be lost.
    if let Some((path, pair)) = &pair {
        pair.write_new(path).map_err(|error| Failure::new(error.to_string()))?;
    }
    let agent = match door.change("/api/v1/agents", &body).await {
        Ok(agent) => agent,
        Err(failure) => {
            if let Some((path, _)) = &pair {
                let _ = std::fs::remove_file(path);
            }
            return Err(failure);
        }
    };
    output.document(&agent, one);
    output.note(&format!(
        "\n`{name}` is registered and only reads; `bailiwick agents promote {name} --reason \"…\"` ends that"
    ));
    Ok(())
}

/// What of a certificate must be so, as the API takes it, and what is said of its key.
fn credential(of: &CertificateOf, attestation: Option<&Path>) -> Result<Value, Failure> {
    let CertificateOf { member, value, is_file } = of;
    let value = if *is_file { read_certificate(Path::new(value))? } else { value.clone() };
    let attestation = attestation.map(read_certificate).transpose()?;
    Ok(json!({ *member: value, "attestation": attestation }))
}

/// A certificate; a private key beside it stays where it is.
fn read_certificate(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    if text.contains("PRIVATE KEY") {
        let failure = Failure::new(format!("`{}` holds a private key", path.display()));
        return Err(failure.hint("give the file with the certificate alone"));
    }
    Ok(text)
}

/// A public key as the API takes it: JSON as JSON, PEM as text; of a key in a device its public half.
fn read_public_key(path: &Path) -> Result<Value, Failure> {
    if path.to_str().is_some_and(is_device) {
        return Ok(serde_json::from_str(read_key(path)?.public_jwk()).unwrap_or_default());
    }
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::new(format!("`{}` is a private key", path.display())).hint("give the public key only"));
    }
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn list(door: &Door, output: &Output) -> Result<(), Failure> {
    let listed = door.read("/api/v1/agents").await?;
    let agents = listed.get("agents").and_then(Value::as_array).cloned().unwrap_or_default();
    output.document(&listed, rows);
    let soon = agents.iter().filter(|agent| ends(agent).contains('!')).count();
    if soon > 0 {
        output.hint(&format!("{soon} of these stop within {EXPIRY_ALERT_DAYS} days or have stopped (marked `!`)"));
    }
    if agents.is_empty() {
        output.hint("nobody is registered yet: `bailiwick agents register --help`");
    }
    Ok(())
}

/// Agents as a table.
fn rows(listed: &Value) -> String {
    let agents = listed.get("agents").and_then(Value::as_array).cloned().unwrap_or_default();
    table(
        ["name", "state", "role", "environment", "owner", "stops", "last used"],
        agents.iter().map(|agent| {
            [
                text(agent, "/name"),
                state(agent),
                text(agent, "/role"),
                text(agent, "/environment"),
                text(agent, "/owner"),
                ends(agent),
                minute(&text(agent, "/last_used_at")),
            ]
        }),
    )
}

/// Its state in one word: an active agent that was not promoted only reads.
fn state(agent: &Value) -> String {
    match agent.get("promoted").and_then(Value::as_bool) {
        Some(false) if text(agent, "/state") == "active" => "read-only".to_owned(),
        _ => text(agent, "/state"),
    }
}

/// The day on which it stops if nobody does anything, marked when that is near.
fn ends(agent: &Value) -> String {
    let (at, why) = [("/expires_at", ""), ("/review_by", " review"), ("/successor_by", " owner")]
        .map(|(place, why)| (text(agent, place), why))
        .into_iter()
        .filter(|(at, _)| at != "-")
        .min_by(|(one, _), (other, _)| one.cmp(other))
        .unwrap_or_default();
    let day = at.chars().take(10).collect::<String>();
    let near = at.parse::<jiff::Timestamp>().is_ok_and(|at| {
        at.as_second().saturating_sub(jiff::Timestamp::now().as_second()) < EXPIRY_ALERT_DAYS * 24 * 60 * 60
    });
    if near && text(agent, "/state") != "retired" { format!("{day}{why} !") } else { format!("{day}{why}") }
}

/// A time to the minute.
pub(crate) fn minute(at: &str) -> String {
    at.chars().take(16).collect::<String>().replace('T', " ")
}

async fn findings(door: &Door, unused_days: Option<u32>, output: &Output) -> Result<(), Failure> {
    let asked = unused_days.map(|days| format!("?unused_days={days}")).unwrap_or_default();
    let listed = door.read(&format!("/api/v1/findings{asked}")).await?;
    let none = listed.pointer("/findings/0").is_none();
    output.document(&listed, |listed| {
        let rows = listed.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["finding", "agent", "key", "since", "evidence"],
            rows.iter().map(|row| {
                [
                    text(row, "/kind"),
                    text(row, "/agent"),
                    text(row, "/credential"),
                    minute(&text(row, "/since")),
                    text(row, "/event"),
                ]
            }),
        )
    });
    if none {
        output.hint("there is nothing to look at");
    }
    Ok(())
}

async fn sightings(door: &Door, output: &Output) -> Result<(), Failure> {
    let listed = door.read("/api/v1/sightings").await?;
    output.document(&listed, |listed| {
        let rows = listed.get("sightings").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["claimed name", "zone", "where", "first seen", "last seen", "evidence"],
            rows.iter().map(|row| {
                [
                    text(row, "/agent"),
                    text(row, "/zone"),
                    text(row, "/at"),
                    minute(&text(row, "/first_seen")),
                    minute(&text(row, "/last_seen")),
                    text(row, "/event"),
                ]
            }),
        )
    });
    Ok(())
}

async fn show(door: &Door, name: &AgentName, output: &Output) -> Result<(), Failure> {
    let agent = door.read(&format!("/api/v1/agents/{name}")).await?;
    output.document(&agent, one);
    notice(door, &format!("agent:{name}"), output).await;
    Ok(())
}

async fn change(door: &Door, verb: &str, name: &str, reason: &str, output: &Output) -> Result<(), Failure> {
    let name = agent_name(name)?;
    let agent = door.change(&format!("/api/v1/agents/{name}/{verb}"), &json!({"reason": reason})).await?;
    output.document(&agent, one);
    Ok(())
}

/// What is said of a key by the maker of its device.
fn attested(credential: &Value) -> String {
    match text(credential, "/attestation").as_str() {
        "-" => String::new(),
        "holds" => ", attested".to_owned(),
        why => format!(", not attested: {why}"),
    }
}

fn one(agent: &Value) -> String {
    let yes = |pointer: &str| {
        if agent.pointer(pointer).and_then(Value::as_bool) == Some(true) { "yes" } else { "no" }.to_owned()
    };
    let keys = agent.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let keys: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                "{} {}, expires {}, {}{}",
                text(key, "/kid"),
                text(key, "/algorithm"),
                minute(&text(key, "/expires_at")),
                match minute(&text(key, "/last_used_at")).as_str() {
                    "-" => "never used".to_owned(),
                    at => format!("last used {at}"),
                },
                attested(key),
            )
        })
        .collect();
    let mut rows = vec![
        ("name", text(agent, "/name")),
        ("state", state(agent)),
        ("owner", text(agent, "/owner")),
        ("purpose", text(agent, "/purpose")),
        ("role", text(agent, "/role")),
        ("environment", text(agent, "/environment")),
        ("promoted", yes("/promoted")),
        ("systems", Some(text(agent, "/systems")).filter(|some| some != "-").unwrap_or_else(|| "all".to_owned())),
        ("extra scopes", text(agent, "/scopes")),
        ("task required", yes("/task_required")),
        ("bearer tokens", yes("/bearer_tokens_allowed")),
        ("tokens live", format!("{} s", text(agent, "/token_ttl_s"))),
        ("expires", minute(&text(agent, "/expires_at"))),
        ("review by", minute(&text(agent, "/review_by"))),
        ("keys", if keys.is_empty() { "none".to_owned() } else { keys.join("\n") }),
    ];
    let certificates = agent.get("certificates").and_then(Value::as_array).cloned().unwrap_or_default();
    if !certificates.is_empty() {
        let line = |one: &Value| {
            let [method, kind, value, id] = ["/method", "/kind", "/value", "/id"].map(|pointer| text(one, pointer));
            let expires = minute(&text(one, "/expires_at"));
            format!("{method}: {kind} {value}, expires {expires}, id {id}{}", attested(one))
        };
        rows.push(("certificates", certificates.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    if text(agent, "/key_protection") != "any" {
        rows.push(("key protection", text(agent, "/key_protection")));
    }
    if agent.pointer("/redirect_uris/0").is_some() {
        rows.push(("redirect URIs", text(agent, "/redirect_uris")));
    }
    if agent.get("successor_by").is_some() {
        rows.push(("needs an owner by", minute(&text(agent, "/successor_by"))));
    }
    if agent.get("state_reason").is_some() {
        rows.push(("reason", text(agent, "/state_reason")));
    }
    fields(&rows)
}
