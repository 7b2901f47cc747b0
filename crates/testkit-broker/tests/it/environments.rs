//! One environment per broker: whoever was registered for another one gets no token here, nor brings one.

use bailiwick_testkit_broker::{
    broker::Broker,
    http_client::{HttpClient, Revision},
    tools::{Need, ready},
};
use serde_json::Value;

use crate::world::Depot;

#[test]
fn a_broker_of_production_gives_no_token_to_development() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut broker = Broker::init(&tools);
    broker.edit("bailiwick.toml", &[("# environment = \"production\"", "environment = \"production\"")]);
    broker.serve();
    let resource = format!("{}/access/v1", broker.url());
    for (environment, code) in [("production", 0), ("staging", 3), ("development", 3)] {
        let agent =
            broker.register(environment, "reader", &["--environment", environment, "--scope", "access:evaluate"]);
        let key = agent.key_file.to_string_lossy().into_owned();
        let words = ["token", "--agent", environment, "--key", &key, "--resource", &resource];
        let answer = broker.run(&[&words[..], &["--proof-for", "POST", &resource]].concat()).ended_with(code);
        assert!(code == 0 || answer.stderr.contains(environment), "{}", answer.stderr);
    }
    let evidence = broker.evidence();
    let refused = evidence.iter().filter(|line| line["entry"]["kind"] == "token_refused").count();
    assert_eq!(refused, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_before_is_refused_once_the_broker_serves_another_environment() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &["--environment", "development"]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    assert!(client.ask("tools/list", Value::Object(serde_json::Map::new())).await.status.is_success());
    depot.broker.kill();
    depot.broker.edit("bailiwick.toml", &[("# environment = \"production\"", "environment = \"production\"")]);
    depot.broker.serve_verified();
    let before = depot.ledger.acts();
    let answer =
        client.ask("tools/call", serde_json::json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
    let answer = answer.await;
    assert_eq!(answer.status.as_u16(), 401, "{}", answer.body);
    assert_eq!(depot.ledger.acts(), before);
}
