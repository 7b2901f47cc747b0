//! Tokens for exactly this: a client asks the running program for tools and what their arguments may be, for itself, for a
//! user who was asked, and as a task of its own that leaves nothing.

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    person::Person,
    stdio_client::{codes, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::{
    profile::Scene,
    world::{Depot, STAFF, SUPPORT},
};

const REDIRECT: &str = "http://127.0.0.1:51234/cb";
/// Tasks of the story that leaves nothing.
const TASKS: usize = 50;

fn detail(tool: &str, arguments: &Value) -> Value {
    json!({ "type": "bailiwick_tool", "actions": [format!("depot.{tool}")], "arguments": arguments })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_through_what_it_was_asked_for_and_nothing_else() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("clerk-1", "clerk", &[]);
    let watcher = depot.broker.register("watcher-1", "reader", &["--scope", "token:introspect"]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let orders = json!([detail("lookup", &json!({ "path": { "under": "/public/orders" } }))]);
    client.details = Some(orders.to_string());
    let told = client.ask_token().await.message_or_body();
    assert_eq!(told["authorization_details"][0]["actions"], json!(["depot.lookup"]), "{told}");
    told["access_token"].as_str().unwrap().clone_into(&mut client.token);
    succeeded(&client.call("lookup", json!({ "path": "/public/orders/1" })).await);
    for (tool, arguments, code) in [
        ("lookup", json!({ "path": "/public/other" }), "detail_pin"),
        ("lookup", json!({ "path": "/public/orders/../other" }), "detail_pin"),
        ("lookup_many", json!({ "paths": ["/public/orders/1"] }), "detail_tool"),
        ("write_note", json!({ "id": "1", "text": "x" }), "detail_tool"),
    ] {
        let denied = client.call(tool, arguments.clone()).await;
        assert!(codes(&denied).contains(&code.to_owned()), "{tool} {arguments}: {denied}");
    }
    assert_eq!(depot.ledger.acts(), 1);

    // Who may ask about tokens is told the same.
    let scene = Scene { depot: &depot, http: reqwest::Client::new() };
    let asking = HttpClient::connect(&depot.broker, &watcher, "depot", Revision::Stateless).await;
    let known = scene.post(&asking, "/oauth/introspect", json!({ "token": client.token }), &json!({})).await;
    let known = known.message_or_body();
    assert_eq!((&known["active"], &known["authorization_details"]), (&json!(true), &told["authorization_details"]));

    // A word that nobody reads could be one that narrows.
    for wrong in [
        json!([{ "type": "payment_initiation" }]),
        json!([{ "type": "bailiwick_tool", "actions": ["depot.lookup"], "until": "noon" }]),
        json!([detail("lookup", &json!({ "file": { "eq": "x" } }))]),
        json!([detail("nothing", &json!({}))]),
        json!({}),
    ] {
        client.details = Some(wrong.to_string());
        let refused = client.ask_token().await;
        assert_eq!(refused.message_or_body()["error"], "invalid_authorization_details", "{wrong}: {}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_asked_for_exactly_this_and_no_renewal_widens_it() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let depot = Depot::stdio(&tools);
    depot.broker.write("roles/support.toml", SUPPORT);
    depot.broker.write("policies/users/staff.cedar", STAFF);
    depot.broker.publish();
    depot.broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "staff"]).succeeded();
    let person = Person::sign_in(&tools, &depot.broker, "ada");
    let agent = depot.broker.register("assistant-1", "support", &["--redirect-uri", "http://127.0.0.1/cb"]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let scene = Scene { depot: &depot, http: reqwest::Client::new() };
    let note = |ids: &[&str]| json!([detail("write_note", &json!({ "id": { "one_of": ids } }))]).to_string();

    let pushed = scene.push(&client, &json!({ "authorization_details": note(&["1", "2"]) })).await;
    let pushed = pushed.message_or_body();
    let request_uri = pushed["request_uri"].as_str().unwrap_or_else(|| panic!("{pushed}"));
    let url = scene.authorize(&[("client_id", &agent.name), ("request_uri", request_uri)]);
    let visit = person.answer(&url, REDIRECT, "allow").await;
    let code = visit.parameter("code").unwrap_or_else(|| panic!("{visit:?}"));
    let told = scene.redeem(&client, &code, &json!({})).await.message_or_body();
    told["access_token"].as_str().unwrap_or_else(|| panic!("{told}")).clone_into(&mut client.token);
    succeeded(&client.call("write_note", json!({ "id": "1", "text": "x" })).await);
    assert_eq!(codes(&client.call("write_note", json!({ "id": "3", "text": "x" })).await), ["detail_pin"]);

    // A renewal may ask for less, never for more; asking costs the client nothing.
    let refresh = told["refresh_token"].as_str().unwrap();
    let wider = scene.renew(&client, refresh, &json!({ "authorization_details": note(&["1", "2", "3"]) })).await;
    assert_eq!(wider.message_or_body()["error"], "invalid_authorization_details", "{}", wider.body);
    let told = scene.renew(&client, refresh, &json!({ "authorization_details": note(&["2"]) })).await.message_or_body();
    told["access_token"].as_str().unwrap_or_else(|| panic!("{told}")).clone_into(&mut client.token);
    assert_eq!(codes(&client.call("write_note", json!({ "id": "1", "text": "x" })).await), ["detail_pin"]);
    succeeded(&client.call("write_note", json!({ "id": "2", "text": "x" })).await);
    let refresh = told["refresh_token"].as_str().unwrap();
    let told = scene.renew(&client, refresh, &json!({})).await.message_or_body();
    told["access_token"].as_str().unwrap_or_else(|| panic!("{told}")).clone_into(&mut client.token);
    succeeded(&client.call("write_note", json!({ "id": "1", "text": "x" })).await);
    assert_eq!(depot.ledger.acts(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tasks_by_token_request_leave_nothing() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let broker = &depot.broker;
    let agent = broker.register("clerk-1", "clerk", &[]);
    let list = |what: &str| broker.run(&[what, "list", "--output", "json"]).succeeded().json();
    let shown = || {
        let shown = broker.run(&["agents", "show", "clerk-1", "--output", "json"]).succeeded().json();
        ["role", "scopes", "systems", "redirect_uris", "credentials", "state"].map(|name| shown[name].clone())
    };
    let mut client = HttpClient::connect(broker, &agent, "depot", Revision::Stateless).await;
    let before = shown();
    for number in 0..TASKS {
        let work = json!([
            { "type": "bailiwick_task", "purpose": format!("order {number}"), "expires_in": 600 },
            detail("lookup", &json!({ "path": { "eq": format!("/public/{number}") } })),
        ]);
        client.details = Some(work.to_string());
        let told = client.ask_token().await.message_or_body();
        let details = told["authorization_details"].as_array().unwrap_or_else(|| panic!("{told}")).clone();
        let task = details.iter().find_map(|one| one["identifier"].as_str()).unwrap().to_owned();
        told["access_token"].as_str().unwrap().clone_into(&mut client.token);
        succeeded(&client.call("lookup", json!({ "path": format!("/public/{number}") })).await);
        let other = client.call("lookup", json!({ "path": "/public/other" })).await;
        assert!(!codes(&other).is_empty(), "task {number} opens its own path alone: {other}");
        broker.run(&["tasks", "end", &task, "--reason", "done"]).succeeded();
        let call = client
            .message("tools/call", json!({ "name": "lookup", "arguments": { "path": format!("/public/{number}") } }));
        let late = client.post(call).await;
        let allowed = late.messages().iter().any(|one| one["result"].is_object() && one["result"]["isError"] != true);
        assert!(!allowed, "a token of a task that ended: {}", late.body);
    }
    assert_eq!(depot.ledger.acts(), TASKS);
    assert_eq!(shown(), before);
    assert_eq!((&list("tasks")["tasks"], &list("grants")["grants"]), (&json!([]), &json!([])));
    let tokens = list("tokens");
    let standing: Vec<_> = tokens["tokens"].as_array().unwrap().iter().filter(|one| one["state"] == "active").collect();
    assert_eq!(standing.len(), 1, "the one from before: {standing:?}");
}
