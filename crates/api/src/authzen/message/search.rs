//! The bodies of the three searches (AuthZEN 1.0 §8): an evaluation without the part that is searched for, and a page.

use bailiwick_pdp::authzen::{Action, Entity, Members, Misread, Part, object};
use bailiwick_web::problem::Problem;
use serde_json::{Value, json};

use super::{members, refused};

/// Bytes of a search: each of its candidates is decided with all that is said in it.
pub const SEARCH_BODY_BYTES_MAX: usize = 64 * 1_024;
/// Values in a search, for the same reason.
pub const SEARCH_VALUES_MAX: usize = 2_000;
/// Results of one page unless the caller says otherwise.
pub const PAGE_LIMIT: usize = 50;
/// Results of one page at most; a higher `page.limit` is lowered to it.
pub const PAGE_LIMIT_MAX: usize = 100;
/// Bytes of a page token: more than any of ours has.
const PAGE_TOKEN_BYTES_MAX: usize = 256;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Subjects of a type.
    Subject,
    /// Resources of a type.
    Resource,
    /// Actions.
    Action,
}

impl Kind {
    /// As in the path of its endpoint.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }
}

/// A search; the part that is searched for has no id or name.
#[derive(Debug, Clone, PartialEq)]
pub struct Sought {
    /// What is searched for.
    pub kind: Kind,
    /// Who would act.
    pub subject: Entity,
    /// What would be done.
    pub action: Action,
    /// To what.
    pub resource: Entity,
    /// What else the caller says.
    pub context: Members,
    /// Which part of the results.
    pub page: Page,
}

/// A part of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it starts; `None` is the first.
    pub token: Option<String>,
    /// How many results it has at most.
    pub limit: usize,
}

impl Sought {
    /// Reads the body of `/access/v1/search/<kind>`.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Problem> {
        Self::of(kind, &members(bytes, SEARCH_VALUES_MAX)?).map_err(|misread| refused(&misread))
    }

    fn of(kind: Kind, whole: &Members) -> Result<Self, Misread> {
        let part = |name| Part::of(whole, None, name);
        let (subject, resource) = (part("subject")?, part("resource")?);
        Ok(Self {
            kind,
            subject: if kind == Kind::Subject { subject.sought()? } else { subject.entity()? },
            resource: if kind == Kind::Resource { resource.sought()? } else { resource.entity()? },
            action: match kind {
                Kind::Action => Action { name: String::new(), properties: Members::new() },
                Kind::Subject | Kind::Resource => part("action")?.action()?,
            },
            context: object(whole, "context")?.cloned().unwrap_or_default(),
            page: Page::of(whole)?,
        })
    }

    /// What was asked, its page aside.
    pub fn as_json(&self) -> Value {
        let entity = |entity: &Entity| {
            let Entity { kind, id, properties } = entity;
            json!({ "type": kind, "id": id, "properties": properties })
        };
        let Self { kind, subject, action, resource, context, page: _ } = self;
        json!({
            "search": kind.as_str(),
            "subject": entity(subject),
            "action": { "name": action.name, "properties": action.properties },
            "resource": entity(resource),
            "context": context,
        })
    }
}

impl Page {
    fn of(whole: &Members) -> Result<Self, Misread> {
        let page = object(whole, "page")?;
        let member = |name| page.and_then(|page| page.get(name)).filter(|value| !value.is_null());
        let token = match member("token") {
            None => None,
            Some(Value::String(token)) if token.is_empty() => None,
            Some(Value::String(token)) if token.len() <= PAGE_TOKEN_BYTES_MAX => Some(token.clone()),
            Some(_) => return Err(Misread::wrong("page.token", "a token of the page before")),
        };
        let limit = match member("limit").map(Value::as_u64) {
            None => PAGE_LIMIT,
            Some(Some(limit)) if limit > 0 => usize::try_from(limit).unwrap_or(PAGE_LIMIT_MAX).min(PAGE_LIMIT_MAX),
            Some(_) => return Err(Misread::wrong("page.limit", "a number from 1 on")),
        };
        Ok(Self { token, limit })
    }
}
