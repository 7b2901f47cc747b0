//! The records that a bundle names: all that can be known of records without asking the system that has them.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Expr, ExprKind, Literal};

use crate::snapshot::Snapshot;

/// Records of one type that are looked at; the others are left out.
const NAMED_RECORDS_MAX: usize = 10_000;

impl Snapshot {
    /// The ids of all records of a type (`Files::File`) that some policy names, in order.
    pub fn named_records(&self, entity_type: &str) -> BTreeSet<String> {
        self.named_records_at_most(entity_type, NAMED_RECORDS_MAX)
    }

    fn named_records_at_most(&self, entity_type: &str, most: usize) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for id in self.conditions().flat_map(|condition| named(condition, entity_type)) {
            if ids.len() >= most {
                break;
            }
            ids.insert(id);
        }
        ids
    }
}

fn named<'a>(condition: &'a Expr, entity_type: &'a str) -> impl Iterator<Item = String> + 'a {
    condition.subexpressions().filter_map(move |expr| match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) if uid.entity_type().to_string() == entity_type => {
            Some(AsRef::<str>::as_ref(uid.eid()).to_owned())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn records_that_policies_name_are_counted_once_and_bounded() {
        let text = r#"
title = "named"
[systems.bank.tools.pay]
class = "write"
input = { account = "string" }
resource = { type = "Account", id = "account" }
[policies]
organisation = '''
@id("one") permit (principal is Bailiwick::Agent, action == Bailiwick::Action::"bank.pay", resource == Bank::Account::"1");
@id("two") forbid (principal, action == Bailiwick::Action::"bank.pay", resource)
when { [Bank::Account::"1", Bank::Account::"3", Bank::Account::"2"].contains(resource) };
'''
[[calls]]
call = "bank.pay"
expect = "deny"
"#;
        let snapshot = Snapshot::compile(&scenario::bundle("world.toml", text.as_bytes()).unwrap()).unwrap();
        let named = |kind: &str, most: usize| snapshot.named_records_at_most(kind, most).len();
        assert_eq!(snapshot.named_records("Bank::Account"), ["1", "2", "3"].map(str::to_owned).into());
        assert_eq!((named("Bank::Account", 3), named("Bank::Account", 2)), (3, 2));
        assert_eq!(named("Bank::Card", 2), 0);
    }
}
