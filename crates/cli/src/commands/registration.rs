//! `bailiwick registration-tokens`: on which terms clients register by themselves.

use bailiwick_model::id::RegistrationTokenId;
use http::Method;
use serde_json::{Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, CreateRegistrationToken, RegistrationTokens},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Where they are.
const PATH: &str = "/api/v1/registration-tokens";

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &RegistrationTokens, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        RegistrationTokens::Create(ask) => create(&door, ask, output).await?,
        RegistrationTokens::List => list(&door, output).await?,
        RegistrationTokens::Remove { id } => {
            let id: RegistrationTokenId =
                id.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
            door.ask(Method::DELETE, &format!("{PATH}/{id}"), None).await?;
            output.note(&format!("nobody registers by `{id}` any more"));
        }
    }
    Ok(Exit::Done)
}

async fn create(door: &Door, ask: &CreateRegistrationToken, output: &Output) -> Result<(), Failure> {
    let body = json!({
        "name_prefix": ask.name_prefix.as_ref().unwrap_or(&ask.role), "owner": ask.owner, "purpose": ask.purpose,
        "environment": ask.environment, "role": ask.role, "systems": ask.systems, "lifetime_days": ask.lifetime_days,
        "uses_max": ask.max_uses, "ttl_s": ask.ttl,
    });
    let made = door.change(PATH, &body).await?;
    output.document(&made, |made| text(made, "/token"));
    output.note(&format!(
        "\nshown this once; good for {} clients until {} UTC at `/oauth/register`, as {}",
        text(&made, "/uses_max"),
        minute(&text(&made, "/expires_at")),
        text(&made, "/id")
    ));
    Ok(())
}

async fn list(door: &Door, output: &Output) -> Result<(), Failure> {
    let listed = door.read(PATH).await?;
    output.document(&listed, |listed| {
        let tokens = listed.get("registration_tokens").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["id", "names", "role", "environment", "owner", "used", "ends"],
            tokens.iter().map(|token| {
                [
                    text(token, "/id"),
                    format!("{}-…", text(token, "/name_prefix")),
                    text(token, "/role"),
                    text(token, "/environment"),
                    text(token, "/owner"),
                    format!("{} of {}", text(token, "/uses"), text(token, "/uses_max")),
                    minute(&text(token, "/expires_at")),
                ]
            }),
        )
    });
    Ok(())
}
