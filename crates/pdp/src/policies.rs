//! Reads the Cedar policies of a bundle: every policy with its id, its file and
//! its line. Checks form and place; what a policy means is checked elsewhere.

mod scan;

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_model::{bundle::BundleFiles, name::PolicyId};
use cedar_policy::{Effect, Policy, PolicySet};
use miette::Diagnostic;

use self::scan::{NESTING_MAX, OPERATORS_MAX, POLICY_BYTES_MAX, TooMuch};
use crate::finding::{Finding, line_of, place_of};

/// Bytes of one policy file.
pub(crate) const POLICY_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Policies in one bundle.
pub(crate) const POLICIES_MAX: usize = 50_000;

/// Policies that hold in every installation, whatever a bundle says.
const BUILTIN: &str = include_str!("builtin.cedar");
/// The file name under which findings and explanations cite them.
const BUILTIN_FILE: &str = "bailiwick/builtin.cedar";

/// Ids that only this crate gives.
const RESERVED: [&str; 2] = ["bailiwick:", "role:"];

/// Where a policy stands, and so what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Ships with the broker.
    Builtin,
    /// `policies/boundary`: only forbids.
    Boundary,
    /// `policies/organisation`.
    Organisation,
    /// `policies/roles`.
    Roles,
    /// `policies/users`.
    Users,
    /// Made from `roles/*.toml`.
    Generated,
}

impl Layer {
    /// Whether its forbids are walls, which nothing goes past: no approval, no observation. A generated forbid is what a
    /// role declares out of scope.
    pub(crate) const fn is_wall(self) -> bool {
        match self {
            Self::Builtin | Self::Boundary | Self::Generated => true,
            Self::Organisation | Self::Roles | Self::Users => false,
        }
    }
}

/// One policy with its origin.
#[derive(Debug, Clone)]
pub(crate) struct SourcePolicy {
    /// Its `@id`.
    pub(crate) id: PolicyId,
    /// The policy, renamed to its `@id`.
    pub(crate) policy: Policy,
    /// Where it belongs.
    pub(crate) layer: Layer,
    /// Its file inside the bundle.
    pub(crate) file: Arc<str>,
    /// Its line in that file, from 1.
    pub(crate) line: usize,
    /// The character in that line, from 1.
    pub(crate) column: usize,
    /// The text that the policy's own positions refer to; `None` if it was generated.
    pub(crate) text: Option<Arc<str>>,
}

impl SourcePolicy {
    /// Whether it is a forbid.
    pub(crate) fn is_forbid(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }

    /// A finding about this policy.
    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(code, &*self.file, message).at(self.line).at_column(self.column)
    }

    /// Line and column that a Cedar diagnostic about this policy points at.
    pub(crate) fn place_of(&self, diagnostic: &dyn Diagnostic) -> (usize, usize) {
        let offset = diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        match (&self.text, offset) {
            (Some(text), Some(offset)) => place_of(text, offset),
            _ => (self.line, self.column),
        }
    }
}

/// Reads policies from a text, without any file.
#[cfg(test)]
pub(crate) fn parse(text: &str) -> Vec<SourcePolicy> {
    let (mut policies, mut findings) = (Vec::new(), Vec::new());
    read_text("policies/organisation/test.cedar", text, Layer::Organisation, &mut policies, &mut findings);
    assert_eq!(findings, []);
    policies
}

/// Reads all `policies/**/*.cedar` and the built-in ones.
pub(crate) fn read(files: &BundleFiles) -> (Vec<SourcePolicy>, Vec<Finding>) {
    let mut policies = Vec::new();
    let mut findings = Vec::new();
    read_text(BUILTIN_FILE, BUILTIN, Layer::Builtin, &mut policies, &mut findings);
    for (path, bytes) in files.under("policies") {
        let Some(layer) = layer_of(path, &mut findings) else { continue };
        if bytes.len() > POLICY_FILE_BYTES_MAX {
            findings.push(Finding::error(
                "policy-file-too-large",
                path,
                format!("a policy file holds at most {POLICY_FILE_BYTES_MAX} bytes"),
            ));
            continue;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => read_text(path, text, layer, &mut policies, &mut findings),
            Err(_) => findings.push(Finding::error("policy-not-text", path, "it is not UTF-8 text")),
        }
    }
    if policies.len() > POLICIES_MAX {
        findings.push(Finding::error(
            "too-many-policies",
            "",
            format!("a bundle holds at most {POLICIES_MAX} policies, this one has {}", policies.len()),
        ));
    }
    refuse_duplicates(&policies, &mut findings);
    (policies, findings)
}

/// Which layer a file under `policies/` belongs to; `None` if it holds no policies.
fn layer_of(path: &str, findings: &mut Vec<Finding>) -> Option<Layer> {
    let inside = path.strip_prefix("policies/").unwrap_or(path);
    if !path.ends_with(".cedar") {
        if !path.ends_with(".test.toml") && inside != "calendar.toml" {
            findings.push(
                Finding::warning("file-ignored", path, "nothing reads this file")
                    .with_help("policies are `*.cedar`, their tests `*.test.toml`, the calendar `calendar.toml`"),
            );
        }
        return None;
    }
    let folder = inside.split_once('/').map(|(folder, _)| folder);
    let layer = match folder {
        Some("boundary") => Layer::Boundary,
        Some("organisation") => Layer::Organisation,
        Some("roles") => Layer::Roles,
        Some("users") => Layer::Users,
        _ => {
            findings.push(Finding::error("policy-folder-unknown", path, "policies do not belong here").with_help(
                "move it to `policies/boundary`, `policies/organisation`, `policies/roles` or `policies/users`",
            ));
            return None;
        }
    };
    Some(layer)
}

fn read_text(path: &str, text: &str, layer: Layer, policies: &mut Vec<SourcePolicy>, findings: &mut Vec<Finding>) {
    if let Some(finding) = too_much(path, text) {
        findings.push(finding);
        return;
    }
    let set: PolicySet = match text.parse() {
        Ok(set) => set,
        Err(errors) => return findings.extend(parse_findings(path, text, &errors)),
    };
    for template in set.templates() {
        let line =
            AsRef::<cedar_policy_core::ast::Template>::as_ref(template).loc().map(|loc| line_of(text, loc.start()));
        findings.push(
            Finding::error("policy-template", path, "a template is not a policy")
                .at(line)
                .with_help("write the principal and the resource instead of `?principal` and `?resource`"),
        );
    }
    let file: Arc<str> = path.into();
    let whole: Arc<str> = text.into();
    let mut read: Vec<SourcePolicy> = Vec::new();
    for policy in set.policies() {
        let start = AsRef::<cedar_policy_core::ast::Policy>::as_ref(policy).loc().map_or(0, |loc| loc.start());
        let (line, column) = place_of(text, start);
        match id_of(policy, layer) {
            Ok(id) => read.push(SourcePolicy {
                policy: policy.new_id(cedar_policy::PolicyId::new(id.as_str())),
                id,
                layer,
                file: file.clone(),
                line,
                column,
                text: Some(whole.clone()),
            }),
            Err(finding) => findings.push(Finding { file: path.to_owned(), ..finding.at(line).at_column(column) }),
        }
    }
    for policy in &read {
        if policy.layer == Layer::Boundary && !policy.is_forbid() {
            findings.push(
                policy
                    .error("boundary-permit", format!("the boundary permits nothing, and `{}` is a permit", policy.id))
                    .with_help("move it to `policies/organisation`, or write it as a forbid"),
            );
        }
    }
    read.sort_by_key(|policy| policy.line);
    policies.extend(read);
}

fn too_much(path: &str, text: &str) -> Option<Finding> {
    let (offset, message, help) = match scan::too_much(text)? {
        TooMuch::Bytes(offset) => (
            offset,
            format!("a policy has at most {POLICY_BYTES_MAX} bytes"),
            "split it, or put what it lists into a group or a data domain",
        ),
        TooMuch::Operators(offset) => {
            (offset, format!("a policy has at most {OPERATORS_MAX} operators"), "split the policy")
        }
        TooMuch::Nesting(offset) => (offset, format!("brackets nest at most {NESTING_MAX} deep"), "split the policy"),
    };
    Some(Finding::error("policy-too-large", path, message).at_byte(text, offset).with_help(help))
}

fn parse_findings(path: &str, text: &str, errors: &cedar_policy::ParseErrors) -> Vec<Finding> {
    let finding = |error: &cedar_policy::ParseError| {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let finding = Finding::error("policy-syntax", path, error.to_string());
        let finding = match offset {
            Some(offset) => finding.at_byte(text, offset),
            None => finding,
        };
        match error.help() {
            Some(help) => finding.with_help(help.to_string()),
            None => finding,
        }
    };
    errors.iter().map(finding).collect()
}

/// The `@id` of a policy, which is checked for form and for reserved prefixes.
fn id_of(policy: &Policy, layer: Layer) -> Result<PolicyId, Finding> {
    let Some(text) = policy.annotation("id") else {
        return Err(Finding::error("policy-id-missing", "", "the policy has no `@id`")
            .with_help("begin it with `@id(\"what-it-says\")`: decisions cite that name"));
    };
    let id: PolicyId = text.parse().map_err(|error| Finding::error("policy-id-invalid", "", format!("{error}")))?;
    let reserved = RESERVED.iter().find(|prefix| text.starts_with(**prefix));
    match reserved {
        Some(prefix) if layer != Layer::Builtin => Err(Finding::error(
            "policy-id-reserved",
            "",
            format!("ids that begin with `{prefix}` are made by the broker"),
        )
        .with_help("choose another id")),
        _ => Ok(id),
    }
}

fn refuse_duplicates(policies: &[SourcePolicy], findings: &mut Vec<Finding>) {
    let mut first: BTreeMap<&PolicyId, &SourcePolicy> = BTreeMap::new();
    for policy in policies {
        if let Some(earlier) = first.get(&policy.id) {
            findings.push(
                policy
                    .error("policy-id-duplicate", format!("`{}` is the id of two policies", policy.id))
                    .with_help(format!("the other one is in {}:{}", earlier.file, earlier.line)),
            );
        } else {
            first.insert(&policy.id, policy);
        }
    }
}

/// Parses one policy that this crate wrote itself.
pub(crate) fn generated(
    id: PolicyId,
    cedar: &str,
    file: &Arc<str>,
    (line, column): (usize, usize),
) -> Result<SourcePolicy, Finding> {
    let policy = Policy::parse(Some(cedar_policy::PolicyId::new(id.as_str())), cedar).map_err(|errors| {
        Finding::error("generated-policy", &**file, format!("cannot make the policy `{id}`: {errors}"))
            .at(line)
            .at_column(column)
    })?;
    Ok(SourcePolicy { id, policy, layer: Layer::Generated, file: file.clone(), line, column, text: None })
}
