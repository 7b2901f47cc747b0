//! Asks an upstream for everything it offers, page by page, whole objects,
//! bounded. Believes nothing of it.

use std::collections::{HashMap, HashSet};

use bailiwick_model::digest::Digest;
use bailiwick_pdp::{catalogue::TOOLS_PER_SYSTEM_MAX, definition};
use bailiwick_ports::upstreams::Discovered;
use serde_json::Value;

use super::{
    UpstreamError,
    connection::{Live, object, refused},
    control::{Control, ListKind},
};

/// Pages of one list.
pub const PAGES_MAX: usize = 256;
/// Items of one list: as many as a catalogue may hold.
pub const ITEMS_MAX: usize = TOOLS_PER_SYSTEM_MAX;
/// Bytes of one list, all its pages together: many times what any sane server lists.
const LIST_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Bytes of a cursor.
const CURSOR_BYTES_MAX: usize = 4_096;

/// Everything that this connection offers.
pub(crate) async fn discover(live: &Live) -> Result<Discovered, UpstreamError> {
    let greeting = &live.greeting;
    let part = |key: &str| greeting.get(key).cloned().unwrap_or_default();
    // The stateless revision moved the server's identity into `_meta`.
    let server_info =
        greeting.get("serverInfo").or_else(|| greeting.get("_meta")?.get("io.modelcontextprotocol/serverInfo"));
    Ok(Discovered {
        protocol_version: live.revision.as_str().to_owned(),
        server_info: server_info.cloned().unwrap_or_default(),
        capabilities: part("capabilities"),
        instructions: greeting.get("instructions").and_then(Value::as_str).map(str::to_owned),
        tools: list(live, ListKind::Tools).await?,
        prompts: list(live, ListKind::Prompts).await?,
        resources: list(live, ListKind::Resources).await?,
        resource_templates: list(live, ListKind::ResourceTemplates).await?,
    })
}

/// The digest of each tool by its name; a name given twice has none.
pub(crate) async fn tool_digests(live: &Live) -> Result<HashMap<String, Digest>, UpstreamError> {
    let mut digests = HashMap::new();
    let mut twice = HashSet::new();
    for tool in list(live, ListKind::Tools).await? {
        let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
        if digests.insert(name.to_owned(), definition::digest(&tool)).is_some() {
            twice.insert(name.to_owned());
        }
    }
    digests.retain(|name, _| !twice.contains(name));
    Ok(digests)
}

/// What is left of the bytes that one list may have.
#[derive(Debug)]
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(LIST_BYTES_MAX)
    }
}

impl Room {
    /// Takes one page in.
    fn take(&mut self, bytes: usize) -> Result<(), UpstreamError> {
        let too_long = || UpstreamError::Malformed(format!("a list is longer than {LIST_BYTES_MAX} bytes"));
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_long)?;
        Ok(())
    }
}

async fn list(live: &Live, kind: ListKind) -> Result<Vec<Value>, UpstreamError> {
    let announced = live.greeting.get("capabilities").is_some_and(|all| all.get(kind.capability()).is_some());
    if !announced {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut cursor = None;
    let mut seen = HashSet::new();
    let mut room = Room::default();
    for _ in 0..PAGES_MAX {
        let control = Control::List { kind, cursor };
        let raw = match live.connection.control(&control, live.era, None).await? {
            Ok(raw) => raw,
            // Few servers with resources have templates.
            Err(_) if kind == ListKind::ResourceTemplates => return Ok(items),
            Err(raw) => return Err(refused(control.method(), &raw)),
        };
        room.take(raw.len())?;
        let mut page = object(&raw)?;
        let Some(Value::Array(more)) = page.remove(kind.member()) else {
            return Err(UpstreamError::Malformed(format!("`{}` gives no list", control.method())));
        };
        items.extend(more);
        if items.len() > ITEMS_MAX {
            return Err(UpstreamError::Malformed(format!("`{}` lists more than {ITEMS_MAX} items", control.method())));
        }
        let next = match page.remove("nextCursor") {
            None | Some(Value::Null) => return Ok(items),
            Some(Value::String(next)) if next.len() <= CURSOR_BYTES_MAX => next,
            Some(_) => return Err(UpstreamError::Malformed(format!("`{}` gives no cursor", control.method()))),
        };
        if !seen.insert(next.clone()) {
            return Err(UpstreamError::Malformed(format!("`{}` goes round in circles", control.method())));
        }
        cursor = Some(next);
    }
    Err(UpstreamError::Malformed(format!("`{}` has more than {PAGES_MAX} pages", kind.member())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::frame::MESSAGE_BYTES_MAX;

    #[test]
    fn many_long_pages_do_not_add_up() {
        let mut room = Room::default();
        let taken = (0..PAGES_MAX).take_while(|_| room.take(MESSAGE_BYTES_MAX).is_ok()).count();
        assert_eq!(taken, LIST_BYTES_MAX / MESSAGE_BYTES_MAX);
        assert!(room.take(1).is_err());
        let mut room = Room::default();
        assert!((0..PAGES_MAX).all(|_| room.take(64 * 1_024).is_ok()), "ordinary pages fit, however many");
    }
}
