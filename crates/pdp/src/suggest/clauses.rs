//! From the arguments of calls to the conditions of a permit. It generalises little, never from one sample, and says
//! what it did to each argument.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::value::{Record, Value};

use crate::{
    catalogue::{ArgumentPath, Tool},
    definition::visible,
    json_schema::{Attribute, RecordType, Type},
    normalise::Normaliser,
    schema::{attribute_name, literal},
};

/// Values of one argument that are written out before a rule is looked for, unless asked otherwise.
pub const VALUES_MAX: usize = 8;
/// Values of one argument that are written out where anything wider would allow a bad call.
pub const VALUES_EXACT_MAX: usize = 256;
/// Bytes of one text that is written out whole; of a longer one its beginning is.
const TEXT_BYTES_MAX: usize = 512;
/// Bytes of a text that counts as content, not as a name, once there are several.
const CONTENT_BYTES_MIN: usize = 120;

/// How closely a permit follows what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    /// Few values as they are, of many their range or folder.
    Ranges,
    /// Each argument has one of the values seen.
    Values,
    /// The arguments together are as in one of the calls seen.
    Calls,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// In Cedar; `None` leaves the argument free.
    pub(super) cedar: Option<String>,
    /// What was made of the argument, in words.
    pub(super) said: String,
}

/// Writes the conditions of one action.
pub(super) struct Writer<'a> {
    pub(super) tool: Option<&'a Tool>,
    pub(super) values_max: usize,
}

impl Writer<'_> {
    /// One clause per argument.
    pub(super) fn clauses(&self, samples: &[&Record]) -> Vec<Clause> {
        let mut clauses = match self.tool {
            Some(tool) => self.record("context.input", &[], &tool.input, samples),
            None => self.record("context.input", &[], &of_method(samples), samples),
        };
        if let Some(tool) = self.tool {
            let opaque = tool.opaque.iter().map(|name| Clause {
                cedar: None,
                said: format!("`{}`: policy cannot see it; pin it in a task", visible(name)),
            });
            clauses.extend(opaque);
        }
        clauses
    }

    fn record(&self, base: &str, path: &[String], record: &RecordType, samples: &[&Record]) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for (name, attribute) in &record.attributes {
            let Attribute::Typed { kind, required, nullable } = attribute else { continue };
            let path: Vec<String> = path.iter().chain([name]).cloned().collect();
            let named = visible(&path.join("."));
            let present: Vec<&Value> = samples.iter().filter_map(|sample| sample.get(name)).collect();
            let has = format!("{base} has {}", attribute_name(name));
            let always = *required && !*nullable;
            if present.is_empty() {
                clauses.push(Clause {
                    cedar: (!always).then(|| format!("!({has})")),
                    said: format!("`{named}`: never given, so it has to be absent"),
                });
                continue;
            }
            let (rule, said) = self.value(&access(base, name), &path, kind, &present);
            let cedar = match rule {
                None => None,
                Some(rule) if always => Some(rule),
                Some(rule) if present.len() == samples.len() => Some(format!("{has} && ({rule})")),
                // Cedar's validator follows `has` into a branch, and not past a negation.
                Some(rule) => Some(format!("if {has} then ({rule}) else true")),
            };
            let sometimes = if present.len() < samples.len() { ", or absent" } else { "" };
            clauses.push(Clause { cedar, said: format!("`{named}`: {said}{sometimes}") });
        }
        clauses
    }

    fn value(&self, place: &str, path: &[String], kind: &Type, values: &[&Value]) -> (Option<String>, String) {
        match kind {
            Type::Set(element) => self.set(place, element, values),
            Type::Record(record) => {
                let samples: Vec<&Record> = values.iter().filter_map(|value| as_record(value)).collect();
                let inner = self.record(place, path, record, &samples);
                let rules: Vec<String> =
                    inner.iter().filter_map(|clause| clause.cedar.as_ref()).map(|rule| format!("({rule})")).collect();
                let said: Vec<&str> = inner.iter().map(|clause| clause.said.as_str()).collect();
                ((!rules.is_empty()).then(|| rules.join(" && ")), format!("an object of {}", said.join("; ")))
            }
            Type::Bool | Type::Long | Type::Decimal | Type::String => self.scalar(place, path, values),
        }
    }

    fn scalar(&self, place: &str, path: &[String], values: &[&Value]) -> (Option<String>, String) {
        let distinct: BTreeSet<&Value> = values.iter().copied().collect();
        let content = distinct.len() > 1 && distinct.iter().any(|value| bytes(value) >= CONTENT_BYTES_MIN);
        if let (1, Some(Value::String(text))) = (distinct.len(), distinct.first())
            && text.len() > TEXT_BYTES_MAX
        {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            let begin = text.get(..end).unwrap_or_default();
            return (Some(like(place, begin)), format!("one text, which begins as the {} bytes seen", text.len()));
        }
        let whole = distinct.iter().all(|value| bytes(value) <= TEXT_BYTES_MAX);
        let exact = self.values_max >= VALUES_EXACT_MAX;
        if distinct.len() <= self.values_max && whole && (exact || !content) {
            return one_of(place, &distinct);
        }
        if let Some((low, high)) = range(&distinct) {
            let said = format!("{low} to {high}, the smallest and largest of {} values", distinct.len());
            return (Some(between(place, distinct.first().copied(), distinct.last().copied())), said);
        }
        if let Some(folder) = self.folder(path, &distinct) {
            let rule = format!("{place} == {} || {}", literal(&folder), like(place, &format!("{folder}/")));
            return (Some(rule), format!("under {}, the folder of all {} paths", visible(&folder), distinct.len()));
        }
        (None, format!("free, {} different values", distinct.len()))
    }

    fn set(&self, place: &str, element: &Type, values: &[&Value]) -> (Option<String>, String) {
        if matches!(element, Type::Set(_) | Type::Record(_)) {
            return (None, String::from("policy cannot look into its elements; pin it in a task"));
        }
        let seen: BTreeSet<&Value> = values.iter().flat_map(|value| elements(value)).collect();
        if seen.is_empty() {
            return (Some(format!("{place}.isEmpty()")), String::from("always empty"));
        }
        let lists: BTreeSet<BTreeSet<&Value>> = values.iter().map(|value| elements(value).iter().collect()).collect();
        let max = if lists.len() == 1 { VALUES_EXACT_MAX } else { self.values_max.max(VALUES_MAX) };
        if seen.len() <= max && seen.iter().all(|value| bytes(value) <= TEXT_BYTES_MAX) {
            let listed = list(&seen);
            if lists.len() == 1 {
                return (Some(format!("{place} == [{listed}]")), String::from("the one list seen"));
            }
            let said = format!("each element one of {} seen", seen.len());
            let rule = format!("[{listed}].containsAll({place})");
            // The empty list holds nothing else than what was seen, and was not seen.
            let empty = lists.iter().any(BTreeSet::is_empty);
            return (Some(if empty { rule } else { format!("{rule} && !{place}.isEmpty()") }), said);
        }
        (None, format!("free, {} different elements", seen.len()))
    }

    /// The deepest folder that all paths share. Only where the catalogue brings paths to one spelling: elsewhere `..`
    /// would lead out of it.
    fn folder(&self, path: &[String], values: &BTreeSet<&Value>) -> Option<String> {
        let path: ArgumentPath = path.join(".").parse().ok()?;
        if self.tool?.normalise.get(&path) != Some(&Normaliser::Path) {
            return None;
        }
        let texts: Vec<&str> = values.iter().filter_map(|value| as_text(value)).collect();
        common_folder(&texts)
    }
}

/// The deepest folder below the root that all these absolute, normal paths are in.
pub(super) fn common_folder(paths: &[&str]) -> Option<String> {
    let (first, rest) = paths.split_first()?;
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let mut shared = parts(first);
    shared.pop();
    for path in rest {
        let mut other = parts(path);
        other.pop();
        let same = shared.iter().zip(&other).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
    }
    let folder = shared.join("/");
    (folder.starts_with('/') && folder.len() > 1).then_some(folder)
}

fn of_method(samples: &[&Record]) -> RecordType {
    let typed = || Attribute::Typed { kind: Type::String, required: true, nullable: false };
    let names: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.keys()).collect();
    let attributes: BTreeMap<String, Attribute> = names.into_iter().map(|name| (name.clone(), typed())).collect();
    RecordType { attributes, open: false }
}

fn access(base: &str, name: &str) -> String {
    match attribute_name(name) {
        quoted if quoted.starts_with('"') => format!("{base}[{quoted}]"),
        plain => format!("{base}.{plain}"),
    }
}

fn one_of(place: &str, values: &BTreeSet<&Value>) -> (Option<String>, String) {
    match values.first() {
        Some(only) if values.len() == 1 => {
            (Some(format!("{place} == {}", written(only))), String::from("the one value seen"))
        }
        _ => {
            let both = values.len() == 2 && values.iter().all(|value| matches!(value, Value::Bool(_)));
            if both {
                return (None, String::from("true or false"));
            }
            (Some(format!("[{}].contains({place})", list(values))), format!("one of the {} values seen", values.len()))
        }
    }
}

fn list(values: &BTreeSet<&Value>) -> String {
    values.iter().map(|value| written(value)).collect::<Vec<_>>().join(", ")
}

/// A scalar as a Cedar literal.
fn written(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Decimal(parts) => format!("decimal(\"{}\")", decimal(*parts)),
        Value::String(text) => literal(text),
        // Asked for scalars only.
        Value::Set(_) | Value::Record(_) => String::from("[]"),
    }
}

fn decimal(parts: i64) -> String {
    let sign = if parts < 0 { "-" } else { "" };
    let parts = parts.unsigned_abs();
    format!("{sign}{}.{:04}", parts / 10_000, parts % 10_000)
}

fn range(values: &BTreeSet<&Value>) -> Option<(String, String)> {
    match (values.first()?, values.last()?) {
        (Value::Long(low), Value::Long(high)) => Some((low.to_string(), high.to_string())),
        (Value::Decimal(low), Value::Decimal(high)) => Some((decimal(*low), decimal(*high))),
        _ => None,
    }
}

fn between(place: &str, low: Option<&Value>, high: Option<&Value>) -> String {
    match (low, high) {
        (Some(low @ Value::Decimal(_)), Some(high)) => {
            let (low, high) = (written(low), written(high));
            format!("{place}.greaterThanOrEqual({low}) && {place}.lessThanOrEqual({high})")
        }
        (Some(low), Some(high)) => format!("{place} >= {} && {place} <= {}", written(low), written(high)),
        _ => String::from("false"),
    }
}

fn like(place: &str, begin: &str) -> String {
    let pattern = literal(begin).replace('*', "\\*");
    format!("{place} like {}*\"", pattern.strip_suffix('"').unwrap_or(&pattern))
}

fn bytes(value: &Value) -> usize {
    as_text(value).map_or(0, str::len)
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn as_record(value: &Value) -> Option<&Record> {
    match value {
        Value::Record(record) => Some(record),
        _ => None,
    }
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Set(elements) => elements,
        _ => &[],
    }
}
