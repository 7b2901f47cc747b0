//! Calls that were permitted and still bring no result: what the evidence says
//! of them and what their callers are told. Upstream text never gets here.

use bailiwick_engine::{
    conclude::OutcomeStatus, connections::CONNECTIONS_PATH, permitted::Permitted, refusal::Refusal,
};
use bailiwick_model::{blame::Blame, name::SystemName};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    denial, envelope,
    mcp::{Gateway, answer, message::Fault},
    phases::Passage,
    relay::Ending,
    result::Withheld,
    upstream::UpstreamError,
};

/// JSON-RPC code of a call whose upstream brought no answer; outside the reserved ranges.
pub(crate) const UPSTREAM_FAILED_CODE: i64 = -31_502;
/// JSON-RPC code of a result that was withheld.
pub(crate) const WITHHELD_CODE: i64 = -31_451;
/// Where the structured failure stands.
pub(crate) const FAILURE_META: &str = "bailiwick/failure";

/// The upstream brought no answer.
pub(crate) fn upstream(error: &UpstreamError, permit: &Permitted, passage: &Passage) -> Ending {
    tracing::warn!(
        evaluation.id = %permit.evaluated().id,
        system = %permit.system(),
        error = %error,
        "an upstream brought no answer"
    );
    let (status, detail) = match error {
        UpstreamError::TimedOut(_) => (OutcomeStatus::TimedOut, "the upstream did not answer in time"),
        UpstreamError::NotPermitted | UpstreamError::DefinitionChanged(_) => {
            (OutcomeStatus::NotForwarded, "the message or the tool was not the permitted one")
        }
        UpstreamError::NoUser | UpstreamError::NotConnected => {
            (OutcomeStatus::NotForwarded, "no account of a user is connected")
        }
        UpstreamError::NotRenewed => {
            (OutcomeStatus::NotForwarded, "the upstream's authorization server gives no token")
        }
        error if error.reached_upstream() => {
            (OutcomeStatus::UpstreamFailed, "the upstream broke off or broke the protocol")
        }
        _ => (OutcomeStatus::UpstreamFailed, "the upstream could not be reached"),
    };
    let acted = error.reached_upstream();
    let retry_after_s = error.retry_after().map(|wait| wait.as_secs().max(1));
    let mut text = format!("The call was allowed, but system `{}` brought no answer: {error}.", permit.system());
    let connect = connect_url(error, &passage.gateway);
    text.push_str(match (acted, retry_after_s) {
        _ if connect.is_some() => "\nNothing was done.",
        (true, _) => "\nThe system may have acted on it: look before making the call again.",
        (false, Some(_)) => "\nNothing was done: the same call can succeed later.",
        (false, None) => "\nNothing was done. An operator sees the cause in the log.",
    });
    if let Some(url) = &connect {
        text.push_str(&format!(
            "\nYour user has to open {url} and connect their account, then the same call can succeed."
        ));
    }
    let object = json!({
        "code": code(error),
        "connect_url": connect,
        "message": error.to_string(),
        "blame": blame(error.blame()),
        "may_have_acted": acted,
        "retryable": !acted && retry_after_s.is_some(),
        "retry_after_s": retry_after_s,
        "evaluation_id": permit.evaluated().id.to_string(),
    });
    ending(
        Told { status, detail, code: UPSTREAM_FAILED_CODE, text: &text, meta: (FAILURE_META, object) },
        permit,
        passage,
    )
}

/// The upstream could not be asked for what is no call.
pub(crate) fn fault(gateway: &Gateway, system: &SystemName, error: &UpstreamError) -> Fault {
    tracing::warn!(system.name = %system, error = %error, "a system could not be asked");
    let (status, rpc_code) = match error {
        // The system does not have this list: the client asked for what was not offered.
        UpstreamError::Refused { code: -32_601, .. } => (StatusCode::NOT_FOUND, -32_601),
        UpstreamError::Refused { code: -32_602, .. } => (StatusCode::OK, -32_602),
        _ => (StatusCode::OK, UPSTREAM_FAILED_CODE),
    };
    let connect = connect_url(error, gateway);
    let next = connect.as_ref().map(|url| format!("; your user has to open {url} and connect their account"));
    let message = format!("system `{system}` brought no answer: {error}{}", next.unwrap_or_default());
    let mut fault = Fault::new(status, rpc_code, message);
    fault.data = Some(json!({ (FAILURE_META): {
        "code": code(error),
        "connect_url": connect,
        "blame": blame(error.blame()),
        "retryable": error.retry_after().is_some(),
        "retry_after_s": error.retry_after().map(|wait| wait.as_secs().max(1)),
    } }));
    fault
}

/// Something took the permission back between decision and forward.
pub(crate) fn not_forwarded(refusal: &Refusal, permit: &Permitted, passage: &Passage) -> Ending {
    let text = format!("Denied: {refusal}. Nothing was sent.");
    let object = taken(refusal, permit, false);
    let detail = "permission was taken back before the forward";
    ending(
        Told {
            status: OutcomeStatus::NotForwarded,
            detail,
            code: denial::DENIED_CODE,
            text: &text,
            meta: (denial::DENIAL_META, object),
        },
        permit,
        passage,
    )
}

/// Something took the permission back while the call ran.
pub(crate) fn taken_back(refusal: &Refusal, permit: &Permitted, passage: &Passage) -> Ending {
    let text = format!("Cut off: {refusal}. The system was told to stop, and may have acted before.");
    let object = taken(refusal, permit, true);
    let detail = "permission was taken back while the call ran";
    ending(
        Told {
            status: OutcomeStatus::Cancelled,
            detail,
            code: denial::DENIED_CODE,
            text: &text,
            meta: (denial::DENIAL_META, object),
        },
        permit,
        passage,
    )
}

fn taken(refusal: &Refusal, permit: &Permitted, acted: bool) -> Value {
    json!({
        "decision": "deny",
        "evaluation_id": permit.evaluated().id.to_string(),
        "reasons": [{ "code": "conflict", "rule": null, "message": refusal.to_string(), "help": refusal.hint() }],
        "retryable": false,
        "retry_after_s": null,
        "gates": [],
        "may_have_acted": acted,
    })
}

/// A result came and is not shown.
pub(crate) fn withheld(withheld: Withheld, permit: &Permitted, passage: &Passage) -> Ending {
    let (text, object) = denial::withheld(&permit.evaluated().id.to_string(), withheld);
    let detail = withheld.message();
    ending(
        Told {
            status: OutcomeStatus::Withheld,
            detail,
            code: WITHHELD_CODE,
            text: &text,
            meta: (denial::DENIAL_META, object),
        },
        permit,
        passage,
    )
}

/// A result came that the caller's revision has no form for.
pub(crate) fn no_form(permit: &Permitted, passage: &Passage) -> Ending {
    let text = "The server asks for more input in a way that this client's revision of MCP does not know. \
                A client of revision 2026-07-28 can answer it.";
    let object = json!({
        "code": "input_required",
        "message": "the server asks for input",
        "blame": blame(Blame::Agent),
        "may_have_acted": false,
        "retryable": false,
        "retry_after_s": null,
        "evaluation_id": permit.evaluated().id.to_string(),
    });
    let detail = "the caller's revision has no form for the result";
    ending(
        Told { status: OutcomeStatus::Withheld, detail, code: WITHHELD_CODE, text, meta: (FAILURE_META, object) },
        permit,
        passage,
    )
}

/// Where the user behind the caller connects an account, if that is what is missing.
fn connect_url(error: &UpstreamError, gateway: &Gateway) -> Option<String> {
    let missing = matches!(error, UpstreamError::NotConnected);
    missing.then(|| format!("{}{CONNECTIONS_PATH}", gateway.entrance.page_origin()))
}

const fn code(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::NotConnected => "connection_required",
        UpstreamError::NoUser => "user_required",
        _ => "upstream_failed",
    }
}

const fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Agent => "agent",
        Blame::Operator => "operator",
        Blame::Upstream => "upstream",
        Blame::Us => "us",
    }
}

/// One ending, in words.
struct Told<'a> {
    status: OutcomeStatus,
    detail: &'static str,
    code: i64,
    text: &'a str,
    /// The structured form, and the `_meta` key that it stands under.
    meta: (&'static str, Value),
}

/// A tool's caller gets a result that its model reads; every other method an error.
fn ending(told: Told<'_>, permit: &Permitted, passage: &Passage) -> Ending {
    let Told { status, detail, code, text, meta: (key, object) } = told;
    let id = passage.call.id.raw();
    let text = format!("{text}\nDecision id: {}", permit.evaluated().id);
    let message: Bytes = if passage.call.method == "tools/call" {
        let result = json!({
            "content": [{ "type": "text", "text": text }],
            "isError": true,
            "_meta": { (key): object },
        });
        envelope::result(id, &answer::typed(passage.era, result).to_string())
    } else {
        let error = json!({ "code": code, "message": text, "data": { (key): object } });
        envelope::error(id, &error.to_string())
    };
    Ending { status, detail: Some(detail), evidence: None, answer: Some((message, StatusCode::OK)) }
}
