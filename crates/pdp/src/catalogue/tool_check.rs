//! Checks one tool: its pin, and that its mapping names arguments that exist
//! and have the right type.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    authentication::StepUp,
    name::{ActionName, Fact, SystemName, ToolName},
    operation::{ActionClass, ActionTag},
};
use serde_json::Value;

use super::{
    ArgumentPath, EffectMapping, FieldPath, RecordCount, RecordMapping, Tool,
    file::{EffectEntry, RecordsEntry, ResourceEntry, StepUpEntry, ToolEntry},
    lock::Definition,
    records, step_up_check, words,
};
use crate::{
    coaz::{DECLARED, Mapping},
    finding::Finding,
    json_schema::{self, Attribute, RecordType, Type},
    normalise::Normaliser,
    strict_toml,
};

/// Names of one field class.
const FIELD_CLASS_BYTES_MAX: usize = 64;

struct Check<'a> {
    file: &'a str,
    line: usize,
    action: &'a ActionName,
    input: &'a RecordType,
    findings: &'a mut Vec<Finding>,
}

/// Puts a pinned definition and what the catalogue says of it together.
pub(super) fn tool(
    file: &str,
    system: &SystemName,
    name: ToolName,
    definition: Definition,
    entry: Option<(usize, ToolEntry)>,
    findings: &mut Vec<Finding>,
) -> Tool {
    let action = ActionName::of_tool(system, &name);
    let schema = definition.whole.get("inputSchema").unwrap_or(&Value::Null);
    let Some((line, entry)) = entry else {
        let shape = json_schema::read(schema, &BTreeSet::new());
        return unclassified(name, action, definition, shape);
    };
    let decimals: BTreeSet<ArgumentPath> = entry.decimal.iter().filter_map(|path| path.parse().ok()).collect();
    let shape = json_schema::read(schema, &decimals);
    let mut check = Check { file, line, action: &action, input: &shape.input, findings };
    check.pin(system, &definition, entry.definition);
    check.decimals(&entry.decimal, &shape.not_numbers);
    let normalise = check.normalisers(&entry.normalise);
    let records = check.records(entry.resource, entry.each.0, &normalise);
    let effect = check.effect(entry.effect);
    let field_classes = check.field_classes(&entry.field_classes);
    let authzen = check.authzen(entry.authzen.as_ref(), schema.get(DECLARED));
    let step_up = check.step_up(entry.step_up);
    let (facts_touched, facts_completed) = (check.facts(entry.facts.touched), check.facts(entry.facts.completed));
    Tool {
        class: entry.class,
        tags: entry.tags.into_iter().collect(),
        step_up,
        classified: true,
        records,
        normalise,
        effect,
        facts_touched,
        facts_completed,
        field_classes,
        authzen,
        ..unclassified(name, action, definition, shape)
    }
}

/// A tool that nobody classified: the worst in every respect.
fn unclassified(name: ToolName, action: ActionName, definition: Definition, shape: json_schema::Shape) -> Tool {
    Tool {
        name,
        action,
        class: ActionClass::Write,
        tags: ActionTag::ALL.into_iter().collect(),
        step_up: None,
        classified: false,
        definition: definition.whole,
        digest: definition.digest,
        input: shape.input,
        opaque: shape.opaque,
        records: None,
        normalise: BTreeMap::new(),
        effect: EffectMapping::UNKNOWN,
        facts_touched: Vec::new(),
        facts_completed: Vec::new(),
        field_classes: BTreeMap::new(),
        authzen: None,
    }
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, message: String, help: Option<String>) {
        let mut finding = Finding::error(code, self.file, format!("tool `{}`: {message}", self.action)).at(self.line);
        finding.help = help;
        self.findings.push(finding);
    }

    fn pin(&mut self, system: &SystemName, definition: &Definition, pinned: Option<bailiwick_model::digest::Digest>) {
        let help = format!("run `bailiwick systems discover {system}`, read the definition, and pin it");
        match pinned {
            Some(pinned) if pinned == definition.digest => {}
            Some(pinned) => {
                let (pinned, seen) = (pinned.short(), definition.digest.short());
                let message = format!("`{pinned}` is pinned here, but `{system}.tools.json` holds `{seen}`");
                self.error("definition-changed", message, Some(help));
            }
            None => self.error("definition-missing", String::from("no definition is pinned"), Some(help)),
        }
    }

    /// A mapping is an operator's: written here, or declared by the pinned definition and adopted here.
    fn authzen(&mut self, written: Option<&Value>, declared: Option<&Value>) -> Option<Arc<Mapping>> {
        let adopted = written.and_then(Value::as_str) == Some("declared");
        let mapping = match (written, declared) {
            (None, None) => return None,
            (None, Some(_)) => {
                let message =
                    format!("tool `{}`: its definition declares an AuthZEN mapping, which is not used", self.action);
                let finding = Finding::warning("authzen-declared", self.file, message).at(self.line);
                self.findings
                    .push(finding.with_help("read it, then write `authzen = \"declared\"`, or a mapping of your own"));
                return None;
            }
            (Some(_), None) if adopted => {
                self.error("authzen-invalid", format!("its definition declares no `{DECLARED}`"), None);
                return None;
            }
            (Some(_), Some(declared)) if adopted => declared,
            (Some(written), _) => written,
        };
        let compiled = Mapping::compile(mapping).map(Arc::new);
        compiled.map_err(|unfit| self.error("authzen-invalid", format!("`authzen`: {unfit}"), None)).ok()
    }

    fn decimals(&mut self, written: &[String], not_numbers: &[ArgumentPath]) {
        for text in written {
            match text.parse::<ArgumentPath>() {
                Ok(path) if not_numbers.contains(&path) => {
                    self.error(
                        "decimal-invalid",
                        format!("`decimal` names `{path}`, which is not a number"),
                        self.meant(&path),
                    );
                }
                Ok(_) => {}
                Err(error) => self.error("decimal-invalid", error.to_string(), None),
            }
        }
    }

    /// The argument that was probably meant.
    fn meant(&self, path: &ArgumentPath) -> Option<String> {
        let known = self.input.attributes.keys().map(String::as_str);
        if self.input.attributes.contains_key(path.argument()) {
            return None;
        }
        strict_toml::did_you_mean(path.argument(), known).map(|meant| format!("did you mean `{meant}`?"))
    }

    fn path(&mut self, key: &str, text: &str) -> Option<ArgumentPath> {
        let parsed = text.parse::<ArgumentPath>();
        parsed.map_err(|error| self.error("path-invalid", format!("`{key}`: {error}"), None)).ok()
    }

    fn normalisers(&mut self, written: &BTreeMap<String, Normaliser>) -> BTreeMap<ArgumentPath, Normaliser> {
        let mut normalise = BTreeMap::new();
        for (text, normaliser) in written {
            let Some(path) = self.path("normalise", text) else { continue };
            let text_there = self.input.find(path.steps()).is_some_and(|place| match place.kind {
                Type::String => true,
                Type::Set(element) => **element == Type::String,
                _ => false,
            });
            if text_there {
                normalise.insert(path, *normaliser);
            } else {
                let message = format!("`normalise` names `{path}`, which is neither text nor a list of texts");
                self.error("normalise-invalid", message, self.meant(&path));
            }
        }
        normalise
    }

    fn records(
        &mut self,
        resource: Option<ResourceEntry>,
        each: Vec<String>,
        normalise: &BTreeMap<ArgumentPath, Normaliser>,
    ) -> Option<RecordMapping> {
        let Some(resource) = resource else {
            if !each.is_empty() {
                let help = String::from("say what the elements are: `resource = { type = \"File\" }`");
                self.error("each-without-resource", String::from("`each` needs a `resource`"), Some(help));
            }
            return None;
        };
        if !records::is_type_name(&resource.type_name) {
            let message = format!("`{}` cannot be the name of a record type", resource.type_name);
            let help = String::from("write it in UpperCamel letters and digits, and not like one of Cedar's own types");
            self.error("record-type", message, Some(help));
            return None;
        }
        for each in &each {
            let array = self.input.attributes.get(each);
            if !matches!(array, Some(Attribute::Typed { kind: Type::Set(_), .. })) {
                let message = format!("`each` names `{each}`, which is not an array that policy can see");
                let help = each.parse().ok().and_then(|path| self.meant(&path));
                self.error("each-invalid", message, help);
                return None;
            }
        }
        let mut written = resource.id.0;
        if written.is_empty() {
            written.clone_from(&each);
        }
        if written.is_empty() {
            self.error("record-id", String::from("`resource` names no `id`"), None);
        }
        let ids: Vec<_> = written.iter().filter_map(|text| self.record_id(text, &each, normalise)).collect();
        for array in &each {
            if ids.len() == written.len() && !ids.iter().any(|path| path.argument() == array) {
                let message = format!("no `id` says which part of an element of `{array}` names the record");
                self.error("record-id", message, Some(format!("add `{array}` or `{array}.<name>`")));
            }
        }
        let attributes = self.record_attributes(resource.attributes, &each);
        Some(RecordMapping { type_name: resource.type_name, each, ids, attributes })
    }

    fn record_id(
        &mut self,
        text: &str,
        each: &[String],
        normalise: &BTreeMap<ArgumentPath, Normaliser>,
    ) -> Option<ArgumentPath> {
        let path = self.path("id", text)?;
        if !each.is_empty() && !each.iter().any(|each| each == path.argument()) {
            let message = format!("with `each`, an `id` is part of an element, and `{path}` is not");
            self.error("record-id", message, each.first().map(|each| format!("write `{each}.<name>`")));
            return None;
        }
        let kind = records::subject(self.input, each, &path).map(|(kind, _)| kind);
        if !matches!(kind, Some(Type::String | Type::Long)) {
            let message = format!("`id` names `{path}`, which is neither one text nor one integer");
            self.error("record-id", message, self.meant(&path));
            return None;
        }
        let name = path.steps().last().map(String::as_str).unwrap_or_default();
        if let Some(normaliser) = words::normaliser_of(name)
            && kind == Some(&Type::String)
            && !normalise.contains_key(&path)
        {
            let message = format!("tool `{}`: `{path}` names a record, but has many spellings", self.action);
            let help = format!("add `normalise = {{ \"{path}\" = \"{}\" }}`", normaliser.as_str());
            let finding = Finding::warning("record-id-spelling", self.file, message);
            self.findings.push(finding.at(self.line).with_help(help));
        }
        Some(path)
    }

    fn record_attributes(
        &mut self,
        written: BTreeMap<String, String>,
        each: &[String],
    ) -> BTreeMap<String, ArgumentPath> {
        let mut attributes = BTreeMap::new();
        for (name, text) in written {
            let Some(path) = self.path("attributes", &text) else { continue };
            if name == records::ID || name.is_empty() || name.starts_with("__") {
                self.error("record-attribute", format!("a record attribute cannot be called `{name}`"), None);
            } else if records::subject(self.input, each, &path).is_none() {
                let message = format!("attribute `{name}` names `{path}`, which policy cannot see");
                self.error("record-attribute", message, self.meant(&path));
            } else {
                attributes.insert(name, path);
            }
        }
        attributes
    }

    fn step_up(&mut self, entry: Option<StepUpEntry>) -> Option<StepUp> {
        let read = step_up_check::read(entry?);
        read.map_err(|(message, help)| self.error("step-up-invalid", message, Some(help.to_owned()))).ok()
    }

    fn effect(&mut self, entry: Option<EffectEntry>) -> EffectMapping {
        let Some(EffectEntry { records, reversible }) = entry else { return EffectMapping::UNKNOWN };
        let records = match records {
            None => RecordCount::Unknown,
            Some(RecordsEntry::Exactly(count)) if count >= 0 => RecordCount::Exactly(count),
            Some(RecordsEntry::Exactly(count)) => {
                self.error("effect-invalid", format!("`records` is {count}, but nothing touches less than none"), None);
                RecordCount::Unknown
            }
            Some(RecordsEntry::From(text)) => self.record_count(&text).unwrap_or(RecordCount::Unknown),
        };
        EffectMapping { records, reversible }
    }

    fn record_count(&mut self, text: &str) -> Option<RecordCount> {
        let (what, path) = text.split_once(':').unwrap_or((text, ""));
        let path = self.path("effect", path)?;
        let place = self.input.find(path.steps());
        let outermost_is_opaque = self.input.attributes.get(path.argument()) == Some(&Attribute::Opaque);
        match (what, place.map(|place| (place.kind, place.arrays))) {
            ("len", Some((Type::Set(_), 0))) => Some(RecordCount::Length(path)),
            ("len", None) if outermost_is_opaque && path.steps().len() == 1 => Some(RecordCount::Length(path)),
            ("input", Some((Type::Long, 0))) => Some(RecordCount::Input(path)),
            ("len", _) => {
                self.error(
                    "effect-invalid",
                    format!("`records` counts `{path}`, which is not an array"),
                    self.meant(&path),
                );
                None
            }
            ("input", _) => {
                self.error(
                    "effect-invalid",
                    format!("`records` reads `{path}`, which is not an integer"),
                    self.meant(&path),
                );
                None
            }
            _ => {
                let help = String::from("write a number, `len:<array argument>` or `input:<integer argument>`");
                self.error("effect-invalid", format!("`{text}` is not a number of records"), Some(help));
                None
            }
        }
    }

    fn field_classes(&mut self, written: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<FieldPath>> {
        let mut classes = BTreeMap::new();
        for (class, paths) in written {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            let starts = class.starts_with(|first: char| first.is_ascii_lowercase());
            if !starts || !class.bytes().all(plain) || class.len() > FIELD_CLASS_BYTES_MAX || paths.is_empty() {
                let message = format!("`{class}` is not a field class with fields");
                let help = String::from("a field class is written in lower-case letters, digits and `_`");
                self.error("field-class", message, Some(help));
                continue;
            }
            let mut parsed = Vec::new();
            for path in paths {
                match path.parse::<FieldPath>() {
                    Ok(path) => parsed.push(path),
                    Err(error) => self.error("field-class", error.to_string(), None),
                }
            }
            classes.insert(class.clone(), parsed);
        }
        classes
    }

    fn facts(&mut self, facts: Vec<Fact>) -> Vec<Fact> {
        for fact in facts.iter().filter(|fact| fact.as_str().starts_with("bailiwick:")) {
            self.error("fact-reserved", format!("fact `{fact}` starts with `bailiwick:`, which is reserved"), None);
        }
        facts
    }
}
