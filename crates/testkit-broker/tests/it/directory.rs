//! A directory provisions over SCIM at the running program: a compliance tester of others, unchanged, and the life of one
//! user, measured at the agent that acts for them.

use std::process::Command;

use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, HttpClient, Revision, send},
    person::Person,
    stdio_client::succeeded,
    tools::{Need, Tools, ready},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    clients::read_json,
    profile::Scene,
    world::{Depot, STAFF, SUPPORT},
};

/// What the tester reports against us, and why it stays so.
const KNOWN: &[(&str, &str, &str)] = &[
    // Whether somebody may act is always said: taken away, it would have to mean one or the other.
    ("check_remove_attribute", "User", "`active` can be replaced, and not taken away"),
];

fn credential(depot: &Depot) -> String {
    let made = depot.broker.run(&["scim", "token", "create", "okta"]).succeeded();
    made.stdout.lines().next().unwrap().to_owned()
}

#[test]
fn the_compliance_tester_of_python_scim_finds_what_it_looks_for() {
    let Some(tools) = ready(&[Need::Broker, Need::Scim]) else { return };
    let depot = Depot::stdio(&tools);
    let plan = json!({ "base": format!("{}/scim/v2", depot.broker.url()), "token": credential(&depot) });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/scim_tester.py");
    let mut run = Command::new(tools.python("scim", "python"));
    let told = read_json(run.arg(script).arg(plan.to_string()));
    let all = told.as_array().unwrap();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let known = |one: &&Value| {
        let is = |(title, resource, reason): &(&str, &str, &str)| {
            text(one, "title") == *title && text(one, "resource") == *resource && text(one, "reason").contains(reason)
        };
        KNOWN.iter().any(is)
    };
    let (good, bad): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|one| matches!(one["status"].as_str(), Some("SUCCESS" | "COMPLIANT" | "ACCEPTABLE")));
    let (expected, wrong): (Vec<&Value>, Vec<&Value>) = bad.into_iter().partition(known);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(expected.len(), KNOWN.len(), "what no longer differs is taken off the list: {expected:?}");
    assert!(good.len() >= 60, "{} checks passed", good.len());
}

/// The directory, as its program speaks to us.
struct Directory {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Directory {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> HttpAnswer {
        let mut ask = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            ask = ask.header("content-type", "application/scim+json").body(body.to_string());
        }
        send(ask).await
    }

    async fn make(&self, path: &str, body: Value) -> String {
        let made = self.ask(Method::POST, path, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.message_or_body()["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, path: &str, operations: Value) {
        let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        let body = json!({ "schemas": [schema], "Operations": operations });
        let done = self.ask(Method::PATCH, path, Some(body)).await;
        assert!(done.status.is_success(), "{} {}", done.status, done.body);
    }
}

/// A client that an agent's user allowed something, with the refresh token that it got.
struct Allowed<'a> {
    client: HttpClient<'a>,
    refresh: String,
}

impl Allowed<'_> {
    fn take(&mut self, told: &Value) {
        let member = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name} in {told}")).to_owned();
        (self.client.token, self.refresh) = (member("access_token"), member("refresh_token"));
    }

    /// Whether a call for the user goes through now.
    async fn writes(&mut self) -> bool {
        let call = json!({ "name": "write_note", "arguments": { "id": "1", "text": "x" } });
        let answer = self.client.ask("tools/call", call).await;
        let told = answer.messages();
        answer.status == 200 && told.iter().any(|one| one["result"].is_object() && one["result"]["isError"] != true)
    }
}

fn scene(tools: &Tools) -> Depot {
    let depot = Depot::stdio(tools);
    depot.broker.write("roles/support.toml", SUPPORT);
    depot.broker.write("policies/users/staff.cedar", STAFF);
    depot.broker.publish();
    depot
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_directory_has_nothing_left_on_the_next_call() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let depot = scene(&tools);
    let base = format!("{}/scim/v2", depot.broker.url());
    let directory = Directory { base, token: credential(&depot), http: reqwest::Client::new() };
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@example.com", "externalId": "00u1",
        "displayName": "Ada", "active": true,
    });
    let id = directory.make("/Users", user).await;
    let members = json!([{ "value": id }]);
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "staff", "members": members,
    });
    let group = directory.make("/Groups", group).await;

    // A user of the directory signs in here, and allows an agent something.
    let agent = depot.broker.register("assistant-1", "support", &["--redirect-uri", "http://127.0.0.1/cb"]);
    let steady = depot.broker.register("steady", "reader", &[]);
    let mut bystander = HttpClient::connect(&depot.broker, &steady, "depot", Revision::Stateless).await;
    let person = Person::sign_in(&tools, &depot.broker, &id);
    let flow = Scene { depot: &depot, http: reqwest::Client::new() };
    let client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let code = flow.code(&person, &client, &agent).await;
    let told = flow.redeem(&client, &code, &json!({})).await.message_or_body();
    let mut allowed = Allowed { client, refresh: String::new() };
    allowed.take(&told);
    assert!(allowed.writes().await);

    // Another team: the right goes with the very next call, and comes back the same way.
    let path = format!("/Groups/{group}");
    directory.patch(&path, json!([{ "op": "Remove", "path": format!("members[value eq \"{id}\"]") }])).await;
    assert!(!allowed.writes().await, "no longer of the team");
    directory.patch(&path, json!([{ "op": "Add", "path": "members", "value": members }])).await;
    assert!(allowed.writes().await);
    let told = flow.renew(&allowed.client, &allowed.refresh, &json!({})).await.message_or_body();
    allowed.take(&told);

    // Deactivated, as Entra says it: sessions, grants and tokens are gone, and stay gone when they come back.
    let path = format!("/Users/{id}");
    directory.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert!(!allowed.writes().await, "deactivated");
    let refused = flow.renew(&allowed.client, &allowed.refresh, &json!({})).await;
    assert_eq!(refused.message_or_body()["error"], "invalid_grant", "{}", refused.body);
    let account = format!("{}/account", depot.broker.url());
    assert_ne!(person.read(&account).await.status(), 200, "signed out");
    directory.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "True" }])).await;
    assert!(!allowed.writes().await, "what ended does not come back");
    let grants = depot.broker.run(&["grants", "list", "--output", "json"]).succeeded().json();
    assert_eq!(grants["grants"], json!([]));

    // Back, with a consent anew; then gone for good.
    let person = Person::sign_in(&tools, &depot.broker, &id);
    let code = flow.code(&person, &allowed.client, &agent).await;
    let told = flow.redeem(&allowed.client, &code, &json!({})).await.message_or_body();
    allowed.take(&told);
    assert!(allowed.writes().await);
    let gone = directory.ask(Method::DELETE, &path, None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert!(!allowed.writes().await, "removed");
    assert_ne!(person.read(&account).await.status(), 200);
    assert_eq!(directory.ask(Method::GET, &path, None).await.status, 404);
    let invited = depot.broker.run(&["users", "invite", &id]);
    assert_ne!(invited.code, 0, "nobody is invited back by an id that left: {}", invited.stdout);
    succeeded(&bystander.call("lookup", json!({ "path": "/public/a" })).await);

    // Whose credential did it stands in the evidence, and it opens nothing once it is revoked.
    let evidence = depot.broker.evidence();
    let changes = evidence.iter().filter(|line| line["entry"]["kind"] == "user_changed");
    assert!(changes.filter(|line| line["entry"]["body"]["by"] == "workload:okta").count() >= 4, "{evidence:#?}");
    depot.broker.run(&["scim", "token", "revoke", "okta"]).succeeded();
    assert_eq!(directory.ask(Method::GET, "/Users", None).await.status, 401);
}
