//! Observed or not, the same call comes to the same, but for rules of the organisation. What may be gone past is said
//! here a second time, in other words, and compared on generated calls.

use std::{collections::BTreeSet, sync::LazyLock};

use bailiwick_model::{
    agent::Environment,
    decision::{Decision, Obligation},
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    name::Scope,
    observation::Observation,
    principal::Principal,
    task::ToolGrant,
};
use proptest::prelude::*;

use crate::{Call, scenario, snapshot::Snapshot};

const WORLD: &str = r#"
title = "observed"
[systems.crm]
environment = "staging"
[systems.crm.tools.search]
class = "read"
input = { query = "string" }
field_classes = { pii = ["email"] }
[systems.crm.tools.update]
class = "write"
input = { id = "integer" }
[systems.crm.tools.mail]
class = "write"
tags = ["egress"]
input = { to = "string" }
[systems.crm.tools.purge]
class = "delete"
input = { id = "integer" }
[systems.bank.tools.pay]
class = "write"
input = { id = "integer" }
[roles.clerk]
purpose = "Some"
allow = ["crm.update", "bank.pay", "crm.mail"]
out_of_scope = ["crm.search"]
[roles.reader]
purpose = "Little"
allow = ["crm.search"]
[policies]
boundary = '''
@id("wall")
forbid (principal, action == Bailiwick::Action::"bank.pay", resource) when { context.input.id == 13 };
'''
organisation = '''
@id("rule")
forbid (principal, action in Bailiwick::Action::"egress", resource);
@id("gate")
@approvers("group:owners")
forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::"crm.update", resource)
when { context.input.id > 5 }
unless { context.approvals.contains("gate") };
@id("breaks")
forbid (principal, action == Bailiwick::Action::"crm.purge", resource)
when { context.input.id * 9000000000000000000 > 0 };
@id("one-size")
@obligation("result_bytes_max=10")
permit (principal, action == Bailiwick::Action::"bank.pay", resource) when { context.input.id == 1 };
@id("another-size")
@obligation("result_bytes_max=20")
permit (principal, action == Bailiwick::Action::"bank.pay", resource) when { context.input.id == 1 };
'''
"#;

/// Rules and codes that may be gone past, as a reader of the documentation would list them.
const RULES: [&str; 3] = ["rule", "gate", "breaks"];
const CODES: [&str; 3] = ["no_permit", "forbidden", "approval_required"];
const TOOLS: [&str; 5] = ["crm.search", "crm.update", "crm.mail", "crm.purge", "bank.pay"];

#[derive(Debug, Clone)]
struct Asked {
    tool: usize,
    number: i64,
    parties: Vec<(usize, usize, bool, bool, bool)>,
    safe_modes: Vec<usize>,
    all_scopes: bool,
    task: Option<usize>,
    observed: Vec<(usize, bool)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let party = (0..2_usize, 0..3_usize, any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    (
        0..TOOLS.len(),
        prop::sample::select(vec![1_i64, 2, 3, 9, 13]),
        prop::collection::vec(party, 1..3),
        prop::collection::vec(0..4_usize, 0..2),
        prop::bool::weighted(0.9),
        prop::option::weighted(0.2, 0..TOOLS.len()),
        prop::collection::vec((0..4_usize, any::<bool>()), 0..3),
    )
        .prop_map(|(tool, number, parties, safe_modes, all_scopes, task, observed)| Asked {
            tool,
            number,
            parties,
            safe_modes,
            all_scopes,
            task,
            observed,
        })
}

fn party(&(name, role, production, promoted, task_required): &(usize, usize, bool, bool, bool)) -> Party {
    Party {
        principal: Principal::Agent(["a1", "a2"][name].parse().unwrap()),
        owner: "team".into(),
        environment: Some(if production { Environment::Production } else { Environment::Staging }),
        role: Some(["clerk", "reader", "gone"][role].parse().unwrap()),
        groups: BTreeSet::new(),
        promoted,
        task_required,
    }
}

fn evaluation(snapshot: &Snapshot, asked: &Asked) -> Evaluation {
    let (system, name) = TOOLS[asked.tool].split_once('.').unwrap();
    let arguments = match name {
        "search" => serde_json::json!({ "query": "q" }),
        "mail" => serde_json::json!({ "to": "a@example.org" }),
        _ => serde_json::json!({ "id": asked.number }),
    };
    let arguments = arguments.as_object().unwrap().clone();
    let system = system.parse().unwrap();
    let call = Call { system: &system, method: "tools/call", name: Some(name), arguments: &arguments };
    let operations = snapshot.map(&call).unwrap();
    let needed: BTreeSet<Scope> = snapshot.required_scopes(&operations).into_iter().collect();
    let safe = ["everything", "system:crm", "system:bank", "agent:a1"];
    let watched = ["system:crm", "system:bank", "agent:a1", "agent:a2"];
    let observe = |&(scope, production): &(usize, bool)| {
        let scope = watched[scope].parse().unwrap();
        Observation { scope, production }
    };
    Evaluation {
        id: EvaluationId::new(0, [0; 10]),
        now: "2026-06-15T10:00:00Z".parse().unwrap(),
        parties: asked.parties.iter().map(party).collect(),
        operations,
        arguments: arguments.into_iter().collect(),
        network_zone: "office".into(),
        task: TaskContext {
            id: None,
            tools: asked
                .task
                .map(|tool| vec![ToolGrant { action: TOOLS[tool].parse().unwrap(), pins: Default::default() }]),
            self_made: false,
            facts: BTreeSet::new(),
        },
        approvals: BTreeSet::new(),
        authority: Authority {
            scopes: if asked.all_scopes { needed } else { BTreeSet::new() },
            details: None,
            safe_modes: asked.safe_modes.iter().map(|&mode| safe[mode].parse().unwrap()).collect(),
            observations: asked.observed.iter().map(observe).collect(),
            authentication: None,
        },
    }
}

/// Whether somebody observes the call, in other words than the code's.
fn is_observed(evaluation: &Evaluation) -> bool {
    let system = evaluation.operations[0].action.system();
    let named = |scope: &str| {
        let production = system == "bank"
            || evaluation.parties.iter().any(|party| party.environment == Some(Environment::Production));
        let on = |one: &&Observation| one.scope.to_string() == scope && (one.production || !production);
        evaluation.authority.observations.iter().any(|one| on(&one))
    };
    let agents: Vec<String> =
        evaluation.parties.iter().map(|party| format!("agent:{}", party.principal.id())).collect();
    let concerned =
        |mode: &String| mode == "everything" || *mode == format!("system:{system}") || agents.contains(mode);
    let safe = evaluation.authority.safe_modes.iter().any(|mode| concerned(&mode.to_string()));
    !safe && (named(&format!("system:{system}")) || agents.iter().all(|agent| named(agent)))
}

/// Whether nothing stands in the way but rules of the organisation.
fn only_rules(asked: &Asked, decision: &Decision) -> bool {
    // A role that is nowhere permits nothing, under the same code as a role that does not permit this.
    let whole = asked.parties.iter().all(|&(_, role, ..)| role != 2);
    whole
        && decision.reasons().iter().all(|reason| {
            CODES.contains(&reason.code.as_str())
                && reason.rule.as_ref().is_none_or(|rule| RULES.contains(&rule.as_str()))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]
    #[test]
    fn only_rules_of_the_organisation_are_gone_past(asked in asked()) {
        static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
            let files = scenario::bundle("observed.toml", WORLD.as_bytes()).unwrap();
            Snapshot::compile(&files).unwrap_or_else(|findings| panic!("{findings:#?}"))
        });
        let evaluation = evaluation(&SNAPSHOT, &asked);
        let mut alone = evaluation.clone();
        alone.authority.observations.clear();
        let alone = SNAPSHOT.evaluate(&alone);
        let observed = SNAPSHOT.evaluate(&evaluation);
        prop_assert!(alone.observed.is_none());
        let covered = is_observed(&evaluation);
        let marked = observed.observed.as_ref().map(|one| &one.would_be);
        prop_assert_eq!(marked, covered.then_some(&alone.decision), "it says what it would be");
        let passes = covered && !matches!(alone.decision, Decision::Allow { .. }) && only_rules(&asked, &alone.decision);
        match &observed.decision {
            Decision::Allow { obligations } if passes => {
                let masked = obligations.contains(&Obligation::Mask { field_class: "pii".into() });
                prop_assert_eq!(masked, TOOLS[asked.tool] == "crm.search");
            }
            decision => prop_assert!(!passes && *decision == alone.decision, "{:#?} {:#?}", alone, observed),
        }
    }
}
