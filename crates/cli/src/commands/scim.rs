//! `bailiwick scim`: the credentials by which directories provision users and groups.

use bailiwick_model::name::WorkloadName;
use serde_json::{Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, Scim, ScimToken},
    exit::{Exit, Failure},
    output::{Output, table, text},
};

const PATH: &str = "/api/v1/scim/tokens";

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Scim, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    let Scim::Token(ask) = ask;
    match ask {
        ScimToken::Create { name, days } => {
            let made = door.change(PATH, &json!({ "name": named(name)?, "days": days })).await?;
            output.document(&made, |made| text(made, "/token"));
            output.note(&format!(
                "\ngive this token and `{}` to the directory: it is shown once, and good until {} UTC",
                text(&made, "/base_url"),
                minute(&text(&made, "/expires_at"))
            ));
        }
        ScimToken::List => {
            let listed = door.read(PATH).await?;
            let tokens = listed.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
            output.document(&listed, |_| {
                table(
                    ["name", "since", "until"],
                    tokens.iter().map(|token| {
                        [text(token, "/name"), minute(&text(token, "/created_at")), minute(&text(token, "/expires_at"))]
                    }),
                )
            });
            if tokens.is_empty() {
                output.hint("no directory has a credential: `bailiwick scim token create NAME` makes one");
            }
        }
        ScimToken::Revoke { name } => {
            let path = format!("{PATH}/{}/revoke", named(name)?);
            door.change(&path, &json!({})).await?;
            output.note(&format!("credential `{name}` opens nothing any more"));
        }
    }
    Ok(Exit::Done)
}

fn named(name: &str) -> Result<WorkloadName, Failure> {
    name.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}
