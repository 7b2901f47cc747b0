//! A typed argument value, as policy sees it. Free of Cedar, JSON and SQL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one argument can be once the mapping has typed it. What does not fit is opaque and never gets here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Value {
    /// Cedar `Bool`.
    Bool(bool),
    /// Cedar `Long`.
    Long(i64),
    /// Cedar `decimal`, in ten-thousandths.
    Decimal(i64),
    /// Cedar `String`.
    String(String),
    /// Cedar `Set`.
    Set(Vec<Value>),
    /// Cedar record.
    Record(Record),
}

/// Named values.
pub type Record = BTreeMap<String, Value>;
