//! Header and body must say the same, in every spelling that the standard allows.

use super::*;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// Checks one message; `code` 0 is accepted.
fn check(pairs: &[(&str, &str)], method: &str, params: &str, code: i64) {
    let headers = headers(pairs);
    let outcome = (|| {
        let era = era(&headers, Some(params))?;
        let call = Incoming::read(envelope::Id::from(1), method, Some(params), era)?;
        if era == Era::Stateless { super::check(&headers, &call) } else { Ok(()) }
    })();
    assert_eq!(outcome.as_ref().err().map_or(0, |fault| fault.code), code, "{pairs:?} {params} {outcome:?}");
}

#[test]
fn the_mirrored_headers_must_agree_with_the_body() {
    let v = ("mcp-protocol-version", "2026-07-28");
    let m = ("mcp-method", "tools/call");
    let params = format!(r#"{{"name":"echo",{META}}}"#);
    check(&[v, m, ("mcp-name", "echo")], "tools/call", &params, 0);
    check(&[v, m, ("mcp-name", "=?base64?ZWNobw==?=")], "tools/call", &params, 0);
    check(&[v, m, ("mcp-name", "=?base64?ZWNobw?=")], "tools/call", &params, -32_020);
    check(&[v, m, ("mcp-name", "=?base64?/w==?=")], "tools/call", &params, -32_020);
    check(&[v, m, ("mcp-name", "ECHO")], "tools/call", &params, -32_020);
    check(&[v, m], "tools/call", &params, -32_020);
    check(&[v, m, ("mcp-name", "echo"), ("mcp-name", "echo")], "tools/call", &params, -32_020);
    check(&[v, m, ("mcp-name", "écho")], "tools/call", &params, -32_020);
    check(&[v, ("mcp-name", "echo")], "tools/call", &params, -32_020);
    check(&[v, ("mcp-method", "tools/list"), ("mcp-name", "echo")], "tools/call", &params, -32_020);
    check(&[m, ("mcp-name", "echo")], "tools/call", &params, -32_020);
    check(&[v, ("mcp-method", "tools/list"), ("mcp-name", "echo")], "tools/list", &format!("{{{META}}}"), -32_020);
    check(&[v, ("mcp-method", "tools/list")], "tools/list", &format!("{{{META}}}"), 0);
}

#[test]
fn the_revision_is_told_twice_and_once() {
    let v = |version| [("mcp-protocol-version", version), ("mcp-method", "tools/list")];
    let params = format!("{{{META}}}");
    check(&v("2025-11-25"), "tools/list", &params, -32_020);
    check(&v("1999-01-01"), "tools/list", "{}", -32_022);
    check(&v("1999-01-01"), "tools/list", &params.replace("2026-07-28", "1999-01-01"), -32_022);
    check(&v("2025-11-25"), "tools/list", &params.replace("2026-07-28", "2025-11-25"), -32_022);
    check(&v("2025-11-25"), "tools/list", "{}", 0);
    check(&[], "tools/list", "{}", 0);
    // The stateless revision needs its metadata.
    check(&v("2026-07-28"), "tools/list", "{}", -32_602);
    check(
        &v("2026-07-28"),
        "tools/list",
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        -32_602,
    );
    check(&v("2026-07-28"), "tools/list", r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}"#, -32_602);
}

#[test]
fn methods_belong_to_their_revision() {
    let v = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "initialize")];
    check(&v, "initialize", &format!("{{{META}}}"), -32_601);
    check(&[], "server/discover", "{}", -32_601);
    check(&[], "tools/call", "{}", -32_602);
    check(&[], "tools/call", r#"{"name":7}"#, -32_602);
}

#[test]
fn mirrored_arguments_must_agree() {
    let definition = json!({ "inputSchema": { "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "deep": { "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
        "plain": { "type": "string" },
    } } });
    let check = |arguments: serde_json::Value, pairs: &[(&str, &str)], expected: bool| {
        let mirrored = crate::mcp::mirror::mirrored(&definition, arguments.as_object().unwrap()).unwrap();
        let outcome = params(&headers(pairs), &mirrored);
        assert_eq!(outcome.is_ok(), expected, "{arguments} {pairs:?}");
    };
    check(json!({ "region": "eu" }), &[("mcp-param-region", "eu")], true);
    check(json!({ "region": "eu" }), &[("Mcp-Param-Region", "=?base64?ZXU=?=")], true);
    check(json!({ "region": "eu" }), &[("mcp-param-region", "us")], false);
    check(json!({ "region": "eu" }), &[], false);
    check(json!({ "region": null }), &[], true);
    check(json!({}), &[("mcp-param-region", "eu")], false);
    check(json!({ "deep": { "n": 42 } }), &[("mcp-param-n", "42.0")], true);
    check(json!({ "deep": { "n": 42 } }), &[("mcp-param-n", "43")], false);
    check(json!({}), &[("mcp-param-unknown", "x")], true);
}
