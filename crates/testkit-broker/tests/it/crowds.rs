//! Who only takes up room keeps nobody else out: idle connections by the thousand, heads and bodies that never end.

use std::{collections::BTreeSet, time::Duration};

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::Depot;

/// Connections that are opened and say nothing, or not enough.
const IDLE: usize = 10_000;
/// Bodies that drip.
const DRIPPING: usize = 50;
/// How often a body drips: far more often than silence would be noticed.
const DRIP: Duration = Duration::from_millis(500);

/// This process holds one end of each connection, the broker the other.
fn room_for_files(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let may = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // The broker keeps a quarter for its own files.
    assert!(may / 4 * 3 > files, "this needs {files} open files and some: `ulimit -Hn` says {may}");
}

/// Waits until the broker has hung up.
async fn hung_up(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too.
    drop(connection.read_to_end(&mut rest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    room_for_files(IDLE as u64 + 200);
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;

    let beginnings: [&[u8]; 4] = [
        b"",
        b"POST /mcp/depot HTTP/1.1\r\nhost: ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ];
    let mut idle = Vec::with_capacity(IDLE);
    for (number, beginning) in (0..IDLE).zip(beginnings.iter().cycle()) {
        let mut connection = TcpStream::connect(depot.broker.address()).await.unwrap();
        connection.write_all(beginning).await.unwrap();
        idle.push(connection);
        if number % 1_000 == 999 {
            succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
        }
    }
    // A client of its own has to find a free place, not only to keep one.
    let mut late = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    succeeded(&late.call("lookup", json!({ "path": "/public/b" })).await);
    for connection in idle {
        hung_up(connection).await;
    }
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    assert_eq!(depot.ledger.acts(), IDLE / 1_000 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_are_not_waited_for() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    // Learns the nonce, so that these heads are those of a caller who may come in.
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let mut dripping = Vec::new();
    let doors = [("/mcp/depot", "application/json"), ("/oauth/token", "application/x-www-form-urlencoded")];
    for (path, kind) in doors.into_iter().cycle().take(DRIPPING) {
        let credentials = client.credentials("POST", client.resource());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ndpop: {}\r\ncontent-type: {kind}\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: tools/call\r\nmcp-name: lookup\r\ncontent-length: 50000\r\n\r\n",
            depot.broker.address(),
            credentials.authorization,
            credentials.proof,
        );
        let connection = TcpStream::connect(depot.broker.address()).await.unwrap();
        let (mut read, mut write) = connection.into_split();
        write.write_all(head.as_bytes()).await.unwrap();
        let drips = tokio::spawn(async move {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
        });
        dripping.push(tokio::spawn(async move {
            let mut told = Vec::new();
            drop(read.read_to_end(&mut told).await);
            drips.abort();
            (path, String::from_utf8_lossy(&told).into_owned())
        }));
    }
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let mut timed_out = BTreeSet::new();
    for drip in dripping {
        // A reset may overtake the answer.
        let (path, told) = drip.await.unwrap();
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 408 "), "{path}: {told}");
        if !told.is_empty() {
            timed_out.insert(path);
        }
    }
    assert_eq!(timed_out, doors.map(|(path, _)| path).into(), "each door says why it hung up");
    assert_eq!(depot.ledger.acts(), 2);
}
