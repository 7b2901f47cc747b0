//! The lines that come out of a measurement.

use serde_json::json;

/// Tells one figure of one round.
pub(crate) fn tell(table: &str, row: &str, figure: &str, value: f64) {
    println!("{}", json!({ "table": table, "row": row, "figure": figure, "value": value }));
}

/// Tells that a row cannot be measured here, and why.
pub(crate) fn missing(table: &str, row: &str, why: &str) {
    println!("{}", json!({ "table": table, "row": row, "missing": why }));
}

/// A count as a figure.
pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
