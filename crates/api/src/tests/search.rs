//! AuthZEN's searches: every result is a real decision, nothing real is missing of what can be known, and a page is of
//! the search that it continues.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bailiwick_engine::{
    agents,
    search::{self, CANDIDATES_AT_A_STRETCH, SEARCH_CANDIDATES_MAX, SEARCH_DECISIONS_MAX, Search},
    tokens::Audience,
};
use bailiwick_model::{decision::ReasonCode, digest::Digest, principal::Principal};
use bailiwick_ports::store::Spent;
use bailiwick_testkit_engine::world::operator;
use serde_json::{Value, json};

use super::{
    Answer, Scene,
    certification::{Fixture, register},
};
use crate::authzen::message::search::{PAGE_LIMIT_MAX, SEARCH_BODY_BYTES_MAX, SEARCH_VALUES_MAX};

const RECORDS: [&str; 4] = ["r-0", "r-1", "r-2", "r-3"];
const TOOLS: [&str; 3] = ["read", "write", "delete"];

/// A generator of small numbers that anybody can run again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Some forbids over agents, roles, actions, records and what callers say.
fn rules(chance: &mut Chance, agents: &[String]) -> String {
    let names: Vec<&str> = agents.iter().map(String::as_str).collect();
    let mut text = String::from(
        "@id(\"known\")\nforbid (principal is Bailiwick::Agent, action, resource is Records::Record) unless { [",
    );
    let known = RECORDS.map(|id| format!("Records::Record::\"{id}\""));
    writeln!(text, "{}].contains(resource) }};", known.join(", ")).unwrap();
    for number in 0..6 {
        let principal = match chance.below(3) {
            0 => format!("principal == Bailiwick::Agent::\"{}\"", chance.of(&names)),
            1 => format!("principal in Bailiwick::Role::\"{}\"", chance.of(&["member", "admin"])),
            _ => "principal is Bailiwick::Agent".to_owned(),
        };
        let action = format!("action == Bailiwick::Action::\"records.{}\"", chance.of(&TOOLS));
        let resource = match chance.below(2) {
            0 => format!("resource == Records::Record::\"{}\"", chance.of(&RECORDS)),
            _ => "resource is Records::Record".to_owned(),
        };
        let when = match chance.below(3) {
            0 => "resource has status && resource.status == \"archived\"",
            1 => "!(resource has status)",
            _ => "context.input has soft && context.input.soft",
        };
        let when =
            if action.contains("delete") { when } else { when.split("context.input").next().unwrap_or_default() };
        let when = if when.is_empty() { "true" } else { when };
        writeln!(text, "@id(\"rule-{number}\")\nforbid ({principal}, {action}, {resource}) when {{ {when} }};")
            .unwrap();
    }
    text
}

/// Asks as the enforcement point, with one token for all.
struct Gate<'a> {
    scene: &'a Scene,
    token: String,
}

impl<'a> Gate<'a> {
    async fn of(scene: &'a Scene) -> Self {
        Self { scene, token: scene.world.token("gate", Audience::Access, true).await }
    }

    async fn ask(&self, path: &str, body: Value) -> Answer {
        let path = format!("/access/v1/{path}");
        let proof = self.scene.world.proof("gate", "POST", &format!("https://broker.test{path}"), Some(&self.token));
        self.scene.presenting(&path, &self.token, &proof, body).await
    }

    async fn allows(&self, question: &Value) -> bool {
        let answer = self.ask("evaluation", question.clone()).await;
        assert_eq!(answer.status, 200, "{question} {}", answer.text);
        answer.json()["decision"].as_bool().unwrap()
    }

    /// All pages of a search.
    async fn all(&self, kind: &str, question: &Value, limit: u64) -> Vec<Value> {
        let (mut results, mut token) = (Vec::new(), String::new());
        for _ in 0..100 {
            let mut question = question.clone();
            question["page"] = json!({"token": token, "limit": limit});
            let answer = self.ask(&format!("search/{kind}"), question).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let page = answer.json();
            let found = page["results"].as_array().unwrap();
            assert!(found.len() <= usize::try_from(limit).unwrap());
            assert_eq!(page["page"]["count"], found.len());
            results.extend(found.iter().cloned());
            page["page"]["next_token"].as_str().unwrap().clone_into(&mut token);
            if token.is_empty() {
                return results;
            }
        }
        panic!("the pages have no end");
    }
}

#[tokio::test]
async fn what_is_found_is_what_single_decisions_allow() {
    for seed in 0..3_u64 {
        let mut chance = Chance(seed);
        let scene = Scene::new().await;
        let agents: Vec<String> = (0..5).map(|number| format!("agent-{number}")).collect();
        let rules = rules(&mut chance, &agents);
        Fixture::with_rules(&rules).publish(&scene).await;
        for name in &agents {
            register(&scene, name, chance.of(&["member", "admin"])).await;
        }
        let suspended = agents[0].parse().unwrap();
        agents::suspend(&scene.world.broker, &operator(), &suspended, "the corpus").await.unwrap();
        let gate = Gate::of(&scene).await;
        let says = [json!({}), json!({"status": "archived"})];
        let actions: Vec<String> = TOOLS.iter().map(|tool| format!("records.{tool}")).collect();
        let mut everybody = agents.clone();
        everybody.extend(["gate", "reader", "scripted"].map(str::to_owned));
        let question = |agent: &str, action: &str, record: &str, said: &Value| {
            json!({
                "subject": {"type": "agent", "id": agent},
                "action": {"name": action},
                "resource": {"type": "Record", "id": record, "properties": said},
            })
        };
        let (mut allowed, mut asked) = (BTreeSet::new(), 0);
        for (agent, action, record, said) in product(&everybody, &actions, &says) {
            asked += 1;
            if gate.allows(&question(agent, action, record, said)).await {
                allowed.insert((agent.clone(), action.clone(), record.to_owned(), said.to_string()));
            }
        }
        assert!(!allowed.is_empty() && allowed.len() < asked, "the corpus must have both: {rules}");
        let is = |agent: &str, action: &str, record: &str, said: &Value| {
            allowed.contains(&(agent.to_owned(), action.to_owned(), record.to_owned(), said.to_string()))
        };
        for said in &says {
            for (action, record) in actions.iter().flat_map(|action| RECORDS.map(|record| (action, record))) {
                let found = gate.all("subject", &question("", action, record, said), 1 + chance.below(4)).await;
                let expected = everybody.iter().collect::<BTreeSet<_>>();
                let expected = expected.into_iter().filter(|agent| is(agent, action, record, said));
                let expected: Vec<Value> = expected.map(|agent| json!({"type": "agent", "id": agent})).collect();
                assert_eq!(found, expected, "who may {action} {record} {said}\n{rules}");
            }
            for (agent, action) in agents.iter().flat_map(|agent| actions.iter().map(move |action| (agent, action))) {
                let found = gate.all("resource", &question(agent, action, "", said), 1 + chance.below(4)).await;
                let expected = RECORDS.iter().filter(|record| is(agent, action, record, said));
                let expected: Vec<Value> = expected.map(|id| json!({"type": "Record", "id": id})).collect();
                assert_eq!(found, expected, "what {agent} may {action} {said}\n{rules}");
            }
            for (agent, record) in agents.iter().flat_map(|agent| RECORDS.map(|record| (agent, record))) {
                let found = gate.all("action", &question(agent, "", record, said), 1 + chance.below(4)).await;
                let found: BTreeSet<&str> = found.iter().map(|one| one["name"].as_str().unwrap()).collect();
                let expected: BTreeSet<&str> =
                    actions.iter().filter(|action| is(agent, action, record, said)).map(String::as_str).collect();
                assert_eq!(found, expected, "how {agent} may act on {record} {said}\n{rules}");
            }
        }
    }
}

fn product<'a>(
    agents: &'a [String],
    actions: &'a [String],
    says: &'a [Value],
) -> impl Iterator<Item = (&'a String, &'a String, &'static str, &'a Value)> {
    agents.iter().flat_map(move |agent| {
        actions.iter().flat_map(move |action| {
            RECORDS.into_iter().flat_map(move |record| says.iter().map(move |said| (agent, action, record, said)))
        })
    })
}

#[tokio::test]
async fn a_page_token_is_good_for_its_search_and_its_state_alone() {
    let scene = Scene::new().await;
    Fixture::certification().publish(&scene).await;
    for name in ["alice", "bob", "carol"] {
        register(&scene, name, "member").await;
    }
    let gate = Gate::of(&scene).await;
    let search = |record: &str, page: Value| {
        json!({
            "subject": {"type": "agent"}, "action": {"name": "records.read"},
            "resource": {"type": "Record", "id": record}, "page": page,
        })
    };
    let first = gate.ask("search/subject", search("record-1", json!({"limit": 1}))).await.json();
    let token = first["page"]["next_token"].as_str().unwrap().to_owned();
    assert!(!token.is_empty() && first["page"].get("total").is_none(), "{first}");
    let with = |record: &str, token: &str| search(record, json!({"limit": 1, "token": token}));
    let second = gate.ask("search/subject", with("record-1", &token)).await.json();
    assert_eq!(second["results"], json!([{"type": "agent", "id": "bob"}]));
    // Another question, another search, another token, another caller's.
    let mut changed = with("record-1", &token);
    changed["context"] = json!({"time": "now"});
    let mut damaged = token.clone();
    damaged.replace_range(0..1, if token.starts_with('A') { "B" } else { "A" });
    for (path, body) in [
        ("search/subject", with("record-2", &token)),
        ("search/subject", changed),
        ("search/subject", with("record-1", &damaged)),
        ("search/subject", with("record-1", &token[..token.len() - 2])),
        (
            "search/resource",
            json!({"subject": {"type": "agent", "id": "alice"}, "action": {"name": "records.read"},
            "resource": {"type": "Record", "id": "record-1"}, "page": {"token": token}}),
        ),
    ] {
        let refused = gate.ask(path, body.clone()).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("page_token")), "{body}");
    }
    // What the first page was decided on is gone.
    agents::suspend(&scene.world.broker, &operator(), &"carol".parse().unwrap(), "meanwhile").await.unwrap();
    assert_eq!(gate.ask("search/subject", with("record-1", &token)).await.status, 400);
}

#[tokio::test]
async fn pages_and_searches_have_a_longest() {
    let scene = Scene::new().await;
    let many: Vec<String> =
        (0..SEARCH_DECISIONS_MAX + 20).map(|number| format!("Records::Record::\"r-{number:04}\"")).collect();
    // A set literal nests no deeper for being long.
    let rules = format!(
        "@id(\"known\")\nforbid (principal is Bailiwick::Agent, action, resource is Records::Record) unless {{ [{}].contains(resource) }};\n\
         @id(\"none\")\nforbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"records.write\", resource);",
        many.join(", ")
    );
    Fixture::with_rules(&rules).publish(&scene).await;
    register(&scene, "alice", "member").await;
    let gate = Gate::of(&scene).await;
    let search = |action: &str, page: Value| json!({"subject": {"type": "agent", "id": "alice"}, "action": {"name": action}, "resource": {"type": "Record"}, "page": page});
    let page = gate.ask("search/resource", search("records.read", json!({"limit": 100_000}))).await.json();
    assert_eq!(page["results"].as_array().unwrap().len(), PAGE_LIMIT_MAX);
    // Nothing is found among so many, but the search ends and says where to go on.
    let page = gate.ask("search/resource", search("records.write", json!({}))).await.json();
    assert_eq!(page["results"], json!([]));
    let token = page["page"]["next_token"].as_str().unwrap();
    assert!(!token.is_empty());
    let page = gate.ask("search/resource", search("records.write", json!({"token": token}))).await.json();
    assert_eq!((&page["results"], &page["page"]["next_token"]), (&json!([]), &json!("")));
    // Two records for each search: that it was asked, and what was decided.
    let searches = scene.world.events("evaluated").await;
    let decisions: Vec<_> = searches.iter().map(|event| event.body.get("decisions").cloned()).collect();
    assert_eq!(decisions, [None, Some(100.into()), None, Some(500.into()), None, Some(20.into())]);
    assert!(searches.chunks(2).all(|both| both[0].id == both[1].id));
}

/// A search over candidates that are no question, and how many of them were looked at.
async fn looked_at(scene: &Scene, spent: Vec<Spent>, mut look: impl FnMut() + Send) -> (usize, Option<ReasonCode>) {
    let mut looked_at = 0;
    let mut question_at = |_| {
        looked_at += 1;
        look();
        Some(Err("no question"))
    };
    let search =
        Search { kind: "subject", asked: "{}".to_owned(), from: 0, results_max: 1, question_at: &mut question_at };
    let gate = Principal::Agent("gate".parse().unwrap());
    let found = search::search(&scene.world.broker, &gate, search, spent).await;
    (looked_at, found.err().map(|denied| denied.reasons()[0].code))
}

#[tokio::test]
async fn a_replayed_proof_is_refused_before_any_candidate_is_looked_at() {
    let scene = Scene::new().await;
    let forget_at = scene.world.broker.now() + jiff::SignedDuration::from_mins(5);
    let spent = vec![Spent { scope: "gate".to_owned(), jti: Digest::of(b"proof"), forget_at }];
    assert_eq!(looked_at(&scene, spent.clone(), || ()).await, (SEARCH_CANDIDATES_MAX, None));
    assert_eq!(looked_at(&scene, spent, || ()).await, (0, Some(ReasonCode::Replayed)));
}

#[tokio::test]
async fn candidates_that_are_no_question_leave_others_their_turn() {
    let scene = Scene::new().await;
    let stretch = Arc::new(AtomicUsize::new(0));
    let others = tokio::spawn({
        let stretch = Arc::clone(&stretch);
        async move {
            loop {
                stretch.store(0, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut longest = 0;
    let look = || longest = longest.max(stretch.fetch_add(1, Ordering::Relaxed) + 1);
    assert_eq!(looked_at(&scene, Vec::new(), look).await.0, SEARCH_CANDIDATES_MAX);
    others.abort();
    assert!(longest <= CANDIDATES_AT_A_STRETCH, "{longest} candidates in one stretch");
}

#[tokio::test]
async fn what_is_said_in_a_search_has_a_longest() {
    let scene = Scene::new().await;
    let gate = Gate::of(&scene).await;
    let with = |context: Value| {
        let mut question = whole();
        question["context"] = context;
        question
    };
    let values = |count: usize| with(json!({ "many": vec![0; count] }));
    assert_eq!(gate.ask("search/resource", values(SEARCH_VALUES_MAX / 2)).await.status, 200);
    assert_eq!(gate.ask("search/resource", values(SEARCH_VALUES_MAX)).await.status, 400);
    let long = with(json!({ "long": "x".repeat(SEARCH_BODY_BYTES_MAX) }));
    assert_eq!(gate.ask("search/resource", long).await.status, 413);
    assert_eq!(scene.world.events("evaluated").await.len(), 2, "the others are not even begun");
}

#[tokio::test]
async fn whoever_may_not_ask_may_not_search() {
    let scene = Scene::new().await;
    let body = json!({"subject": {"type": "agent"}, "action": {"name": "files.read_text_file"},
        "resource": {"type": "tool", "id": "files.read_text_file"}});
    for kind in ["subject", "resource", "action"] {
        let path = format!("/access/v1/search/{kind}");
        let bare = http::Request::post(&path).header("host", "broker.test");
        assert_eq!(super::send(&scene.network, bare, Some(body.clone())).await.status, 401, "{kind}");
        let token = scene.world.token("reader", Audience::System("files".parse().unwrap()), true).await;
        let proof = scene.world.proof("reader", "POST", &format!("https://broker.test{path}"), Some(&token));
        assert_eq!(scene.presenting(&path, &token, &proof, body.clone()).await.status, 401, "{kind}");
        // One proof, one search.
        let token = scene.world.token("gate", Audience::Access, true).await;
        let proof = scene.world.proof("gate", "POST", &format!("https://broker.test{path}"), Some(&token));
        assert_eq!(scene.presenting(&path, &token, &proof, whole()).await.status, 200, "{kind}");
        let replayed = scene.presenting(&path, &token, &proof, whole()).await;
        assert_eq!((replayed.status, replayed.json()["code"].as_str()), (401, Some("replayed")), "{kind}");
    }
}

fn whole() -> Value {
    json!({"subject": {"type": "agent", "id": "reader"}, "action": {"name": "tools/call"},
        "resource": {"type": "tool", "id": "files.read_text_file"}})
}

#[tokio::test]
async fn tools_are_found_with_the_arguments_that_are_asked_with() {
    let scene = Scene::new().await;
    let gate = Gate::of(&scene).await;
    let mut question = whole();
    // Without arguments no call of these tools can be decided.
    assert_eq!(gate.all("resource", &question, 10).await, Vec::<Value>::new());
    question["context"] = json!({"arguments": {"path": "/data/a.txt"}});
    let found = gate.all("resource", &question, 10).await;
    assert_eq!(found, [json!({"type": "tool", "id": "files.read_text_file"})], "writing is not for readers");
}
