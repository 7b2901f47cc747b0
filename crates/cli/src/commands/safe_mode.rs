//! `bailiwick safe-mode`: everything but reading stops.

use bailiwick_model::safe_mode::SafeModeScope;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    agents::{minute, percent},
    door,
};
use crate::{
    arguments::{Arguments, SafeMode, Scoped},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &SafeMode, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        SafeMode::Enter(scoped) => {
            let body = body(scoped)?;
            refuse_nobody(&door, &scoped.scope).await?;
            let answer = door.change("/api/v1/safe-mode/enter", &body).await?;
            output.document(&answer, |_| {
                format!("`{}` is in safe mode: only reads that send nothing out pass", scoped.scope)
            });
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
            if listed.get("safe_modes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                output.hint("nothing is in safe mode");
            }
        }
    }
    Ok(Exit::Done)
}

/// A name that is nobody's stops nothing, and says so: whoever types this is in a hurry. Any other trouble with the
/// look-up lets the command go on.
async fn refuse_nobody(door: &Door, scope: &str) -> Result<(), Failure> {
    let Some((kind, name)) = scope.split_once(':') else { return Ok(()) };
    let answer = door.send(Method::GET, &format!("/api/v1/{kind}s/{}", percent(name)), None).await;
    if answer.is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND) {
        return Err(Failure::new(format!("{kind} `{name}` does not exist, so nothing was stopped"))
            .hint(format!("`bailiwick {kind}s list` says who there is; `everything` stops them all")));
    }
    Ok(())
}

fn body(scoped: &Scoped) -> Result<Value, Failure> {
    let scope: SafeModeScope =
        scoped.scope.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
    Ok(json!({"scope": scope, "reason": scoped.reason}))
}
