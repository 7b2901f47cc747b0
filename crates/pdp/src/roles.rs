//! Roles: jobs, as files. A role's `allow` becomes permits, its `out_of_scope`
//! a forbid, its `limits` budgets, its `delegates_to` says to whom work may be
//! handed on, its `key_protection` how its agents' keys are kept; inheriting hands
//! all five down. Decides nothing.

mod delegation;
mod file;
mod overlap;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    agent::KeyProtection,
    bundle::BundleFiles,
    limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX},
    name::{ActionName, RoleName},
    operation::ActionClass,
};
use toml::Spanned;

use self::file::{LimitFile, RoleFile};
use crate::{
    actions::{Actions, Named},
    finding::{Finding, place_of},
    policies::{self, SourcePolicy},
    strict_toml::did_you_mean,
};

/// Roles of one bundle.
const ROLES_MAX: usize = 4_096;
/// Limits of one role.
const LIMITS_MAX: usize = 64;
/// Seconds of a limit's window at most: 366 days.
const WINDOW_S_MAX: u64 = 366 * 24 * 60 * 60;

/// All roles of a bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    roles: BTreeMap<RoleName, Role>,
}

/// One role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    /// What its holders are for.
    pub(crate) purpose: String,
    /// Roles that it inherits directly.
    pub(crate) parents: BTreeSet<RoleName>,
    /// Roles that it inherits at any distance, itself excluded.
    pub(crate) ancestors: BTreeSet<RoleName>,
    /// Roles to whose agents its own may delegate, by its own file.
    pub(crate) delegates_to: BTreeSet<RoleName>,
    /// How the keys of its agents must be kept, by its own file.
    key_protection: KeyProtection,
    /// Limits of its own.
    pub(crate) limits: Vec<Limit>,
    /// Actions that its own `allow` covers, with line and column of the entry.
    pub(crate) allow: BTreeMap<ActionName, (usize, usize)>,
    entries: Vec<Entry>,
    out_of_scope: BTreeSet<ActionName>,
    pub(crate) file: Arc<str>,
}

/// One entry of a role's `allow`.
#[derive(Debug, Clone)]
struct Entry {
    named: Named,
    place: (usize, usize),
}

/// How much the holders of a role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Its name; the budget is `agent:<agent>/<name>`.
    pub(crate) name: String,
    /// Classes that it counts.
    pub(crate) classes: BTreeSet<ActionClass>,
    /// Actions that it counts.
    pub(crate) actions: BTreeSet<ActionName>,
    /// Length of its window in seconds.
    pub(crate) window_s: u64,
    /// Calls in one window.
    pub(crate) calls_max: u64,
}

impl Limit {
    /// Whether it counts an action. A limit that names nothing counts everything.
    pub(crate) fn counts(&self, action: &ActionName, class: ActionClass) -> bool {
        (self.classes.is_empty() && self.actions.is_empty())
            || self.classes.contains(&class)
            || self.actions.contains(action)
    }
}

impl Roles {
    /// One role.
    pub(crate) fn role(&self, name: &RoleName) -> Option<&Role> {
        self.roles.get(name)
    }

    /// All roles.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RoleName, &Role)> {
        self.roles.iter()
    }

    /// A role and all that it inherits.
    pub(crate) fn family<'a>(&'a self, name: &'a RoleName) -> impl Iterator<Item = (&'a RoleName, &'a Role)> {
        let role = self.roles.get(name);
        let inherited = role.into_iter().flat_map(|role| &role.ancestors);
        std::iter::once(name).chain(inherited).filter_map(|name| Some((name, self.roles.get(name)?)))
    }

    /// The role of a family that has an action out of scope.
    pub(crate) fn excluded_by<'a>(&'a self, name: &'a RoleName, action: &ActionName) -> Option<&'a RoleName> {
        self.family(name).find(|(_, role)| role.out_of_scope.contains(action)).map(|(name, _)| name)
    }

    /// How the keys of its agents must be kept: the strictest that a role or one that it inherits asks for.
    pub(crate) fn key_protection(&self, name: &RoleName) -> KeyProtection {
        self.family(name).map(|(_, role)| role.key_protection).max().unwrap_or_default()
    }

    /// The limits of a role and of all that it inherits.
    pub(crate) fn limits(&self, name: &RoleName) -> impl Iterator<Item = &Limit> {
        let role = self.roles.get(name);
        let inherited = role.into_iter().flat_map(|role| &role.ancestors).filter_map(|name| self.roles.get(name));
        role.into_iter().chain(inherited).flat_map(|role| &role.limits)
    }
}

/// Reads all `roles/*.toml`, and makes their policies.
pub(crate) fn read(files: &BundleFiles, actions: &Actions) -> (Roles, Vec<SourcePolicy>, Vec<Finding>) {
    let mut reading = Reading { actions, roles: Roles::default(), policies: Vec::new(), findings: Vec::new() };
    let (mut inherits, mut delegates_to) = (BTreeMap::new(), BTreeMap::new());
    for (path, bytes) in files.under("roles") {
        let name = path.strip_prefix("roles/").and_then(|name| name.strip_suffix(".toml"));
        let Some(name) = name else {
            reading.findings.push(Finding::warning("file-ignored", path, "nothing reads this file"));
            continue;
        };
        match (name.parse::<RoleName>(), file::parse(path, bytes)) {
            (Ok(name), Ok(file)) => {
                let source = Source { path: path.into(), text: String::from_utf8_lossy(bytes).into_owned() };
                inherits.insert(name.clone(), (source.path.clone(), places(&source, &file.inherits)));
                delegates_to.insert(name.clone(), (source.path.clone(), places(&source, &file.delegates_to)));
                reading.role(&name, &file, &source);
            }
            (Err(error), _) => reading.findings.push(Finding::error("role-name", path, error.to_string())),
            (_, Err(finding)) => reading.findings.push(finding),
        }
    }
    if reading.roles.roles.len() > ROLES_MAX {
        reading.findings.push(Finding::error(
            "too-many-roles",
            "",
            format!("a bundle holds at most {ROLES_MAX} roles"),
        ));
    }
    inherit(&mut reading.roles, &inherits, &mut reading.findings);
    delegation::resolve(&mut reading.roles, &delegates_to, &mut reading.findings);
    overlap::find(&reading.roles, &mut reading.findings);
    refuse_limit_clashes(&reading.roles, &mut reading.findings);
    (reading.roles, reading.policies, reading.findings)
}

struct Source {
    path: Arc<str>,
    text: String,
}

impl Source {
    fn place<T>(&self, spanned: &Spanned<T>) -> (usize, usize) {
        place_of(&self.text, spanned.span().start)
    }

    fn error<T>(&self, at: &Spanned<T>, code: &'static str, message: String) -> Finding {
        Finding::error(code, &*self.path, message).at_byte(&self.text, at.span().start)
    }
}

fn places(source: &Source, names: &[Spanned<String>]) -> Vec<(String, (usize, usize))> {
    names.iter().map(|name| (name.get_ref().clone(), source.place(name))).collect()
}

struct Reading<'a> {
    actions: &'a Actions,
    roles: Roles,
    policies: Vec<SourcePolicy>,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn role(&mut self, name: &RoleName, file: &RoleFile, source: &Source) {
        let purpose = file.purpose.get_ref().trim();
        if purpose.is_empty() || purpose.len() > TEXT_BYTES_MAX {
            let message = format!("role `{name}` has no purpose");
            let finding = source.error(&file.purpose, "role-purpose", message);
            self.findings.push(finding.with_help("say in one line what its holders are for, 1024 bytes at most"));
        }
        let entries = self.allow(name, file, source);
        let allow = entries
            .iter()
            .flat_map(|entry| entry.named.actions.iter().map(|action| (action.clone(), entry.place)))
            .collect();
        let out_of_scope = self.out_of_scope(name, file, source);
        let limits = self.limits(file, source);
        let role = Role {
            purpose: purpose.to_owned(),
            parents: BTreeSet::new(),
            ancestors: BTreeSet::new(),
            delegates_to: BTreeSet::new(),
            key_protection: file.key_protection,
            limits,
            allow,
            entries,
            out_of_scope,
            file: source.path.clone(),
        };
        self.roles.roles.insert(name.clone(), role);
    }

    fn named(&mut self, pattern: &Spanned<String>, source: &Source) -> Option<Named> {
        match self.actions.named(pattern.get_ref()) {
            Ok(named) => Some(named),
            Err(error) => {
                let message = format!("`{}` is no action of this bundle", pattern.get_ref());
                let finding = source.error(pattern, "action-unknown", message);
                self.findings.push(finding.with_help(match error.near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        String::from("write `<system>.<tool>`, or `<system>:read`, `:write`, `:delete`, `:execute`")
                    }
                }));
                None
            }
        }
    }

    fn allow(&mut self, role: &RoleName, file: &RoleFile, source: &Source) -> Vec<Entry> {
        let mut allowed = Vec::new();
        for (index, pattern) in file.allow.iter().enumerate() {
            if pattern.get_ref().ends_with(":*") {
                let message = format!("`{}` would allow whatever the system ever offers", pattern.get_ref());
                let finding = source.error(pattern, "allow-whole-system", message);
                self.findings.push(finding.with_help("name the classes: `<system>:read` and the like"));
                continue;
            }
            let Some(named) = self.named(pattern, source) else { continue };
            let scope = if named.group { "in" } else { "==" };
            let cedar = format!(
                "permit (principal in Bailiwick::Role::\"{role}\", action {scope} Bailiwick::Action::\"{}\", resource);",
                named.id
            );
            self.generate(&format!("role:{role}:allow:{}", index + 1), &cedar, source, source.place(pattern));
            allowed.push(Entry { named, place: source.place(pattern) });
        }
        allowed
    }

    fn out_of_scope(&mut self, role: &RoleName, file: &RoleFile, source: &Source) -> BTreeSet<ActionName> {
        let mut refused = BTreeSet::new();
        let mut ids = Vec::new();
        for pattern in &file.out_of_scope {
            let Some(named) = self.named(pattern, source) else { continue };
            ids.push(format!("Bailiwick::Action::\"{}\"", named.id));
            refused.extend(named.actions);
        }
        if let (Some(first), false) = (file.out_of_scope.first(), ids.is_empty()) {
            let cedar = format!(
                "@reason(\"it is outside the job of role {role}\")\n\
                 @help(\"use an agent whose job it is; the owner of role {role} decides what belongs to it\")\n\
                 forbid (principal in Bailiwick::Role::\"{role}\", action in [{}], resource);",
                ids.join(", ")
            );
            self.generate(&format!("role:{role}:out-of-scope"), &cedar, source, source.place(first));
        }
        refused
    }

    fn generate(&mut self, id: &str, cedar: &str, source: &Source, place: (usize, usize)) {
        let id = match id.parse() {
            Ok(id) => id,
            Err(error) => {
                self.findings
                    .push(Finding::error("generated-policy", &*source.path, format!("{error}")).at_place(place));
                return;
            }
        };
        match policies::generated(id, cedar, &source.path, place) {
            Ok(policy) => self.policies.push(policy),
            Err(finding) => self.findings.push(finding),
        }
    }

    fn limits(&mut self, file: &RoleFile, source: &Source) -> Vec<Limit> {
        if file.limits.len() > LIMITS_MAX {
            let message = format!("a role has at most {LIMITS_MAX} limits");
            self.findings.push(Finding::error("too-many-limits", &*source.path, message));
        }
        file.limits.iter().take(LIMITS_MAX).filter_map(|limit| self.limit(limit, source)).collect()
    }

    fn limit(&mut self, limit: &LimitFile, source: &Source) -> Option<Limit> {
        let name = limit.name.get_ref();
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(word) {
            let message = format!("`{name}` cannot be the name of a limit");
            let finding = source.error(&limit.name, "limit-name", message);
            self.findings.push(finding.with_help("use lower-case letters, digits and `-`"));
            return None;
        }
        if !(1..=WINDOW_S_MAX).contains(&limit.window_s) {
            let message = format!("limit `{name}` has a window of {} seconds", limit.window_s);
            let finding = source.error(&limit.name, "limit-window", message);
            self.findings.push(finding.with_help(format!("write 1 to {WINDOW_S_MAX} seconds")));
            return None;
        }
        let mut actions = BTreeSet::new();
        for pattern in &limit.actions {
            actions.extend(self.named(pattern, source)?.actions);
        }
        Some(Limit {
            name: name.clone(),
            classes: limit.classes.iter().copied().collect(),
            actions,
            window_s: limit.window_s,
            calls_max: limit.calls_max,
        })
    }
}

/// Names of other roles as written, with their places, by the role whose file they stand in.
type Mentions = BTreeMap<RoleName, (Arc<str>, Vec<(String, (usize, usize))>)>;

/// Resolves who inherits from whom, and refuses names that are nowhere, and circles.
fn inherit(roles: &mut Roles, inherits: &Mentions, findings: &mut Vec<Finding>) {
    let names: BTreeSet<String> = roles.roles.keys().map(ToString::to_string).collect();
    let mut parents: BTreeMap<RoleName, BTreeSet<RoleName>> = BTreeMap::new();
    for (role, (file, wanted)) in inherits {
        for (name, place) in wanted {
            match name.parse::<RoleName>().ok().filter(|name| roles.roles.contains_key(name)) {
                Some(parent) => {
                    parents.entry(role.clone()).or_default().insert(parent);
                }
                None => {
                    let message = format!("role `{role}` inherits `{name}`, which is no role of this bundle");
                    let finding = Finding::error("role-unknown", &**file, message).at_place(*place);
                    findings.push(with_near(finding, name, &names));
                }
            }
        }
    }
    for (name, role) in &mut roles.roles {
        role.parents = parents.get(name).cloned().unwrap_or_default();
        role.ancestors = closure(name, &parents);
        if role.ancestors.contains(name) {
            let place = inherits.get(name).and_then(|(_, wanted)| wanted.first()).map(|(_, place)| *place);
            let message = format!("role `{name}` inherits itself, directly or through others");
            findings.push(Finding::error("role-cycle", &*role.file, message).at_place(place));
        }
    }
}

/// Adds the role that was probably meant.
fn with_near(finding: Finding, name: &str, names: &BTreeSet<String>) -> Finding {
    match did_you_mean(name, names.iter().map(String::as_str)) {
        Some(near) => finding.with_help(format!("did you mean `{near}`?")),
        None => finding,
    }
}

fn closure(name: &RoleName, parents: &BTreeMap<RoleName, BTreeSet<RoleName>>) -> BTreeSet<RoleName> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&RoleName> = parents.get(name).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if seen.insert(next.clone()) {
            open.extend(parents.get(next).into_iter().flatten());
        }
    }
    seen
}

/// Two limits of one name in one family would share one budget.
fn refuse_limit_clashes(roles: &Roles, findings: &mut Vec<Finding>) {
    for (name, role) in roles.iter() {
        let mut seen = BTreeSet::new();
        for limit in roles.limits(name) {
            if !seen.insert(&limit.name) {
                let message = format!("role `{name}` has two limits named `{}`, counting what it inherits", limit.name);
                findings.push(Finding::error("limit-duplicate", &*role.file, message).with_help("rename one of them"));
            }
        }
    }
}
