//! kill -9 at each moment at which something more becomes persistent: a broker under calls, grants and revocations, and
//! commands that make things.
//!
//! The moments are taken from a recorded run, not from a list of ours. What dies is the real binary, before the system
//! call is done; what is asked is what a restart finds. `BAILIWICK_CRASH_POINTS` says how many moments are tried, or
//! `all`, and `BAILIWICK_CRASH_SEED` which.

mod copies;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision},
    tools::{Need, ready},
};
use bailiwick_testkit_crash::{
    chance::Chance,
    points::{Point, points},
    strace::{self, Fate, Fault, counted, faulty},
};
use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::world::Depot;

/// Moments per story, if nobody says how many.
const POINTS: usize = 14;
const SEED: u64 = 20_260_515;

/// Calls of each life.
const CALLS: usize = 2;

/// A moment: a call by its number in its thread, among those on one file or among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    call: String,
    file: Option<PathBuf>,
    number: usize,
}

impl Moment {
    fn files(&self) -> Vec<&Path> {
        self.file.as_deref().into_iter().collect()
    }
}

fn number(variable: &str, usual: usize) -> usize {
    match env::var(variable).as_deref() {
        Err(_) => usual,
        Ok("all") => usize::MAX,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is no number")),
    }
}

/// Which calls of a run count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Those on the same file: threads share few files, so that hardly any moment is hidden behind another thread's.
    Ours,
    /// All, since the names of some files are chance.
    All,
}

/// The moments of a run on files below `folder`, as a sample in the order of chance: one of each call on each file, then
/// another one of each, and so on.
fn moments(told: &Path, folder: &Path, counted: Counted) -> Vec<Moment> {
    let mut found = points(&fs::read_to_string(told).unwrap(), |_| true);
    found.retain(|point| point.file.starts_with(folder));
    let kinds: BTreeSet<_> = found.iter().map(|point| (point.call.clone(), point.file.clone())).collect();
    let moment = |Point { call, number, number_on_file, file, .. }| match counted {
        Counted::Ours => Moment { call, file: Some(file), number: number_on_file },
        Counted::All => Moment { call, file: None, number },
    };
    let distinct: BTreeSet<Moment> = found.into_iter().map(moment).collect();
    let (mut moments, count) = (Vec::from_iter(distinct), number("BAILIWICK_CRASH_POINTS", POINTS));
    let seed = number("BAILIWICK_CRASH_SEED", 0);
    let mut chance = Chance::new(SEED + seed as u64);
    for last in (1..moments.len()).rev() {
        moments.swap(last, chance.up_to(last));
    }
    let mut seen: BTreeMap<(String, Option<PathBuf>), usize> = BTreeMap::new();
    moments.sort_by_cached_key(|moment| {
        let rank = seen.entry((moment.call.clone(), moment.file.clone())).or_default();
        *rank += 1;
        *rank
    });
    let tried = count.min(moments.len());
    eprintln!("BAILIWICK_CRASH_SEED={seed}: {tried} of {} moments, {} calls on files", moments.len(), kinds.len());
    moments.truncate(count);
    moments
}

/// The fault that ends everything at a moment.
fn death(moment: &Moment) -> [Fault; 1] {
    [Fault::new(&moment.call, Fate::Kill, moment.number.to_string())]
}

/// What was acknowledged in one run.
#[derive(Debug, Default)]
struct Acknowledged {
    registered: Option<String>,
    suspended: bool,
    calls: usize,
    published: bool,
}

/// Calls, a grant, a revocation and a publication. Whatever fails, the next one is tried.
async fn live(depot: &Depot, clerk: &Agent, run: usize) -> Acknowledged {
    let mut said = Acknowledged::default();
    let client = AssertUnwindSafe(HttpClient::connect(&depot.broker, clerk, "depot", Revision::Stateless));
    let client = client.catch_unwind().await;
    if let Ok(mut client) = client {
        for number in 0..CALLS {
            let note = json!({ "id": format!("{run}-{number}"), "text": "a" });
            let answer = AssertUnwindSafe(client.call("write_note", note)).catch_unwind().await;
            let is_done = |answer: Value| answer.get("result").is_some_and(|told| told["isError"] != true);
            said.calls += usize::from(answer.is_ok_and(is_done));
        }
    }
    let (name, key) = (format!("temp-{run}"), depot.broker.scratch().join(format!("temp-{run}.pem")));
    let words = ["agents", "register", &name, "--owner", "o@example.com", "--purpose", "a test", "--role", "clerk"];
    let registered = depot.broker.run(&[&words[..], &["--generate-key", &key.to_string_lossy()]].concat());
    if registered.code == 0 {
        said.suspended = depot.broker.run(&["agents", "suspend", &name, "--reason", "a test"]).code == 0;
        said.registered = Some(name);
    }
    let rules = "policies/organisation/depot.cedar";
    depot.broker.write(rules, &format!("{}\n// run {run}\n", depot.broker.read(rules)));
    said.published = depot.broker.run(&["policy", "publish"]).code == 0;
    said
}

fn of_kind(evidence: &[Value], kind: &str) -> usize {
    evidence.iter().filter(|line| line["entry"]["kind"] == kind).count()
}

/// What must hold whenever the broker died.
fn hold(depot: &Depot, said: &Acknowledged, before: (usize, usize), when: &str) {
    let evidence = depot.broker.whole_log();
    let (acts, intents) = (depot.ledger.acts() - before.0, of_kind(&evidence, "intent") - before.1);
    assert!(intents >= acts, "{when}: {acts} calls reached the upstream, and {intents} have their intent");
    assert!(acts >= said.calls, "{when}: {} calls were answered, {acts} reached the upstream", said.calls);
    assert!(acts <= CALLS, "{when}: {CALLS} calls were made, {acts} reached the upstream: one ran twice");
    let outcomes = of_kind(&evidence, "outcome");
    assert_eq!(of_kind(&evidence, "intent"), outcomes, "{when}: every intent is closed");
    if let Some(name) = &said.registered {
        let shown = depot.broker.run(&["agents", "show", name, "--output", "json"]).succeeded().json();
        assert!(!said.suspended || shown.to_string().contains("suspended"), "{when}: {shown}");
    }
    if said.published {
        let told = depot.broker.run(&["doctor"]).stdout;
        assert!(told.contains("the active policy is the folder's"), "{when}: {told}");
    }
    depot.broker.run(&["audit", "verify"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_at_any_moment_has_kept_its_word() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    depot.broker.kill();
    let told = depot.broker.scratch().join("told");
    assert!(depot.broker.serve_traced(|command| counted(command, &told)), "{}", depot.broker.log());
    depot.broker.wait_until_verified();
    let said = live(&depot, &clerk, 0).await;
    assert!(said.suspended && said.published && said.calls == CALLS, "{said:?}\n{}", depot.broker.log());
    depot.broker.kill();
    let moments = moments(&told, &depot.broker.home(), Counted::Ours);
    depot.broker.serve_verified();
    let mut deaths = 0;
    for (run, moment) in (1..).zip(&moments) {
        let before = (depot.ledger.acts(), of_kind(&depot.broker.whole_log(), "intent"));
        depot.broker.kill();
        let started = depot.broker.serve_traced(|command| faulty(command, &told, &death(moment), &moment.files()));
        let said = if started { live(&depot, &clerk, run).await } else { Acknowledged::default() };
        deaths += usize::from(depot.broker.has_ended());
        depot.broker.kill();
        depot.broker.serve_verified();
        hold(&depot, &said, before, &format!("killed at {moment:?}"));
    }
    assert!(deaths * 2 > moments.len(), "the broker died in {deaths} of {} runs", moments.len());
}

/// Runs `init` for this installation, killed at `moment` if there is one.
fn init(broker: &Broker, told: &Path, moment: Option<&Moment>) -> i32 {
    let place = broker.home().to_string_lossy().into_owned();
    let words = ["init", "--dir", &place, "--no-input"];
    let answer = broker.run_traced(&words, |command| match moment {
        None => counted(command, told),
        Some(moment) => faulty(command, told, &death(moment), &[]),
    });
    answer.code
}

#[test]
fn an_interrupted_init_is_begun_again() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let whole = Broker::nowhere(&tools);
    let told = whole.scratch().join("told");
    assert_eq!(init(&whole, &told, None), 0);
    let moments = moments(&told, &whole.home(), Counted::All);
    let mut deaths = 0;
    for moment in &moments {
        let mut broker = Broker::nowhere(&tools);
        deaths += usize::from(init(&broker, &told, Some(moment)) != 0);
        if !broker.home().join("bailiwick.toml").exists() {
            let place = broker.home().to_string_lossy().into_owned();
            let again = broker.run(&["init", "--dir", &place, "--no-input"]);
            assert_eq!(again.code, 0, "killed at {moment:?}: {}", again.stderr);
        }
        broker.serve();
        broker.run(&["audit", "verify"]).succeeded();
        broker.run(&["policy", "validate"]).succeeded();
    }
    assert!(deaths * 2 > moments.len(), "`init` died in {deaths} of {} runs", moments.len());
}
