//! `bailiwick safe-mode`: everything but reading stops.

use bailiwick_model::safe_mode::SafeModeScope;
use serde_json::{Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, SafeMode, Scoped},
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &SafeMode, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        SafeMode::Enter(scoped) => {
            let answer = door.change("/api/v1/safe-mode/enter", &body(scoped)?).await?;
            output.document(&answer, |_| format!("`{}` is in safe mode: reads pass, nothing else", scoped.scope));
        }
        SafeMode::Lift(scoped) => {
            let answer = door.change("/api/v1/safe-mode/lift", &body(scoped)?).await?;
            output.document(&answer, |_| format!("safe mode of `{}` is lifted", scoped.scope));
        }
        SafeMode::List => {
            let listed = door.read("/api/v1/safe-mode").await?;
            output.document(&listed, |listed| {
                let rows = listed.get("safe_modes").and_then(Value::as_array).cloned().unwrap_or_default();
                table(
                    ["scope", "since", "reason"],
                    rows.iter().map(|row| [text(row, "/scope"), minute(&text(row, "/since")), text(row, "/reason")]),
                )
            });
        }
    }
    Ok(Exit::Done)
}

fn body(scoped: &Scoped) -> Result<Value, Failure> {
    let scope: SafeModeScope =
        scoped.scope.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
    Ok(json!({"scope": scope, "reason": scoped.reason}))
}
