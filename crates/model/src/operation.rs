//! What is attempted: one action on one resource with typed input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    name::{ActionName, Fact, SystemName, ToolName},
    value::Record,
};

/// What an action does, at its coarsest. Every action is in exactly one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionClass {
    /// Changes nothing.
    Read,
    /// Creates or changes. The class of whatever nobody classified.
    Write,
    /// Destroys.
    Delete,
    /// Runs code or a process.
    Execute,
}

impl ActionClass {
    /// All classes, mildest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Delete, Self::Execute];

    /// As written in catalogue, policy and scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Execute => "execute",
        }
    }
}

/// What an action touches besides its class. An unclassified tool has every tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionTag {
    /// Sends data out of the organisation.
    Egress,
    /// Costs or moves money.
    Billing,
    /// Touches production.
    Production,
    /// Takes data out in bulk.
    Export,
    /// Changes who may do what.
    PermissionChange,
    /// Touches many records at once.
    Bulk,
}

impl ActionTag {
    /// All tags.
    pub const ALL: [Self; 6] =
        [Self::Egress, Self::Billing, Self::Production, Self::Export, Self::PermissionChange, Self::Bulk];

    /// As written in catalogue and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Billing => "billing",
            Self::Production => "production",
            Self::Export => "export",
            Self::PermissionChange => "permission_change",
            Self::Bulk => "bulk",
        }
    }
}

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resource {
    /// The tool itself, where its mapping names no record. Cedar id `<system>.<tool>`.
    Tool {
        /// Its system.
        system: SystemName,
        /// Its name.
        tool: ToolName,
    },
    /// The whole system, for MCP methods other than `tools/call`.
    System {
        /// Which.
        system: SystemName,
    },
    /// A record of the system, as the mapping names it: `Crm::Contact::"42"`.
    Record {
        /// Its system, which gives the namespace.
        system: SystemName,
        /// Its type within that namespace, UpperCamel.
        type_name: String,
        /// Its id, as the arguments give it.
        id: String,
        /// The attributes that arguments and catalogue give, never guessed ones.
        attributes: Record,
    },
}

/// What a call would touch, as the catalogue declares it. Unknown is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredEffect {
    /// Records read or changed by the whole call; [`i64::MAX`] where nobody knows.
    pub records: i64,
    /// Whether the upstream can undo it; `false` where nobody knows.
    pub reversible: bool,
}

impl DeclaredEffect {
    /// The worst: everything, for good.
    pub const UNKNOWN: Self = Self { records: i64::MAX, reversible: false };
}

/// One attempt. A call yields one operation per element of a fanned-out array; all must be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What.
    pub action: ActionName,
    /// Its class, from the catalogue.
    pub class: ActionClass,
    /// Its tags, from the catalogue.
    pub tags: Vec<ActionTag>,
    /// On what.
    pub resource: Resource,
    /// With which arguments, typed and normalised; opaque ones are absent.
    pub input: Record,
    /// With which effect, of the whole call.
    pub effect: DeclaredEffect,
    /// Facts that a successful forward of this call adds at once (they restrict).
    pub facts_touched: Vec<Fact>,
    /// Facts that its successful outcome adds (rules wait for them).
    pub facts_completed: Vec<Fact>,
    /// With which raw arguments; none: with those of the call. An operation that a tool's mapping asks for has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<BTreeMap<String, serde_json::Value>>,
}
