//! The headers that 2026-07-28 mirrors from the body (streamable-http, "Request
//! Metadata"). Whoever reads the body must find both saying the same: a gateway
//! before us may have decided on the headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::{
    envelope,
    mcp::{
        message::{Fault, Incoming},
        method::{STATELESS_REVISION, SUPPORTED},
        mirror::Mirrored,
    },
    upstream::Era,
};

/// The revision of a message.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method of a message.
pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The name or uri of a message.
pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The session of a 2025-11-25 client.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// What the headers that mirror arguments start with.
pub(crate) const PARAM_PREFIX: &str = "mcp-param-";
/// `Mcp-Param-*` headers of one message.
pub(crate) const PARAM_HEADERS_MAX: usize = 32;

const HEADER_MISMATCH: i64 = -32_020;
const UNSUPPORTED_VERSION: i64 = -32_022;
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn mismatch(message: impl Into<String>) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, HEADER_MISMATCH, message)
}

/// One header that may stand once and must be text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| mismatch(format!("header `{name}` holds characters that no header may hold"))),
        (Some(_), Some(_)) => Err(mismatch(format!("header `{name}` stands more than once"))),
    }
}

/// The revision family of a message, told by its header and its `_meta`, which must agree.
pub(crate) fn era(headers: &HeaderMap, params: Option<&str>) -> Result<Era, Fault> {
    let header = single(headers, &PROTOCOL_VERSION)?;
    let meta = params.and_then(|params| envelope::member(params, "_meta"));
    let declared = meta.and_then(|meta| envelope::member(meta, META_VERSION));
    let declared = match declared {
        None => None,
        Some(raw) => {
            let text: String = serde_json::from_str(raw)
                .map_err(|_| Fault::meta(format!("`_meta[\"{META_VERSION}\"]` is a string")))?;
            Some(text)
        }
    };
    match (header, declared.as_deref()) {
        (_, Some(declared)) if header.is_some_and(|header| header != declared) => Err(mismatch(format!(
            "`MCP-Protocol-Version` and `_meta` name different revisions (`{}`)",
            declared.chars().take(40).collect::<String>()
        ))),
        (Some(STATELESS_REVISION), _) | (None, Some(STATELESS_REVISION)) => Ok(Era::Stateless),
        (Some(version), _) | (None, Some(version)) if !SUPPORTED.contains(&version) => Err(unsupported(version)),
        // A handshake revision in `_meta` makes no sense: those revisions have no such member.
        (_, Some(version)) => Err(unsupported(version)),
        (Some(_), None) | (None, None) => Ok(Era::Handshake),
    }
}

/// The refusal of a revision, naming the ones that work.
pub(crate) fn unsupported(version: &str) -> Fault {
    let version: String = version.chars().take(40).collect();
    let mut fault = Fault::new(StatusCode::BAD_REQUEST, UNSUPPORTED_VERSION, "unsupported protocol version");
    fault.data = Some(json!({ "supported": SUPPORTED, "requested": version }));
    fault
}

/// Checks the mirrored headers of a stateless call against its body.
pub(crate) fn check(headers: &HeaderMap, call: &Incoming<'_>) -> Result<(), Fault> {
    if single(headers, &PROTOCOL_VERSION)?.is_none() {
        return Err(mismatch("header `MCP-Protocol-Version` is missing"));
    }
    let method = single(headers, &METHOD)?.ok_or_else(|| mismatch("header `Mcp-Method` is missing"))?;
    if method != call.method {
        return Err(mismatch("header `Mcp-Method` does not name the method of the body"));
    }
    let named = matches!(call.method, "tools/call" | "resources/read" | "prompts/get");
    match (single(headers, &NAME)?, &call.name) {
        (Some(header), Some(name)) => {
            if decoded(header)? != *name {
                return Err(mismatch("header `Mcp-Name` does not name what the body names"));
            }
        }
        (None, Some(_)) if named => return Err(mismatch("header `Mcp-Name` is missing")),
        (Some(_), None) => return Err(mismatch("header `Mcp-Name` names something, the body nothing")),
        (None, _) => {}
    }
    check_meta(call)
}

/// `_meta` must tell revision and client capabilities with every call.
fn check_meta(call: &Incoming<'_>) -> Result<(), Fault> {
    let meta = call.declared().filter(|raw| raw.starts_with('{'));
    let meta = meta.ok_or_else(|| Fault::meta("`params._meta` is an object"))?;
    if envelope::member(meta, META_VERSION).is_none() {
        return Err(Fault::meta(format!("`_meta[\"{META_VERSION}\"]` is missing")));
    }
    match envelope::member(meta, META_CAPABILITIES) {
        Some(raw) if raw.starts_with('{') => Ok(()),
        _ => Err(Fault::meta(format!("`_meta[\"{META_CAPABILITIES}\"]` is an object"))),
    }
}

/// A header value with its `=?base64?…?=` spelling undone.
pub(crate) fn decoded(value: &str) -> Result<String, Fault> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value.to_owned());
    };
    let bytes =
        STANDARD.decode(inner).map_err(|_| mismatch("a header value is not the base64 that it claims to be"))?;
    String::from_utf8(bytes).map_err(|_| mismatch("a header value is not UTF-8"))
}

/// The `Mcp-Param-*` headers, checked for those arguments that the tool's definition mirrors, to be forwarded as
/// they came.
pub(crate) fn params(headers: &HeaderMap, mirrored: &[Mirrored]) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut all = Vec::new();
    for (name, value) in headers {
        if !name.as_str().starts_with(PARAM_PREFIX) {
            continue;
        }
        if all.len() == PARAM_HEADERS_MAX {
            return Err(mismatch(format!("at most {PARAM_HEADERS_MAX} `Mcp-Param-*` headers are read")));
        }
        all.push((name.clone(), value.clone()));
    }
    for Mirrored { header, value } in mirrored {
        let sent = single(headers, header)?.map(decoded).transpose()?;
        if !same(sent.as_deref(), value.as_deref()) {
            return Err(mismatch(format!("header `{header}` does not say what the argument says")));
        }
    }
    Ok(all)
}

/// Equal as text, or as integers.
fn same(sent: Option<&str>, argument: Option<&str>) -> bool {
    let whole = |text: &str| text.strip_suffix(".0").unwrap_or(text).parse::<i64>().ok();
    match (sent, argument) {
        (Some(sent), Some(argument)) => {
            sent == argument || whole(sent).is_some_and(|number| Some(number) == argument.parse::<i64>().ok())
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
