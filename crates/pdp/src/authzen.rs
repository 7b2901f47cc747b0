//! Questions in AuthZEN's words: what one has to have, and which call of the catalogue it means. Unknown members are
//! ignored (AuthZEN 1.0 §5). What is said about a subject is never believed; what is said about action and resource is
//! at most what the arguments of the call would say, which anybody who calls can choose.

use serde_json::{Map, Value};

mod call;

pub use self::call::Meant;

/// Bytes of a type or of an action's name.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of an id: MCP resources are named by long URIs.
pub const ID_BYTES_MAX: usize = 8_192;

/// The members of an object.
pub type Members = Map<String, Value>;

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

/// What is wrong with a message that is no question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// A member is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A member is not what it must be.
    #[error("`{name}` must be {what}")]
    Wrong {
        /// Which.
        name: String,
        /// What it must be.
        what: String,
    },
}

impl Misread {
    /// A member that is not what it must be.
    pub fn wrong(name: &str, what: impl Into<String>) -> Self {
        Self::Wrong { name: name.to_owned(), what: what.into() }
    }

    /// The member.
    pub fn member(&self) -> &str {
        match self {
            Self::Missing(name) | Self::Wrong { name, .. } => name,
        }
    }
}

impl Evaluation {
    /// Takes what `own` lacks from `defaults`: whole members, and of a member that is there only what the standard
    /// requires of it.
    pub fn of(own: &Members, defaults: Option<&Members>) -> Result<Self, Misread> {
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

/// One member of a message, where it is defaulted with that default.
pub struct Part<'a> {
    name: &'static str,
    own: &'a Members,
    default: Option<&'a Members>,
}

impl<'a> Part<'a> {
    /// Finds it; it must be an object somewhere.
    pub fn of(own: &'a Members, defaults: Option<&'a Members>, name: &'static str) -> Result<Self, Misread> {
        let default = defaults.map(|defaults| object(defaults, name)).transpose()?.flatten();
        match (object(own, name)?, default) {
            (Some(own), default) => Ok(Self { name, own, default }),
            (None, Some(default)) => Ok(Self { name, own: default, default: None }),
            (None, None) => Err(Misread::Missing(name.to_owned())),
        }
    }

    /// As a subject or resource.
    pub fn entity(&self) -> Result<Entity, Misread> {
        Ok(Entity {
            kind: self.text("type", NAME_BYTES_MAX)?,
            id: self.text("id", ID_BYTES_MAX)?,
            properties: self.properties()?,
        })
    }

    /// An entity that is searched for: an id, if there is one, is ignored.
    pub fn sought(&self) -> Result<Entity, Misread> {
        Ok(Entity { kind: self.text("type", NAME_BYTES_MAX)?, id: String::new(), properties: self.properties()? })
    }

    /// As an action.
    pub fn action(&self) -> Result<Action, Misread> {
        Ok(Action { name: self.text("name", NAME_BYTES_MAX)?, properties: self.properties()? })
    }

    fn properties(&self) -> Result<Members, Misread> {
        let name = format!("{}.properties", self.name);
        match self.own.get("properties") {
            None | Some(Value::Null) => Ok(Members::new()),
            Some(Value::Object(properties)) => Ok(properties.clone()),
            Some(_) => Err(Misread::wrong(&name, "an object")),
        }
    }

    fn text(&self, member: &str, bytes_max: usize) -> Result<String, Misread> {
        let name = format!("{}.{member}", self.name);
        let own = self.own.get(member).filter(|value| !value.is_null());
        match own.or_else(|| self.default?.get(member)) {
            None | Some(Value::Null) => Err(Misread::Missing(name)),
            Some(Value::String(text)) if text.len() > bytes_max => {
                Err(Misread::wrong(&name, format!("at most {bytes_max} bytes long")))
            }
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(Misread::wrong(&name, "a string")),
        }
    }
}

/// An optional member that is an object where it is there; `null` is absent.
pub fn object<'a>(of: &'a Members, name: &str) -> Result<Option<&'a Members>, Misread> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(Misread::wrong(name, "an object")),
    }
}
