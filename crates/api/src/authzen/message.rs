//! What AuthZEN callers send, read from bytes and from nothing else. Unknown members are ignored (AuthZEN 1.0 §5); what
//! the standard requires must be there and have its type. Decides nothing, and knows no broker.

use bailiwick_web::{json, problem::Problem};
use http::StatusCode;
use serde_json::{Map, Value};

pub mod search;

/// Evaluations in one message.
pub const EVALUATIONS_MAX: usize = 100;
/// Bytes of a type or of an action's name.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of an id: MCP resources are named by long URIs.
pub const ID_BYTES_MAX: usize = 8_192;

type Members = Map<String, Value>;

/// A subject or resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its `type`.
    pub kind: String,
    /// Its `id`.
    pub id: String,
    /// What the caller says about it.
    pub properties: Members,
}

/// An action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// What the caller says about it.
    pub properties: Members,
}

/// One question with everything that the standard requires (AuthZEN 1.0 §6).
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Who would act.
    pub subject: Entity,
    /// What would be done.
    pub action: Action,
    /// To what.
    pub resource: Entity,
    /// What else the caller says.
    pub context: Members,
}

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

impl Evaluation {
    /// Reads the body of `/access/v1/evaluation`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        Self::of(&members(bytes)?, None)
    }

    /// Takes what `own` lacks from `defaults`: whole members, and of a member that is there only what the standard
    /// requires of it.
    fn of(own: &Members, defaults: Option<&Members>) -> Result<Self, Problem> {
        let context = match object(own, "context")? {
            Some(context) => Some(context),
            None => defaults.map(|defaults| object(defaults, "context")).transpose()?.flatten(),
        };
        Ok(Self {
            subject: Part::of(own, defaults, "subject")?.entity()?,
            action: Part::of(own, defaults, "action")?.action()?,
            resource: Part::of(own, defaults, "resource")?.entity()?,
            context: context.cloned().unwrap_or_default(),
        })
    }
}

impl Evaluations {
    /// Reads the body of `/access/v1/evaluations`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let whole = members(bytes)?;
        let items = match whole.get("evaluations") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(wrong("evaluations", "an array")),
        };
        let semantic = semantic(&whole)?;
        if items.is_empty() {
            return Evaluation::of(&whole, None).map(|one| Self::One(Box::new(one)));
        }
        if items.len() > EVALUATIONS_MAX {
            let detail = format!("at most {EVALUATIONS_MAX} evaluations can be asked for at a time");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "evaluations_count", detail));
        }
        // What is wrong with a default is wrong with the whole message.
        for name in ["subject", "action", "resource", "context"] {
            object(&whole, name)?;
        }
        let read = |item: &Value| match item {
            Value::Object(own) => Evaluation::of(own, Some(&whole)),
            _ => Err(wrong("evaluations", "an array of objects")),
        };
        let evaluations = items.iter().map(|item| read(item).map_err(|problem| problem.detail().to_owned())).collect();
        Ok(Self::Several(semantic, evaluations))
    }
}

fn semantic(whole: &Members) -> Result<Semantic, Problem> {
    match object(whole, "options")?.and_then(|options| options.get("evaluations_semantic")) {
        None | Some(Value::Null) => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "execute_all" => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
        Some(Value::String(name)) if name == "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(wrong(
            "options.evaluations_semantic",
            "`execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
        )),
    }
}

/// The members of a body that must be one JSON object.
pub(super) fn members(bytes: &[u8]) -> Result<Members, Problem> {
    match json::read::<Value>(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "body_malformed", "the body is not a JSON object")),
    }
}

/// One member of a message, where it is defaulted with that default.
pub(super) struct Part<'a> {
    name: &'static str,
    own: &'a Members,
    default: Option<&'a Members>,
}

impl<'a> Part<'a> {
    pub(super) fn of(own: &'a Members, defaults: Option<&'a Members>, name: &'static str) -> Result<Self, Problem> {
        let default = defaults.map(|defaults| object(defaults, name)).transpose()?.flatten();
        match (object(own, name)?, default) {
            (Some(own), default) => Ok(Self { name, own, default }),
            (None, Some(default)) => Ok(Self { name, own: default, default: None }),
            (None, None) => Err(missing(name)),
        }
    }

    pub(super) fn entity(&self) -> Result<Entity, Problem> {
        Ok(Entity {
            kind: self.text("type", NAME_BYTES_MAX)?,
            id: self.text("id", ID_BYTES_MAX)?,
            properties: self.properties()?,
        })
    }

    /// An entity that is searched for: an id, if there is one, is ignored.
    pub(super) fn sought(&self) -> Result<Entity, Problem> {
        Ok(Entity { kind: self.text("type", NAME_BYTES_MAX)?, id: String::new(), properties: self.properties()? })
    }

    pub(super) fn action(&self) -> Result<Action, Problem> {
        Ok(Action { name: self.text("name", NAME_BYTES_MAX)?, properties: self.properties()? })
    }

    fn properties(&self) -> Result<Members, Problem> {
        let name = format!("{}.properties", self.name);
        match self.own.get("properties") {
            None | Some(Value::Null) => Ok(Members::new()),
            Some(Value::Object(properties)) => Ok(properties.clone()),
            Some(_) => Err(wrong(&name, "an object")),
        }
    }

    fn text(&self, member: &str, bytes_max: usize) -> Result<String, Problem> {
        let name = format!("{}.{member}", self.name);
        let own = self.own.get(member).filter(|value| !value.is_null());
        match own.or_else(|| self.default?.get(member)) {
            None | Some(Value::Null) => Err(missing(&name)),
            Some(Value::String(text)) if text.len() > bytes_max => {
                Err(wrong(&name, &format!("at most {bytes_max} bytes long")))
            }
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(&name, "a string")),
        }
    }
}

/// An optional member that is an object where it is there; `null` is absent.
pub(super) fn object<'a>(of: &'a Members, name: &str) -> Result<Option<&'a Members>, Problem> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(wrong(name, "an object")),
    }
}

fn missing(name: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "member_missing", format!("`{name}` is missing"))
        .with_hint("an evaluation has `subject`, `action` and `resource`; `docs/authzen.md` shows one")
}

pub(super) fn wrong(name: &str, what: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "member_invalid", format!("`{name}` must be {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_never_read_from_an_array() {
        for body in [
            r#"["agent", "a"]"#,
            r#"{"subject":["agent","reader"],"action":{"name":"a"},"resource":{"type":"t","id":"i"}}"#,
            r#"{"subject":{"type":"agent","id":"r"},"action":["a"],"resource":{"type":"t","id":"i"}}"#,
        ] {
            assert!(Evaluation::parse(body.as_bytes()).is_err(), "{body}");
            assert!(Evaluations::parse(body.as_bytes()).is_err(), "{body}");
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
        assert!(Evaluation::parse(body(ID_BYTES_MAX).as_bytes()).is_ok());
        assert!(Evaluation::parse(body(ID_BYTES_MAX + 1).as_bytes()).is_err());
    }
}
