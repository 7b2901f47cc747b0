//! `bailiwick grants`: what somebody allowed a client, and its end.

use bailiwick_model::id::GrantId;
use serde_json::{Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, Grants},
    exit::{Exit, Failure},
    output::{Output, fields, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Grants, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Grants::List => {
            let listed = door.read("/api/v1/grants").await?;
            let rows = listed.get("grants").and_then(Value::as_array).cloned().unwrap_or_default();
            output.document(&listed, |_| {
                table(
                    ["id", "kind", "chain", "scopes", "given", "ends"],
                    rows.iter().map(|grant| {
                        [
                            text(grant, "/id"),
                            text(grant, "/kind"),
                            chain(grant),
                            text(grant, "/scopes"),
                            minute(&text(grant, "/created_at")),
                            minute(&text(grant, "/expires_at")),
                        ]
                    }),
                )
            });
            if rows.is_empty() {
                output.note("no grant is active: agents act for themselves alone");
            }
        }
        Grants::Show { id } => {
            let grant = door.read(&format!("/api/v1/grants/{}", grant_id(id)?)).await?;
            output.document(&grant, one);
        }
        Grants::End { id, reason } => {
            let body = json!({ "reason": reason });
            let ended = door.change(&format!("/api/v1/grants/{}/end", grant_id(id)?), &body).await?;
            output.document(&ended, |ended| {
                let ids = ended.get("ended").and_then(Value::as_array).cloned().unwrap_or_default();
                ids.iter().filter_map(Value::as_str).map(|id| format!("ended {id}")).collect::<Vec<_>>().join("\n")
            });
        }
    }
    Ok(Exit::Done)
}

fn grant_id(id: &str) -> Result<GrantId, Failure> {
    id.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

/// Who acts for whom, from the one who began.
fn chain(grant: &Value) -> String {
    text(grant, "/chain").replace(", ", " > ")
}

fn one(grant: &Value) -> String {
    let list = |pointer| text(grant, pointer).replace(", ", "\n");
    fields(&[
        ("id", text(grant, "/id")),
        ("kind", text(grant, "/kind")),
        ("chain", chain(grant)),
        ("comes from", text(grant, "/parent")),
        ("state", text(grant, "/state")),
        ("reason", text(grant, "/state_reason")),
        ("resources", list("/resources")),
        ("scopes", list("/scopes")),
        ("task", text(grant, "/task")),
        ("given", minute(&text(grant, "/created_at"))),
        ("ends", minute(&text(grant, "/expires_at"))),
    ])
}
