//! Fits JSON arguments to the types that policy relies on. A value that does
//! not fit denies the call; nothing is converted by guess.

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    value::{Record, Value},
};
use serde_json::{Map, Value as Json};

use super::{refuse, refuse_with, shortened};
use crate::{
    catalogue::ArgumentPath,
    json_schema::{Attribute, RecordType, Type},
    normalise::{Normaliser, Refused},
};

/// Elements of one array that policy can see.
pub(super) const SET_ELEMENTS_MAX: usize = 16_384;
/// Digits after the point of a Cedar decimal.
const DECIMAL_DIGITS: usize = 4;

/// Where and how an argument does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Names that lead there, innermost first.
    place: Vec<String>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Missing,
    Undeclared,
    NotA(&'static str),
    TooManyElements,
    Spelling(Refused),
}

impl Misfit {
    fn new(problem: Problem) -> Self {
        Self { place: Vec::new(), problem }
    }

    fn within(mut self, name: &str) -> Self {
        self.place.push(name.to_owned());
        self
    }

    /// As a reason to deny. Names the argument, never its value.
    pub(super) fn reason(&self) -> Reason {
        let mut place: Vec<&str> = self.place.iter().map(String::as_str).collect();
        place.reverse();
        let place = shortened(&place.join("."));
        let code = ReasonCode::ArgumentInvalid;
        match &self.problem {
            Problem::Missing => refuse_with(code, format!("argument `{place}` is missing"), "give it a value"),
            Problem::Undeclared => {
                refuse_with(code, format!("argument `{place}` is not one that the tool declares"), "leave it out")
            }
            Problem::NotA(kind) => refuse(code, format!("argument `{place}` is not {kind}")),
            Problem::TooManyElements => {
                refuse(code, format!("argument `{place}` holds more than {SET_ELEMENTS_MAX} elements"))
            }
            Problem::Spelling(refused) => refuse(code, format!("argument `{place}` {refused}")),
        }
    }
}

/// The typed members of an object. Opaque ones are left out.
pub(super) fn record(kind: &RecordType, object: &Map<String, Json>) -> Result<Record, Misfit> {
    let mut record = Record::new();
    for (name, json) in object {
        match kind.attributes.get(name) {
            None if kind.open => {}
            None => return Err(Misfit::new(Problem::Undeclared).within(name)),
            Some(Attribute::Opaque) => {}
            Some(Attribute::Typed { nullable: true, .. }) if json.is_null() => {}
            Some(Attribute::Typed { kind, .. }) => {
                let value = value(kind, json).map_err(|misfit| misfit.within(name))?;
                record.insert(name.clone(), value);
            }
        }
    }
    for (name, attribute) in &kind.attributes {
        if matches!(attribute, Attribute::Typed { required: true, nullable: false, .. }) && !record.contains_key(name) {
            return Err(Misfit::new(Problem::Missing).within(name));
        }
    }
    Ok(record)
}

fn value(kind: &Type, json: &Json) -> Result<Value, Misfit> {
    let not_a = |what| Misfit::new(Problem::NotA(what));
    match kind {
        Type::Bool => json.as_bool().map(Value::Bool).ok_or_else(|| not_a("`true` or `false`")),
        Type::Long => json.as_i64().map(Value::Long).ok_or_else(|| not_a("an integer of 64 bits")),
        Type::Decimal => decimal(json)
            .map(Value::Decimal)
            .ok_or_else(|| not_a("a number with at most four digits after the point, between ±922337203685477.5807")),
        Type::String => json.as_str().map(|text| Value::String(text.to_owned())).ok_or_else(|| not_a("text")),
        Type::Set(element) => {
            let array = json.as_array().ok_or_else(|| not_a("an array"))?;
            if array.len() > SET_ELEMENTS_MAX {
                return Err(Misfit::new(Problem::TooManyElements));
            }
            array.iter().map(|json| value(element, json)).collect::<Result<_, _>>().map(Value::Set)
        }
        Type::Record(kind) => {
            let object = json.as_object().ok_or_else(|| not_a("an object"))?;
            record(kind, object).map(Value::Record)
        }
    }
}

/// A JSON number in ten-thousandths, if it is exactly so many.
fn decimal(json: &Json) -> Option<i64> {
    let Json::Number(number) = json else { return None };
    let text = match number.as_f64() {
        // Rust writes the shortest digits that read back, never with an exponent.
        Some(double) if number.is_f64() => format!("{double}"),
        _ => number.to_string(),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.len() > DECIMAL_DIGITS {
        return None;
    }
    format!("{whole}{fraction:0<DECIMAL_DIGITS$}").parse().ok()
}

/// Brings what stands at `path` to one spelling.
pub(super) fn normalise(record: &mut Record, path: &ArgumentPath, normaliser: Normaliser) -> Result<(), Misfit> {
    match path.steps().split_first() {
        Some((first, rest)) => match record.get_mut(first) {
            Some(value) => normalise_value(value, rest, normaliser).map_err(|misfit| misfit.within(first)),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

fn normalise_value(value: &mut Value, steps: &[String], normaliser: Normaliser) -> Result<(), Misfit> {
    match (value, steps.split_first()) {
        (Value::Set(elements), _) => {
            elements.iter_mut().try_for_each(|element| normalise_value(element, steps, normaliser))
        }
        (Value::Record(record), Some((first, rest))) => match record.get_mut(first) {
            Some(value) => normalise_value(value, rest, normaliser).map_err(|misfit| misfit.within(first)),
            None => Ok(()),
        },
        (Value::String(text), None) => {
            *text = normaliser.apply(text).map_err(|refused| Misfit::new(Problem::Spelling(refused)))?;
            Ok(())
        }
        // The catalogue lets no other place be normalised.
        _ => Err(Misfit::new(Problem::NotA("text"))),
    }
}

/// Roughly how many bytes a typed input takes.
pub(super) fn record_bytes(record: &Record) -> usize {
    record.iter().map(|(name, value)| member_bytes(name, value_bytes(value))).sum()
}

/// Bytes that a member takes, with its value.
pub(super) fn member_bytes(name: &str, value: usize) -> usize {
    name.len() + 64 + value
}

/// Bytes that a raw argument takes, about.
pub(super) fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value as Json;
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => text.len() + 32,
        Json::Array(items) => items.iter().map(json_bytes).sum(),
        Json::Object(members) => members.iter().map(|(name, value)| member_bytes(name, json_bytes(value))).sum(),
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::Long(_) | Value::Decimal(_) => 8,
        Value::String(text) => text.len() + 32,
        Value::Set(elements) => elements.iter().map(value_bytes).sum(),
        Value::Record(record) => record_bytes(record),
    }
}
