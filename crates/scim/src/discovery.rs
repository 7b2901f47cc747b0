//! What this server does and knows (RFC 7643 §5 to §7): nothing that is not so.

use serde_json::{Value, json};

use crate::{BASE_PATH, group, list::PAGE_MAX, user};

/// `/ServiceProviderConfig`.
pub fn service_provider_config(issuer: &str) -> Value {
    let scheme =
        |kind: &str, name: &str, description: &str| json!({ "type": kind, "name": name, "description": description });
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": PAGE_MAX },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [
            scheme("oauthbearertoken", "Provisioning credential", "A token that an operator made for this directory"),
            scheme("oauth2", "Access token", "A token of a registered client with the scope `scim:manage`"),
        ],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{issuer}{BASE_PATH}/ServiceProviderConfig") },
    })
}

/// `/ResourceTypes`, each by its name.
pub fn resource_types(issuer: &str) -> Vec<Value> {
    [("User", "Users", user::SCHEMA), ("Group", "Groups", group::SCHEMA)]
        .map(|(name, endpoint, schema)| {
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
                "id": name, "name": name, "endpoint": format!("/{endpoint}"), "schema": schema,
                "meta": { "resourceType": "ResourceType", "location": format!("{issuer}{BASE_PATH}/ResourceTypes/{name}") },
            })
        })
        .to_vec()
}

/// `/Schemas`, each by its URN.
pub fn schemas(issuer: &str) -> Vec<Value> {
    let user = [
        text("userName", true, "server", false),
        text("externalId", false, "none", true),
        text("displayName", false, "none", false),
        complex(
            "name",
            false,
            vec![
                text("formatted", false, "none", false),
                text("givenName", false, "none", false),
                text("familyName", false, "none", false),
            ],
        ),
        complex(
            "emails",
            true,
            vec![text("value", false, "none", false), text("type", false, "none", false), boolean("primary")],
        ),
        boolean("active"),
        read_only(complex(
            "groups",
            true,
            vec![
                text("value", false, "none", false),
                text("display", false, "none", false),
                reference("Group"),
                one_of("type", &["direct"]),
            ],
        )),
    ];
    let group = [
        text("displayName", true, "server", true),
        text("externalId", false, "none", true),
        complex(
            "members",
            true,
            vec![text("value", false, "none", true), reference("User"), one_of("type", &["User"])],
        ),
    ];
    let schema = |id: &str, name: &str, attributes: &[Value]| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": id, "name": name, "attributes": attributes,
            "meta": { "resourceType": "Schema", "location": format!("{issuer}{BASE_PATH}/Schemas/{id}") },
        })
    };
    vec![schema(user::SCHEMA, "User", &user), schema(group::SCHEMA, "Group", &group)]
}

fn text(name: &str, required: bool, uniqueness: &str, case_exact: bool) -> Value {
    attribute(name, "string", json!({ "required": required, "uniqueness": uniqueness, "caseExact": case_exact }))
}

fn one_of(name: &str, values: &[&str]) -> Value {
    attribute(name, "string", json!({ "canonicalValues": values }))
}

/// Where a resource of another kind is.
fn reference(kind: &str) -> Value {
    attribute("$ref", "reference", json!({ "referenceTypes": [kind], "caseExact": true }))
}

fn boolean(name: &str) -> Value {
    attribute(name, "boolean", json!({}))
}

fn complex(name: &str, multi: bool, parts: Vec<Value>) -> Value {
    attribute(name, "complex", json!({ "multiValued": multi, "subAttributes": parts }))
}

fn read_only(mut attribute: Value) -> Value {
    if let Some(members) = attribute.as_object_mut() {
        members.insert("mutability".to_owned(), "readOnly".into());
    }
    attribute
}

fn attribute(name: &str, kind: &str, more: Value) -> Value {
    let mut json = json!({
        "name": name, "type": kind, "multiValued": false, "description": "", "required": false, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": "none",
    });
    if let (Some(json), Value::Object(more)) = (json.as_object_mut(), more) {
        json.extend(more);
    }
    json
}
