//! A child lies within its parent on random chains, held against an oracle that knows no comparison of bounds: it asks
//! of single calls whether they pass. And whoever forgets one comparison is caught by it.

use bailiwick_model::limits::CHAIN_DEPTH_MAX;
use jiff::SignedDuration;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use super::*;

/// Chains that are made and checked.
const CHAINS: usize = 100_000;
const AGGREGATE: &str = "https://b.example/mcp";
const SYSTEMS: [&str; 2] = ["https://b.example/mcp/crm", "https://b.example/mcp/mail"];

fn start() -> Timestamp {
    "2026-06-15T10:00:00Z".parse().unwrap()
}

/// One call as the oracle sees it.
struct Probe {
    resource: &'static str,
    scope: &'static str,
    action: &'static str,
    arguments: Value,
    after_s: i64,
}

/// Calls that tell bounds apart. Small, so that two random bounds often differ on one of them.
fn probes() -> Vec<Probe> {
    let mut all = Vec::new();
    for (resource, scope, action) in [
        (SYSTEMS[0], "crm:read", "crm.search"),
        (SYSTEMS[0], "crm:write", "crm.update"),
        (SYSTEMS[1], "mail:write", "mail.send"),
    ] {
        for arguments in [
            json!({"to": "a", "path": "/data/a", "amount": 1}),
            json!({"to": "b", "path": "/data", "amount": 10}),
            json!({"to": ["a", "b"], "path": "/data/../etc", "amount": 100}),
            json!({"to": "c", "path": "/etc", "amount": -5}),
            json!({}),
        ] {
            for after_s in [0, 100, 200, 299] {
                all.push(Probe { resource, scope, action, arguments: arguments.clone(), after_s });
            }
        }
    }
    all
}

/// Whether a call passes bounds: what the gateway checks of it, one after the other.
fn passes(bounds: &Bounds, probe: &Probe) -> bool {
    let resource = bounds.resources.iter().any(|one| one == probe.resource || one == AGGREGATE);
    let scope = bounds.scopes.iter().any(|one| one.as_str() == probe.scope);
    let tool = bounds.tools.as_ref().is_none_or(|tools| {
        tools.iter().any(|tool| {
            tool.action.as_str() == probe.action
                && tool.pins.iter().all(|(name, pin)| probe.arguments.get(name).is_some_and(|value| fits(pin, value)))
        })
    });
    resource && scope && tool && start() + SignedDuration::from_secs(probe.after_s) < bounds.expires_at
}

/// The oracle's own reading of a pin.
fn fits(pin: &Pin, value: &Value) -> bool {
    let one = |value: &Value| match pin {
        Pin::OneOf(values) => values.contains(value),
        Pin::Under(folder) => value.as_str().is_some_and(|path| {
            !path.contains("..") && (path == folder || folder == "/" || path.starts_with(&format!("{folder}/")))
        }),
        Pin::AtMost(most) => value.as_i64().is_some_and(|number| number <= *most),
    };
    match value.as_array() {
        Some(elements) => one(value) || (!elements.is_empty() && elements.iter().all(one)),
        None => one(value),
    }
}

fn pin() -> impl Strategy<Value = (String, Pin)> {
    prop_oneof![
        prop::sample::subsequence(vec![json!("a"), json!("b"), json!(["a", "b"])], 1..3)
            .prop_map(|values| ("to".to_owned(), Pin::OneOf(values))),
        prop::sample::select(vec!["/", "/data", "/data/a", "/data/a/b", "/etc"])
            .prop_map(|folder| ("path".to_owned(), Pin::Under(folder.to_owned()))),
        prop::sample::select(vec![json!("/data/a"), json!("/etc")])
            .prop_map(|path| ("path".to_owned(), Pin::OneOf(vec![path]))),
        prop::sample::select(vec![-10_i64, 1, 10, 1_000]).prop_map(|most| ("amount".to_owned(), Pin::AtMost(most))),
        Just(("amount".to_owned(), Pin::OneOf(vec![json!(1), json!(10)]))),
    ]
}

fn tools() -> impl Strategy<Value = Option<Vec<ToolGrant>>> {
    let tool =
        (prop::sample::select(vec!["crm.search", "crm.update", "mail.send"]), prop::collection::vec(pin(), 0..3))
            .prop_map(|(action, pins)| ToolGrant { action: action.parse().unwrap(), pins: pins.into_iter().collect() });
    prop_oneof![2 => Just(None), 3 => prop::collection::vec(tool, 1..3).prop_map(Some)]
}

fn scopes() -> impl Strategy<Value = BTreeSet<Scope>> {
    prop::sample::subsequence(vec!["crm:read", "crm:write", "mail:write"], 0..=3)
        .prop_map(|scopes| scopes.into_iter().map(|scope| scope.parse().unwrap()).collect())
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (
        0..10_u8,
        prop::sample::select(vec![AGGREGATE, SYSTEMS[0], SYSTEMS[1]]),
        prop_oneof![2 => Just(None), 1 => scopes().prop_map(Some)],
        tools(),
        0..400_i64,
    )
        .prop_map(|(agent, resource, scopes, tools, after_s)| Wanted {
            agent: format!("agent-{agent}").parse().unwrap(),
            resource: resource.to_owned(),
            scopes,
            tools,
            expires_at: start() + SignedDuration::from_secs(after_s),
        })
}

/// A root that acts for itself, and what each further hop asks for.
fn chain() -> impl Strategy<Value = (Bounds, Vec<Wanted>)> {
    (scopes(), tools(), 1..400_i64, prop::collection::vec(wanted(), 1..=CHAIN_DEPTH_MAX + 1)).prop_map(
        |(scopes, tools, after_s, hops)| {
            let root = Bounds {
                chain: DelegationChain::of(Principal::Agent("root".parse().unwrap())),
                resources: BTreeSet::from([AGGREGATE.to_owned()]),
                scopes,
                tools,
                expires_at: start() + SignedDuration::from_secs(after_s),
            };
            (root, hops)
        },
    )
}

/// `hand_down` with the checks of some dimensions only: all of them, or a mutant.
fn hand_down_by(dimensions: &[Dimension], parent: &Bounds, wanted: Wanted) -> Option<Bounds> {
    let mut chain = parent.chain.principals().to_vec();
    chain.push(Principal::Agent(wanted.agent));
    let child = Bounds {
        chain: DelegationChain::new(chain).ok()?,
        resources: BTreeSet::from([wanted.resource]),
        scopes: wanted.scopes.unwrap_or_else(|| parent.scopes.clone()),
        tools: wanted.tools.or_else(|| parent.tools.clone()),
        expires_at: wanted.expires_at,
    };
    dimensions.iter().all(|dimension| dimension.check(&child, parent).is_ok()).then_some(child)
}

fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[93; 32]))
}

/// What the oracle says of a hop: it lets nothing through that the one before it does not.
fn lies_within(child: &Bounds, parent: &Bounds, probes: &[Probe]) -> bool {
    probes.iter().all(|probe| !passes(child, probe) || passes(parent, probe))
        && child.chain.principals().starts_with(parent.chain.principals())
}

#[test]
fn every_hop_of_every_chain_lies_within_all_before_it() {
    let (mut runner, probes) = (runner(), probes());
    let (mut hops, mut deepest, mut open) = (0_usize, 0, 0_usize);
    for _ in 0..CHAINS {
        let (root, wanted) = chain().new_tree(&mut runner).unwrap().current();
        let mut above = vec![root];
        for wanted in wanted {
            let parent = above.last().unwrap();
            let latest = wanted.expires_at;
            let Ok(child) = hand_down(parent, wanted) else { continue };
            assert!(child.expires_at <= latest, "never longer than it asked for itself");
            assert!(child.chain.principals().len() <= CHAIN_DEPTH_MAX);
            for ancestor in &above {
                assert!(lies_within(&child, ancestor, &probes), "{child:#?} is wider than {ancestor:#?}");
                let comparable = [Dimension::Resources, Dimension::Scopes, Dimension::Tools, Dimension::Expiry];
                for dimension in comparable {
                    assert_eq!(dimension.check(&child, ancestor), Ok(()), "comparing is transitive");
                }
            }
            hops += 1;
            open += usize::from(probes.iter().any(|probe| passes(&child, probe)));
            above.push(child);
        }
        deepest = deepest.max(above.len());
    }
    assert_eq!(deepest, CHAIN_DEPTH_MAX, "the chains reach the depth that there may be");
    assert!(hops > CHAINS / 2 && open > CHAINS / 20, "{hops} hops, {open} of which let a call through");
}

#[test]
fn a_mutant_that_forgets_one_comparison_is_caught() {
    for forgotten in Dimension::ALL {
        let kept: Vec<Dimension> = Dimension::ALL.into_iter().filter(|dimension| *dimension != forgotten).collect();
        let (mut runner, probes) = (runner(), probes());
        let caught = (0..CHAINS / 10).any(|_| {
            let (root, wanted) = chain().new_tree(&mut runner).unwrap().current();
            if forgotten == Dimension::Chain {
                // Asking for a hop cannot leave anybody out; what this one catches is a chain that does.
                let alone = DelegationChain::of(Principal::Agent("thief".parse().unwrap()));
                let stranger = Bounds { chain: alone, ..root.clone() };
                let accepted = kept.iter().all(|dimension| dimension.check(&stranger, &root).is_ok());
                return accepted && !lies_within(&stranger, &root, &probes);
            }
            let mut parent = root;
            wanted.into_iter().any(|wanted| match hand_down_by(&kept, &parent, wanted) {
                Some(child) if !lies_within(&child, &parent, &probes) => true,
                Some(child) => {
                    parent = child;
                    false
                }
                None => false,
            })
        });
        assert!(caught, "nobody noticed that {forgotten:?} is not compared");
    }
}

#[test]
fn a_pin_is_narrower_if_all_that_fits_it_fits_the_other() {
    let check = |child: Pin, parent: Pin, expected: bool| {
        assert_eq!(pin_within(&child, &parent), expected, "{child:?} in {parent:?}");
    };
    let one_of = |values: Value| Pin::OneOf(values.as_array().unwrap().clone());
    let under = |folder: &str| Pin::Under(folder.into());
    check(one_of(json!(["a"])), one_of(json!(["a", "b"])), true);
    check(one_of(json!(["a", "c"])), one_of(json!(["a", "b"])), false);
    check(one_of(json!([["a", "b"]])), one_of(json!(["a", "b"])), true);
    check(one_of(json!([[["a"]]])), one_of(json!(["a"])), false);
    check(under("/data/a"), under("/data"), true);
    check(under("/data"), under("/data/a"), false);
    check(under("/database"), under("/data"), false);
    check(under("/data/../etc"), under("/data"), false);
    check(one_of(json!(["/data/x", "/data"])), under("/data"), true);
    check(one_of(json!(["/data/../x"])), under("/data"), false);
    check(Pin::AtMost(5), Pin::AtMost(5), true);
    check(Pin::AtMost(6), Pin::AtMost(5), false);
    check(one_of(json!([5, -1])), Pin::AtMost(5), true);
    check(one_of(json!(["5"])), Pin::AtMost(5), false);
    for (child, parent) in [
        (Pin::AtMost(1), one_of(json!([1]))),
        (under("/a"), one_of(json!(["/a"]))),
        (Pin::AtMost(1), under("/")),
        (under("/"), Pin::AtMost(1)),
    ] {
        check(child, parent, false);
    }
}

#[test]
fn a_loop_a_deep_chain_and_a_foreign_resource_are_refused() {
    let mut bounds = Bounds {
        chain: DelegationChain::of(Principal::Agent("a0".parse().unwrap())),
        resources: BTreeSet::from([AGGREGATE.to_owned()]),
        scopes: BTreeSet::from(["crm:read".parse().unwrap()]),
        tools: None,
        expires_at: start(),
    };
    let wanted = |agent: &str, resource: &str| Wanted {
        agent: agent.parse().unwrap(),
        resource: resource.to_owned(),
        scopes: None,
        tools: None,
        expires_at: start(),
    };
    for resource in ["https://b.example/mcpx", "https://b.example/", "https://evil.example/mcp/crm"] {
        assert_eq!(hand_down(&bounds, wanted("b", resource)), Err(Dimension::Resources), "{resource}");
    }
    assert_eq!(hand_down(&bounds, wanted("a0", SYSTEMS[0])), Err(Dimension::Chain));
    for number in 1..CHAIN_DEPTH_MAX {
        bounds = hand_down(&bounds, wanted(&format!("a{number}"), SYSTEMS[0])).unwrap();
    }
    assert_eq!(hand_down(&bounds, wanted("one-more", SYSTEMS[0])), Err(Dimension::Chain));
}
