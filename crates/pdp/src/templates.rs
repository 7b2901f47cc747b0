//! Task templates: kinds of work, as files. A template names tools and what their arguments are pinned to, and leaves to
//! whoever makes a task to state the ticket, the recipient, the folder. It grants nothing: it is expanded once, into an
//! ordinary task.

mod check;
mod expand;
mod file;
mod narrower;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    bundle::BundleFiles,
    name::{ActionName, ParameterName, RoleName, TemplateName},
    task::Pin,
};

pub use self::expand::{ExpandError, Stated, stated};
pub(crate) use self::narrower::{permits, wider};
use crate::{actions::Actions, catalogue::Catalogue, finding::Finding, roles::Roles};

/// Templates of one bundle.
pub const TEMPLATES_MAX: usize = 1_024;
/// Parameters of one template.
pub const PARAMETERS_MAX: usize = 64;
/// Minutes that a task of a template lasts at most: a week, as any task.
pub const TEMPLATE_MINUTES_MAX: u64 = 7 * 24 * 60;

/// All templates of a bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Templates(BTreeMap<TemplateName, Template>);

/// One kind of task.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its name.
    pub name: TemplateName,
    /// What its tasks are for, unless their maker says it better.
    pub purpose: String,
    /// The roles whose holders take such tasks.
    pub roles: BTreeSet<RoleName>,
    /// Minutes until such a task ends by itself, unless its maker says otherwise.
    pub minutes: Option<u64>,
    /// What its maker states, and what that is.
    pub parameters: BTreeMap<ParameterName, String>,
    /// All that its tasks may call, each action once.
    pub tools: Vec<TemplateTool>,
    /// Its file inside the bundle.
    pub file: Arc<str>,
}

/// One tool of a template.
#[derive(Debug, Clone)]
pub struct TemplateTool {
    /// The action.
    pub action: ActionName,
    /// Per argument, what it is pinned to; one without a pin is free.
    pub pins: BTreeMap<String, TemplatePin>,
    /// Line and column in the file of the template, both from 1.
    pub place: (usize, usize),
}

/// What one argument may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePin {
    /// The same in every task.
    Fixed(Pin),
    /// One of the stated values.
    OneOf(ParameterName, Kind),
    /// A path under the stated folder.
    Under(ParameterName),
    /// An integer that is at most the stated one.
    AtMost(ParameterName),
}

impl TemplatePin {
    /// The parameter that it waits for.
    pub fn parameter(&self) -> Option<&ParameterName> {
        match self {
            Self::Fixed(_) => None,
            Self::OneOf(name, _) | Self::Under(name) | Self::AtMost(name) => Some(name),
        }
    }
}

/// What the values of an argument are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; a number that is stated becomes its digits.
    Text,
    /// A whole number; text that is one becomes it.
    Integer,
    /// Whatever JSON was stated.
    Any,
}

impl Templates {
    /// All, in name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Template> {
        self.0.values()
    }

    /// One.
    pub(crate) fn template(&self, name: &TemplateName) -> Option<&Template> {
        self.0.get(name)
    }
}

/// Reads all `templates/*.toml`.
pub(crate) fn read(
    files: &BundleFiles,
    catalogue: &Catalogue,
    actions: &Actions,
    roles: &Roles,
) -> (Templates, Vec<Finding>) {
    let mut templates = BTreeMap::new();
    let mut findings = Vec::new();
    for (path, bytes) in files.under("templates") {
        let name = path.strip_prefix("templates/").and_then(|name| name.strip_suffix(".toml"));
        let Some(name) = name else {
            findings.push(Finding::warning("file-ignored", path, "nothing reads this file"));
            continue;
        };
        match (name.parse::<TemplateName>(), file::parse(path, bytes)) {
            (Ok(name), Ok(file)) => {
                let text = String::from_utf8_lossy(bytes);
                let checking = check::Checking::new(path, &text, check::Known { catalogue, actions, roles });
                let (template, more) = checking.template(&name, &file);
                templates.insert(name, template);
                findings.extend(more);
            }
            (Err(error), _) => findings.push(Finding::error("template-name", path, error.to_string())),
            (_, Err(finding)) => findings.push(finding),
        }
    }
    if templates.len() > TEMPLATES_MAX {
        let message = format!("a bundle holds at most {TEMPLATES_MAX} templates");
        findings.push(Finding::error("too-many-templates", "", message));
    }
    (Templates(templates), findings)
}

#[cfg(test)]
mod tests;
