//! The lines as Markdown, for people and for the book, and what such Markdown lacks.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    lines::Lines,
    tables::{Asked, Budget, TABLES, Table, Unit},
};
use crate::outcome::Failure;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured by `cargo xtask bench`: do not edit -->\n";
const END: &str = "<!-- end of what was measured -->\n";
const UNKNOWN: &str = "—";

/// All tables.
pub(super) fn tables(lines: &Lines) -> String {
    TABLES.iter().map(|table| one(table, lines)).collect::<Vec<_>>().join("\n")
}

fn one(table: &Table, lines: &Lines) -> String {
    let headings: Vec<&str> = table.columns.iter().map(|column| column.heading).collect();
    let mut text = format!("## {}\n\n| {} | {} |\n", table.title, table.first, headings.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(headings.len()));
    for row in lines.rows(table.name) {
        let cells = table.columns.iter().map(|column| {
            let value = lines.median(table.name, row, column.figure);
            value.map_or_else(|| UNKNOWN.to_owned(), |value| written(value, column.unit))
        });
        let _ = writeln!(text, "| {row} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text.push('\n');
    for row in lines.rows(table.name) {
        if let Some(why) = lines.why_missing(table.name, row) {
            let _ = writeln!(text, "- {row}: **not measured**, {why}");
        }
    }
    if let Some(why) = lines.why_early(table.program) {
        let _ = writeln!(text, "- **not whole**: {why}");
    }
    for budget in table.budgets {
        let _ = writeln!(text, "- {}", judged(table, budget, lines));
    }
    text
}

fn judged(table: &Table, budget: &Budget, lines: &Lines) -> String {
    let Budget { row, figure, asked, what } = budget;
    let (sign, bound) = match asked {
        Asked::AtLeast(bound) => ("≥", *bound),
        Asked::AtMost(bound) => ("≤", *bound),
    };
    let unit = if bound >= 100.0 { Unit::Whole } else { Unit::Fine };
    let asked_for = format!("budget {sign} {} {what}", written(bound, unit));
    let Some(value) = lines.median(table.name, row, figure) else { return format!("{asked_for}: **not measured**") };
    let met = match asked {
        Asked::AtLeast(bound) => value >= *bound,
        Asked::AtMost(bound) => value <= *bound,
    };
    let told = written(value, unit);
    if met {
        format!("{asked_for}: {told}, **met**")
    } else {
        format!("{asked_for}: {told}, **missed** by {:.0} %", ((value - bound) / bound).abs() * 100.0)
    }
}

fn written(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Whole => with_commas(value),
        Unit::Fine => format!("{value:.2}"),
        Unit::Times => format!("{value:.1} ×"),
    }
}

fn with_commas(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// What a text of tables lacks: every table must be there, each with rows in which something was measured.
pub(super) fn gaps(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for table in &TABLES {
        let Some((_, rest)) = text.split_once(&format!("## {}\n", table.title)) else {
            wrong.push(format!("there is no table `{}`", table.title));
            continue;
        };
        let section = rest.split("\n## ").next().unwrap_or_default();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let is_number = |cell: &str| {
            let bare: String = cell.trim().trim_end_matches(" ×").replace(',', "");
            bare.parse::<f64>().is_ok()
        };
        let measured = rows.iter().filter(|row| row.split('|').skip(2).any(is_number)).count();
        if measured == 0 {
            wrong.push(format!("nothing was measured for `{}`", table.title));
        }
        if section.contains("**not whole**") {
            wrong.push(format!("`{}` is not whole", table.title));
        }
        if rows.iter().any(|row| row.matches('|').count() != table.columns.len() + 2) {
            wrong.push(format!("a row of `{}` has another number of columns", table.title));
        }
    }
    wrong
}

/// Puts the tables into the book, between its marks.
pub(super) fn write(root: &Path, lines: &Lines) -> Result<(), Failure> {
    let page = root.join(PAGE);
    let before = fs::read_to_string(&page)?;
    let after = replaced(&before, &tables(lines)).ok_or_else(|| Failure::new(format!("{PAGE} has lost its marks")))?;
    Ok(fs::write(&page, after)?)
}

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{measured}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line for every column of every table and every budget.
    fn everything() -> Lines {
        let mut lines = Lines::default();
        for table in &TABLES {
            let figures = table.columns.iter().map(|column| ("some row", column.figure));
            let budgets = table.budgets.iter().map(|budget| (budget.row, budget.figure));
            for (row, figure) in figures.chain(budgets) {
                let name = table.name;
                lines.add(&format!(r#"{{"table":"{name}","row":"{row}","figure":"{figure}","value":1234.5}}"#));
            }
        }
        lines
    }

    #[test]
    fn whole_tables_have_no_gaps_and_others_do() {
        let text = tables(&everything());
        assert_eq!(gaps(&text), Vec::<String>::new(), "{text}");
        assert!(text.contains("| some row | 1234.50 | 1234.50 | 1234.5 × |"), "{text}");
        assert!(text.contains("- budget ≤ 15.00 µs, p50 at 1,000 policies: 1234.50, **missed** by 8130 %"), "{text}");
        assert!(text.contains("- budget ≥ 30,000 intents/s at 64 callers: 1,234, **missed** by 96 %"), "{text}");
        assert!(text.contains("- budget ≥ 5.00 times the tokens of oidc-provider per CPU-second: 1234.50, **met**"));
        assert_eq!(gaps(&tables(&Lines::default())).len(), TABLES.len());
        let mut cut = everything();
        cut.ended_early("tokens", "it ended");
        let of_program = TABLES.iter().filter(|table| table.program == "tokens").count();
        assert_eq!(gaps(&tables(&cut)).len(), of_program);
    }

    #[test]
    fn the_page_has_its_marks() {
        let page = include_str!("../../../docs/performance.md");
        let told = replaced(page, "measured").unwrap();
        assert!(told.contains(&format!("{BEGIN}\nmeasured\n{END}")));
    }

    #[test]
    fn thousands_have_their_commas() {
        assert_eq!(["1", "12,345", "1,234,567"].map(str::to_owned), [0.9, 12_345.2, 1_234_567.0].map(with_commas));
    }
}
