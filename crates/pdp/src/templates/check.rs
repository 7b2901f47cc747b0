//! What a template says, held against the catalogue: every tool and every pinned argument is there, every parameter is
//! declared and used. Says where it is not; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    limits::{PIN_VALUES_MAX, TASK_TOOLS_MAX, TEXT_BYTES_MAX},
    name::{ActionName, ParameterName, RoleName, TemplateName},
    task::Pin,
};
use toml::Spanned;

use super::{
    Kind, PARAMETERS_MAX, TEMPLATE_MINUTES_MAX, Template, TemplatePin, TemplateTool,
    expand::is_folder,
    file::{PinFile, TemplateFile, ToolFile},
};
use crate::{
    actions::Actions,
    catalogue::{Catalogue, Tool},
    finding::{Finding, place_of},
    json_schema::{Attribute, Type},
    roles::Roles,
    strict_toml::did_you_mean,
};

/// What of the bundle a template can name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) actions: &'a Actions,
    pub(super) roles: &'a Roles,
}

/// The check of one file.
pub(super) struct Checking<'a> {
    path: &'a str,
    text: &'a str,
    known: Known<'a>,
    declared: BTreeSet<ParameterName>,
    used: BTreeSet<ParameterName>,
    findings: Vec<Finding>,
}

impl<'a> Checking<'a> {
    /// Of the file at `path`, whose lines are those of `text`.
    pub(super) fn new(path: &'a str, text: &'a str, known: Known<'a>) -> Self {
        Self { path, text, known, declared: BTreeSet::new(), used: BTreeSet::new(), findings: Vec::new() }
    }

    /// The template, as far as it could be read, and what is wrong with it.
    pub(super) fn template(mut self, name: &TemplateName, file: &TemplateFile) -> (Template, Vec<Finding>) {
        let purpose = file.purpose.get_ref().trim();
        if purpose.is_empty() || purpose.len() > TEXT_BYTES_MAX {
            let message = format!("template `{name}` has no purpose");
            self.refuse(&file.purpose, "template-purpose", message, "say in one line what its tasks are for");
        }
        if let Some(minutes) = &file.minutes
            && !(1..=TEMPLATE_MINUTES_MAX).contains(minutes.get_ref())
        {
            let message = format!("a task lasts 1 to {TEMPLATE_MINUTES_MAX} minutes, not {}", minutes.get_ref());
            self.refuse(minutes, "template-minutes", message, "write fewer");
        }
        let roles = self.roles(file);
        let parameters = self.parameters(&file.parameters);
        let tools = self.tools(name, file);
        self.all_used(file);
        let minutes = file.minutes.as_ref().map(|minutes| *minutes.get_ref());
        let (name, purpose, file) = (name.clone(), purpose.to_owned(), self.path.into());
        (Template { name, purpose, roles, minutes, parameters, tools, file }, self.findings)
    }

    fn roles(&mut self, file: &TemplateFile) -> BTreeSet<RoleName> {
        if file.roles.is_empty() {
            let message = String::from("the template says for no role who takes such tasks");
            let help = "write `roles = [\"…\"]`: that each of them can do all of it is checked here";
            self.refuse(&file.purpose, "template-roles", message, help);
        }
        let mut roles = BTreeSet::new();
        for written in &file.roles {
            let known = || self.known.roles.iter().map(|(name, _)| name);
            match known().find(|name| name.as_str() == written.get_ref()) {
                Some(name) => {
                    roles.insert(name.clone());
                }
                None => {
                    let help = match did_you_mean(written.get_ref(), known().map(RoleName::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => String::from("name a file of `roles/`"),
                    };
                    let message = format!("`{}` is no role of this bundle", written.get_ref());
                    self.refuse(written, "role-unknown", message, &help);
                }
            }
        }
        roles
    }

    fn tools(&mut self, name: &TemplateName, file: &TemplateFile) -> Vec<TemplateTool> {
        if file.tools.is_empty() || file.tools.len() > TASK_TOOLS_MAX {
            let message = format!("template `{name}` names {} tools", file.tools.len());
            let help = format!("name 1 to {TASK_TOOLS_MAX}, each as `[[tools]]` with its `action`");
            self.refuse(&file.purpose, "template-tools", message, &help);
        }
        let mut tools: Vec<TemplateTool> = Vec::new();
        for tool in &file.tools {
            let Some(read) = self.tool(tool) else { continue };
            if tools.iter().any(|other| other.action == read.action) {
                let message = format!("`{}` stands twice", read.action);
                self.refuse(&tool.action, "template-tool-twice", message, "put all its pins in one place");
            }
            tools.push(read);
        }
        tools
    }

    fn all_used(&mut self, file: &TemplateFile) {
        for (name, about) in &file.parameters {
            if self.declared.iter().any(|known| known.as_str() == name)
                && !self.used.iter().any(|used| used.as_str() == name)
            {
                let message = format!("no pin uses the parameter `{name}`");
                let help = format!("pin an argument to `\"${name}\"`, or remove it");
                self.refuse(about, "parameter-unused", message, &help);
            }
        }
    }

    fn parameters(&mut self, written: &BTreeMap<String, Spanned<String>>) -> BTreeMap<ParameterName, String> {
        let mut parameters = BTreeMap::new();
        for (name, about) in written {
            match name.parse::<ParameterName>() {
                Ok(name) => {
                    self.declared.insert(name.clone());
                    parameters.insert(name, about.get_ref().trim().to_owned());
                }
                Err(error) => self.refuse(about, "parameter-name", error.to_string(), "rename it"),
            }
            if about.get_ref().trim().is_empty() || about.get_ref().len() > TEXT_BYTES_MAX {
                let message = format!("the parameter `{name}` does not say what it is");
                self.refuse(about, "parameter-about", message, "write what whoever makes a task has to state");
            }
        }
        if let (true, Some(first)) = (written.len() > PARAMETERS_MAX, written.values().next()) {
            let message = format!("a template has at most {PARAMETERS_MAX} parameters");
            self.refuse(first, "too-many-parameters", message, "split the template");
        }
        parameters
    }

    fn tool(&mut self, written: &ToolFile) -> Option<TemplateTool> {
        let pattern = written.action.get_ref();
        let action = match self.known.actions.named(pattern) {
            Ok(named) if !named.group => named.actions.into_iter().next()?,
            Ok(_) => {
                let message = format!("`{pattern}` names a class of actions, and a task names single ones");
                self.refuse(&written.action, "template-action", message, "name each tool as `<system>.<tool>`");
                return None;
            }
            Err(error) => {
                let help = match error.near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => String::from("name a tool as `<system>.<tool>`; `bailiwick systems show` lists them"),
                };
                self.refuse(
                    &written.action,
                    "action-unknown",
                    format!("`{pattern}` is no action of this bundle"),
                    &help,
                );
                return None;
            }
        };
        let tool = self.known.catalogue.tool_of(&action);
        let mut pins = BTreeMap::new();
        for (argument, pin) in &written.pins {
            if self.takes(&action, tool, argument, pin)
                && let Some(read) = self.pin(argument, pin, tool)
            {
                pins.insert(argument.clone(), read);
            }
        }
        let place = place_of(self.text, written.action.span().start);
        Some(TemplateTool { action, pins, place })
    }

    /// A pin on an argument that is nowhere could never be met.
    fn takes(&mut self, action: &ActionName, tool: Option<&Tool>, argument: &str, at: &Spanned<PinFile>) -> bool {
        let known: Vec<&str> = tool
            .and_then(|tool| tool.definition.pointer("/inputSchema/properties")?.as_object())
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        if known.contains(&argument) {
            return true;
        }
        let help = match did_you_mean(argument, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => String::from("it takes none that could be pinned"),
            None => format!("it takes {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        self.refuse(at, "argument-unknown", format!("`{action}` has no argument `{argument}`"), &help);
        false
    }

    fn pin(&mut self, argument: &str, written: &Spanned<PinFile>, tool: Option<&Tool>) -> Option<TemplatePin> {
        let PinFile { one_of, under, at_most } = written.get_ref();
        let kind = tool.and_then(|tool| tool.input.attributes.get(argument)).map_or(Kind::Any, kind_of);
        let (pin, fits) = match (one_of, under, at_most) {
            (Some(toml::Value::String(text)), None, None) => {
                (TemplatePin::OneOf(self.named(text, written)?, kind), true)
            }
            (Some(toml::Value::Array(values)), None, None) => {
                let fits = (1..=PIN_VALUES_MAX).contains(&values.len()) && !values.iter().any(toml::Value::is_datetime);
                let values = values.iter().filter_map(|value| serde_json::to_value(value).ok()).collect();
                (TemplatePin::Fixed(Pin::OneOf(values)), fits)
            }
            (None, Some(text), None) if text.starts_with('$') => {
                (TemplatePin::Under(self.named(text, written)?), kind != Kind::Integer)
            }
            (None, Some(folder), None) => {
                (TemplatePin::Fixed(Pin::Under(folder.clone())), is_folder(folder) && kind != Kind::Integer)
            }
            (None, None, Some(toml::Value::String(text))) => {
                (TemplatePin::AtMost(self.named(text, written)?), kind != Kind::Text)
            }
            (None, None, Some(toml::Value::Integer(most))) => {
                (TemplatePin::Fixed(Pin::AtMost(*most)), kind != Kind::Text)
            }
            _ => (TemplatePin::Fixed(Pin::OneOf(Vec::new())), false),
        };
        if !fits {
            let help = "write one of `one_of = [\"a\"]`, `under = \"/folder\"` for text, `at_most = 100` for a whole number; \
                        `\"$name\"` in the place of the value stands for a parameter";
            self.refuse(written, "template-pin", format!("the pin of `{argument}` cannot be met or checked"), help);
            return None;
        }
        Some(pin)
    }

    /// The parameter that `$name` names.
    fn named<T>(&mut self, text: &str, at: &Spanned<T>) -> Option<ParameterName> {
        let name = text.strip_prefix('$').unwrap_or(text);
        if let (true, Some(known)) =
            (text.starts_with('$'), self.declared.iter().find(|known| known.as_str() == name).cloned())
        {
            self.used.insert(known.clone());
            return Some(known);
        }
        let shown: String = text.chars().take(80).collect();
        let help = match did_you_mean(name, self.declared.iter().map(ParameterName::as_str)) {
            Some(near) => format!("did you mean `\"${near}\"`?"),
            None => String::from("declare it under `[parameters]` with what it is, or write a list of values"),
        };
        self.refuse(at, "parameter-unknown", format!("`{shown}` names no parameter of this template"), &help);
        None
    }

    fn refuse<T>(&mut self, at: &Spanned<T>, code: &'static str, message: String, help: &str) {
        let finding = Finding::error(code, self.path, message).at_byte(self.text, at.span().start);
        self.findings.push(finding.with_help(help));
    }
}

fn kind_of(attribute: &Attribute) -> Kind {
    let of = |kind: &Type| match kind {
        Type::String => Kind::Text,
        Type::Long => Kind::Integer,
        _ => Kind::Any,
    };
    match attribute {
        Attribute::Typed { kind: Type::Set(element), .. } => of(element),
        Attribute::Typed { kind, .. } => of(kind),
        Attribute::Opaque => Kind::Any,
    }
}
