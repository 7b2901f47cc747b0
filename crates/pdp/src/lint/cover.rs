//! Rules that another rule makes pointless: shadowed, contradicted, written twice, or against a role's own limits.

use std::collections::{BTreeSet, HashMap};

use bailiwick_model::decision::Effect;
use cedar_policy_core::ast::{EntityType, EntityUID, PrincipalOrResourceConstraint};

use super::Rule;
use crate::{finding::Finding, snapshot::Snapshot};

/// Pairs of rules that are compared; with more, the lint says that it stopped.
pub(super) const PAIRS_MAX: usize = 4_000_000;

/// What is suspicious about the rules together, from so many pairs.
pub(super) fn check(snapshot: &Snapshot, rules: &[Rule<'_>], pairs_max: usize) -> Vec<Finding> {
    let excluding = rules.iter().filter(|rule| is_out_of_scope(rule)).collect();
    let cover = Cover { snapshot, wide: by_scope(rules), rules, excluding };
    let mut pairs = 0;
    let mut findings = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if rule.is_builtin() {
            continue;
        }
        let over: Vec<usize> = cover.candidates(rule).collect();
        pairs += over.len();
        if pairs > pairs_max {
            let message =
                format!("the bundle has so many alike rules that not all of them were compared ({pairs_max})");
            findings.push(Finding::warning("lint-incomplete", "", message).with_help("split what holds them"));
            break;
        }
        findings.extend(cover.first(number, over));
        findings.extend(cover.out_of_scope(rule));
    }
    findings
}

/// Rules by one action or group of their scope and by the entity of their principal.
type Wide<'a> = HashMap<(Option<&'a EntityUID>, Option<EntityUID>), Vec<usize>>;

fn by_scope<'a>(rules: &'a [Rule<'a>]) -> Wide<'a> {
    let mut wide = Wide::new();
    for (number, rule) in rules.iter().enumerate() {
        let principal = principal(rule);
        if rule.actions.is_empty() {
            wide.entry((None, principal)).or_default().push(number);
        } else {
            for action in &rule.actions {
                wide.entry((Some(action), principal.clone())).or_default().push(number);
            }
        }
    }
    wide
}

fn principal(rule: &Rule<'_>) -> Option<EntityUID> {
    rule.principal.get_euid().map(|uid| EntityUID::clone(uid))
}

struct Cover<'a> {
    snapshot: &'a Snapshot,
    rules: &'a [Rule<'a>],
    wide: Wide<'a>,
    /// What roles put out of their own scope.
    excluding: Vec<&'a Rule<'a>>,
}

impl Cover<'_> {
    /// Rules whose scope could cover that of another one.
    fn candidates(&self, rule: &Rule<'_>) -> impl Iterator<Item = usize> {
        // Whatever covers all of its actions covers the first.
        let mut actions: Vec<Option<EntityUID>> = vec![None];
        if let Some(first) = rule.actions.first() {
            actions.extend(self.with_above(first).into_iter().map(Some));
        }
        let mut principals: Vec<Option<EntityUID>> = vec![None];
        if let Some(own) = principal(rule) {
            principals.extend(self.with_above(&own).into_iter().map(Some));
        }
        let mut found = BTreeSet::new();
        for action in &actions {
            for principal in &principals {
                found.extend(self.wide.get(&(action.as_ref(), principal.clone())).into_iter().flatten().copied());
            }
        }
        found.into_iter()
    }

    fn with_above(&self, uid: &EntityUID) -> Vec<EntityUID> {
        let id: &str = uid.eid().as_ref();
        let entity =
            if uid.is_action() { self.snapshot.actions().entity(id) } else { self.snapshot.store().entity(uid) };
        let above = entity.into_iter().flat_map(|entity| entity.ancestors().cloned());
        std::iter::once(uid.clone()).chain(above).collect()
    }

    fn is_under(&self, uid: &EntityUID, above: &EntityUID) -> bool {
        uid == above || self.with_above(uid).contains(above)
    }

    /// The worst that the other rules do to one.
    fn first(&self, number: usize, over: Vec<usize>) -> Option<Finding> {
        let rule = self.rules.get(number)?;
        let mut shadowed = None;
        for other in over {
            let Some(by) = self.rules.get(other).filter(|_| other != number) else { continue };
            if !self.covers(by, rule) {
                continue;
            }
            let final_forbid = by.compiled.effect == Effect::Forbid && by.compiled.annotations.gate.is_none();
            let alike = by.compiled.effect == rule.compiled.effect;
            if final_forbid && rule.compiled.effect == Effect::Permit {
                if rule.compiled.is_generated() && is_out_of_scope(by) {
                    return None; // `role-overlap` says it already
                }
                return Some(contradicted(rule, by));
            }
            if final_forbid && rule.compiled.annotations.gate.is_some() {
                return Some(
                    rule.warning(
                        "gate-unreachable",
                        format!(
                            "no approval ever lifts `{}`: {} forbids the same calls for good",
                            rule.compiled.id,
                            by.named()
                        ),
                    )
                    .with_help("remove one of the two, or narrow the one without approvers"),
                );
            }
            if shadowed.is_none() && alike && self.is_pointless(rule, by, number < other) {
                shadowed = Some(self.shadowed(rule, by));
            }
        }
        shadowed
    }

    /// Whether a rule adds nothing to one of its effect that covers it. Of two that cover each other, one stays.
    fn is_pointless(&self, rule: &Rule<'_>, by: &Rule<'_>, is_earlier: bool) -> bool {
        let (own, others) = (&rule.compiled.annotations, &by.compiled.annotations);
        let gated = own.gate.is_some() || others.gate.is_some();
        let obliges = own.obligations.iter().any(|one| !others.obligations.contains(one));
        let guards = rule.is_boundary() && !by.is_boundary();
        let stays = is_earlier && self.covers(rule, by) && (rule.is_boundary() || !by.is_boundary());
        !(gated || obliges || guards || stays)
    }

    fn shadowed(&self, rule: &Rule<'_>, by: &Rule<'_>) -> Finding {
        let verb = if rule.compiled.effect == Effect::Permit { "permits" } else { "forbids" };
        let twin = self.covers(rule, by);
        let (code, message) = if twin {
            ("policy-duplicate", format!("`{}` says the same as {}", rule.compiled.id, by.named()))
        } else {
            (
                "policy-shadowed",
                format!("`{}` changes nothing: {} {verb} all that it does", rule.compiled.id, by.named()),
            )
        };
        rule.warning(code, message).with_help("remove it, or narrow the wider one if that one is the mistake")
    }

    /// Whether every call that one rule matches is matched by another.
    fn covers(&self, wide: &Rule<'_>, narrow: &Rule<'_>) -> bool {
        wide.texts.is_subset(&narrow.texts)
            && self.actions_cover(wide, narrow)
            && self.scope_covers(&wide.principal, &narrow.principal)
            && self.scope_covers(&wide.resource, &narrow.resource)
    }

    fn actions_cover(&self, wide: &Rule<'_>, narrow: &Rule<'_>) -> bool {
        let covered = |action: &&EntityUID| wide.actions.iter().any(|above| self.is_under(action, above));
        wide.actions.is_empty() || (!narrow.actions.is_empty() && narrow.actions.iter().all(covered))
    }

    fn scope_covers(&self, wide: &PrincipalOrResourceConstraint, narrow: &PrincipalOrResourceConstraint) -> bool {
        use PrincipalOrResourceConstraint as C;
        let within = || match (narrow.get_euid(), wide.get_euid()) {
            (Some(uid), Some(above)) => self.is_under(uid, above),
            _ => false,
        };
        match wide {
            C::Any => true,
            C::Is(kind) => kind_of(narrow) == Some(kind),
            C::Eq(_) => matches!(narrow, C::Eq(_)) && narrow.get_euid() == wide.get_euid(),
            C::In(_) => within(),
            C::IsIn(kind, _) => kind_of(narrow) == Some(kind) && within(),
        }
    }

    /// A permit for a role that names, among others, what that role declares to be out of its scope.
    fn out_of_scope(&self, rule: &Rule<'_>) -> Option<Finding> {
        let own =
            principal(rule).filter(|_| rule.compiled.effect == Effect::Permit && !rule.compiled.is_generated())?;
        for other in
            self.excluding.iter().filter(|other| principal(other).is_some_and(|role| self.is_under(&own, &role)))
        {
            if self.covers(other, rule) {
                return None; // contradicted as a whole, which is said already
            }
            let among =
                |action: &&&EntityUID| rule.actions.iter().any(|named| is_named(named) && self.is_under(action, named));
            if let Some(action) = other.actions.iter().find(among) {
                let id: &str = action.eid().as_ref();
                let message =
                    format!("`{}` permits `{id}`, which {} puts out of scope", rule.compiled.id, other.named());
                return Some(
                    rule.warning("out-of-scope-overlap", message)
                        .with_help("permit less, or take it off `out_of_scope`: a forbid always wins"),
                );
            }
        }
        None
    }
}

/// Whether a scope names an action or a group of one system: what somebody chose for this role, not a class of all.
fn is_named(action: &EntityUID) -> bool {
    let id: &str = action.eid().as_ref();
    id.contains(['.', ':'])
}

fn is_out_of_scope(rule: &Rule<'_>) -> bool {
    rule.compiled.is_generated() && rule.compiled.effect == Effect::Forbid
}

fn kind_of(scope: &PrincipalOrResourceConstraint) -> Option<&std::sync::Arc<EntityType>> {
    match scope {
        PrincipalOrResourceConstraint::Is(kind) | PrincipalOrResourceConstraint::IsIn(kind, _) => Some(kind),
        _ => None,
    }
}

fn contradicted(rule: &Rule<'_>, by: &Rule<'_>) -> Finding {
    let id = &rule.compiled.id;
    let (code, message) = if is_out_of_scope(by) {
        ("out-of-scope-overlap", format!("`{id}` permits only what {} puts out of scope", by.named()))
    } else {
        ("policy-conflict", format!("`{id}` never permits anything: {} forbids all of it", by.named()))
    };
    rule.warning(code, message).with_help("remove one of the two: a forbid always wins, so the permit never works")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn a_lint_that_stops_says_so() {
        let rule = |n: usize| {
            format!(
                "@id(\"p{n}\") permit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"a.b\", resource);\n"
            )
        };
        let policies: String = (0..3).map(rule).collect();
        let text = format!(
            "title = \"alike\"\n[systems.a.tools.b]\nclass = \"read\"\n[policies]\norganisation = '''\n{policies}'''\n"
        );
        let text = format!("{text}[[calls]]\ncall = \"a.b\"\nexpect = \"allow\"\n");
        let snapshot = Snapshot::compile(&scenario::bundle("world.toml", text.as_bytes()).unwrap()).unwrap();
        let rules: Vec<Rule<'_>> = snapshot.policies().iter().map(Rule::new).collect();
        let codes = |pairs_max: usize| {
            check(&snapshot, &rules, pairs_max).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(PAIRS_MAX), ["policy-duplicate", "policy-duplicate"]);
        assert_eq!(codes(2), ["lint-incomplete"]);
    }
}
