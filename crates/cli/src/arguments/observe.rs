//! `bailiwick observe`: what is typed, and times such as `7d`.

use clap::{Args, Subcommand};

/// `observe`.
#[derive(Debug, Subcommand)]
pub(crate) enum Observe {
    /// Let calls of `agent:<name>` or to `system:<name>` go past the organisation's rules, recorded, until an end.
    Start(ObserveStart),
    /// Enforce again before the end.
    Stop {
        /// `agent:<name>` or `system:<name>`.
        scope: String,
        /// Why now; recorded.
        #[arg(long)]
        reason: String,
    },
    /// What is observed, until when, and how many calls would have been denied.
    List,
    /// For each agent and system: enforced, observed, or unknown.
    Connections {
        /// Only this agent's.
        #[arg(long)]
        agent: Option<String>,
        /// Only those to this system.
        #[arg(long)]
        system: Option<String>,
    },
}

/// `observe start`.
#[derive(Debug, Args)]
#[command(after_help = "Never gone past: policies/boundary, what a role declares out of scope, the read-only start, \
                        tasks, token scopes, budgets, pinned definitions, suspension and safe mode. Enforcement returns \
                        by itself at the end.")]
pub(crate) struct ObserveStart {
    /// `agent:<name>` or `system:<name>`.
    pub(crate) scope: String,
    /// For how long: `90m`, `12h`, `7d`; 30 days at most.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub(crate) lifetime_s: u64,
    /// Why, and who looks at what it shows; recorded.
    #[arg(long)]
    pub(crate) reason: String,
    /// Observe in production too; what names no environment counts as production.
    #[arg(long)]
    pub(crate) danger_production: bool,
}

/// Seconds of a time such as `90m`, `12h` or `7d`; a day has 24 hours.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let unit = |letter: char| match letter {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(60 * 60),
        'd' => Some(24 * 60 * 60),
        _ => None,
    };
    let teach = || String::from("write a number and a unit, as in `90m`, `12h` or `7d`");
    let letter = text.chars().last().ok_or_else(teach)?;
    let factor: u64 = unit(letter).ok_or_else(teach)?;
    let number: u64 = text.strip_suffix(letter).and_then(|number| number.parse().ok()).ok_or_else(teach)?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(teach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, expected) in [("1s", 1), ("90m", 5_400), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "7",
            "d",
            "0d",
            "-1d",
            "1.5h",
            "7 d",
            "7w",
            "7dd",
            "99999999999999999999d",
            "999999999999999999d",
            "7é",
        ] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }
}
