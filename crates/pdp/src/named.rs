//! The records that a bundle names: all that can be known of records without asking the system that has them.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Expr, ExprKind, Literal};

use crate::snapshot::Snapshot;

/// Records of one type that are looked at; the others are left out.
const NAMED_RECORDS_MAX: usize = 10_000;

impl Snapshot {
    /// The ids of all records of a type (`Files::File`) that some policy names, in order.
    pub fn named_records(&self, entity_type: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for condition in self.conditions() {
            for id in named(condition, entity_type) {
                if ids.len() < NAMED_RECORDS_MAX {
                    ids.insert(id);
                }
            }
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
