//! Turns a call into the operations that it stands for: typed input, records,
//! effect, facts. Total; what does not fit is a reason to deny, never a guess.

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    name::SystemName,
    operation::Operation,
};

use crate::catalogue::Catalogue;

/// A call as its binding read it, arguments unchecked.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The system that it goes to.
    pub system: &'a SystemName,
    /// The MCP method.
    pub method: &'a str,
    /// Tool name, prompt name or resource URI.
    pub name: Option<&'a str>,
    /// `params.arguments`.
    pub arguments: &'a serde_json::Map<String, serde_json::Value>,
}

/// The operations that a call stands for: at least one, all with the whole call's effect.
pub fn map(catalogue: &Catalogue, call: &Call<'_>) -> Result<Vec<Operation>, Reason> {
    let _ = (catalogue, call);
    Err(Reason {
        code: ReasonCode::UnknownTool,
        rule: None,
        principal: None,
        message: String::from("the tool is not in the catalogue"),
        help: None,
        retry_after_s: None,
    })
}
