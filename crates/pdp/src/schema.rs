//! Generates the Cedar schema of a bundle from its catalogue, as text that
//! people read too. Knows nothing of policies.
//!
//! Every action applies to exactly the resource types that its mapping can
//! yield. A group without any member gets a *witness*: an action that no call
//! ever has, so that a rule about the group validates before the first tool of
//! it arrives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    name::{ActionName, Fact},
    operation::{ActionClass, ActionTag},
};

use crate::{
    catalogue::{Catalogue, System, Tool},
    json_schema::{Attribute, RecordType, Type},
    mapping::{MAPPED_METHODS, MappedMethod},
    quote::quoted,
};

/// The fact that stands in where a bundle declares none: an enumeration cannot be empty.
pub const NO_FACT: &str = "bailiwick:none";
/// What the names of witnesses start with: no system can have this name.
const WITNESS_PREFIX: &str = "bailiwick:";
/// Cedar's reserved words, which must be quoted as attribute names.
const RESERVED_WORDS: [&str; 10] = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// All that does not depend on a bundle.
const ENTITIES: &str = r#"  // Who acts.
  entity Organization enum ["self"];
  entity Role in [Role];
  entity Group;
  entity User in [Group, Role, Organization];
  entity Agent in [Role, Organization] = {
    owner: String,
    environment: String,
    promoted: Bool,
    task_required: Bool,
  };
  entity Workload in [Role, Organization] = {
    owner: String,
    environment: String,
    promoted: Bool,
    task_required: Bool,
  };
  entity Operator in [Organization];
  entity Task;

  // What is acted on; records have namespaces of their own.
  entity DataDomain;
  entity System in [DataDomain] = {
    risk: String,
    environment: String,
  };
  entity Tool in [System, DataDomain];

  // Trusted context.
  type LocalTime = {
    date: String,
    minute_of_day: Long,
    weekday: Long,
    holiday: Bool,
  };
  type NetworkContext = { zone: String };
  type EffectContext = { records: Long, reversible: Bool };
  type TaskContext = { implicit: Bool, facts: Set<Fact> };
  type ChainContext = { length: Long, members: Set<String>, hops: Set<String> };
"#;

/// What the schema depends on besides the catalogue.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The time zones that the bundle's calendar names: attributes of `context.local`.
    pub zones: BTreeSet<String>,
    /// Facts that are declared elsewhere than in the catalogue.
    pub facts: BTreeSet<Fact>,
}

/// A generated schema.
#[derive(Debug, Clone, Default)]
pub struct GeneratedSchema {
    /// The schema in Cedar's own syntax.
    pub text: String,
    /// The ids of the enum entity `Bailiwick::Fact`; never empty.
    pub facts: BTreeSet<String>,
    /// Actions that only give an empty group a member; no call ever has one of them.
    pub witnesses: BTreeSet<ActionName>,
}

/// The schema of everything that the catalogue can yield.
pub fn generate(catalogue: &Catalogue, vocabulary: &Vocabulary) -> GeneratedSchema {
    let mut facts: BTreeSet<String> = catalogue.facts().iter().chain(&vocabulary.facts).map(Fact::to_string).collect();
    if facts.is_empty() {
        facts.insert(NO_FACT.to_owned());
    }
    let mut writer = Writer { text: String::new(), witnesses: BTreeSet::new() };
    writer.line("// Generated from the catalogue: change `systems/*.toml` instead.");
    writer.line("namespace Bailiwick {");
    writer.text.push_str(ENTITIES);
    let quoted_facts: Vec<String> = facts.iter().map(|fact| literal(fact)).collect();
    writer.line(&format!("  entity Fact enum [{}];", quoted_facts.join(", ")));
    writer.zones(&vocabulary.zones);
    writer.groups(catalogue);
    for system in catalogue.systems() {
        writer.system(system);
    }
    writer.line("}");
    for system in catalogue.systems().filter(|system| !system.records.is_empty()) {
        writer.records(system);
    }
    GeneratedSchema { text: writer.text, facts, witnesses: writer.witnesses }
}

/// The group of one class of actions of one system: `crm:read`.
pub fn class_group(system: &System, class: ActionClass) -> String {
    format!("{}:{}", system.name, class.as_str())
}

/// The group of all actions of one system: `crm:*`.
pub fn system_group(system: &System) -> String {
    format!("{}:*", system.name)
}

struct Writer {
    text: String,
    witnesses: BTreeSet<ActionName>,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn zones(&mut self, zones: &BTreeSet<String>) {
        let zones: Vec<String> = zones.iter().map(|zone| format!("{}: LocalTime", attribute_name(zone))).collect();
        self.line(&format!("  type LocalContext = {{ {} }};", zones.join(", ")));
    }

    /// The groups that every bundle has, with a witness in each that would be empty.
    fn groups(&mut self, catalogue: &Catalogue) {
        let tools = || catalogue.systems().flat_map(|system| system.tools.values());
        let records: Vec<String> = catalogue.systems().flat_map(record_types).collect();
        self.line("\n  // Classes: each action is in exactly one.");
        for class in ActionClass::ALL {
            self.line(&format!("  action {};", literal(class.as_str())));
            let by_method = class == ActionClass::Read && catalogue.systems().next().is_some();
            if !by_method && !tools().any(|tool| tool.class == class) {
                self.witness(class.as_str(), &records);
            }
        }
        self.line("\n  // Tags.");
        for tag in ActionTag::ALL {
            self.line(&format!("  action {};", literal(tag.as_str())));
            if !tools().any(|tool| tool.tags.contains(&tag)) {
                self.witness(tag.as_str(), &records);
            }
        }
    }

    fn witness(&mut self, group: &str, records: &[String]) {
        let Ok(name) = format!("{WITNESS_PREFIX}{group}").parse::<ActionName>() else { return };
        let resources = ["Tool", "System"].into_iter().map(str::to_owned).chain(records.iter().cloned());
        self.action(name.as_str(), &[group.to_owned()], &resources.collect::<Vec<_>>(), &RecordType::default());
        self.witnesses.insert(name);
    }

    fn system(&mut self, system: &System) {
        self.line(&format!("\n  // System `{}`.", system.name));
        let all = system_group(system);
        self.line(&format!("  action {};", literal(&all)));
        let records: Vec<String> = record_types(system).collect();
        for class in ActionClass::ALL {
            let group = class_group(system, class);
            self.line(&format!("  action {} in [{}, {}];", literal(&group), literal(class.as_str()), literal(&all)));
            let empty = class != ActionClass::Read && !system.tools.values().any(|tool| tool.class == class);
            if empty {
                // In the class of this system only: the class itself may have real members elsewhere.
                self.witness(&group, &records);
            }
        }
        for MappedMethod { method, attribute } in MAPPED_METHODS {
            let Ok(action) = ActionName::of_method(&system.name, method) else { continue };
            let given = Attribute::Typed { kind: Type::String, required: true, nullable: false };
            let input = RecordType { attributes: BTreeMap::from([((*attribute).to_owned(), given)]), open: false };
            let groups = [class_group(system, ActionClass::Read)];
            self.action(action.as_str(), &groups, &[String::from("System")], &input);
        }
        for tool in system.tools.values() {
            self.tool(system, tool);
        }
    }

    fn tool(&mut self, system: &System, tool: &Tool) {
        let mut groups = vec![class_group(system, tool.class)];
        groups.extend(tool.tags.iter().map(|tag| tag.as_str().to_owned()));
        let resource = match &tool.records {
            Some(mapping) => format!("{}::{}", system.namespace, mapping.type_name),
            None => String::from("Tool"),
        };
        if !tool.classified {
            self.line("  // Not classified: judged as the worst.");
        }
        if !tool.opaque.is_empty() {
            let names: Vec<String> = tool.opaque.iter().map(|name| literal(name)).collect();
            self.line(&format!("  // Not visible to policy: {}.", names.join(", ")));
        }
        self.action(tool.action.as_str(), &groups, &[resource], &tool.input);
    }

    fn action(&mut self, name: &str, groups: &[String], resources: &[String], input: &RecordType) {
        let groups: Vec<String> = groups.iter().map(|group| literal(group)).collect();
        let _ = write!(
            self.text,
            "  action {} in [{}] appliesTo {{\n    principal: [User, Agent, Workload],\n    resource: [{}],\n    context: {{\n      \
             now: datetime, local: LocalContext, network: NetworkContext, effect: EffectContext,\n      \
             task: TaskContext, chain: ChainContext, approvals: Set<String>,\n      input: {},\n    }},\n  }};\n",
            literal(name),
            groups.join(", "),
            resources.join(", "),
            record_type(input),
        );
    }

    fn records(&mut self, system: &System) {
        self.line(&format!("\nnamespace {} {{", system.namespace));
        for (name, record) in &system.records {
            let attributes = record_type(record);
            self.line(&format!("  entity {name} in [Bailiwick::System, Bailiwick::DataDomain] = {attributes};"));
        }
        self.line("}");
    }
}

/// The record types of a system with their namespace.
fn record_types(system: &System) -> impl Iterator<Item = String> {
    system.records.keys().map(|name| format!("{}::{name}", system.namespace))
}

fn record_type(record: &RecordType) -> String {
    let attributes: Vec<String> = record
        .attributes
        .iter()
        .filter_map(|(name, attribute)| match attribute {
            Attribute::Opaque => None,
            Attribute::Typed { kind, required, nullable } => {
                let optional = if *required && !*nullable { "" } else { "?" };
                Some(format!("{}{optional}: {}", attribute_name(name), type_text(kind)))
            }
        })
        .collect();
    if attributes.is_empty() { String::from("{}") } else { format!("{{ {} }}", attributes.join(", ")) }
}

fn type_text(kind: &Type) -> String {
    match kind {
        Type::Bool => String::from("Bool"),
        Type::Long => String::from("Long"),
        Type::Decimal => String::from("decimal"),
        Type::String => String::from("String"),
        Type::Set(element) => format!("Set<{}>", type_text(element)),
        Type::Record(record) => record_type(record),
    }
}

/// An attribute's name, quoted only where Cedar needs it.
pub(crate) fn attribute_name(name: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts_plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if starts_plain && name.chars().all(plain) && !RESERVED_WORDS.contains(&name) {
        name.to_owned()
    } else {
        literal(name)
    }
}

/// A Cedar string literal.
pub(crate) fn literal(text: &str) -> String {
    quoted(text, |hidden| format!("\\u{{{hidden:x}}}"))
}

#[cfg(test)]
mod tests;
