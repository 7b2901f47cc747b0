//! Memory and start with nobody registered, and with a hundred thousand agents.

use std::{process::Stdio, sync::Arc, time::Duration};

use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::{
    agent::{Agent, Authenticator},
    jwk::SigningAlgorithm,
};
use bailiwick_ports::store::Store as _;
use bailiwick_store::{Identity, Options, SqliteStore};
use bailiwick_testkit::store_suite::fixtures::{agent, changed};
use bailiwick_testkit_broker::{broker::Broker, ports::free_port};
use futures::StreamExt as _;
use jiff::{Timestamp, ToSpan as _};

use crate::{
    figure::tell,
    plan::Plan,
    process::{Running, memory_mb, until_ready},
    site::tools,
};

const TABLE: &str = "scale";
/// How long a server is left alone before its memory is read: its first background work is done by then.
const REST: Duration = Duration::from_millis(1_500);
/// Registrations under way at once.
const AT_ONCE: usize = 1_024;

pub(crate) async fn measure(plan: &Plan) {
    let empty = Broker::init(&tools());
    let full = Broker::init(&tools());
    // The server makes the database; then it is filled, with nobody else there.
    start(&empty, "no agents", false);
    start(&full, "", false);
    fill(&full, plan.agents).await;
    let many =
        format!("{} agents", if plan.agents == 100_000 { "100,000".to_owned() } else { plan.agents.to_string() });
    for _ in 0..plan.rounds {
        start(&empty, "no agents", true);
        start(&full, &many, true);
    }
}

/// Starts a server, and tells how long that took and what it holds at rest.
fn start(broker: &Broker, row: &str, told: bool) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = broker.command(&["serve", "--listen", &address]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut command).expect("the broker starts");
    let took = until_ready(&address, "/readyz").expect("the broker is ready");
    if told {
        std::thread::sleep(REST);
        tell(TABLE, row, "start_ms", took.as_secs_f64() * 1e3);
        tell(TABLE, row, "memory_mb", memory_mb(running.id()));
    }
}

/// Registers agents in the database of a broker that does not run.
async fn fill(broker: &Broker, agents: u32) {
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([7; 16]) };
    let options = Options { queue_wait_max: Duration::from_secs(30), ..Options::default() };
    let path = broker.home().join("data/bailiwick.db");
    let store = Arc::new(SqliteStore::open(&path, identity, &options).expect("the broker's database"));
    let key = AgentKey::generate(SigningAlgorithm::ES256).expect("a key");
    let registered = futures::stream::iter(0..agents).map(|number| {
        let (store, agent) = (Arc::clone(&store), of(number, &key));
        async move { store.register_agent(agent, changed(&format!("evt_{number}"))).await.expect("room for it") }
    });
    registered.buffer_unordered(AT_ONCE).for_each(|_| std::future::ready(())).await;
}

/// One of many agents, as long as a real one, with one key.
fn of(number: u32, key: &AgentKey) -> Agent {
    let now = Timestamp::now();
    let mut agent = agent(&format!("agent-{number:06}"));
    agent.promoted = true;
    agent.created_at = now;
    agent.expires_at = now + 2_000.hours();
    agent.credentials.truncate(1);
    for credential in &mut agent.credentials {
        // The same key for all: making a hundred thousand would take longer than everything else.
        credential.authenticator = Authenticator::Key(key.public().clone());
        (credential.created_at, credential.expires_at) = (now, agent.expires_at);
    }
    agent
}
