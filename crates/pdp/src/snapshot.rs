//! A compiled bundle: immutable, swapped whole, shared by reference count.
//! Must not know where its files came from, nor what time it is.

use bailiwick_model::{
    bundle::{BundleFiles, BundleRevision},
    decision::{Decision, Evaluated, Reason, ReasonCode},
    evaluation::Evaluation,
    name::{ActionName, Scope},
    operation::Operation,
};
use std::collections::BTreeMap;

use crate::{
    finding::Finding,
    visibility::{Listing, Visibility},
};

/// A compiled bundle.
#[derive(Debug)]
pub struct Snapshot {
    revision: BundleRevision,
    warnings: Vec<Finding>,
    cedar_schema: String,
}

impl Snapshot {
    /// Compiles a bundle, or says everything that is wrong with it.
    pub fn compile(files: &BundleFiles) -> Result<Self, Vec<Finding>> {
        Ok(Self { revision: files.revision(), warnings: Vec::new(), cedar_schema: String::new() })
    }

    /// What somebody should look at, although the bundle can be published.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The digest of the bundle's files, which every decision cites.
    pub fn revision(&self) -> BundleRevision {
        self.revision
    }

    /// The generated schema in Cedar's own syntax.
    pub fn cedar_schema(&self) -> &str {
        &self.cedar_schema
    }

    /// Decides. Total: whatever cannot be decided is denied.
    pub fn evaluate(&self, evaluation: &Evaluation) -> Evaluated {
        let reason = Reason {
            code: ReasonCode::NoPermit,
            rule: None,
            principal: None,
            message: String::from("no policy permits it"),
            help: None,
            retry_after_s: None,
        };
        Evaluated {
            id: evaluation.id,
            bundle: self.revision,
            decision: Decision::deny(reason),
            determining: Vec::new(),
            errors: BTreeMap::new(),
            budgets: Vec::new(),
        }
    }

    /// Whether an action is shown in a list to this caller.
    pub fn visibility(&self, listing: &Listing<'_>, action: &ActionName) -> Visibility {
        let _ = (listing, action);
        Visibility::Shown
    }

    /// Per operation, the scope to ask a token for when it is missing.
    pub fn required_scopes(&self, operations: &[Operation]) -> Vec<Scope> {
        let _ = operations;
        Vec::new()
    }
}
