//! The operations that a tool's mapping asks for besides those of the call itself. All must be allowed, so a mapping can
//! forbid what the catalogue alone would let through, and never the other way round.

use std::collections::BTreeMap;

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    limits::OPERATIONS_PER_CALL_MAX,
    name::ActionName,
    operation::Operation,
    principal::Principal,
};
use serde_json::{Value, json};

use super::{Inputs, Mapping};
use crate::{
    authzen::Meant,
    mapping::{self, Call, FAN_OUT_BYTES_MAX},
    snapshot::Snapshot,
};

/// What expressions see of the caller's token: claims that were verified.
#[derive(Debug, Clone)]
pub struct Claims<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `sub`: the initiating principal.
    pub subject: String,
    /// `client_id`: whoever calls.
    pub client: String,
}

impl<'a> Claims<'a> {
    /// The claims of a token of ours: an agent is its name there, others have their kind before it.
    pub fn of(issuer: &'a str, initiating: &Principal, current: &Principal) -> Self {
        let text = |principal: &Principal| match principal {
            Principal::Agent(name) => name.to_string(),
            Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => principal.to_string(),
        };
        Self { issuer, subject: text(initiating), client: text(current) }
    }
}

impl Snapshot {
    /// The operations of a call, and behind them those that its tool's mapping asks for.
    pub fn map_for(&self, call: &Call<'_>, claims: &Claims<'_>) -> Result<Vec<Operation>, Reason> {
        let mut operations = self.map(call)?;
        if let Some(mapping) = self.mapping_of(call) {
            self.ask_for(mapping, call, claims, &mut operations)?;
        }
        Ok(operations)
    }

    /// Whether calls of an action ask for more than themselves.
    pub(crate) fn is_mapped(&self, action: &ActionName) -> bool {
        self.catalogue().tool_of(action).is_some_and(|tool| tool.authzen.is_some())
    }

    fn mapping_of(&self, call: &Call<'_>) -> Option<&Mapping> {
        if call.method != "tools/call" {
            return None;
        }
        self.catalogue().tool(call.system, &call.name?.parse().ok()?)?.authzen.as_deref()
    }

    /// Adds what a mapping asks for. What the whole call comes to is bounded while it grows, not once it is there.
    fn ask_for(
        &self,
        mapping: &Mapping,
        call: &Call<'_>,
        claims: &Claims<'_>,
        operations: &mut Vec<Operation>,
    ) -> Result<(), Reason> {
        let Claims { issuer, subject, client } = claims;
        let audience = format!("{issuer}/mcp/{}", call.system);
        let token = json!({ "iss": issuer, "sub": subject, "client_id": client, "aud": audience });
        let params = json!({ "name": call.name, "arguments": call.arguments });
        let unreadable = |_| refuse("its arguments cannot be looked at by its AuthZEN mapping".to_owned());
        let inputs = Inputs::new(&params, &token).map_err(unreadable)?;
        let mut bytes: usize = operations.iter().map(mapping::bytes).sum();
        for asked in mapping.resolve(&inputs, subject).map_err(|unresolved| refuse(unresolved.to_string()))? {
            // The mapping of a tool that is only asked about is not followed: there is no loop to get lost in.
            let (meant, mapped) = Meant::mapped(self.catalogue(), issuer, &asked)
                .map_err(|why| refuse(format!("its AuthZEN mapping names no call: {why}")))?;
            let mapped = mapped.map_err(|reason| refuse(format!("its AuthZEN mapping: {}", reason.message)))?;
            let arguments: BTreeMap<String, Value> = meant.arguments.into_iter().collect();
            for operation in mapped {
                let operation = Operation { arguments: Some(arguments.clone()), ..operation };
                bytes = bytes.saturating_add(mapping::bytes(&operation));
                if operations.len() >= OPERATIONS_PER_CALL_MAX || bytes > FAN_OUT_BYTES_MAX {
                    return Err(too_many());
                }
                operations.push(operation);
            }
        }
        Ok(())
    }
}

fn too_many() -> Reason {
    let message = format!(
        "the call and its AuthZEN mapping are more than {OPERATIONS_PER_CALL_MAX} operations, or too much for one call"
    );
    Reason { code: ReasonCode::OperationCount, help: Some("split the call".to_owned()), ..refuse(message) }
}

fn refuse(message: String) -> Reason {
    Reason {
        code: ReasonCode::ArgumentInvalid,
        rule: None,
        principal: None,
        message,
        help: Some("give what the mapping of the tool needs, or ask an operator to look at it".to_owned()),
        retry_after_s: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    /// A tool that takes many records at once and whose mapping asks `entries` times about `fetch`, then about nothing.
    fn world(entries: usize) -> Snapshot {
        let arguments = r#"{ ids = "$params.arguments.more", notes = "$params.arguments.notes" }"#;
        let entry = format!("  {{ context = {{ arguments = {arguments} }} }},\n").repeat(entries);
        let text = format!(
            r#"
title = "many"
[systems.store.tools.fetch]
class = "read"
input = {{ ids = "string[]", notes = "string[]" }}
each = "ids"
resource = {{ type = "Object", id = "ids" }}
[systems.store.tools.gather]
class = "read"
input = {{ ids = "string[]", more = "string[]", notes = "string[]", text = "string" }}
each = "ids"
resource = {{ type = "Object", id = "ids" }}
[systems.store.tools.gather.authzen.evaluations]
action = {{ name = "store.fetch" }}
resource = {{ type = "tool", id = "store.fetch" }}
evaluations = [
{entry}  {{ action = {{ name = "nowhere.nothing" }} }},
]
[[calls]]
call = "store.fetch"
expect = "deny"
"#
        );
        let files = scenario::bundle("world.toml", text.as_bytes()).unwrap();
        Snapshot::compile(&files).unwrap_or_else(|findings| panic!("{findings:?}"))
    }

    /// What a call with so many records is refused for, which asks for so many more, both of about so many bytes.
    fn refused(own: (usize, usize), other: (usize, usize), entries: usize) -> ReasonCode {
        let ids = |count: usize| (0..count).map(|n| format!("o{n}")).collect::<Vec<_>>();
        let notes = vec![""; other.1 / 32];
        let arguments = json!({ "ids": ids(own.0), "text": "x".repeat(own.1), "more": ids(other.0), "notes": notes });
        let (system, agent) = ("store".parse().unwrap(), Principal::Agent("bot".parse().unwrap()));
        let arguments = arguments.as_object().unwrap();
        let call = Call { system: &system, method: "tools/call", name: Some("gather"), arguments };
        let claims = Claims::of("https://broker.test", &agent, &agent);
        world(entries).map_for(&call, &claims).unwrap_err().code
    }

    #[test]
    fn a_whole_call_is_bounded_while_it_grows() {
        let within = ReasonCode::ArgumentInvalid; // of the last entry, which names no call
        assert_eq!(refused((1, 10), (13, 10), 19), within);
        assert_eq!(refused((1, 10), (255, 10), 1), within);
        assert_eq!(refused((1, 10), (128, 10), 2), ReasonCode::OperationCount);
        assert_eq!(refused((1, 10), (14, 10), 19), ReasonCode::OperationCount);
        // Each fan-out is small enough for itself.
        let most = FAN_OUT_BYTES_MAX / 16;
        assert_eq!(refused((12, most), (1, 100_000), 1), within);
        assert_eq!(refused((12, most), (8, 200_000), 2), ReasonCode::OperationCount);
    }
}
