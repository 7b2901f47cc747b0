//! Errors as SCIM has them (RFC 7644 §3.12).

use serde_json::{Value, json};

/// What was not done and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// `scimType`, where the standard has a word.
    pub kind: Option<&'static str>,
    /// For whoever keeps the directory.
    pub detail: String,
}

impl ScimError {
    /// An error of any status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, kind: None, detail: detail.into() }
    }

    fn bad(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status: 400, kind: Some(kind), detail: detail.into() }
    }

    /// A value that cannot be, or one that is missing.
    pub fn value(detail: impl Into<String>) -> Self {
        Self::bad("invalidValue", detail)
    }

    /// A message that is none.
    pub fn syntax(detail: impl Into<String>) -> Self {
        Self::bad("invalidSyntax", detail)
    }

    /// A filter that is none, or one that is not understood.
    pub fn filter(detail: impl Into<String>) -> Self {
        Self::bad("invalidFilter", detail)
    }

    /// A path that is none, or one that is not understood.
    pub fn path(detail: impl Into<String>) -> Self {
        Self::bad("invalidPath", detail)
    }

    /// A path that leads to nothing.
    pub fn target(detail: impl Into<String>) -> Self {
        Self::bad("noTarget", detail)
    }

    /// Something that cannot be changed.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad("mutability", detail)
    }

    /// Somebody or something has that name already.
    pub fn uniqueness(detail: impl Into<String>) -> Self {
        Self { status: 409, kind: Some("uniqueness"), detail: detail.into() }
    }

    /// As it is sent.
    pub fn to_json(&self) -> Value {
        let json = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        with(json, "scimType", self.kind)
    }
}

/// An object with one more member, where there is one.
pub(crate) fn with(mut object: Value, name: &str, value: Option<&str>) -> Value {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(name.to_owned(), value.into());
    }
    object
}
