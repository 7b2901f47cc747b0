//! What a denial looked at: the permits that came nearest and what of them failed, the forbids that matched and what
//! of them held. Made by the evaluation that decided; holds values of the call, so it is for whoever may open them.

use serde::{Deserialize, Serialize};

use crate::{
    decision::Effect,
    name::{ActionName, PolicyId},
    principal::Principal,
};

/// One policy and what of it decided against a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examined {
    /// The policy.
    pub policy: PolicyId,
    /// A permit did not match, a forbid did.
    pub effect: Effect,
    /// Its file inside the bundle.
    pub file: String,
    /// Its line in that file, from 1.
    pub line: usize,
    /// For which principal's request.
    pub principal: Principal,
    /// For which action.
    pub action: ActionName,
    /// Which part of the policy it was.
    pub part: Part,
    /// Of a permit: what failed. Of a forbid: what held; empty if it has no conditions.
    pub conditions: Vec<Condition>,
}

/// Which part of a policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its scope fits, its `when` and `unless` decided.
    Conditions,
    /// It is for the same action and resource, and for somebody else.
    Principal,
    /// It is for the same principal and action, and for another resource.
    Resource,
}

/// One condition as the policy has it, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its text: `context.effect.records <= 100`.
    pub text: String,
    /// Its line in the policy's file, where the policy was written by hand.
    pub line: Option<usize>,
    /// Whether it holds. What fails a permit is a condition that does not, or one after `unless` that does.
    pub holds: bool,
    /// The values that it looked at.
    pub saw: Vec<Saw>,
}

/// One value that a condition looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// What it is: `context.effect.records`.
    pub what: String,
    /// Its value in Cedar's notation, shortened; `absent` where there is none.
    pub value: String,
}
