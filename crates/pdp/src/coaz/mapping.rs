//! One mapping: a template of an AuthZEN message, in which a text that starts with `$` is an expression (`$$` is a
//! dollar). Its envelope says how many decisions it asks for; no value can change that.

use serde_json::{Map, Value};

use super::expression::{Expression, Inputs, Unfit};
use crate::authzen::{Evaluation, Members};

/// Values of one mapping.
pub const MAPPING_VALUES_MAX: usize = 128;
/// Values within values of one mapping.
pub const MAPPING_DEPTH_MAX: usize = 8;
/// Decisions that one mapping asks for.
pub const MAPPING_EVALUATIONS_MAX: usize = 20;
/// The type of the subject where a mapping says none.
const IDENTITY: &str = "identity";

/// A compiled mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    defaults: Template,
    /// Those of `evaluations`; none is the envelope `evaluation`.
    entries: Vec<Template>,
}

/// Why a call has no AuthZEN message: a member that cannot be worked out, or must not be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{at}` of its AuthZEN mapping {why}")]
pub struct Unresolved {
    at: String,
    why: &'static str,
}

impl Mapping {
    /// Compiles `{"evaluation": …}` or `{"evaluations": …}`.
    pub fn compile(written: &Value) -> Result<Self, Unfit> {
        let mut left = MAPPING_VALUES_MAX;
        let one = written.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
        match one {
            Some((name, Value::Object(body))) if name == "evaluation" => {
                let defaults = Template::compile(name, body, &mut left, &["subject", "action", "resource", "context"])?;
                Ok(Self { defaults, entries: Vec::new() })
            }
            Some((name, Value::Object(body))) if name == "evaluations" => {
                let mut body = body.clone();
                let entries = match body.remove("evaluations") {
                    Some(Value::Array(entries)) if (1..=MAPPING_EVALUATIONS_MAX).contains(&entries.len()) => entries,
                    _ => {
                        return Err(Unfit(format!(
                            "`evaluations.evaluations` has 1 to {MAPPING_EVALUATIONS_MAX} entries"
                        )));
                    }
                };
                let defaults =
                    Template::compile(name, &body, &mut left, &["subject", "action", "resource", "context"])?;
                let entries = entries.iter().enumerate().map(|(number, entry)| {
                    let at = format!("evaluations.{number}");
                    let entry = entry.as_object().ok_or_else(|| Unfit(format!("`{at}` is not a table")))?;
                    // A subject of its own would be somebody else's authority.
                    Template::compile(&at, entry, &mut left, &["action", "resource", "context"])
                });
                Ok(Self { defaults, entries: entries.collect::<Result<_, _>>()? })
            }
            _ => Err(Unfit(
                "a mapping is a table `evaluation` or a table `evaluations`, and nothing beside it".to_owned(),
            )),
        }
    }

    /// The questions that a message stands for. Their subject is `subject`, whoever the token names; a mapping that says
    /// another one fails.
    pub fn resolve(&self, inputs: &Inputs, subject: &str) -> Result<Vec<Evaluation>, Unresolved> {
        let mut defaults = self.defaults.resolve(inputs)?;
        anchor(&mut defaults, subject)?;
        let unresolved = |misread: crate::authzen::Misread| Unresolved {
            at: misread.member().to_owned(),
            why: "is missing or unfit",
        };
        if self.entries.is_empty() {
            return Ok(vec![Evaluation::of(&defaults, None).map_err(unresolved)?]);
        }
        let entry = |entry: &Template| Evaluation::of(&entry.resolve(inputs)?, Some(&defaults)).map_err(unresolved);
        self.entries.iter().map(entry).collect()
    }
}

/// The subject's id is the token's: supplied where the mapping is silent, verified where it is not.
fn anchor(members: &mut Members, subject: &str) -> Result<(), Unresolved> {
    let said = members.entry("subject").or_insert_with(|| Value::Object(Map::new()));
    let refused = |at: &str, why| Err(Unresolved { at: at.to_owned(), why });
    let Value::Object(said) = said else { return refused("subject", "is not an object") };
    said.entry("type").or_insert_with(|| IDENTITY.into());
    match said.entry("id").or_insert_with(|| subject.into()) {
        Value::String(id) if id.as_str() == subject => Ok(()),
        _ => refused("subject.id", "is not whoever the token names"),
    }
}

/// An object with expressions in it, and where it stands.
#[derive(Debug, Clone)]
struct Template {
    at: String,
    members: Vec<(String, Node)>,
}

#[derive(Debug, Clone)]
enum Node {
    Literal(Value),
    Computed(Expression),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Template {
    fn compile(at: &str, body: &Members, left: &mut usize, known: &[&str]) -> Result<Self, Unfit> {
        for name in body.keys() {
            if !known.contains(&name.as_str()) {
                let known = known.join("`, `");
                return Err(Unfit(format!("`{at}` has `{name}`, but only `{known}` mean something there")));
            }
        }
        let entity = &["type", "id", "properties"][..];
        for (name, own) in [("subject", entity), ("action", &["name", "properties"][..]), ("resource", entity)] {
            let Some(part) = body.get(name) else { continue };
            let part = part.as_object().ok_or_else(|| Unfit(format!("`{at}.{name}` is not a table")))?;
            if let Some(other) = part.keys().find(|key| !own.contains(&key.as_str())) {
                let message = format!("`{at}.{name}` has `{other}`: attributes go below its `properties`");
                return Err(Unfit(message));
            }
        }
        Ok(Self { at: at.to_owned(), members: members(at, body, left, MAPPING_DEPTH_MAX)? })
    }

    fn resolve(&self, inputs: &Inputs) -> Result<Members, Unresolved> {
        resolved(&self.members, inputs, &self.at)
    }
}

fn members(at: &str, body: &Members, left: &mut usize, depth_left: usize) -> Result<Vec<(String, Node)>, Unfit> {
    let mut members = Vec::with_capacity(body.len());
    for (name, value) in body {
        members.push((name.clone(), node(&format!("{at}.{name}"), value, left, depth_left)?));
    }
    Ok(members)
}

fn node(at: &str, value: &Value, left: &mut usize, depth_left: usize) -> Result<Node, Unfit> {
    let too_large =
        || Unfit(format!("`{at}`: a mapping has at most {MAPPING_VALUES_MAX} values, {MAPPING_DEPTH_MAX} deep"));
    *left = left.checked_sub(1).ok_or_else(too_large)?;
    let depth_left = depth_left.checked_sub(1).ok_or_else(too_large)?;
    Ok(match value {
        Value::String(text) => match text.strip_prefix('$') {
            None => Node::Literal(value.clone()),
            Some(dollar) if dollar.starts_with('$') => Node::Literal(dollar.into()),
            Some(expression) => {
                let compiled = Expression::compile(expression);
                Node::Computed(compiled.map_err(|Unfit(why)| Unfit(format!("`{at}`: {why}")))?)
            }
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| node(at, item, left, depth_left));
            Node::List(items.collect::<Result<_, _>>()?)
        }
        Value::Object(body) => Node::Object(members(at, body, left, depth_left)?),
        Value::Null | Value::Bool(_) | Value::Number(_) => Node::Literal(value.clone()),
    })
}

fn resolved(members: &[(String, Node)], inputs: &Inputs, at: &str) -> Result<Members, Unresolved> {
    let mut object = Members::new();
    for (name, node) in members {
        if let Some(value) = node.resolve(inputs, &format!("{at}.{name}"))? {
            object.insert(name.clone(), value);
        }
    }
    Ok(object)
}

impl Node {
    /// `None` leaves the member out.
    fn resolve(&self, inputs: &Inputs, at: &str) -> Result<Option<Value>, Unresolved> {
        Ok(Some(match self {
            Self::Literal(value) => value.clone(),
            Self::Computed(expression) => {
                let failed = |_| Unresolved { at: at.to_owned(), why: "cannot be worked out for this call" };
                return expression.evaluate(inputs).map_err(failed);
            }
            Self::List(items) => {
                let mut list = Vec::new();
                for item in items {
                    list.extend(item.resolve(inputs, at)?);
                }
                Value::Array(list)
            }
            Self::Object(members) => Value::Object(resolved(members, inputs, at)?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs() -> Inputs {
        let params =
            json!({"name": "copy_object", "arguments": {"source": "/a", "destination": "/b", "who": "mallory"}});
        Inputs::new(&params, &json!({"sub": "alice", "aud": "https://broker.test/mcp/store"})).unwrap()
    }

    fn resolve(written: &Value) -> Result<Vec<Evaluation>, Unresolved> {
        Mapping::compile(written).unwrap_or_else(|error| panic!("{written}: {error}")).resolve(&inputs(), "alice")
    }

    #[test]
    fn one_decision_or_several_with_defaults() {
        let found = resolve(&json!({"evaluations": {
            "subject": {"type": "identity", "id": "$token.sub"},
            "context": {"agent": "$token.?client_id", "price": "$$50"},
            "evaluations": [
                {"action": {"name": "store.read"}, "resource": {"type": "Object", "id": "$params.arguments.source"}},
                {"action": {"name": "store.write"}, "resource": {"type": "Object", "id": "$params.arguments.destination"}},
            ],
        }}))
        .unwrap();
        let ids: Vec<_> = found.iter().map(|one| (one.action.name.as_str(), one.resource.id.as_str())).collect();
        assert_eq!(ids, [("store.read", "/a"), ("store.write", "/b")]);
        assert!(
            found
                .iter()
                .all(|one| one.subject.id == "alice" && one.context == *json!({"price": "$50"}).as_object().unwrap())
        );
        let one = json!({"evaluation": {"action": {"name": "a"}, "resource": {"type": "t", "id": "$params.name"}}});
        let found = resolve(&one).unwrap();
        assert_eq!(
            (found.len(), found[0].subject.kind.as_str(), found[0].resource.id.as_str()),
            (1, "identity", "copy_object")
        );
    }

    #[test]
    fn nobody_but_the_token_says_who_it_is() {
        let with = |subject: Value| json!({"evaluation": {"subject": subject, "action": {"name": "a"}, "resource": {"type": "t", "id": "i"}}});
        for subject in [
            json!({"id": "bob"}),
            json!({"id": "$params.arguments.who"}),
            json!({"id": ["alice"]}),
            json!({"id": null}),
            json!({"id": "$token.aud"}),
        ] {
            assert!(resolve(&with(subject.clone())).is_err(), "{subject}");
        }
        assert!(resolve(&with(json!({"type": "user", "id": "$token.sub"}))).is_ok());
        let smuggled = json!({"evaluations": {"action": {"name": "a"}, "resource": {"type": "t", "id": "i"},
            "evaluations": [{"subject": {"type": "identity", "id": "bob"}}]}});
        assert!(Mapping::compile(&smuggled).is_err());
    }

    #[test]
    fn what_is_missing_for_a_required_member_fails_the_call() {
        let with = |id: &str| json!({"evaluation": {"action": {"name": "a"}, "resource": {"type": "t", "id": id}}});
        for id in ["$params.arguments.region", "$params.arguments.?region", "$null", "$1", "$['a']", "$params"] {
            assert!(resolve(&with(id)).is_err(), "{id}");
        }
        assert!(resolve(&json!({"evaluation": {"action": {"name": "a"}}})).is_err());
    }

    #[test]
    fn a_malformed_mapping_is_none() {
        let deep = (0..MAPPING_DEPTH_MAX).fold(json!(1), |inner, _| json!({"a": inner}));
        let many: Vec<Value> = (0..MAPPING_VALUES_MAX).map(|number| json!(number)).collect();
        for written in [
            json!(null),
            json!([]),
            json!({}),
            json!({"evaluation": {}, "evaluations": {}}),
            json!({"search": {}}),
            json!({"evaluation": []}),
            json!({"evaluation": {"subject": "alice"}}),
            json!({"evaluation": {"actoin": {}}}),
            json!({"evaluation": {"resource": {"type": "t", "id": "i", "sensitivity": "high"}}}),
            json!({"evaluation": {"context": {"a": "$"}}}),
            json!({"evaluation": {"context": {"a": "$secret.key"}}}),
            json!({"evaluation": {"context": deep}}),
            json!({"evaluation": {"context": {"many": many}}}),
            json!({"evaluations": {}}),
            json!({"evaluations": {"evaluations": []}}),
            json!({"evaluations": {"evaluations": vec![json!({}); MAPPING_EVALUATIONS_MAX + 1]}}),
        ] {
            assert!(Mapping::compile(&written).is_err(), "{written}");
        }
    }
}
