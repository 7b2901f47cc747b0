//! The Group resource (RFC 7643 §4.2): a name that policy knows, and who is in it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    BASE_PATH,
    error::{ScimError, with},
    object::{self, Object},
    user::etag,
};

/// Its schema.
pub const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// Members that one message may name.
pub const MEMBERS_MAX: usize = 10_000;

/// What a directory says of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupAttributes {
    /// `displayName`.
    pub display_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// The ids of who is in it.
    pub members: BTreeSet<String>,
}

impl GroupAttributes {
    /// Reads a whole resource.
    pub fn read(value: &Value) -> Result<Self, ScimError> {
        let object = Object::of(value)?;
        object.of_schema(SCHEMA)?;
        let mut read = Self::default();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            read.set(&name.to_ascii_lowercase(), value)?;
        }
        if read.display_name.is_empty() {
            return Err(ScimError::value("`displayName` is missing"));
        }
        Ok(read)
    }

    /// Sets one attribute, named in lower case.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), ScimError> {
        match name {
            "displayname" => self.display_name = object::text(name, value)?,
            "externalid" => self.external_id = Some(object::text(name, value)?),
            "members" => self.members = members(value)?,
            "id" | "schemas" | "meta" => {}
            name if name.starts_with("urn:") => {}
            name => return Err(ScimError::path(format!("a group has no attribute `{name}`"))),
        }
        Ok(())
    }
}

/// The ids in a list of members, or in one of them.
pub(crate) fn members(value: &Value) -> Result<BTreeSet<String>, ScimError> {
    let single = std::slice::from_ref(value);
    let all = value.as_array().map_or(single, Vec::as_slice);
    if all.len() > MEMBERS_MAX {
        return Err(ScimError::value(format!("a message names at most {MEMBERS_MAX} members")));
    }
    let id = |one: &Value| match one {
        Value::String(_) => object::text("members", one),
        one => Object::of(one)?.text("value")?.ok_or_else(|| ScimError::value("a member has no `value`")),
    };
    all.iter().map(id).collect()
}

/// A group as it is sent.
#[derive(Debug, Clone)]
pub struct GroupResource<'a> {
    /// Its id.
    pub id: &'a str,
    /// What the directory said of it.
    pub attributes: &'a GroupAttributes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: u64,
}

impl GroupResource<'_> {
    /// As it is sent by the server with this issuer.
    pub fn to_json(&self, issuer: &str) -> Value {
        let GroupAttributes { display_name, external_id, members } = self.attributes;
        let members: Vec<Value> = members
            .iter()
            .map(|id| json!({ "value": id, "$ref": format!("{issuer}{BASE_PATH}/Users/{id}"), "type": "User" }))
            .collect();
        let json = json!({
            "schemas": [SCHEMA],
            "id": self.id,
            "displayName": display_name,
            "members": members,
            "meta": {
                "resourceType": "Group", "created": self.created_at.to_string(),
                "location": format!("{issuer}{BASE_PATH}/Groups/{}", self.id), "version": etag(self.version),
            },
        });
        with(json, "externalId", external_id.as_deref())
    }
}
