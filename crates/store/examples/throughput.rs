//! How many durable intents per second, at how many callers, beside what an fsync costs here.
//!
//! `cargo run --release -p bailiwick-store --example throughput [FOLDER]`
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::{
    error::Error,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_audit_log::{
    event::EventKind,
    leaf::{BootNonce, ReplicaId},
};
use bailiwick_ports::store::{Intent, Store, StoreError};
use bailiwick_store::{Identity, Options, SqliteStore};
use bailiwick_testkit::store_suite::fixtures::{agent, changed, entry, fact, intent, spent, with_body};

const SECONDS: u64 = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).unwrap_or_else(|| std::env::temp_dir().into_os_string());
    let folder = tempfile::tempdir_in(parent)?;
    println!("fsync of 4 KiB: p50 {:?}", fsync(&folder.path().join("probe"))?);
    println!("{:>8} {:>10} {:>10} {:>10} {:>10}", "callers", "intents/s", "commits/s", "p50", "p99");
    for callers in [1, 8, 64, 256] {
        measure(&folder.path().join(format!("{callers}.db")), callers).await?;
    }
    Ok(())
}

fn fsync(path: &Path) -> std::io::Result<Duration> {
    let mut file = std::fs::File::create(path)?;
    let mut times = Vec::new();
    for _ in 0..300 {
        file.seek(SeekFrom::Start(0))?;
        let started = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(percentile(&mut times, 50))
}

async fn measure(path: &Path, callers: u64) -> Result<(), Box<dyn Error>> {
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([1; 16]) };
    let options = Options { queue_wait_max: Duration::from_secs(5), ..Options::default() };
    let store = Arc::new(SqliteStore::open(path, identity, &options)?);
    store.register_agent(agent("bot"), changed("evt_1")).await?;
    let state = Arc::new(store.load().await?);
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, state) = (Arc::clone(&store), Arc::clone(&state));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed().as_secs() < SECONDS {
                    let call = call(&format!("eval_{caller}_{}", times.len()), &state);
                    let asked = Instant::now();
                    store.commit_intent(call).await?;
                    times.push(asked.elapsed());
                }
                Ok::<_, StoreError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let rate = |count: u64| (f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed).round();
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    let (intents, commits) = (rate(times.len() as u64), rate(store.stats().commits));
    println!("{callers:>8} {intents:>10} {commits:>10} {p50:>10.2?} {p99:>10.2?}");
    Ok(())
}

/// An intent with all that a call of an agent settles.
fn call(id: &str, state: &bailiwick_ports::store::State) -> Intent {
    let mut call = intent(id, state);
    let body = [("agent", "bot"), ("system", "crm"), ("action", "crm.update_contact"), ("decision", "allow")];
    call.entry = with_body(entry(EventKind::Intent, id), &body);
    call.entry.event.commitments = [("arguments".to_owned(), [7; 32])].into();
    call.spent = vec![spent(id, 60)];
    call.facts = vec![fact("bot", "read:pii", 600)];
    call.relied_on.agents.extend(state.agents.iter().map(|agent| (agent.name.clone(), agent.version)));
    call
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
