//! How long the list of a catalogue takes, one tool asked after the other and all of them together, and what an agent may
//! do with each: `cargo bench -p bailiwick-pdp --bench listing`. Ratios travel between machines, milliseconds do not.
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement needs a clock and a place to print")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be set up stops")]

use std::{collections::BTreeSet, fmt::Write as _, time::Instant};

use bailiwick_model::{
    agent::Environment,
    bundle::BundleFiles,
    evaluation::{Authority, Party, TaskContext},
    principal::Principal,
};
use bailiwick_pdp::{Listing, Snapshot, Visibility, scenario};

const ROUNDS: u32 = 5;

/// A catalogue with a role that may read all of it, rules on the hour and on the arguments, and gates.
fn world(tools: usize) -> BundleFiles {
    let mut text = String::from("title = \"bench\"\n[calendar.zones.hq]\ntimezone = \"UTC\"\n");
    for tool in 0..tools {
        let class = if tool % 4 == 0 { "write" } else { "read" };
        write!(text, "[systems.crm.tools.tool_{tool}]\nclass = \"{class}\"\ninput = {{ id = \"string\", amount = \"integer\" }}\n")
            .unwrap();
    }
    text.push_str(
        "[roles.worker]\npurpose = \"bench\"\nallow = [\"crm:read\", \"crm:write\"]\n[policies]\norganisation = '''\n",
    );
    text.push_str(
        "@id(\"hours\") forbid (principal, action in Bailiwick::Action::\"crm:write\", resource) \
         unless { context.local.hq.minute_of_day >= 480 && context.local.hq.weekday <= 5 };\n\
         @id(\"large\") @approvers(\"group:x\") forbid (principal, action in Bailiwick::Action::\"crm:write\", resource) \
         when { context.effect.records > 100 } unless { context.approvals.contains(\"large\") };\n",
    );
    for gate in 0..100 {
        writeln!(
            text,
            "@id(\"g{gate}\") @approvers(\"group:x\") forbid (principal, action == Bailiwick::Action::\"crm.tool_{gate}\", resource) \
             when {{ context.input.amount > {gate} }} unless {{ context.approvals.contains(\"g{gate}\") }};"
        )
        .unwrap();
    }
    text.push_str("'''\n");
    scenario::bundle("bench.toml", text.as_bytes()).unwrap()
}

/// The median of some rounds, in milliseconds.
fn median(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    println!("{:>8} {:>14} {:>12} {:>8} {:>16}", "tools", "one by one ms", "together ms", "ratio", "permissions ms");
    for tools in [10, 100, 1_000] {
        let snapshot = Snapshot::compile(&world(tools.max(100))).expect("the bench's bundle compiles");
        let actions: Vec<_> = snapshot.action_names().take(tools).cloned().collect();
        let party = Party {
            principal: Principal::Agent("agent-0".parse().unwrap()),
            owner: "team".into(),
            environment: Some(Environment::Production),
            role: Some("worker".parse().unwrap()),
            groups: BTreeSet::new(),
            promoted: true,
            task_required: false,
        };
        let scopes = ["crm:read", "crm:write"].map(|scope| scope.parse().unwrap()).into();
        let (task, authority) = (
            TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
            Authority {
                scopes,
                details: None,
                safe_modes: BTreeSet::new(),
                observations: Default::default(),
                authentication: None,
            },
        );
        let listing = Listing {
            now: "2026-06-15T10:00:00Z".parse().unwrap(),
            parties: &[party],
            network_zone: "office",
            task: &task,
            authority: &authority,
        };
        let lookout = snapshot.lookout(listing);
        let shown = actions.iter().filter(|action| lookout.visibility(action) == Visibility::Shown).count();
        assert_eq!(shown, actions.len(), "everything could be allowed or asked for");
        let alone = median(|| {
            for action in &actions {
                std::hint::black_box(snapshot.visibility(&listing, action));
            }
        });
        let together = median(|| {
            let lookout = snapshot.lookout(listing);
            for action in &actions {
                std::hint::black_box(lookout.visibility(action));
            }
        });
        let permissions = median(|| {
            let lookout = snapshot.lookout(listing);
            for action in &actions {
                std::hint::black_box(lookout.prospect(action));
            }
        });
        println!("{tools:>8} {alone:>14.1} {together:>12.1} {:>8.1} {permissions:>16.1}", alone / together);
    }
}
