//! How long a decision takes, beside stock Cedar over the same policies in the
//! same run: `cargo bench -p bailiwick-pdp`. Ratios travel between machines,
//! microseconds do not.
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement needs a clock and a place to print")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be set up stops")]

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use bailiwick_model::{
    agent::Environment,
    bundle::BundleFiles,
    decision::Decision,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    principal::Principal,
};
use bailiwick_pdp::{Call, Snapshot, scenario};
use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};

const TOOLS: usize = 50;
const ROUNDS: u32 = 200;

/// A mix as an organisation has it: most policies name one agent and one
/// action, some a team, a few forbid.
fn policies(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let tool = number % TOOLS;
        let action = format!("action == Bailiwick::Action::\"crm.tool_{tool}\"");
        let (effect, principal, condition) = match number % 20 {
            0..=13 => ("permit", format!("principal == Bailiwick::Agent::\"agent-{}\"", number / TOOLS), ""),
            14..=18 => ("permit", format!("principal in Bailiwick::Role::\"role-{}\"", number % 7), ""),
            _ => ("forbid", String::from("principal is Bailiwick::Agent"), "when { context.effect.records > 1000000 }"),
        };
        writeln!(text, "@id(\"p{number}\") {effect} ({principal}, {action}, resource) {condition};").unwrap();
    }
    text
}

fn world(policies: &str) -> BundleFiles {
    let mut text = String::from("title = \"bench\"\n");
    for tool in 0..TOOLS {
        write!(text, "[systems.crm.tools.tool_{tool}]\nclass = \"write\"\ninput = {{ id = \"string\" }}\neffect = {{ records = 1 }}\n")
            .unwrap();
    }
    for role in 0..7 {
        write!(text, "[roles.role-{role}]\npurpose = \"bench\"\n").unwrap();
    }
    write!(text, "[policies]\norganisation = '''{policies}'''\n").unwrap();
    scenario::bundle("bench.toml", text.as_bytes()).unwrap()
}

fn evaluation(snapshot: &Snapshot) -> Evaluation {
    let arguments = serde_json::json!({ "id": "42" });
    let arguments = arguments.as_object().unwrap();
    let system = "crm".parse().unwrap();
    let call = Call { system: &system, method: "tools/call", name: Some("tool_0"), arguments };
    let operations = snapshot.map(&call).unwrap();
    Evaluation {
        id: EvaluationId::new(0, [0; 10]),
        now: "2026-06-15T10:00:00Z".parse().unwrap(),
        parties: vec![Party {
            principal: Principal::Agent("agent-0".parse().unwrap()),
            owner: "team".into(),
            environment: Some(Environment::Production),
            role: Some("role-1".parse().unwrap()),
            groups: Default::default(),
            promoted: true,
            task_required: false,
        }],
        authority: Authority {
            scopes: snapshot.required_scopes(&operations).into_iter().collect(),
            safe_modes: Default::default(),
            observations: Default::default(),
        },
        operations,
        arguments: BTreeMap::new(),
        network_zone: "office".into(),
        task: TaskContext { id: None, tools: None, facts: Default::default() },
        approvals: Default::default(),
    }
}

/// The median of some rounds, in microseconds.
fn median(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    println!("{:>8} {:>12} {:>12} {:>8}", "policies", "stock µs", "ours µs", "ratio");
    for count in [10, 100, 1_000, 10_000] {
        let text = policies(count);
        let snapshot = Snapshot::compile(&world(&text)).expect("the bench's bundle compiles");
        let evaluation = evaluation(&snapshot);
        let decided = snapshot.evaluate(&evaluation).decision;
        assert!(matches!(decided, Decision::Allow { .. }), "{decided:?}");

        let set: PolicySet = text.parse().unwrap();
        let entities = serde_json::json!([
            { "uid": { "type": "Bailiwick::Agent", "id": "agent-0" }, "attrs": { "promoted": true },
              "parents": [{ "type": "Bailiwick::Role", "id": "role-1" }] },
            { "uid": { "type": "Bailiwick::Role", "id": "role-1" }, "attrs": {}, "parents": [] },
        ]);
        let entities = Entities::from_json_value(entities, None).unwrap();
        let context = Context::from_json_value(serde_json::json!({ "effect": { "records": 1 } }), None).unwrap();
        let stock_request = Request::new(
            "Bailiwick::Agent::\"agent-0\"".parse().unwrap(),
            "Bailiwick::Action::\"crm.tool_0\"".parse().unwrap(),
            "Bailiwick::Tool::\"crm.tool_0\"".parse().unwrap(),
            context,
            None,
        )
        .unwrap();
        let authorizer = Authorizer::new();
        let stock = median(|| {
            std::hint::black_box(authorizer.is_authorized(&stock_request, &set, &entities));
        });
        let ours = median(|| {
            std::hint::black_box(snapshot.evaluate(&evaluation));
        });
        println!("{count:>8} {stock:>12.1} {ours:>12.1} {:>8.1}", stock / ours);
    }
}
