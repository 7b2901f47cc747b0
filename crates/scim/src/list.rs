//! Lists (RFC 7644 §3.4.2): which resources, which page of them, which attributes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{error::ScimError, filter::Filter, object::Object, path::AttributePath};

/// Resources of one page at most, and of one that says nothing.
pub const PAGE_MAX: usize = 200;
/// Attributes that one question may name.
const ATTRIBUTES_MAX: usize = 64;
/// What is always sent.
const ALWAYS: [&str; 3] = ["schemas", "id", "meta"];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListQuery {
    /// Which resources; `None` is all.
    pub filter: Option<Filter>,
    /// The first one, counted from 1.
    pub start_index: usize,
    /// How many.
    pub count: usize,
    attributes: BTreeSet<String>,
    excluded: BTreeSet<String>,
}

impl ListQuery {
    /// Reads a query. What it says of an order is not heard: `sort` is not supported.
    pub fn parse(query: &str) -> Result<Self, ScimError> {
        let mut read = Self::all();
        let mut seen = BTreeSet::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let name = name.to_ascii_lowercase();
            if read.set(&name, &value)? && !seen.insert(name.clone()) {
                return Err(ScimError::syntax(format!("`{name}` stands twice")));
            }
        }
        Ok(read)
    }

    /// Reads the body of a search (RFC 7644 §3.4.3), which says the same.
    pub fn read(value: &Value) -> Result<Self, ScimError> {
        let object = Object::of(value)?;
        object.of_schema("urn:ietf:params:scim:api:messages:2.0:SearchRequest")?;
        let mut read = Self::all();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let text = match value {
                Value::Array(all) => {
                    let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                    all.ok_or_else(|| ScimError::value(format!("`{name}` holds more than names")))?.join(",")
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            read.set(&name.to_ascii_lowercase(), &text)?;
        }
        Ok(read)
    }

    fn all() -> Self {
        Self { start_index: 1, count: PAGE_MAX, ..Self::default() }
    }

    /// Sets what is called by this name, in lower case; `false` is a name that says nothing to us.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, ScimError> {
        let number = || value.parse::<i64>().map_err(|_| ScimError::value(format!("`{name}` is not a number")));
        match name {
            "filter" => self.filter = Some(Filter::parse(value)?),
            "startindex" => self.start_index = usize::try_from(number()?.max(1)).unwrap_or(usize::MAX),
            "count" => self.count = usize::try_from(number()?.max(0)).unwrap_or(PAGE_MAX).min(PAGE_MAX),
            "attributes" => self.attributes = names(value)?,
            "excludedattributes" => self.excluded = names(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether an attribute (in lower case) would be sent.
    pub fn wants(&self, attribute: &str) -> bool {
        let asked = self.attributes.is_empty() || self.attributes.contains(attribute);
        ALWAYS.contains(&attribute) || (asked && !self.excluded.contains(attribute))
    }

    /// Leaves out of a resource what is not wanted.
    pub fn trimmed(&self, mut resource: Value) -> Value {
        if let Some(members) = resource.as_object_mut() {
            members.retain(|name, _| self.wants(&name.to_ascii_lowercase()));
        }
        resource
    }

    /// The page of all resources that fit.
    pub fn page(&self, resources: impl Iterator<Item = Value>) -> Value {
        let fitting = resources.filter(|one| self.filter.as_ref().is_none_or(|filter| filter.fits(one)));
        let (mut total, mut page) = (0, Vec::new());
        for resource in fitting {
            total += 1;
            if total >= self.start_index && page.len() < self.count {
                page.push(self.trimmed(resource));
            }
        }
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total,
            "startIndex": self.start_index,
            "itemsPerPage": page.len(),
            "Resources": page,
        })
    }
}

/// Names of whole attributes: a part of one asks for the whole.
fn names(text: &str) -> Result<BTreeSet<String>, ScimError> {
    let all = text.split(',').map(|name| Ok(AttributePath::parse(name.trim())?.name));
    let all: BTreeSet<String> = all.take(ATTRIBUTES_MAX + 1).collect::<Result<_, ScimError>>()?;
    if all.len() > ATTRIBUTES_MAX {
        return Err(ScimError::value(format!("at most {ATTRIBUTES_MAX} attributes can be named")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Value {
        let all = (1..=5).map(|n| json!({ "id": n.to_string(), "displayName": format!("g{n}"), "members": [n] }));
        ListQuery::parse(query).unwrap().page(all)
    }

    #[test]
    fn pages_count_from_one() {
        let ids = |page: &Value| -> String {
            page["Resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
        };
        for (query, expected, total) in [
            ("", "12345", 5),
            ("startIndex=2&count=2", "23", 5),
            ("startIndex=0&count=1", "1", 5),
            ("startIndex=-7&count=1", "1", 5),
            ("startIndex=6", "", 5),
            ("count=0", "", 5),
            ("count=-1", "", 5),
            ("count=100000", "12345", 5),
            ("filter=displayName%20eq%20%22G3%22", "3", 1),
            ("FILTER=displayName+eq+%22g9%22", "", 0),
            ("sortBy=id&sortOrder=descending", "12345", 5),
        ] {
            let page = page(query);
            assert_eq!((ids(&page).as_str(), &page["totalResults"]), (expected, &json!(total)), "{query}");
            assert_eq!(page["itemsPerPage"], json!(expected.len()));
        }
        for query in ["count=many", "startIndex=", "filter=x", "count=1&count=2", "attributes=a.b.c"] {
            assert!(ListQuery::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_search_asks_the_same_in_a_body() {
        let schema = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
        let body = json!({
            "schemas": [schema], "filter": "displayName eq \"g3\"", "startIndex": 2, "count": 1,
            "attributes": ["displayName", "members"], "excludedAttributes": null,
        });
        let query = "filter=displayName+eq+%22g3%22&startIndex=2&count=1&attributes=displayName,members";
        assert_eq!(ListQuery::read(&body).unwrap(), ListQuery::parse(query).unwrap());
        for wrong in [
            json!([]),
            json!({ "filter": "id pr" }),
            json!({ "schemas": [schema], "count": {} }),
            json!({ "schemas": [schema], "attributes": [1] }),
            json!({ "schemas": [schema], "filter": "x" }),
            json!({ "schemas": [schema], "count": 1, "COUNT": 2 }),
        ] {
            assert!(ListQuery::read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attributes_are_left_out() {
        let first = |query: &str| page(query)["Resources"][0].clone();
        assert_eq!(first("excludedAttributes=members"), json!({ "id": "1", "displayName": "g1" }));
        assert_eq!(first("attributes=members.value"), json!({ "id": "1", "members": [1] }));
        assert_eq!(first("excludedAttributes=id")["id"], "1", "what names it is always there");
    }
}
