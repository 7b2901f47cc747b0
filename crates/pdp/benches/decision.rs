//! How long a decision takes, beside stock Cedar over the same policies in the
//! same run: `cargo bench -p bailiwick-pdp`. Ratios travel between machines,
//! microseconds do not. `--smoke` is brief, `--lines` is for `cargo xtask bench`.
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement needs a clock and a place to print")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be set up stops")]

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    time::Instant,
};

use bailiwick_model::{
    agent::Environment,
    bundle::BundleFiles,
    decision::Decision,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    principal::Principal,
};
use bailiwick_pdp::{Call, Snapshot, scenario};
use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request};

const TOOLS: usize = 50;
const POLICIES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Entities that stock Cedar is given, as an organisation has them. Ours are built for each request.
const ENTITIES: u32 = 100_000;

/// How much is measured.
struct Plan {
    rounds: u32,
    stock: u32,
    ours: u32,
}

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

/// From the arguments as they came to what is evaluated.
fn evaluation(snapshot: &Snapshot, arguments: &str) -> Evaluation {
    let arguments: serde_json::Map<String, serde_json::Value> = serde_json::from_str(arguments).unwrap();
    let system = "crm".parse().unwrap();
    let call = Call { system: &system, method: "tools/call", name: Some("tool_0"), arguments: &arguments };
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
            details: None,
            safe_modes: Default::default(),
            observations: Default::default(),
            authentication: None,
        },
        operations,
        arguments: BTreeMap::new(),
        network_zone: "office".into(),
        task: TaskContext { id: None, tools: None, self_made: false, facts: Default::default() },
        approvals: Default::default(),
    }
}

/// How long each of some runs took, in microseconds, shortest first.
fn times(count: u32, mut run: impl FnMut()) -> Vec<f64> {
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

/// The same policies for both.
struct World {
    row: String,
    snapshot: Snapshot,
    stock: PolicySet,
}

fn uid(kind: &str, id: &str) -> EntityUid {
    format!("Bailiwick::{kind}::\"{id}\"").parse().unwrap()
}

fn entities() -> Entities {
    let role = uid("Role", "role-1");
    let agents = (0..ENTITIES)
        .map(|number| Entity::new_no_attrs(uid("Agent", &format!("agent-{number}")), HashSet::from([role.clone()])));
    let all = agents.chain([Entity::new_no_attrs(role.clone(), HashSet::new())]);
    Entities::from_entities(all, None).unwrap()
}

fn main() {
    let is = |flag: &str| std::env::args().any(|word| word == flag);
    let plan =
        if is("--smoke") { Plan { rounds: 1, stock: 3, ours: 50 } } else { Plan { rounds: 5, stock: 40, ours: 4_000 } };
    let worlds: Vec<World> = POLICIES
        .into_iter()
        .map(|count| {
            let text = policies(count);
            let snapshot = Snapshot::compile(&world(&text)).expect("the bench's bundle compiles");
            let decided = snapshot.evaluate(&evaluation(&snapshot, ARGUMENTS)).decision;
            assert!(matches!(decided, Decision::Allow { .. }), "{decided:?}");
            let row = if count < 1_000 { count.to_string() } else { format!("{},000", count / 1_000) };
            World { row: format!("{row} policies"), snapshot, stock: text.parse().unwrap() }
        })
        .collect();
    let entities = entities();
    let context = Context::from_json_value(serde_json::json!({ "effect": { "records": 1 } }), None).unwrap();
    let (agent, action, tool) = (uid("Agent", "agent-0"), uid("Action", "crm.tool_0"), uid("Tool", "crm.tool_0"));
    let request = Request::new(agent, action, tool, context, None).unwrap();
    let authorizer = Authorizer::new();
    for _ in 0..plan.rounds {
        for World { row, snapshot, stock } in &worlds {
            let stock = times(plan.stock, || {
                std::hint::black_box(authorizer.is_authorized(&request, stock, &entities));
            });
            let prebuilt = evaluation(snapshot, ARGUMENTS);
            let ours = times(plan.ours, || {
                std::hint::black_box(snapshot.evaluate(&prebuilt));
            });
            let whole = times(plan.ours, || {
                std::hint::black_box(snapshot.evaluate(&evaluation(snapshot, ARGUMENTS)));
            });
            let (stock, ours) = (percentile(&stock, 50), percentile(&ours, 50));
            let figures = [
                ("evaluation", "stock_us", stock),
                ("evaluation", "ours_us", ours),
                ("evaluation", "ratio", stock / ours),
                ("decision", "p50_us", percentile(&whole, 50)),
                ("decision", "p99_us", percentile(&whole, 99)),
            ];
            tell(row, &figures, is("--lines"));
        }
    }
}

const ARGUMENTS: &str = r#"{ "id": "42" }"#;

fn tell(row: &str, figures: &[(&str, &str, f64)], lines: bool) {
    if !lines {
        let told: Vec<String> = figures.iter().map(|(_, name, value)| format!("{name} {value:.1}")).collect();
        println!("{row:>16}: {}", told.join(", "));
        return;
    }
    for (table, figure, value) in figures {
        println!("{}", serde_json::json!({ "table": table, "row": row, "figure": figure, "value": value }));
    }
}
