//! `bailiwick users`: whom agents act for, and who signs in.

use bailiwick_model::name::{SystemName, UserId};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    agents::{minute, percent},
    door,
};
use crate::{
    arguments::{Arguments, UserAndAccount, Users},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, fields, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Users, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    let user = match ask {
        Users::List => {
            list(&door, output).await?;
            return Ok(Exit::Done);
        }
        Users::Invite { id, administrator } => {
            invite(&door, id, *administrator, output).await?;
            return Ok(Exit::Done);
        }
        Users::Accounts { id } => {
            accounts(&door.read(&path(id, "/accounts")?).await?, output);
            return Ok(Exit::Done);
        }
        Users::AddAccount(ask) => {
            accounts(&door.change(&path(&ask.id, "/accounts")?, &account(ask)).await?, output);
            return Ok(Exit::Done);
        }
        Users::RemoveAccount(ask) => {
            accounts(&door.change(&path(&ask.id, "/accounts/remove")?, &account(ask)).await?, output);
            return Ok(Exit::Done);
        }
        Users::Connections { id, end } => {
            connections(&door, id, end.as_deref(), output).await?;
            return Ok(Exit::Done);
        }
        Users::Show { id } => door.read(&path(id, "")?).await?,
        Users::Add { id, name, email, groups } => {
            let body = json!({"id": user_id(id)?, "name": name, "email": email, "groups": groups});
            door.change("/api/v1/users", &body).await?
        }
        Users::Groups { id, groups } => door.change(&path(id, "/groups")?, &json!({"groups": groups})).await?,
        Users::Administrator { id, no } => {
            door.change(&path(id, "/administrator")?, &json!({"administrator": !no})).await?
        }
        Users::Suspend(named) => door.change(&path(&named.id, "/suspend")?, &json!({"reason": named.reason})).await?,
        Users::Resume { id } => door.change(&path(id, "/resume")?, &json!({})).await?,
        Users::Leave(named) => door.change(&path(&named.id, "/leave")?, &json!({"reason": named.reason})).await?,
    };
    output.document(&user, one);
    Ok(Exit::Done)
}

fn user_id(id: &str) -> Result<UserId, Failure> {
    id.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

fn path(id: &str, verb: &str) -> Result<String, Failure> {
    Ok(format!("/api/v1/users/{}{verb}", percent(user_id(id)?.as_str())))
}

/// Makes the user known if need be, and prints the link: data, so that it can be sent on, and in no log.
async fn invite(door: &Door, id: &str, administrator: bool, output: &Output) -> Result<(), Failure> {
    let there = door.send(Method::GET, &path(id, "")?, None).await?;
    if there.status == StatusCode::NOT_FOUND {
        door.change("/api/v1/users", &json!({"id": user_id(id)?, "name": id})).await?;
    }
    if administrator {
        door.change(&path(id, "/administrator")?, &json!({"administrator": true})).await?;
    }
    let invited = door.change(&path(id, "/invite")?, &json!({})).await?;
    output.document(&invited, |invited| text(invited, "/url"));
    output.note(&format!(
        "\ngive this link to `{id}` and to nobody else: it works once, until {} UTC",
        minute(&text(&invited, "/expires_at"))
    ));
    Ok(())
}

async fn list(door: &Door, output: &Output) -> Result<(), Failure> {
    let listed = door.read("/api/v1/users").await?;
    let users = listed.get("users").and_then(Value::as_array).cloned().unwrap_or_default();
    output.document(&listed, |_| {
        table(
            ["id", "state", "name", "groups", "since"],
            users.iter().map(|user| {
                [
                    text(user, "/id"),
                    text(user, "/state"),
                    text(user, "/name"),
                    text(user, "/groups"),
                    minute(&text(user, "/created_at")),
                ]
            }),
        )
    });
    if users.is_empty() {
        output.hint("nobody is known yet: `bailiwick users invite NAME --administrator` makes the first one");
    }
    Ok(())
}

fn account(ask: &UserAndAccount) -> Value {
    json!({"issuer": ask.issuer, "subject": ask.subject})
}

fn accounts(listed: &Value, output: &Output) {
    let all = listed.get("accounts").and_then(Value::as_array).cloned().unwrap_or_default();
    output.document(listed, |_| {
        table(
            ["issuer", "subject", "linked by", "since"],
            all.iter().map(|account| {
                [
                    text(account, "/issuer"),
                    text(account, "/subject"),
                    text(account, "/linked_by"),
                    minute(&text(account, "/created_at")),
                ]
            }),
        )
    });
    if all.is_empty() {
        output.hint("no account of another provider signs them in: `bailiwick users add-account` lets one");
    }
}

async fn connections(door: &Door, id: &str, end: Option<&str>, output: &Output) -> Result<(), Failure> {
    let at = path(id, "/connections")?;
    if let Some(system) = end {
        let system: SystemName = system.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
        door.ask(Method::DELETE, &format!("{at}/{system}"), None).await?;
        output.note(&format!("the account of `{id}` at `{system}` is disconnected"));
        return Ok(());
    }
    let listed = door.read(&at).await?;
    let connections = listed.get("connections").and_then(Value::as_array).cloned().unwrap_or_default();
    output.document(&listed, |_| {
        table(
            ["system", "scopes", "works", "since", "renewed"],
            connections.iter().map(|connection| {
                [
                    text(connection, "/system"),
                    text(connection, "/scopes"),
                    text(connection, "/works"),
                    minute(&text(connection, "/connected_at")),
                    minute(&text(connection, "/renewed_at")),
                ]
            }),
        )
    });
    if connections.is_empty() {
        output.hint("nothing is connected: users connect accounts of their own at `/account/connections`");
    }
    Ok(())
}

fn one(user: &Value) -> String {
    let mut rows = vec![
        ("id", text(user, "/id")),
        ("state", text(user, "/state")),
        ("name", text(user, "/name")),
        ("email", text(user, "/email")),
        ("groups", text(user, "/groups")),
        ("known since", minute(&text(user, "/created_at"))),
    ];
    if user.get("state_reason").is_some() {
        rows.push(("reason", text(user, "/state_reason")));
    }
    fields(&rows)
}
