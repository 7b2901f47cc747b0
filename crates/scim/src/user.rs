//! The User resource (RFC 7643 §4.1): of it we keep what signs somebody in, names them and lets them act.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    BASE_PATH,
    error::ScimError,
    object::{self, Object},
};

/// Its schema.
pub const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// Attributes of the standard that we do not keep: a change of them is no mistake, and does nothing.
const NOT_KEPT: [&str; 22] = [
    "nickname",
    "profileurl",
    "title",
    "usertype",
    "preferredlanguage",
    "locale",
    "timezone",
    "password",
    "phonenumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509certificates",
    "id",
    "schemas",
    "meta",
    "groups",
    "honorificprefix",
    "honorificsuffix",
    "middlename",
];

/// What a directory says of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAttributes {
    /// `userName`.
    pub user_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `name.formatted`.
    pub formatted_name: Option<String>,
    /// `name.givenName`.
    pub given_name: Option<String>,
    /// `name.familyName`.
    pub family_name: Option<String>,
    /// The one address that we keep: the primary one, else that of work, else the first.
    pub email: Option<String>,
    /// Its type, such as `work`.
    pub email_type: Option<String>,
    /// Whether the directory prefers it to others of theirs.
    pub email_primary: Option<bool>,
    /// `active`; `None` says nothing.
    pub active: Option<bool>,
}

impl UserAttributes {
    /// Reads a whole resource (RFC 7644 §3.3, §3.5.1).
    pub fn read(value: &Value) -> Result<Self, ScimError> {
        let object = Object::of(value)?;
        object.of_schema(SCHEMA)?;
        let mut read = Self::default();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            read.set(&name.to_ascii_lowercase(), None, value)?;
        }
        if read.user_name.is_empty() {
            return Err(ScimError::value("`userName` is missing"));
        }
        Ok(read)
    }

    /// What people call them.
    pub fn name(&self) -> String {
        self.display_name.clone().or_else(|| self.full_name()).unwrap_or_else(|| self.user_name.clone())
    }

    /// The whole name as the directory writes it, else given and family name together.
    pub fn full_name(&self) -> Option<String> {
        if self.formatted_name.is_some() {
            return self.formatted_name.clone();
        }
        let parts: Vec<&str> =
            [&self.given_name, &self.family_name].into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// Sets one attribute, named in lower case, or a part of it.
    pub(crate) fn set(&mut self, name: &str, sub: Option<&str>, value: &Value) -> Result<(), ScimError> {
        let text = || object::text(name, value);
        match (name, sub) {
            ("username", None) => self.user_name = text()?,
            ("externalid", None) => self.external_id = Some(text()?),
            ("displayname", None) => self.display_name = Some(text()?),
            ("active", None) => self.active = Some(object::flag(name, value)?),
            ("name", None) => {
                for (part, value) in Object::of(value)?.iter().filter(|(_, value)| !value.is_null()) {
                    self.set("name", Some(&part.to_ascii_lowercase()), value)?;
                }
            }
            ("name", Some("givenname")) => self.given_name = Some(text()?),
            ("name", Some("familyname")) => self.family_name = Some(text()?),
            ("name", Some("formatted")) => self.formatted_name = Some(text()?),
            ("emails", None) => {
                let Email { address, kind, primary } = email(value)?.unwrap_or_default();
                (self.email, self.email_type, self.email_primary) = (address, kind, primary);
            }
            ("emails", Some("value")) => self.email = Some(text()?),
            ("emails", Some("type")) => self.email_type = Some(text()?),
            ("emails", Some("primary")) => self.email_primary = Some(object::flag(name, value)?),
            ("emails", Some(_)) => {}
            (name, _) if is_not_kept(name, sub) => {}
            (name, _) => return Err(ScimError::path(format!("a user has no attribute `{name}`"))),
        }
        Ok(())
    }

    /// Takes one attribute away, or a part of it.
    pub(crate) fn unset(&mut self, name: &str, sub: Option<&str>) -> Result<(), ScimError> {
        match (name, sub) {
            ("username" | "active", _) => {
                return Err(ScimError::mutability(format!("`{name}` can be replaced, and not taken away")));
            }
            ("externalid", None) => self.external_id = None,
            ("displayname", None) => self.display_name = None,
            ("name", None) => (self.formatted_name, self.given_name, self.family_name) = (None, None, None),
            ("name", Some("formatted")) => self.formatted_name = None,
            ("name", Some("givenname")) => self.given_name = None,
            ("name", Some("familyname")) => self.family_name = None,
            ("emails", None | Some("value")) => {
                (self.email, self.email_type, self.email_primary) = (None, None, None);
            }
            ("emails", Some("type")) => self.email_type = None,
            ("emails", Some("primary")) => self.email_primary = None,
            ("emails", Some(_)) => {}
            (name, _) if is_not_kept(name, sub) => {}
            (name, _) => return Err(ScimError::path(format!("a user has no attribute `{name}`"))),
        }
        Ok(())
    }
}

/// What an extension says is not kept either.
fn is_not_kept(name: &str, sub: Option<&str>) -> bool {
    NOT_KEPT.contains(&name)
        || name.starts_with("urn:")
        || (name == "name" && sub.is_some_and(|sub| NOT_KEPT.contains(&sub)))
}

/// What an address is for where the directory does not say.
const EMAIL_TYPE: &str = "work";

/// An address, and what the directory says of it.
#[derive(Default)]
struct Email {
    address: Option<String>,
    kind: Option<String>,
    primary: Option<bool>,
}

impl Email {
    fn of(value: &Value) -> Result<Self, ScimError> {
        if value.is_string() {
            return Ok(Self { address: Some(object::text("emails", value)?), ..Self::default() });
        }
        let object = Object::of(value)?;
        let primary = object.get("primary").map(|value| object::flag("primary", value)).transpose()?;
        Ok(Self { address: object.text("value")?, kind: object.text("type")?, primary })
    }

    fn rank(&self) -> u8 {
        let work = self.kind.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case(EMAIL_TYPE));
        if self.primary == Some(true) { 2 } else { u8::from(work) }
    }
}

/// The address of a list of them that counts.
fn email(value: &Value) -> Result<Option<Email>, ScimError> {
    let single = std::slice::from_ref(value);
    let mut best: Option<Email> = None;
    for one in value.as_array().map_or(single, Vec::as_slice) {
        let one = Email::of(one)?;
        if one.address.is_some() && best.as_ref().is_none_or(|known| one.rank() > known.rank()) {
            best = Some(one);
        }
    }
    Ok(best)
}

/// A user as it is sent.
#[derive(Debug, Clone)]
pub struct UserResource<'a> {
    /// Its id.
    pub id: &'a str,
    /// What the directory said of it.
    pub attributes: &'a UserAttributes,
    /// Whether they may act.
    pub active: bool,
    /// The groups that they are in: id and display name.
    pub groups: Vec<(String, String)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: u64,
}

impl UserResource<'_> {
    /// As it is sent by the server with this issuer.
    pub fn to_json(&self, issuer: &str) -> Value {
        let UserAttributes { user_name, external_id, display_name, given_name, family_name, .. } = self.attributes;
        let location = format!("{issuer}{BASE_PATH}/Users/{}", self.id);
        let mut json = json!({
            "schemas": [SCHEMA],
            "id": self.id,
            "userName": user_name,
            "active": self.active,
            "meta": {
                "resourceType": "User", "created": self.created_at.to_string(), "location": location,
                "version": etag(self.version),
            },
        });
        let mut set = |pointer: &str, value: Value| {
            let (object, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
            if let Some(object) = json.pointer_mut(object).and_then(Value::as_object_mut) {
                object.insert(name.to_owned(), value);
            }
        };
        if let Some(full) = self.attributes.full_name() {
            set("/name", json!({ "formatted": full }));
        }
        for (pointer, text) in [
            ("/externalId", external_id),
            ("/displayName", display_name),
            ("/name/givenName", given_name),
            ("/name/familyName", family_name),
        ] {
            if let Some(text) = text {
                set(pointer, text.as_str().into());
            }
        }
        if let Some(email) = &self.attributes.email {
            let kind = self.attributes.email_type.as_deref().unwrap_or(EMAIL_TYPE);
            let primary = self.attributes.email_primary.unwrap_or(true);
            set("/emails", json!([{ "value": email, "type": kind, "primary": primary }]));
        }
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(|(id, display)| {
                json!({ "value": id, "display": display, "$ref": format!("{issuer}{BASE_PATH}/Groups/{id}"), "type": "direct" })
            });
            set("/groups", groups.collect());
        }
        json
    }
}

/// A version as an entity tag (RFC 7644 §3.14).
pub fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}
