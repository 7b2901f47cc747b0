//! What the programs said: figures of rounds, of which the medians count.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line: a figure of one round, or why a row has none.
#[derive(Deserialize)]
struct Line {
    table: String,
    row: String,
    figure: Option<String>,
    value: Option<f64>,
    missing: Option<String>,
}

/// Everything that was said.
#[derive(Default)]
pub(super) struct Lines {
    values: BTreeMap<(String, String, String), Vec<f64>>,
    /// By table, in the order in which they were first told of.
    rows: BTreeMap<String, Vec<String>>,
    missing: BTreeMap<(String, String), String>,
    early: BTreeMap<String, String>,
}

impl Lines {
    /// Takes a line; what is none is somebody else's noise.
    pub(super) fn add(&mut self, line: &str) {
        let Ok(Line { table, row, figure, value, missing }) = serde_json::from_str(line) else { return };
        let rows = self.rows.entry(table.clone()).or_default();
        if !rows.contains(&row) {
            rows.push(row.clone());
        }
        if let Some(why) = missing {
            self.missing.insert((table, row), why);
        } else if let (Some(figure), Some(value)) = (figure, value) {
            self.values.entry((table, row, figure)).or_default().push(value);
        }
    }

    /// A program was not done: its tables may lack something.
    pub(super) fn ended_early(&mut self, program: &str, why: &str) {
        self.early.insert(program.to_owned(), why.to_owned());
    }

    pub(super) fn rows(&self, table: &str) -> &[String] {
        self.rows.get(table).map_or(&[], Vec::as_slice)
    }

    pub(super) fn why_missing(&self, table: &str, row: &str) -> Option<&str> {
        self.missing.get(&(table.to_owned(), row.to_owned())).map(String::as_str)
    }

    pub(super) fn why_early(&self, program: &str) -> Option<&str> {
        self.early.get(program).map(String::as_str)
    }

    /// The median of all rounds.
    pub(super) fn median(&self, table: &str, row: &str, figure: &str) -> Option<f64> {
        let mut all = self.values.get(&(table.to_owned(), row.to_owned(), figure.to_owned()))?.clone();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_and_medians_count() {
        let mut lines = Lines::default();
        for (row, value) in [("b", 1.0), ("a", 5.0), ("b", 9.0), ("b", 2.0)] {
            lines.add(&format!(r#"{{"table":"t","row":"{row}","figure":"f","value":{value}}}"#));
        }
        lines.add(r#"{"table":"t","row":"c","missing":"no"}"#);
        lines.add("noise");
        assert_eq!(lines.rows("t"), ["b", "a", "c"]);
        assert_eq!(lines.median("t", "b", "f"), Some(2.0));
        assert_eq!(lines.median("t", "c", "f"), None);
        assert_eq!(lines.why_missing("t", "c"), Some("no"));
    }
}
