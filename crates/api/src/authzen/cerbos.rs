//! `POST /api/check/resources`: the same questions as a Cerbos client asks them (Cerbos API, `CheckResources`). What it
//! says of a principal beyond the id is not believed, as everywhere here.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::caller::Caller;
use bailiwick_model::limits::ARGUMENT_VALUES_MAX;
use bailiwick_pdp::authzen::{Evaluation, Members, Misread, object};
use bailiwick_web::problem::Problem;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    AUTHZEN_BODY_BYTES_MAX, Authzen, Shared,
    message::{self, DEFAULTED_BYTES_MAX, EVALUATIONS_MAX},
    question,
};

/// Where Cerbos clients ask.
pub(super) const PATH: &str = "/api/check/resources";

/// A resource with its actions, each of which is a question of its own.
struct Checked {
    /// `id` and `kind` as they came, which the answer repeats.
    named: Value,
    asked: Vec<(String, Evaluation)>,
}

pub(super) async fn check_resources(State(authzen): State<Shared>, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match authzen.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    // Clients of Cerbos send their JSON as plain text.
    let asked = question::unlabelled_body(body, AUTHZEN_BODY_BYTES_MAX).await.and_then(|bytes| read(&bytes));
    match asked {
        Ok((request, checked)) => {
            answer(&authzen, &caller, request, checked).await.unwrap_or_else(|problem| problem.into_response())
        }
        Err(problem) => problem.into_response(),
    }
}

async fn answer(authzen: &Authzen, caller: &Caller, request: Value, all: Vec<Checked>) -> Result<Response, Problem> {
    let mut spent = caller.spent.clone();
    let (mut results, mut first) = (Vec::new(), None);
    for Checked { named, asked } in all {
        let mut actions = Map::new();
        for (action, evaluation) in asked {
            // The proof is used up with the first answer.
            let spent = std::mem::take(&mut spent);
            let answer = question::answer(authzen.entrance.broker(), caller, &evaluation, spent).await?;
            // An effect cannot tell of obligations.
            let effect = if answer.is_allowed_without_more() { "EFFECT_ALLOW" } else { "EFFECT_DENY" };
            first.get_or_insert_with(|| answer.id().to_owned());
            actions.insert(action, effect.into());
        }
        results.push(json!({ "resource": named, "actions": actions }));
    }
    Ok(Json(json!({ "requestId": request, "results": results, "cerbosCallId": first })).into_response())
}

/// Reads a request: one principal, and resources with their actions.
fn read(bytes: &[u8]) -> Result<(Value, Vec<Checked>), Problem> {
    let whole = message::members(bytes, ARGUMENT_VALUES_MAX)?;
    let of_misread = |misread: Misread| message::refused(&misread);
    let principal = required(&whole, "principal").map_err(of_misread)?;
    let subject = json!({ "type": "agent", "id": principal.get("id") });
    let Some(Value::Array(items)) = whole.get("resources") else {
        return Err(of_misread(Misread::wrong("resources", "an array")));
    };
    check_copies(items)?;
    let checked = items.iter().map(|item| checked(&subject, item)).collect::<Result<Vec<_>, _>>();
    let checked = checked.map_err(of_misread)?;
    Ok((whole.get("requestId").cloned().unwrap_or(Value::Null), checked))
}

/// Attributes are part of each action's question, of its memory and of its record: all copies together stay small, and
/// are counted before there are any.
fn check_copies(items: &[Value]) -> Result<(), Problem> {
    let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "evaluations_count", detail);
    let actions = |item: &Value| item.get("actions").and_then(Value::as_array).map_or(0, Vec::len);
    let count: usize = items.iter().map(actions).sum();
    if !(1..=EVALUATIONS_MAX).contains(&count) {
        return Err(refused(format!("1 to {EVALUATIONS_MAX} actions can be asked for at a time, not {count}")));
    }
    let copied = |item: &Value| item.get("resource").map_or(0, |resource| resource.to_string().len()) * actions(item);
    let bytes: usize = items.iter().map(copied).sum();
    if count > 1 && bytes > DEFAULTED_BYTES_MAX {
        let detail = format!("resources, times their actions, have {bytes} bytes, more than {DEFAULTED_BYTES_MAX}");
        return Err(refused(detail).with_hint("ask for fewer at a time"));
    }
    Ok(())
}

fn checked(subject: &Value, item: &Value) -> Result<Checked, Misread> {
    let wrong = || Misread::wrong("resources", "an array of objects with `resource` and `actions`");
    let item = item.as_object().ok_or_else(wrong)?;
    let resource = required(item, "resource")?;
    let attributes = object(resource, "attr")?.cloned().unwrap_or_default();
    let actions = item.get("actions").and_then(Value::as_array).ok_or_else(wrong)?;
    // Twice the same action would be one member of the answer, and an unlimited number of decisions.
    let mut asked: Vec<(String, Evaluation)> = Vec::new();
    for action in actions {
        let name = action.as_str().ok_or_else(wrong)?;
        if asked.iter().any(|(known, _)| known == name) {
            return Err(Misread::wrong("actions", "an array of different names"));
        }
        let context: Members = ["arguments", "task"]
            .into_iter()
            .filter_map(|member| Some((member.to_owned(), attributes.get(member)?.clone())))
            .collect();
        let properties: Members = attributes
            .iter()
            .filter(|(name, _)| !context.contains_key(*name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let evaluation = json!({
            "subject": subject,
            "action": { "name": name },
            "resource": { "type": resource.get("kind"), "id": resource.get("id"), "properties": properties },
            "context": context,
        });
        let evaluation = Evaluation::of(evaluation.as_object().ok_or_else(wrong)?, None)?;
        asked.push((name.to_owned(), evaluation));
    }
    Ok(Checked { named: json!({ "id": resource.get("id"), "kind": resource.get("kind") }), asked })
}

fn required<'a>(members: &'a Members, name: &str) -> Result<&'a Members, Misread> {
    object(members, name)?.ok_or_else(|| Misread::Missing(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(principal: &Value, resources: &Value) -> Result<(Value, Vec<Checked>), Problem> {
        read(json!({ "requestId": "r", "principal": principal, "resources": resources }).to_string().as_bytes())
    }

    #[test]
    fn each_action_is_a_question_of_its_own() {
        let attributes = json!({ "arguments": { "path": "/a" }, "owner": "you" });
        let resource = json!({ "kind": "File", "id": "/a", "attr": attributes });
        let principal = json!({ "id": "reader", "roles": ["root"], "attr": { "role": "root" } });
        let resources = json!([{ "resource": resource, "actions": ["files.read", "files.write"] }]);
        let (request, checked) = body(&principal, &resources).unwrap();
        assert_eq!((request, checked.len(), checked[0].asked.len()), (json!("r"), 1, 2));
        let (name, asked) = &checked[0].asked[1];
        assert_eq!((name.as_str(), asked.action.name.as_str()), ("files.write", "files.write"));
        assert_eq!((asked.subject.kind.as_str(), asked.subject.id.as_str()), ("agent", "reader"));
        assert!(asked.subject.properties.is_empty(), "what is said of a principal is not believed");
        assert_eq!(asked.context.get("arguments"), Some(&json!({ "path": "/a" })));
        assert_eq!(asked.resource.properties.keys().collect::<Vec<_>>(), ["owner"]);
    }

    #[test]
    fn copies_of_attributes_have_a_most() {
        let filled = |bytes: usize, actions: usize| {
            let names: Vec<String> = (0..actions).map(|number| format!("a.b{number}")).collect();
            let resource = json!({ "kind": "tool", "id": "t", "attr": { "filler": "x".repeat(bytes) } });
            body(&json!({ "id": "x" }), &json!([{ "resource": resource, "actions": names }]))
        };
        assert!(filled(DEFAULTED_BYTES_MAX / 4, 3).is_ok());
        assert!(filled(DEFAULTED_BYTES_MAX / 4, 1).is_ok());
        assert!(filled(DEFAULTED_BYTES_MAX / 4, 5).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused_whole() {
        let resource = json!({ "kind": "tool", "id": "t" });
        let honest = json!([{ "resource": resource, "actions": ["a.b"] }]);
        assert!(body(&json!({ "id": "x" }), &honest).is_ok());
        let many: Vec<String> = (0..=EVALUATIONS_MAX).map(|number| format!("a.b{number}")).collect();
        for (principal, resources) in [
            (json!({}), honest.clone()),
            (json!({ "id": 1 }), honest.clone()),
            (json!("x"), honest.clone()),
            (json!({ "id": "x" }), json!({})),
            (json!({ "id": "x" }), json!([])),
            (json!({ "id": "x" }), json!([1])),
            (json!({ "id": "x" }), json!([{ "actions": ["a.b"] }])),
            (json!({ "id": "x" }), json!([{ "resource": resource, "actions": "a.b" }])),
            (json!({ "id": "x" }), json!([{ "resource": resource, "actions": [] }])),
            (json!({ "id": "x" }), json!([{ "resource": resource, "actions": ["a.b", "a.b"] }])),
            (json!({ "id": "x" }), json!([{ "resource": resource, "actions": many }])),
            (json!({ "id": "x" }), json!([{ "resource": { "kind": "tool" }, "actions": ["a.b"] }])),
        ] {
            assert!(body(&principal, &resources).is_err(), "{principal} {resources}");
        }
    }
}
