//! How many durable intents per second at how many callers, beside what an fsync costs on the same disk in the same
//! run: `cargo bench -p bailiwick-store`. `--smoke` is brief, `--lines` is for `cargo xtask bench`.
//!
//! Each intent is what a call of an agent costs: its leaf, 1 KiB of sealed values, a proof that is used up, the
//! versions that the decision relied on. Identifiers and times are as in life: ids ascend, proofs do not.
#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::expect_used, reason = "a measurement that cannot be set up stops")]

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_audit_log::{
    event::EventKind,
    leaf::{BootNonce, ReplicaId},
};
use bailiwick_model::{digest::Digest, id::EvaluationId};
use bailiwick_ports::{
    entry::Sealed,
    store::{Intent, Spent, State, Store as _},
};
use bailiwick_store::{Identity, Options, SqliteStore};
use bailiwick_testkit::store_suite::fixtures::{agent, changed, entry_at, intent, with_body};
use jiff::Timestamp;

/// How many call at the same time.
const CALLERS: [u64; 3] = [1, 64, 1_024];
/// What is sealed beside one leaf: arguments, question and decision.
const SEALED_BYTES: usize = 1_024;
/// How long a proof is remembered.
const PROOF_LIFETIME: Duration = Duration::from_secs(150);

struct Plan {
    rounds: usize,
    round: Duration,
}

fn main() {
    let is = |flag: &str| std::env::args().any(|word| word == flag);
    let (brief, lines) = (is("--smoke"), is("--lines"));
    let plan = if brief {
        Plan { rounds: 1, round: Duration::from_millis(100) }
    } else {
        Plan { rounds: 5, round: Duration::from_secs(2) }
    };
    let parent = std::env::var_os("BAILIWICK_BENCH_DISK").unwrap_or_else(|| std::env::temp_dir().into_os_string());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Interleaved, so that a slow minute of the machine hits all of them.
    let mut all: Vec<Vec<Measured>> = CALLERS.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (callers, rounds) in CALLERS.iter().zip(&mut all) {
            let folder = tempfile::tempdir_in(&parent).expect("a folder");
            rounds.push(runtime.block_on(measure(folder.path(), *callers, plan.round)));
        }
    }
    for (callers, rounds) in CALLERS.iter().zip(&all) {
        if lines {
            rounds.iter().for_each(|round| round.lines(*callers));
        } else {
            told(*callers, rounds);
        }
    }
}

/// For people.
fn told(callers: u64, rounds: &[Measured]) {
    let of = |figure: fn(&Measured) -> f64| median(rounds.iter().map(figure).collect());
    println!(
        "{callers:>5} callers: {:>7.0} intents/s in {:>6.0} commits/s, p50 {:>6.2} ms, p99 {:>6.2} ms, one fsync {:.2} ms",
        of(|m| m.intents),
        of(|m| m.commits),
        of(|m| m.p50_ms),
        of(|m| m.p99_ms),
        of(|m| m.fsync_ms),
    );
}

/// One round.
struct Measured {
    intents: f64,
    commits: f64,
    p50_ms: f64,
    p99_ms: f64,
    fsync_ms: f64,
}

impl Measured {
    /// For `cargo xtask bench`: a figure of one round per line.
    fn lines(&self, callers: u64) {
        let row = if callers == 1 { "1 caller".to_owned() } else { format!("{callers} callers") };
        let figures = [
            ("rate", self.intents),
            ("commits", self.commits),
            ("p50_ms", self.p50_ms),
            ("p99_ms", self.p99_ms),
            ("fsync_ms", self.fsync_ms),
            ("above_fsync_ms", self.p50_ms - self.fsync_ms),
        ];
        for (figure, value) in figures {
            println!("{}", serde_json::json!({ "table": "intents", "row": row, "figure": figure, "value": value }));
        }
    }
}

async fn measure(folder: &Path, callers: u64, round: Duration) -> Measured {
    let fsync_ms = fsync(&folder.join("probe"));
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([1; 16]) };
    let options = Options { queue_wait_max: Duration::from_secs(5), ..Options::default() };
    let store = Arc::new(SqliteStore::open(&folder.join("store.db"), identity, &options).expect("a store"));
    store.register_agent(agent("bot"), changed("evt_1")).await.expect("an agent");
    let state = Arc::new(store.load().await.expect("the state"));
    let (started, before) = (Instant::now(), store.stats().commits);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, state) = (Arc::clone(&store), Arc::clone(&state));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < round {
                    let call = call(caller, times.len() as u64, &state);
                    let asked = Instant::now();
                    store.commit_intent(call).await.expect("a durable intent");
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a caller"));
    }
    let elapsed = started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Measured {
        intents: count(times.len() as u64) / elapsed,
        commits: count(store.stats().commits - before) / elapsed,
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
        fsync_ms,
    }
}

/// An intent with all that a call of an agent settles.
fn call(caller: u64, number: u64, state: &State) -> Intent {
    let now = Timestamp::now();
    let unique = Digest::of(format!("{caller}/{number}").as_bytes());
    let mut chance = [0; 10];
    chance.iter_mut().zip(unique.as_bytes()).for_each(|(to, from)| *to = *from);
    let id = EvaluationId::new(u64::try_from(now.as_millisecond()).unwrap_or_default(), chance).to_string();
    let mut call = intent(&id, state);
    let body = [("agent", "bot"), ("system", "crm"), ("action", "crm.update_contact"), ("decision", "allow")];
    call.entry = with_body(entry_at(EventKind::Intent, &id, now), &body);
    call.entry.event.commitments =
        ["arguments", "evaluated", "evaluation"].map(|name| (name.to_owned(), *unique.as_bytes())).into();
    call.entry.sealed = Some(Sealed { subject: "agent:bot".to_owned(), ciphertext: vec![7; SEALED_BYTES] });
    call.spent = vec![Spent {
        scope: "dpop:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".to_owned(),
        jti: unique,
        forget_at: now + PROOF_LIFETIME,
    }];
    call.relied_on.agents.extend(state.agents.iter().map(|agent| (agent.name.clone(), agent.version)));
    call
}

/// What it costs here to make 4 KiB durable.
fn fsync(path: &Path) -> f64 {
    let mut file = File::create(path).expect("a file");
    let times = (0..100).map(|_| {
        file.seek(SeekFrom::Start(0)).expect("a place");
        let started = Instant::now();
        file.write_all(&[7; 4_096]).and_then(|()| file.sync_data()).expect("a disk");
        started.elapsed().as_secs_f64() * 1e3
    });
    median(times.collect())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    percentile(&figures, 50)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
