//! To whom the agents of a role may hand work on: nobody, unless a role's file names the role. Decides nothing.

use std::collections::BTreeSet;

use bailiwick_model::name::{ActionName, RoleName};

use super::{Mentions, Roles, with_near};
use crate::finding::Finding;

impl Roles {
    /// The role of a family by whose file its agents may delegate to those of another role. To each other they may by
    /// their own file alone: an inherited one that names them spoke of whom it hands work on to.
    pub(crate) fn delegates<'a>(&'a self, from: &'a RoleName, to: &RoleName) -> Option<&'a RoleName> {
        let names =
            |(name, role): &(&RoleName, &super::Role)| role.delegates_to.contains(to) && (from != to || *name == from);
        self.family(from).find(names).map(|(name, _)| name)
    }
}

/// Takes over what the files say, refuses names that are nowhere, and remarks on what gives nothing or tells nobody apart.
pub(super) fn resolve(roles: &mut Roles, mentions: &Mentions, findings: &mut Vec<Finding>) {
    let names: BTreeSet<String> = roles.roles.keys().map(ToString::to_string).collect();
    for (from, (file, wanted)) in mentions {
        for (name, place) in wanted {
            let finding = |code, message| Finding::error(code, &**file, message).at_place(*place);
            match name.parse::<RoleName>().ok().filter(|name| roles.roles.contains_key(name)) {
                None => {
                    let message = format!("role `{from}` delegates to `{name}`, which is no role of this bundle");
                    findings.push(with_near(finding("role-unknown", message), name, &names));
                }
                Some(to) => {
                    if let Some(role) = roles.roles.get_mut(from) {
                        role.delegates_to.insert(to.clone());
                    }
                    let remark = if to == *from { Some(to_itself(from, file)) } else { useless(roles, from, &to) };
                    findings.extend(remark.map(|finding| finding.at_place(*place)));
                }
            }
        }
    }
}

/// A remark on agents of one role that may all hand work to each other: policy cannot tell them apart.
fn to_itself(role: &RoleName, file: &str) -> Finding {
    let message = format!("role `{role}` delegates to itself: any of its agents may hand work on to any other");
    let help = "make a narrower role for those whom work is handed on to, and name that";
    Finding::warning("delegation-to-itself", file, message).with_help(help)
}

/// A remark on a delegation of which nothing is left: whoever is delegated to may do no more than both may.
fn useless(roles: &Roles, from: &RoleName, to: &RoleName) -> Option<Finding> {
    let allowed: BTreeSet<&ActionName> = roles.family(to).flat_map(|(_, role)| role.allow.keys()).collect();
    let excluded_by = |action: &ActionName| roles.excluded_by(from, action);
    let by = allowed.iter().find_map(|action| excluded_by(action))?;
    if !allowed.iter().all(|action| excluded_by(action).is_some()) {
        return None;
    }
    let message =
        format!("role `{from}` delegates to `{to}`, and all that `{to}` allows is out of scope by role `{by}`");
    let help = "everybody of a chain is decided on, so no call on its behalf can be allowed: put less out of scope, or remove this";
    let file = roles.role(from).map(|role| role.file.clone()).unwrap_or_default();
    Some(Finding::warning("delegation-useless", &*file, message).with_help(help))
}

#[cfg(test)]
mod tests;
