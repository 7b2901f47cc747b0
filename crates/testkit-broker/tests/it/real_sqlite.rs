//! `mcp-server-sqlite`, a server without any annotations: reading queries pass, writing ones need the role for it.

use std::process::Command;

use bailiwick_testkit_broker::{
    broker::Broker,
    stdio_client::{StdioClient, codes, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

const CLASSES: &str = r#"
[read_query]
class = "read"

[list_tables]
class = "read"
effect = { records = 0, reversible = true }

[write_query]
class = "write"
tags = ["bulk"]
"#;

const ANALYST: &str = r#"
purpose = "Answer questions from the data"
allow = ["data:read", "data.write_query"]
"#;

#[tokio::test]
async fn reading_is_allowed_and_a_write_of_unknown_size_wants_a_person() {
    let Some(tools) = ready(&[Need::Broker, Need::Python]) else { return };
    let mut broker = Broker::init(&tools);
    let file = broker.scratch().join("shop.db").to_string_lossy().into_owned();
    let setup = "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);c.execute('create table orders(id)');\
                 c.execute('insert into orders values(4711)');c.commit()";
    let made = Command::new(tools.python("sqlite", "python")).args(["-c", setup, &file]).status().unwrap();
    assert!(made.success());
    broker.add_stdio("data", &[&tools.python("sqlite", "mcp-server-sqlite"), "--db-path", &file], &[]);
    broker.classify("data", CLASSES);
    broker.write("roles/analyst.toml", ANALYST);
    broker.publish();
    broker.serve_verified();
    let agent = broker.register("analyst-1", "analyst", &[]);
    let mut client = StdioClient::bridge(&broker, &agent, "data", &[]).await;

    let told = succeeded(&client.call("read_query", json!({ "query": "select id from orders" })).await);
    assert!(told.contains("4711"), "{told}");
    // Nobody declared how many rows a statement touches, so it is the largest number.
    let denied = client.call("write_query", json!({ "query": "delete from orders" })).await;
    assert_eq!(codes(&denied), ["approval_required"], "{denied}");
    // The role does not name it.
    let denied = client.call("create_table", json!({ "query": "create table t(x)" })).await;
    assert!(
        codes(&denied).contains(&"no_permit".to_owned()) || codes(&denied).contains(&"forbidden".to_owned()),
        "{denied}"
    );
    let told = succeeded(&client.call("read_query", json!({ "query": "select count(*) n from orders" })).await);
    assert!(told.contains('1'), "{told}");
}
