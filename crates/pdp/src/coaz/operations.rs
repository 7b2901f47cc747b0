//! The operations that a tool's mapping asks for besides those of the call itself. All must be allowed, so a mapping can
//! forbid what the catalogue alone would let through, and never the other way round.

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    limits::OPERATIONS_PER_CALL_MAX,
    name::ActionName,
    operation::Operation,
    principal::Principal,
};
use serde_json::json;

use super::{Inputs, Mapping};
use crate::{
    authzen::Meant,
    mapping::{self, Call},
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
            operations.extend(self.asked_for(mapping, call, claims).map_err(refuse)?);
        }
        if operations.len() > OPERATIONS_PER_CALL_MAX {
            let message =
                format!("the call and its AuthZEN mapping are more than {OPERATIONS_PER_CALL_MAX} operations");
            return Err(Reason { code: ReasonCode::OperationCount, ..refuse(message) });
        }
        Ok(operations)
    }

    /// Whether calls of an action ask for more than themselves.
    pub(crate) fn is_mapped(&self, action: &ActionName) -> bool {
        let systems = self.catalogue().systems().filter(|system| system.name.as_str() == action.system());
        systems.flat_map(|system| system.tools.values()).any(|tool| tool.action == *action && tool.authzen.is_some())
    }

    fn mapping_of(&self, call: &Call<'_>) -> Option<&Mapping> {
        if call.method != "tools/call" {
            return None;
        }
        self.catalogue().tool(call.system, &call.name?.parse().ok()?)?.authzen.as_deref()
    }

    fn asked_for(&self, mapping: &Mapping, call: &Call<'_>, claims: &Claims<'_>) -> Result<Vec<Operation>, String> {
        let Claims { issuer, subject, client } = claims;
        let audience = format!("{issuer}/mcp/{}", call.system);
        let token = json!({ "iss": issuer, "sub": subject, "client_id": client, "aud": audience });
        let params = json!({ "name": call.name, "arguments": call.arguments });
        let unreadable = |_| "its arguments cannot be looked at by its AuthZEN mapping".to_owned();
        let inputs = Inputs::new(&params, &token).map_err(unreadable)?;
        let mut operations = Vec::new();
        for asked in mapping.resolve(&inputs, subject).map_err(|unresolved| unresolved.to_string())? {
            let meant = Meant::of(self.catalogue(), issuer, &asked)
                .map_err(|why| format!("its AuthZEN mapping names no call: {why}"))?;
            // The mapping of a tool that is only asked about is not followed: there is no loop to get lost in.
            let mapped = mapping::map(self.catalogue(), &meant.call());
            operations.extend(mapped.map_err(|reason| format!("its AuthZEN mapping: {}", reason.message))?);
        }
        Ok(operations)
    }
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
