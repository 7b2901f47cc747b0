//! Pins: what a task, or the token, says about the arguments of a tool. Compared with the
//! arguments as they came. A refusal tells the shape of what is allowed, never
//! the values: they may be somebody's address or account.

use std::collections::BTreeMap;

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    task::{Pin, ToolGrant},
};
use serde_json::Value;

use super::{authority::NarrowedBy, refused};
use crate::normalise;

/// Checks the arguments of a call against one grant.
pub(super) fn check(grant: &ToolGrant, arguments: &BTreeMap<String, Value>, by: NarrowedBy) -> Result<(), Reason> {
    for (argument, pin) in &grant.pins {
        let fits = match arguments.get(argument) {
            None => return Err(refusal(argument, pin, by, Wrong::Missing)),
            Some(value) => holds(pin, value),
        };
        if !fits {
            return Err(refusal(argument, pin, by, Wrong::Other));
        }
    }
    Ok(())
}

/// What is wrong with an argument.
#[derive(Clone, Copy)]
enum Wrong {
    Missing,
    Other,
}

fn refusal(argument: &str, pin: &Pin, by: NarrowedBy, wrong: Wrong) -> Reason {
    let argument: String = argument.chars().take(80).collect();
    let (code, who, when) = match by {
        NarrowedBy::Task => (ReasonCode::TaskPin, "the task", "stated when it was made"),
        NarrowedBy::Details => (ReasonCode::DetailPin, "the token", "stated when it was asked for"),
    };
    let what = match wrong {
        Wrong::Missing => format!("is missing, and {who} pins it"),
        Wrong::Other => format!("is not what {who} allows"),
    };
    let help = match pin {
        Pin::OneOf(values) => match values.len() {
            1 => format!("{who} allows exactly one value here: the one that was {when}"),
            count => format!("{who} allows {count} values here: those that were {when}"),
        },
        Pin::Under(_) => format!("{who} allows absolute paths under the folder that it names, without `..`"),
        Pin::AtMost(_) => format!("{who} allows an integer here, up to the amount that it names"),
    };
    Reason { help: Some(help), ..refused(code, format!("argument `{argument}` {what}")) }
}

/// Whether a value is what a pin says. Of an array, every element must be, and
/// there must be one: nobody stated a call that names nothing.
pub(crate) fn holds(pin: &Pin, value: &Value) -> bool {
    match (pin, value) {
        (Pin::OneOf(values), _) if values.contains(value) => true,
        (_, Value::Array(elements)) => {
            !elements.is_empty() && elements.iter().all(|element| !element.is_array() && holds(pin, element))
        }
        (Pin::OneOf(_), _) => false,
        (Pin::Under(folder), Value::String(path)) => normalise::path_is_under(folder, path) == Ok(true),
        (Pin::AtMost(most), Value::Number(number)) => number.as_i64().is_some_and(|number| number <= *most),
        (Pin::Under(_) | Pin::AtMost(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(pin: &Pin, value: Value, expected: bool) {
        assert_eq!(holds(pin, &value), expected, "{pin:?} {value}");
    }

    #[test]
    fn one_of_compares_whole_values_and_every_element() {
        let pin = Pin::OneOf(vec![json!("a@example.org"), json!(7), json!(["x", "y"])]);
        check(&pin, json!("a@example.org"), true);
        check(&pin, json!(["a@example.org", "a@example.org"]), true);
        check(&pin, json!(["x", "y"]), true);
        check(&pin, json!(["a@example.org", "b@example.org"]), false);
        check(&pin, json!([["a@example.org"]]), false);
        check(&pin, json!([]), false);
        check(&pin, json!(7.0), false);
        check(&pin, json!("7"), false);
        check(&pin, json!(null), false);
        check(&pin, json!({"to": "a@example.org"}), false);
    }

    #[test]
    fn under_goes_by_components_after_normalisation() {
        let pin = Pin::Under("/data/reports".into());
        check(&pin, json!("/data/reports"), true);
        check(&pin, json!("/data/reports/q1.txt"), true);
        check(&pin, json!(["/data/reports/q1.txt", "/data/reports/a/b"]), true);
        check(&pin, json!("/data/reports-secret/q1.txt"), false);
        check(&pin, json!("/data/reports/../secret"), false);
        check(&pin, json!("data/reports/q1.txt"), false);
        check(&pin, json!(["/data/reports/q1.txt", "/etc/passwd"]), false);
        check(&pin, json!([]), false);
        check(&pin, json!(1), false);
    }

    #[test]
    fn at_most_takes_integers_only() {
        let pin = Pin::AtMost(100);
        check(&pin, json!(100), true);
        check(&pin, json!(101), false);
        check(&pin, json!(99.5), false);
        check(&pin, json!("50"), false);
        check(&pin, json!(u64::MAX), false);
    }

    #[test]
    fn a_refusal_never_shows_what_is_pinned() {
        let pins = BTreeMap::from([
            ("to".to_owned(), Pin::OneOf(vec![json!("secret@example.org")])),
            ("path".to_owned(), Pin::Under("/srv/somebody".into())),
            ("amount".to_owned(), Pin::AtMost(4_711)),
        ]);
        for (argument, pin) in pins {
            let grant = ToolGrant { action: "mail.send".parse().unwrap(), pins: BTreeMap::from([(argument, pin)]) };
            for by in [NarrowedBy::Task, NarrowedBy::Details] {
                let text = format!("{:?}", super::check(&grant, &BTreeMap::new(), by).unwrap_err());
                for hidden in ["secret", "somebody", "4711"] {
                    assert!(!text.contains(hidden), "{text}");
                }
            }
        }
    }
}
