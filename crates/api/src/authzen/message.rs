//! What AuthZEN callers send, read from bytes and from nothing else. Unknown members are ignored (AuthZEN 1.0 §5); what
//! the standard requires must be there and have its type. Decides nothing, and knows no broker.

use bailiwick_model::limits::ARGUMENT_VALUES_MAX;
use bailiwick_pdp::authzen::{Evaluation, Members, Misread, object};
use bailiwick_web::{json, problem::Problem};
use http::StatusCode;
use serde_json::Value;

pub mod search;

/// Evaluations in one message.
pub const EVALUATIONS_MAX: usize = 100;
/// The members that evaluations may leave to their message.
const DEFAULTED: [&str; 4] = ["subject", "action", "resource", "context"];
/// Bytes of the defaults of one message, times its evaluations.
pub const DEFAULTED_BYTES_MAX: usize = 2 * 1_024 * 1_024;

/// How several evaluations stop (AuthZEN 1.0 §7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semantic {
    /// Not before the last.
    ExecuteAll,
    /// After the first that is denied or fails.
    DenyOnFirstDeny,
    /// After the first that is allowed.
    PermitOnFirstPermit,
}

/// The body of `/access/v1/evaluations`.
#[derive(Debug, Clone, PartialEq)]
pub enum Evaluations {
    /// There is no array, or an empty one: a single evaluation.
    One(Box<Evaluation>),
    /// Several in order; one that cannot be read fails alone, with this detail.
    Several(Semantic, Vec<Result<Evaluation, String>>),
}

/// Reads the body of `/access/v1/evaluation`.
pub fn evaluation(bytes: &[u8]) -> Result<Evaluation, Problem> {
    Evaluation::of(&members(bytes, ARGUMENT_VALUES_MAX)?, None).map_err(|misread| refused(&misread))
}

impl Evaluations {
    /// Reads the body of `/access/v1/evaluations`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let whole = members(bytes, ARGUMENT_VALUES_MAX)?;
        check_copies(&whole)?;
        let read = Self::of(&whole).map_err(|misread| refused(&misread))?;
        match &read {
            Self::Several(_, evaluations) if evaluations.len() > EVALUATIONS_MAX => {
                let detail = format!("at most {EVALUATIONS_MAX} evaluations can be asked for at a time");
                Err(Problem::new(StatusCode::BAD_REQUEST, "evaluations_count", detail))
            }
            Self::Several(..) | Self::One(_) => Ok(read),
        }
    }

    fn of(whole: &Members) -> Result<Self, Misread> {
        let items = match whole.get("evaluations") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(Misread::wrong("evaluations", "an array")),
        };
        let semantic = semantic(whole)?;
        if items.is_empty() {
            return Evaluation::of(whole, None).map(|one| Self::One(Box::new(one)));
        }
        // What is wrong with a default is wrong with the whole message.
        for name in DEFAULTED {
            object(whole, name)?;
        }
        let read = |item: &Value| match item {
            Value::Object(own) => Evaluation::of(own, Some(whole)),
            _ => Err(Misread::wrong("evaluations", "an array of objects")),
        };
        let items = items.iter().take(EVALUATIONS_MAX + 1);
        let evaluations = items.map(|item| read(item).map_err(|misread| misread.to_string())).collect();
        Ok(Self::Several(semantic, evaluations))
    }
}

/// A default is part of each evaluation, of its memory and of its record: all copies together stay small.
fn check_copies(whole: &Members) -> Result<(), Problem> {
    let times = whole.get("evaluations").and_then(Value::as_array).map_or(0, Vec::len).min(EVALUATIONS_MAX);
    let defaults = DEFAULTED.iter().filter_map(|name| whole.get(*name));
    let bytes: usize = defaults.map(|default| default.to_string().len()).sum();
    if times > 1 && bytes * times > DEFAULTED_BYTES_MAX {
        let detail = format!("defaults of {bytes} bytes in {times} evaluations are more than {DEFAULTED_BYTES_MAX}");
        let hint = "ask for fewer at a time, or write into each evaluation what is its own";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "evaluations_count", detail).with_hint(hint));
    }
    Ok(())
}

fn semantic(whole: &Members) -> Result<Semantic, Misread> {
    match object(whole, "options")?.and_then(|options| options.get("evaluations_semantic")) {
        None | Some(Value::Null) => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "execute_all" => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
        Some(Value::String(name)) if name == "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(Misread::wrong(
            "options.evaluations_semantic",
            "`execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
        )),
    }
}

/// The members of a body that must be one JSON object.
pub(super) fn members(bytes: &[u8], values_max: usize) -> Result<Members, Problem> {
    match json::read_value(bytes, values_max)? {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "body_malformed", "the body is not a JSON object")),
    }
}

/// What cannot be read is a 400.
pub(super) fn refused(misread: &Misread) -> Problem {
    let code = match misread {
        Misread::Missing(_) => "member_missing",
        Misread::Wrong { .. } => "member_invalid",
    };
    Problem::new(StatusCode::BAD_REQUEST, code, misread.to_string())
        .with_hint("an evaluation has `subject`, `action` and `resource`; `docs/authzen.md` shows one")
}

#[cfg(test)]
mod tests {
    use bailiwick_pdp::authzen::ID_BYTES_MAX;

    use super::*;

    #[test]
    fn a_struct_is_never_read_from_an_array() {
        for body in [
            r#"["agent", "a"]"#,
            r#"{"subject":["agent","reader"],"action":{"name":"a"},"resource":{"type":"t","id":"i"}}"#,
            r#"{"subject":{"type":"agent","id":"r"},"action":["a"],"resource":{"type":"t","id":"i"}}"#,
        ] {
            assert!(evaluation(body.as_bytes()).is_err(), "{body}");
            assert!(Evaluations::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn copies_of_defaults_have_a_most() {
        let filled = |at: [&str; 2], bytes: usize, times: usize| {
            let mut whole = serde_json::json!({"subject": {"type": "agent", "id": "r"}, "action": {"name": "a"},
                "resource": {"type": "t", "id": "i"}, "context": {}, "evaluations": vec![serde_json::json!({}); times]});
            whole[at[0]][at[1]] = serde_json::json!({"filler": "x".repeat(bytes)});
            Evaluations::parse(whole.to_string().as_bytes())
        };
        let large = DEFAULTED_BYTES_MAX / 4;
        for at in
            [["context", "arguments"], ["subject", "properties"], ["action", "properties"], ["resource", "properties"]]
        {
            assert!(filled(at, large, 3).is_ok(), "{at:?}");
            assert!(filled(at, large * 3, 1).is_ok(), "{at:?}: nothing is copied");
            let refused = filled(at, large, 5).unwrap_err();
            assert!(refused.detail().contains("in 5 evaluations"), "{}", refused.detail());
        }
    }

    #[test]
    fn only_required_members_fall_back_into_a_member_that_is_there() {
        let body = r#"{"subject":{"type":"agent","id":"r"},"action":{"name":"a"},
            "resource":{"type":"T","id":"top","properties":{"status":"archived"}},
            "evaluations":[{"resource":{"id":"1"}},{},{"resource":{"type":"U"}}]}"#;
        let Ok(Evaluations::Several(Semantic::ExecuteAll, read)) = Evaluations::parse(body.as_bytes()) else {
            panic!("it can be read");
        };
        let resources: Vec<_> = read.iter().map(|one| &one.as_ref().unwrap().resource).collect();
        assert_eq!((resources[0].kind.as_str(), resources[0].id.as_str()), ("T", "1"));
        assert!(resources[0].properties.is_empty(), "properties of a default belong to the default");
        assert_eq!((resources[1].id.as_str(), resources[1].properties.len()), ("top", 1));
        assert_eq!((resources[2].kind.as_str(), resources[2].id.as_str()), ("U", "top"));
    }

    #[test]
    fn texts_have_a_longest() {
        let body = |id: usize| {
            let id = "i".repeat(id);
            format!(
                r#"{{"subject":{{"type":"agent","id":"{id}"}},"action":{{"name":"a"}},"resource":{{"type":"t","id":"i"}}}}"#
            )
        };
        assert!(evaluation(body(ID_BYTES_MAX).as_bytes()).is_ok());
        assert!(evaluation(body(ID_BYTES_MAX + 1).as_bytes()).is_err());
    }
}
