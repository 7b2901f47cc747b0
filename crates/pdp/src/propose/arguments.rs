//! What a tool's arguments most likely name: records, paths, addresses, limits.

use std::collections::BTreeMap;

use bailiwick_model::operation::ActionClass;
use serde_json::Value;

use crate::{
    catalogue::{
        ArgumentPath,
        words::{normaliser_of, words},
    },
    json_schema::{Attribute, RecordType, Type},
    normalise::Normaliser,
};

/// Arguments that say where something comes from or goes to.
const ENDS: &[&str] = &["source", "destination", "src", "dst", "dest", "from", "to", "target"];
/// Words of a tool that works on files.
const FILE_WORDS: &[&str] = &["file", "files", "directory", "directories", "dir", "folder", "folders", "path", "paths"];
/// Words of a tool that works on messages.
const MAIL_WORDS: &[&str] = &["mail", "email", "emails", "message", "draft"];
/// Arguments that bound how many records are touched.
const LIMITS: &[&str] =
    &["limit", "max_results", "maxresults", "max_count", "top_k", "topk", "page_size", "pagesize", "per_page"];

/// Arguments that are sums of money: fit for a decimal of four digits.
const MONEY: &[&str] = &["amount", "price", "cost", "total", "sum", "fee", "budget"];

/// A proposed mapping.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) type_name: Option<String>,
    pub(super) ids: Vec<String>,
    pub(super) each: Vec<String>,
    pub(super) normalise: BTreeMap<String, Normaliser>,
    pub(super) decimal: Vec<String>,
    pub(super) records: Option<Records>,
    pub(super) remarks: Vec<String>,
}

/// How many records are touched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Records {
    Exactly(usize),
    From(String),
}

/// Maps the arguments of one tool.
pub(super) fn map(name: &str, class: ActionClass, input: &RecordType, schema: &Value) -> Mapped {
    let name_words = words(name);
    let mut mapped = Mapped::default();
    for (argument, attribute) in &input.attributes {
        let Attribute::Typed { kind, .. } = attribute else { continue };
        let text = *kind == Type::String || matches!(kind, Type::Set(element) if **element == Type::String);
        let Some(normaliser) = normaliser(argument, &name_words).filter(|_| text) else { continue };
        if normaliser == Normaliser::Path && is_relative(schema, argument) {
            mapped.remarks.push(format!("`{argument}` sounds like a relative path, which has no single spelling"));
        } else {
            mapped.normalise.insert(argument.clone(), normaliser);
        }
    }
    mapped.decimal = decimals(schema);
    mapped.name_records(&name_words, input);
    mapped.count(&name_words, class, input);
    mapped
}

fn normaliser(argument: &str, tool: &[String]) -> Option<Normaliser> {
    let tool_says = |known: &[&str]| tool.iter().any(|word| known.contains(&word.as_str()));
    normaliser_of(argument).or_else(|| match argument {
        "to" | "cc" | "bcc" | "from" if tool_says(MAIL_WORDS) => Some(Normaliser::Email),
        end if ENDS.contains(&end) && tool_says(FILE_WORDS) => Some(Normaliser::Path),
        _ => None,
    })
}

fn decimals(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let money = |name: &str| {
        words(name).iter().any(|word| MONEY.contains(&word.as_str())) && name.parse::<ArgumentPath>().is_ok()
    };
    let numbers =
        properties.into_iter().flatten().filter(|(_, member)| member.get("type").is_some_and(|kind| kind == "number"));
    let mut names: Vec<String> =
        numbers.map(|(name, _)| name.clone()).filter(|name| money(name) && !name.contains('.')).collect();
    names.sort();
    names
}

fn is_relative(schema: &Value, argument: &str) -> bool {
    let description = schema.get("properties").and_then(|all| all.get(argument)?.get("description")?.as_str());
    description.is_some_and(|text| words(text).iter().any(|word| word == "relative"))
}

impl Mapped {
    fn name_records(&mut self, tool: &[String], input: &RecordType) {
        let kind = |argument: &str| match input.attributes.get(argument) {
            Some(Attribute::Typed { kind, .. }) => Some(kind),
            _ => None,
        };
        let is_scalar = |argument: &&String| matches!(kind(argument), Some(Type::String | Type::Long));
        let paths: Vec<&String> = self.of(Normaliser::Path).collect();
        let single: Vec<String> = paths.iter().copied().filter(is_scalar).cloned().collect();
        if !single.is_empty() {
            self.type_name = Some(path_type(single.first().map(String::as_str).unwrap_or_default()).to_owned());
            self.ids = in_order(single);
            return;
        }
        if let Some(array) = paths.first() {
            let array = (*array).clone();
            return self.fan_out(vec![array.clone()], path_type(&array).to_owned(), Vec::new());
        }
        if let Some(id) = input.attributes.keys().filter(is_scalar).find(|argument| is_id(argument)) {
            self.type_name = record_type(id, tool);
            self.ids = if self.type_name.is_some() { vec![id.clone()] } else { Vec::new() };
            return;
        }
        let mut recipients: Vec<String> =
            self.of(Normaliser::Email).filter(|argument| !is_scalar(argument)).cloned().collect();
        if !recipients.is_empty() {
            recipients.sort_by_key(|argument| argument != "to");
            return self.fan_out(recipients, String::from("Recipient"), Vec::new());
        }
        for argument in input.attributes.keys() {
            let Some(Type::Set(element)) = kind(argument) else { continue };
            match element.as_ref() {
                Type::String if self.normalise.get(argument) == Some(&Normaliser::Url) => {
                    return self.fan_out(vec![argument.clone()], String::from("Page"), Vec::new());
                }
                Type::String | Type::Long if is_ids(argument) => {
                    if let Some(type_name) = record_type(argument, tool) {
                        return self.fan_out(vec![argument.clone()], type_name, Vec::new());
                    }
                }
                Type::Record(record) => {
                    if let Some((id, type_name)) = element_id(argument, record) {
                        return self.fan_out(vec![argument.clone()], type_name, vec![format!("{argument}.{id}")]);
                    }
                }
                _ => {}
            }
        }
    }

    fn of(&self, normaliser: Normaliser) -> impl Iterator<Item = &String> {
        self.normalise.iter().filter(move |(_, other)| **other == normaliser).map(|(argument, _)| argument)
    }

    fn fan_out(&mut self, each: Vec<String>, type_name: String, ids: Vec<String>) {
        (self.each, self.type_name, self.ids) = (each, Some(type_name), ids);
    }

    /// Only where one call touches what it names and nothing else.
    fn count(&mut self, tool: &[String], class: ActionClass, input: &RecordType) {
        let says = |known: &[&str]| tool.iter().any(|word| known.contains(&word.as_str()));
        let limit = input.attributes.iter().find(|(argument, attribute)| {
            let long = matches!(attribute, Attribute::Typed { kind: Type::Long, .. });
            long && LIMITS.contains(&argument.to_ascii_lowercase().as_str())
        });
        let many = says(&[
            "list", "search", "find", "tree", "query", "all", "log", "logs", "history", "diff", "export", "dump",
        ]);
        let recursive =
            class == ActionClass::Delete && (says(FILE_WORDS) || self.of(Normaliser::Path).next().is_some());
        let unclear = class == ActionClass::Execute || recursive || self.type_name.as_deref() == Some("Repository");
        self.records = match (limit, self.each.as_slice()) {
            (Some((limit, _)), _) if class == ActionClass::Read => Some(Records::From(format!("input:{limit}"))),
            _ if many || unclear => None,
            (_, [each]) => Some(Records::From(format!("len:{each}"))),
            (_, []) if !self.ids.is_empty() => Some(Records::Exactly(self.ids.len())),
            _ => None,
        };
    }
}

/// Source before destination, else as they come.
fn in_order(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_by_key(|id| {
        ENDS.iter().position(|end| end == id && matches!(*end, "destination" | "dst" | "dest" | "to" | "target"))
    });
    ids
}

fn path_type(argument: &str) -> &'static str {
    let repository = words(argument).iter().any(|word| word == "repo" || word == "repository");
    if repository { "Repository" } else { "File" }
}

fn is_id(argument: &str) -> bool {
    words(argument).last().is_some_and(|word| matches!(word.as_str(), "id" | "uuid"))
}

fn is_ids(argument: &str) -> bool {
    words(argument).last().is_some_and(|word| matches!(word.as_str(), "ids" | "uuids" | "names" | "keys"))
}

/// `contact_id` names a `Contact`; a bare `id` names what the tool's last word says.
fn record_type(argument: &str, tool: &[String]) -> Option<String> {
    let mut own = words(argument);
    own.pop();
    let named = if own.is_empty() { vec![singular(tool.get(1..)?.last()?)] } else { own };
    let type_name: String = named.iter().map(|word| capital(word)).collect();
    type_name.starts_with(|first: char| first.is_ascii_uppercase()).then_some(type_name).filter(|name| name.is_ascii())
}

/// The member that names an element, and the record type that it names.
fn element_id(argument: &str, record: &RecordType) -> Option<(String, String)> {
    let named = record.attributes.iter().find(|(member, attribute)| {
        let scalar = matches!(attribute, Attribute::Typed { kind: Type::String | Type::Long, .. });
        scalar && words(member).last().is_some_and(|word| matches!(word.as_str(), "id" | "uuid" | "name"))
    });
    let (member, _) = named?;
    let mut own = words(member);
    own.pop();
    let words = if own.is_empty() { vec![singular(words(argument).last()?)] } else { own };
    let type_name: String = words.iter().map(|word| capital(word)).collect();
    type_name.is_ascii().then(|| (member.clone(), type_name))
}

fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word).to_owned(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
