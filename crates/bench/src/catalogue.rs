//! A system of a thousand tools: until an agent is served their list.

use std::time::Instant;

use bailiwick_testkit_broker::{broker::Broker, http_client::HttpClient, http_client::Revision};
use serde_json::{Value, json};

use crate::{
    figure::tell,
    plan::Plan,
    site::{ROLE, SYSTEM, describe, tools, upstream},
};

const TABLE: &str = "catalogue";
/// Lists that are asked for after the first one.
const LISTS: usize = 5;

pub(crate) async fn measure(plan: &Plan) {
    let (_running, url) = upstream(plan.tools);
    let row = format!("{} tools", if plan.tools == 1_000 { "1,000".to_owned() } else { plan.tools.to_string() });
    // Once per round would be a new installation each time: three tell as much.
    for _ in 0..plan.rounds.min(3) {
        let mut broker = Broker::init(&tools());
        broker.serve();
        let added = Instant::now();
        broker.add_url(SYSTEM, &url);
        let add_s = added.elapsed().as_secs_f64();
        // What an operator does by hand does not count.
        describe(&broker, plan.tools);
        let published = Instant::now();
        broker.publish();
        let publish_s = published.elapsed().as_secs_f64();
        let agent = broker.register("reader-1", ROLE, &[]);
        let listed = Instant::now();
        let mut client = HttpClient::connect(&broker, &agent, SYSTEM, Revision::Handshake).await;
        list(&mut client, plan.tools).await;
        let first_s = listed.elapsed().as_secs_f64();
        let listed = Instant::now();
        for _ in 0..LISTS {
            list(&mut client, plan.tools).await;
        }
        tell(TABLE, &row, "add_s", add_s);
        tell(TABLE, &row, "publish_s", publish_s);
        tell(TABLE, &row, "first_s", first_s);
        tell(TABLE, &row, "total_s", add_s + publish_s + first_s);
        tell(TABLE, &row, "list_ms", listed.elapsed().as_secs_f64() * 1e3 / crate::figure::number(LISTS));
    }
}

/// Lists, page by page; all tools must be there.
async fn list(client: &mut HttpClient<'_>, tools: usize) {
    let (mut found, mut cursor) = (0, None::<String>);
    loop {
        let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let answer = client.ask("tools/list", params).await.message();
        found += answer.pointer("/result/tools").and_then(Value::as_array).map_or(0, Vec::len);
        cursor = answer.pointer("/result/nextCursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, tools, "tools that were listed");
}
