//! What a role both allows and puts out of scope. A tool that is named twice is a contradiction; a class without some of
//! its tools is how a role is narrowed. Decides nothing.

use std::collections::BTreeMap;

use bailiwick_model::name::{ActionName, RoleName};

use super::{Entry, Role, Roles};
use crate::finding::Finding;

/// Refuses a tool that is both allowed and excluded by name, and remarks on a class of which nothing is left.
pub(super) fn find(roles: &Roles, findings: &mut Vec<Finding>) {
    for (name, _) in roles.iter() {
        let excluded: BTreeMap<&ActionName, &RoleName> = roles
            .family(name)
            .flat_map(|(by, role)| role.out_of_scope.iter().map(move |action| (action, by)))
            .collect();
        for (by, holder) in roles.family(name) {
            for entry in &holder.entries {
                let Some(excluded_by) = void(entry, &excluded) else { continue };
                if by != name && excluded_by != name && related(roles, by, excluded_by) {
                    continue; // said where the one that inherits the other is checked
                }
                findings.push(finding(entry, (by, holder), excluded_by));
            }
        }
    }
}

/// The role that leaves nothing of an entry.
fn void<'a>(entry: &Entry, excluded: &BTreeMap<&ActionName, &'a RoleName>) -> Option<&'a RoleName> {
    let mut by = None;
    for action in &entry.named.actions {
        by = Some(*excluded.get(action)?);
    }
    by
}

fn related(roles: &Roles, one: &RoleName, other: &RoleName) -> bool {
    let below = |a: &RoleName, b: &RoleName| roles.role(a).is_some_and(|role| role.ancestors.contains(b));
    one == other || below(one, other) || below(other, one)
}

fn finding(entry: &Entry, (by, holder): (&RoleName, &Role), excluded_by: &RoleName) -> Finding {
    let id = &entry.named.id;
    if entry.named.group {
        let message =
            format!("`{id}` is allowed by role `{by}`, and all of it is out of scope by role `{excluded_by}`");
        let help =
            "it allows nothing as long as the system has no other tool of this class: remove it if none is to come";
        Finding::warning("role-overlap", &*holder.file, message).at_place(entry.place).with_help(help)
    } else {
        let message = format!("`{id}` is allowed by role `{by}` and out of scope by role `{excluded_by}`");
        let help = "remove one of the two: a forbid always wins, so the permit never works";
        Finding::error("role-overlap", &*holder.file, message).at_place(entry.place).with_help(help)
    }
}
