//! JSON-RPC messages: whoever decides and whoever forwards read the same.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_gateway::envelope::{Envelope, member, parse_arguments, parse_object, splice};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// A lenient parser's reading, which is the upstream's.
fn lenient(raw: &str) -> Value {
    serde_json::from_str(raw).expect("what was accepted is JSON")
}

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = Envelope::parse(data) else { return };
    let text = std::str::from_utf8(data).expect("what was accepted is UTF-8");
    let whole = lenient(text);
    let (method, params) = match envelope {
        Envelope::Call { method, params, .. } | Envelope::Notification { method, params } => (method, params),
        Envelope::Result { result, .. } => return assert_eq!(whole.get("result"), Some(&lenient(result))),
        Envelope::Error { error, .. } => return assert_eq!(whole.get("error"), Some(&lenient(error))),
    };
    assert_eq!(whole.get("method").and_then(Value::as_str), Some(&*method));
    assert_eq!(whole.get("params"), params.map(lenient).as_ref());
    let Some(params) = params else { return };
    assert_eq!(splice(text, params, params).as_deref(), Some(text));
    let arguments = member(params, "arguments");
    assert_eq!(whole.pointer("/params/arguments"), arguments.map(lenient).as_ref());
    if let (Some(raw), Ok(decided)) = (arguments, parse_arguments(arguments)) {
        assert_eq!(Value::Object(decided), lenient(raw), "policy and upstream read different arguments");
    }
    drop(parse_object(params, 1_000));
});
