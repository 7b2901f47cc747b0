//! MCP tool calls: directly, through the gateway with token, proof, policy and durable evidence, and through the crate
//! `mcp-proxy` with none of these.

pub(crate) mod caller;

use std::{
    env, fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{http_client::HttpClient, ports::free_port};

use self::caller::{Caller, Proofs};
use crate::{
    figure::{missing, tell},
    load::{Answers, closed},
    plan::Plan,
    process::{Running, installed},
    site::{ROLE, SYSTEM, Site},
};

const TABLE: &str = "gateway";
const CONNECTIONS: [usize; 2] = [1, 16];
/// Where `cargo xtask bench` put the peer.
const PEER: &str = "BAILIWICK_BENCH_MCP_PROXY";
/// Which version that is.
const PEER_VERSION: &str = "BAILIWICK_BENCH_MCP_PROXY_VERSION";
/// Proofs that are signed before a round, per second of it and all callers together.
const PROOFS_PER_S: f64 = 12_000.0;

/// Somebody who answers tool calls, and who calls him.
struct Subject {
    name: String,
    url: String,
    tool: String,
    proofs: Option<Arc<Proofs>>,
    /// By the number of connections.
    callers: Vec<Vec<Caller>>,
}

pub(crate) async fn measure(plan: &Plan) {
    let site = Site::new();
    let agent = Arc::new(site.broker.register("loader-1", ROLE, &[]));
    let client = HttpClient::connect_at(&site.broker, &agent, &format!("/mcp/{SYSTEM}")).await;
    let ours = Proofs::new(Arc::clone(&agent), client.resource(), &client.token);
    let mut subjects = vec![
        Subject::new("direct", &site.upstream, "tool_0", None),
        Subject::new("bailiwick", client.resource(), "tool_0", Some(Arc::new(ours))),
    ];
    let peer_name = env::var(PEER_VERSION).map_or("mcp-proxy".to_owned(), |version| format!("mcp-proxy {version}"));
    let peer = peer(&site).await;
    match &peer {
        Ok((_, url)) => subjects.push(Subject::new(&peer_name, url, "depot/tool_0", None)),
        Err(why) => CONNECTIONS.iter().for_each(|count| missing(TABLE, &row(&peer_name, *count), why)),
    }
    for subject in &mut subjects {
        subject.connect().await;
    }
    for _ in 0..plan.rounds {
        for (place, connections) in CONNECTIONS.into_iter().enumerate() {
            let fsync_ms = fsync_ms(&site.broker.home());
            let mut direct_ms = 0.0;
            for subject in &mut subjects {
                let answers = subject.round(place, plan.round).await;
                let row = row(&subject.name, connections);
                told(&row, &answers);
                match subject.name.as_str() {
                    "direct" => direct_ms = answers.percentile_ms(50),
                    "bailiwick" => {
                        tell(TABLE, &row, "fsync_ms", fsync_ms);
                        tell(TABLE, &row, "beyond_fsync_ms", answers.percentile_ms(50) - direct_ms - fsync_ms);
                    }
                    _ => {}
                }
                if subject.name != "direct" {
                    tell(TABLE, &row, "added_ms", answers.percentile_ms(50) - direct_ms);
                }
            }
        }
    }
}

fn row(name: &str, connections: usize) -> String {
    format!("{name}, {connections} connection{}", if connections == 1 { "" } else { "s" })
}

fn told(row: &str, answers: &Answers) {
    tell(TABLE, row, "rate", answers.rate());
    tell(TABLE, row, "p50_ms", answers.percentile_ms(50));
    tell(TABLE, row, "p99_ms", answers.percentile_ms(99));
}

impl Subject {
    fn new(name: &str, url: &str, tool: &str, proofs: Option<Arc<Proofs>>) -> Self {
        Self { name: name.to_owned(), url: url.to_owned(), tool: tool.to_owned(), proofs, callers: Vec::new() }
    }

    async fn connect(&mut self) {
        for connections in CONNECTIONS {
            let mut callers = Vec::new();
            for _ in 0..connections {
                callers.push(Caller::connect(&self.url, &self.tool, self.proofs.clone()).await);
            }
            self.callers.push(callers);
        }
    }

    async fn round(&mut self, place: usize, round: Duration) -> Answers {
        let mut callers = self.callers.get_mut(place).map(std::mem::take).unwrap_or_default();
        let each = (PROOFS_PER_S * round.as_secs_f64()) as usize / callers.len().max(1);
        for caller in &mut callers {
            crate::load::Asks::prepare(caller, each);
        }
        let (back, answers) = closed(callers, round).await;
        if let Some(callers) = self.callers.get_mut(place) {
            *callers = back;
        }
        answers
    }
}

/// The peer before the same upstream, with its own defaults.
async fn peer(site: &Site) -> Result<(Running, String), String> {
    let program = installed(PEER).ok_or("it is not installed")?;
    let port = free_port();
    let configuration = site.broker.scratch().join("proxy.toml");
    let text = format!(
        "[proxy]\nname = \"peer\"\n[proxy.listen]\nhost = \"127.0.0.1\"\nport = {port}\n[[backends]]\nname = \"{SYSTEM}\"\n\
         transport = \"http\"\nurl = \"{}\"\n[observability]\nlog_level = \"error\"\n",
        site.upstream
    );
    fs::write(&configuration, text).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut command).map_err(|error| error.to_string())?;
    let started = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if started.elapsed() > Duration::from_secs(10) {
            return Err("it does not listen".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((running, format!("http://127.0.0.1:{port}/")))
}

/// What it costs to make 4 KiB durable where the broker keeps its database.
fn fsync_ms(folder: &Path) -> f64 {
    let mut file = fs::File::create(folder.join("probe")).expect("a file");
    let mut times: Vec<f64> = (0..50)
        .map(|_| {
            file.seek(SeekFrom::Start(0)).expect("a place");
            let started = Instant::now();
            file.write_all(&[7; 4_096]).and_then(|()| file.sync_data()).expect("a disk");
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
