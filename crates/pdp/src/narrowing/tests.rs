//! A child lies within its parent on random chains, held against an oracle that knows no comparison of bounds: it asks
//! of single calls whether they pass. And whoever forgets one comparison is caught by it.

use bailiwick_model::limits::CHAIN_DEPTH_MAX;
use jiff::SignedDuration;
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
    let tool = [&bounds.tools, &bounds.details].into_iter().flatten().all(|tools| {
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

/// Splitmix64: chance that is the same in every run, and cheap enough for all these chains.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn some_of<T: Clone>(&mut self, choices: &[T]) -> Vec<T> {
        choices.iter().filter(|_| self.below(2) == 0).cloned().collect()
    }

    fn after(&mut self) -> Timestamp {
        start() + SignedDuration::from_secs(i64::try_from(self.below(400)).unwrap())
    }

    fn pin(&mut self) -> (String, Pin) {
        let under = |folder: &str| Pin::Under(folder.to_owned());
        let (argument, pin) = match self.below(5) {
            0 => ("to", Pin::OneOf(self.some_of(&[json!("a"), json!("b"), json!(["a", "b"])]))),
            1 => ("path", under(self.of(&["/", "/data", "/data/a", "/data/a/b", "/etc"]))),
            2 => ("path", Pin::OneOf(vec![self.of(&[json!("/data/a"), json!("/etc")])])),
            3 => ("amount", Pin::AtMost(self.of(&[-10, 1, 10, 1_000]))),
            _ => ("amount", Pin::OneOf(vec![json!(1), json!(10)])),
        };
        (argument.to_owned(), pin)
    }

    fn tools(&mut self) -> Option<Vec<ToolGrant>> {
        let count = self.below(4);
        (count > 0).then(|| {
            let tool = |chance: &mut Self| ToolGrant {
                action: chance.of(&["crm.search", "crm.update", "mail.send"]).parse().unwrap(),
                pins: (0..chance.below(3)).map(|_| chance.pin()).collect(),
            };
            (0..count).map(|_| tool(self)).collect()
        })
    }

    fn scopes(&mut self) -> BTreeSet<Scope> {
        let scopes = self.some_of(&["crm:read", "crm:write", "mail:write"]);
        scopes.into_iter().map(|scope| scope.parse().unwrap()).collect()
    }

    fn wanted(&mut self) -> Wanted {
        Wanted {
            agent: format!("agent-{}", self.below(10)).parse().unwrap(),
            resource: self.of(&[AGGREGATE, SYSTEMS[0], SYSTEMS[1]]).to_owned(),
            scopes: (self.below(3) == 0).then(|| self.scopes()),
            tools: if self.below(2) == 0 { None } else { self.tools() },
            details: if self.below(2) == 0 { None } else { self.tools() },
            expires_at: self.after(),
        }
    }

    /// An agent that acts for itself.
    fn root(&mut self) -> Bounds {
        Bounds {
            chain: DelegationChain::of(Principal::Agent("root".parse().unwrap())),
            resources: BTreeSet::from([AGGREGATE.to_owned()]),
            scopes: self.scopes(),
            tools: self.tools(),
            details: if self.below(2) == 0 { None } else { self.tools() },
            expires_at: self.after(),
        }
    }

    /// What each further hop asks for: more hops than a chain may have.
    fn hops(&mut self) -> Vec<Wanted> {
        (0..=self.below(2 * CHAIN_DEPTH_MAX)).map(|_| self.wanted()).collect()
    }
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
        details: wanted.details.or_else(|| parent.details.clone()),
        expires_at: wanted.expires_at,
    };
    dimensions.iter().all(|dimension| dimension.check(&child, parent).is_ok()).then_some(child)
}

/// The calls that pass bounds, as bits.
fn passing(bounds: &Bounds, probes: &[Probe]) -> u64 {
    assert!(probes.len() <= 64);
    probes.iter().enumerate().fold(0, |bits, (bit, probe)| bits | u64::from(passes(bounds, probe)) << bit)
}

#[test]
fn every_hop_of_every_chain_lies_within_all_before_it() {
    let (mut chance, probes) = (Chance(93), probes());
    let (mut hops, mut deepest, mut open) = (0_usize, 0, 0_usize);
    for _ in 0..CHAINS {
        let root = chance.root();
        let mut above = vec![(passing(&root, &probes), root)];
        for wanted in chance.hops() {
            let (_, parent) = above.last().unwrap();
            let latest = wanted.expires_at;
            let Ok(child) = hand_down(parent, wanted) else { continue };
            assert!(child.expires_at <= latest, "never longer than it asked for itself");
            let calls = passing(&child, &probes);
            for (passing, ancestor) in &above {
                assert_eq!(calls & !passing, 0, "{child:#?} is wider than {ancestor:#?}");
                assert!(child.chain.principals().starts_with(ancestor.chain.principals()));
                for dimension in
                    [Dimension::Resources, Dimension::Scopes, Dimension::Tools, Dimension::Details, Dimension::Expiry]
                {
                    assert_eq!(dimension.check(&child, ancestor), Ok(()), "comparing is transitive");
                }
            }
            hops += 1;
            open += usize::from(calls != 0);
            above.push((calls, child));
        }
        deepest = deepest.max(above.len());
    }
    assert_eq!(deepest, CHAIN_DEPTH_MAX, "the chains reach the depth that there may be, and none goes beyond");
    assert!(hops > CHAINS / 2 && open > CHAINS / 20, "{hops} hops, {open} of which let a call through");
}

#[test]
fn a_mutant_that_forgets_one_comparison_is_caught() {
    for forgotten in Dimension::ALL {
        let kept: Vec<Dimension> = Dimension::ALL.into_iter().filter(|dimension| *dimension != forgotten).collect();
        let (mut chance, probes) = (Chance(94), probes());
        let wider = |child: &Bounds, parent: &Bounds| {
            passing(child, &probes) & !passing(parent, &probes) != 0
                || !child.chain.principals().starts_with(parent.chain.principals())
        };
        let caught = (0..CHAINS / 10).any(|_| {
            let mut parent = chance.root();
            // Asking for a hop cannot leave anybody out; a chain that does is what the first comparison is for.
            let alone = DelegationChain::of(Principal::Agent("thief".parse().unwrap()));
            let stranger = Bounds { chain: alone, ..parent.clone() };
            let accepted = kept.iter().all(|dimension| dimension.check(&stranger, &parent).is_ok());
            accepted && wider(&stranger, &parent)
                || chance.hops().into_iter().any(|wanted| match hand_down_by(&kept, &parent, wanted) {
                    Some(child) if wider(&child, &parent) => true,
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
        details: None,
        expires_at: start(),
    };
    let wanted = |agent: &str, resource: &str| Wanted {
        agent: agent.parse().unwrap(),
        resource: resource.to_owned(),
        scopes: None,
        tools: None,
        details: None,
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
