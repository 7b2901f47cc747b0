//! `bailiwick keys`: the keys that sign tokens.

use serde_json::{Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, Keys},
    exit::{Exit, Failure},
    output::{Output, table, text},
};

const PATH: &str = "/api/v1/keys";

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Keys, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Keys::List => show(output, &door.read(PATH).await?),
        Keys::Rotate { reason } => {
            let told = door.change(&format!("{PATH}/rotate"), &json!({ "reason": reason })).await?;
            show(output, &told);
            output.note("the next key signs in ten minutes, once others had the time to fetch it");
        }
        Keys::Replace { danger_end_all_tokens: false, .. } => {
            return Err(Failure::new("this ends every access token at once".to_owned())
                .hint("say `--danger-end-all-tokens` if a key may be in others' hands, else `bailiwick keys rotate`")
                .exit(Exit::Usage));
        }
        Keys::Replace { reason, danger_end_all_tokens: true } => {
            let told = door.change(&format!("{PATH}/replace"), &json!({ "reason": reason })).await?;
            show(output, &told);
            output.note("no token issued before works any more; compare the policy with yours and publish it again");
        }
    }
    Ok(Exit::Done)
}

fn show(output: &Output, told: &Value) {
    output.document(told, |told| {
        let keys = told.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["key", "state", "since"],
            keys.iter().map(|key| [text(key, "/kid"), text(key, "/state"), minute(&text(key, "/since"))]),
        )
    });
}
