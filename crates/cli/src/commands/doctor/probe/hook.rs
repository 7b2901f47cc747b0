//! The hook before a client's own tools: whether it asks about each of them, and whether it is told no.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{ANSWER_WITHIN, CORRECT_IT, Denials, NO_TOOL, REPORT_IT, Trouble, cited, read};
use crate::{
    agent::{
        identity::http_client,
        tokens::{is_here, issuer_of},
    },
    connect::{
        client::{Client, HOOK_PATH, HOOK_TOKEN, Places, hook},
        document,
    },
};

const CONNECT_AGAIN: &str = "connect it again with `bailiwick connect claude-code`";
const GET_A_TOKEN: &str =
    "get one with `bailiwick token`, as `docs/connect.md` shows, and set it where the client is started";
const START_IT: &str = "start the broker with `bailiwick serve`";

/// Settings that, set in any file that counts, may keep a hook from being asked.
const SWITCHES: [&str; 2] = ["disableAllHooks", "allowManagedHooksOnly"];
/// The list of addresses that hooks may ask, where there is one.
const ALLOWED_URLS: &str = "allowedHttpHookUrls";

/// Probes the hook in a file; `None` where there is none.
pub(super) async fn probe(client: Client, path: &Path, places: &Places) -> Option<Result<Denials, Trouble>> {
    let entry = match entry(client, path) {
        Ok(entry) => entry?,
        Err(trouble) => return Some(Err(trouble)),
    };
    let result = match asks_about_every_tool(client, &entry, places) {
        Ok(issuer) => asked(issuer).await,
        Err(trouble) => Err(trouble),
    };
    Some(result)
}

fn entry(client: Client, path: &Path) -> Result<Option<Value>, Trouble> {
    let text = read(path)?.unwrap_or_default();
    document::our_hook(&text, client.dialect()).map_err(|why| Trouble::new(why, CORRECT_IT))
}

/// The broker that is asked, provided that the entry is what `connect` writes and no setting takes from it.
fn asks_about_every_tool(client: Client, entry: &Value, places: &Places) -> Result<String, Trouble> {
    let url = entry.pointer("/hooks/0/url").and_then(Value::as_str).unwrap_or_default();
    // Only the origin is taken from the file, and only as far as a token may go.
    let issuer = issuer_of(url).map_err(|failure| Trouble::new(failure.message, CONNECT_AGAIN))?;
    if !is_here(&issuer) {
        let why = format!("it sends its token to `{issuer}`, and a broker answers hooks on its own machine only");
        return Err(Trouble::new(why, CONNECT_AGAIN));
    }
    if *entry != hook(&issuer) {
        let why = "it lacks something that `connect` writes, or has more (a `matcher`?), so a tool may run unasked";
        return Err(Trouble::new(why, CONNECT_AGAIN));
    }
    for path in client.settings_files(places) {
        let Some(text) = read(&path)?.filter(|text| !text.trim().is_empty()) else { continue };
        let member = |name: &str| document::member(&text, client.dialect(), name);
        let unclear = |why: String| Trouble::new(format!("`{}`: {why}", path.display()), CORRECT_IT);
        for name in SWITCHES {
            if member(name).map_err(unclear)?.is_some_and(|value| value != Value::Bool(false)) {
                let why = format!("`{name}` is set in `{}`, so no hook may be asked", path.display());
                return Err(Trouble::new(why, "take it out of that file"));
            }
        }
        let listed = member(ALLOWED_URLS).map_err(unclear)?;
        if listed.is_some_and(|list| list.as_array().is_none_or(|list| !list.iter().any(|one| one == url))) {
            let why = format!("`{ALLOWED_URLS}` in `{}` does not name `{url}`", path.display());
            return Err(Trouble::new(why, "add that address to the list"));
        }
    }
    Ok(issuer)
}

/// Asks as the hook would: without a token it must be refused, with one a tool that nobody has must be denied.
async fn asked(issuer: String) -> Result<Denials, Trouble> {
    let http = http_client().map_err(|failure| Trouble::new(failure.message, START_IT))?;
    let url = format!("{issuer}{HOOK_PATH}");
    let id = format!("probe-{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond());
    let question = json!({
        "session_id": "bailiwick-doctor", "hook_event_name": "PreToolUse", "tool_name": NO_TOOL, "tool_input": {},
        "tool_use_id": id,
    });
    let ask = || http.post(&url).timeout(ANSWER_WITHIN).json(&question);
    let unreachable = |error: reqwest::Error| {
        Trouble::new(format!("the broker at `{issuer}` does not answer: {}", error.without_url()), START_IT)
    };
    let bare = ask().send().await.map_err(unreachable)?.status();
    if bare != StatusCode::UNAUTHORIZED {
        return Err(Trouble::new(format!("a question without a token was answered with status {bare}"), REPORT_IT));
    }
    let Some(token) = std::env::var(HOOK_TOKEN).ok().filter(|token| !token.is_empty()) else {
        let why = format!("`{HOOK_TOKEN}` is not set here, so every tool is blocked and no more can be told");
        return Err(Trouble::new(why, GET_A_TOKEN));
    };
    let told = ask().bearer_auth(token).send().await.map_err(unreachable)?;
    let (status, body) = (told.status(), told.json::<Value>().await.unwrap_or_default());
    let said = |name: &str| body.pointer(&format!("/hookSpecificOutput/{name}")).and_then(Value::as_str);
    if status != StatusCode::OK {
        let why = format!("its token is refused (status {status}), so every tool is blocked");
        return Err(Trouble::new(why, GET_A_TOKEN));
    }
    match said("permissionDecisionReason").and_then(cited) {
        Some(evaluation) if said("permissionDecision") == Some("deny") => {
            let told = "no token is refused, an unknown tool is denied".to_owned();
            Ok(Denials { issuer, told, evaluations: vec![evaluation] })
        }
        _ => Err(Trouble::new("a tool that nobody has was not denied", REPORT_IT)),
    }
}
