//! Between revisions: what one has and the other has not is put in or taken
//! out here and nowhere else, without touching any other byte.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};

use crate::{envelope, mcp::message::raw, upstream::Era};

/// A result that the caller's revision has no form for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server asks for input in a way that this client's revision of MCP does not know")]
pub(crate) struct NoForm;

/// A raw result in the form that `era` has. The very same bytes if it has that form already.
pub(crate) fn result(era: Era, method: &str, result: &Bytes) -> Result<Bytes, NoForm> {
    let Ok(text) = std::str::from_utf8(result) else { return Ok(result.clone()) };
    let kind = envelope::text_member(text, "resultType");
    match era {
        Era::Handshake => match kind.as_deref() {
            None => Ok(result.clone()),
            Some("complete") => Ok(without(text, &["resultType", "ttlMs", "cacheScope"])),
            Some(_) => Err(NoForm),
        },
        Era::Stateless => {
            let cached = method == "resources/read";
            // What one caller was let read is not for a cache that serves others.
            let shared = cached && envelope::text_member(text, "cacheScope").as_deref() != Some("private");
            if kind.is_some() && !shared {
                return Ok(result.clone());
            }
            Ok(with_kind(text, cached && kind.as_deref().is_none_or(|kind| kind == "complete")))
        }
    }
}

/// A raw error in the form that `era` has: 2026-07-28 tells a missing MCP resource as invalid parameters.
pub(crate) fn error(era: Era, error: &Bytes) -> Bytes {
    let text = std::str::from_utf8(error).ok();
    let code = text.and_then(|text| envelope::member(text, "code"));
    match (era, text, code) {
        (Era::Stateless, Some(text), Some(code @ "-32002")) => {
            envelope::splice(text, code, "-32602").map_or_else(|| error.clone(), Bytes::from)
        }
        _ => error.clone(),
    }
}

/// Raw parameters in the form of the upstream's revision, where that is not the caller's.
pub(crate) fn params(from: Era, to: Era, params: Option<&Bytes>) -> Option<Bytes> {
    let text = params.and_then(|raw| std::str::from_utf8(raw).ok());
    match (from, to) {
        (Era::Handshake, Era::Stateless) => Some(with_meta(text.unwrap_or("{}"))),
        (Era::Stateless, Era::Handshake) => text.map(without_meta),
        _ => params.cloned(),
    }
}

/// What the stateless revision wants to be told with every message.
fn with_meta(params: &str) -> Bytes {
    let own = json!({
        "io.modelcontextprotocol/protocolVersion": Era::Stateless.newest().as_str(),
        "io.modelcontextprotocol/clientInfo": { "name": "bailiwick", "version": env!("CARGO_PKG_VERSION") },
        // A client with a handshake cannot be asked in the stateless way.
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let Ok(mut members) = serde_json::from_str::<Members<'_>>(params) else {
        return Bytes::copy_from_slice(params.as_bytes());
    };
    let mut meta: serde_json::Map<String, Value> =
        members.get("_meta").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    if let Value::Object(own) = own {
        meta.extend(own);
    }
    let meta = raw(&Value::Object(meta));
    members.insert("_meta".to_owned(), &meta);
    compose(&members)
}

/// Takes out what only the stateless revision has.
fn without_meta(params: &str) -> Bytes {
    let Some(text) = envelope::member(params, "_meta") else { return Bytes::copy_from_slice(params.as_bytes()) };
    let Ok(mut meta) = serde_json::from_str::<Members<'_>>(text) else {
        return Bytes::copy_from_slice(params.as_bytes());
    };
    meta.retain(|name, _| !STATELESS_META.contains(&name.as_str()));
    let kept = compose(&meta);
    let kept = std::str::from_utf8(&kept).unwrap_or("{}");
    envelope::splice(params, text, kept).map_or_else(|| Bytes::copy_from_slice(params.as_bytes()), Bytes::from)
}

/// `_meta` keys that only the stateless revision has.
const STATELESS_META: [&str; 3] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
];

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn without(text: &str, names: &[&str]) -> Bytes {
    let Ok(mut members) = serde_json::from_str::<Members<'_>>(text) else {
        return Bytes::copy_from_slice(text.as_bytes());
    };
    members.retain(|name, _| !names.contains(&name.as_str()));
    compose(&members)
}

fn with_kind(text: &str, cached: bool) -> Bytes {
    let Ok(mut members) = serde_json::from_str::<Members<'_>>(text) else {
        return Bytes::copy_from_slice(text.as_bytes());
    };
    let (complete, private, now) = (raw(&json!("complete")), raw(&json!("private")), raw(&json!(0)));
    members.entry("resultType".to_owned()).or_insert(&complete);
    if cached {
        members.insert("cacheScope".to_owned(), &private);
        members.entry("ttlMs".to_owned()).or_insert(&now);
    }
    compose(&members)
}

fn compose(members: &Members<'_>) -> Bytes {
    let mut text = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(era: Era, method: &str, from: &'static str, expected: Result<&str, NoForm>) {
        let got = result(era, method, &Bytes::from_static(from.as_bytes()));
        assert_eq!(
            got.as_deref().map(|bytes| std::str::from_utf8(bytes).unwrap()).map_err(|error| *error),
            expected,
            "{from}"
        );
    }

    #[test]
    fn results_take_the_callers_form_and_keep_their_bytes() {
        let old = r#"{ "content" : [ ] , "n":1.0}"#;
        check(Era::Handshake, "tools/call", old, Ok(old));
        check(Era::Stateless, "tools/call", old, Ok(r#"{"content":[ ],"n":1.0,"resultType":"complete"}"#));
        let new = r#"{"resultType":"complete", "content":[]}"#;
        check(Era::Stateless, "tools/call", new, Ok(new));
        check(Era::Handshake, "tools/call", new, Ok(r#"{"content":[]}"#));
        check(
            Era::Stateless,
            "tools/call",
            r#"{"resultType":"input_required"}"#,
            Ok(r#"{"resultType":"input_required"}"#),
        );
        check(Era::Handshake, "tools/call", r#"{"resultType":"input_required"}"#, Err(NoForm));
    }

    #[test]
    fn what_was_read_is_private() {
        let private = r#"{"cacheScope":"private","contents":[],"resultType":"complete","ttlMs":9}"#;
        check(Era::Stateless, "resources/read", private, Ok(private));
        check(
            Era::Stateless,
            "resources/read",
            r#"{"resultType":"complete","cacheScope":"public","contents":[],"ttlMs":9}"#,
            Ok(private),
        );
        check(
            Era::Stateless,
            "resources/read",
            r#"{"contents":[]}"#,
            Ok(r#"{"cacheScope":"private","contents":[],"resultType":"complete","ttlMs":0}"#),
        );
        check(Era::Handshake, "resources/read", private, Ok(r#"{"contents":[]}"#));
    }

    #[test]
    fn parameters_take_the_upstreams_form() {
        let old = Bytes::from_static(br#"{"name":"t","arguments":{ "n":1.0 },"_meta":{"progressToken":7}}"#);
        let new = params(Era::Handshake, Era::Stateless, Some(&old)).unwrap();
        let text = std::str::from_utf8(&new).unwrap();
        assert!(text.contains(r#""arguments":{ "n":1.0 }"#), "{text}");
        let meta = envelope::member(text, "_meta").unwrap();
        assert_eq!(envelope::member(meta, "progressToken"), Some("7"));
        assert_eq!(envelope::text_member(meta, STATELESS_META[0]).as_deref(), Some("2026-07-28"));
        let back = params(Era::Stateless, Era::Handshake, Some(&new)).unwrap();
        assert_eq!(envelope::member(std::str::from_utf8(&back).unwrap(), "_meta"), Some(r#"{"progressToken":7}"#));
        assert_eq!(params(Era::Handshake, Era::Handshake, Some(&old)), Some(old.clone()));
        assert!(params(Era::Handshake, Era::Stateless, None).unwrap().starts_with(b"{\"_meta\""));
    }

    #[test]
    fn a_retired_error_code_is_not_sent_on() {
        let missing = Bytes::from_static(br#"{"code":-32002,"message":"no such -32002"}"#);
        assert_eq!(
            error(Era::Stateless, &missing),
            Bytes::from_static(br#"{"code":-32602,"message":"no such -32002"}"#)
        );
        assert_eq!(error(Era::Handshake, &missing), missing);
    }
}
