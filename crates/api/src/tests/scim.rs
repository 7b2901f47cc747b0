//! SCIM through the real router: what directories send, what it comes to, and every way to get more than a directory may.

use bailiwick_engine::{directory, grants, lifecycle, sessions, users};
use bailiwick_model::{
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    name::UserId,
    principal::{DelegationChain, Principal},
    user::ADMINISTRATORS,
};
use bailiwick_ports::{chance::Clock as _, new_id};
use bailiwick_testkit_engine::world::{DIRECTORY_USERS_MAX, operator};
use jiff::SignedDuration;
use serde_json::json;

use super::*;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A directory with a credential of its own.
struct Directory {
    scene: Scene,
    token: String,
}

impl Directory {
    async fn new() -> Self {
        let scene = Scene::new().await;
        let made = scene.admin("POST", "/api/v1/scim/tokens", Some(json!({ "name": "okta" }))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let made = made.json();
        assert_eq!(made["base_url"], "https://broker.test/scim/v2");
        let token = made["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("bwp_"));
        Self { scene, token }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.with(method, path, body, &[]).await
    }

    async fn with(&self, method: &str, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Answer {
        let mut message = Request::builder()
            .method(method)
            .uri(format!("/scim/v2{path}"))
            .header("host", "broker.test")
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            message = message.header(*name, *value);
        }
        send(&self.scene.network, message, body).await
    }

    async fn patch(&self, path: &str, operations: Value) -> Answer {
        self.send("PATCH", path, Some(json!({ "schemas": [PATCH], "Operations": operations }))).await
    }

    /// Provisions somebody, and tells their id.
    async fn user(&self, user_name: &str) -> String {
        let body =
            json!({ "schemas": [USER], "userName": user_name, "externalId": format!("x-{user_name}"), "active": true });
        let made = self.send("POST", "/Users", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let made = self.send("POST", "/Groups", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    fn known(&self, id: &str) -> std::sync::Arc<bailiwick_model::user::User> {
        self.scene.world.broker.live().users[&id.parse::<UserId>().unwrap()].clone()
    }

    fn groups(&self, id: &str) -> Vec<String> {
        self.known(id).groups.iter().cloned().collect()
    }

    /// A session and a grant of a user.
    async fn signed_in(&self, id: &str) -> (String, GrantId) {
        let (broker, now) = (&self.scene.world.broker, self.scene.world.clock.now());
        let id: UserId = id.parse().unwrap();
        let proof = Authentication { at: now, methods: Default::default(), acr: None };
        let opened = sessions::open(broker, &id, proof).await.unwrap();
        let user = Principal::User(id);
        let grant = Grant {
            id: new_id!(GrantId, now, broker.entropy()),
            kind: GrantKind::AuthorizationCode,
            chain: DelegationChain::new(vec![user.clone(), Principal::Agent("reader".parse().unwrap())]).unwrap(),
            parent: None,
            subject: None,
            resources: ["https://broker.test/mcp/files".to_owned()].into(),
            scopes: ["files:read".parse().unwrap()].into(),
            details: None,
            task: None,
            authentication: None,
            vouched: None,
            status: GrantStatus::Active,
            created_at: now,
            expires_at: now + SignedDuration::from_hours(1),
        };
        let grant = grants::give(broker, &user, grant, Vec::new()).await.unwrap();
        (opened.token.expose().clone(), grant.id)
    }

    async fn stands(&self, (session, grant): &(String, GrantId)) -> (bool, bool) {
        let broker = &self.scene.world.broker;
        let open = sessions::find(broker, session).await.unwrap().is_some();
        (open, broker.live().grant_stands(Some(*grant), broker.now()))
    }
}

fn kind(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{}", answer.text);
    assert_eq!(json["status"], answer.status.to_string());
    assert_eq!(answer.headers["content-type"], "application/scim+json");
    (answer.status, json["scimType"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_user_is_provisioned_found_changed_and_removed() {
    let directory = Directory::new().await;
    let body = json!({
        "schemas": [USER, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
        "userName": "Ada@Example.com", "externalId": "00u1", "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "primary": true, "type": "work", "value": "ada@example.com" }], "active": true, "title": "Countess",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Engines" },
    });
    let made = directory.send("POST", "/Users", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, json) = (made.json()["id"].as_str().unwrap().to_owned(), made.json());
    assert!(id.starts_with("usr-") && !id.to_lowercase().contains("ada"), "an id says nothing: {id}");
    assert_eq!((&json["name"]["formatted"], &json["externalId"]), (&json!("Ada Lovelace"), &json!("00u1")));
    assert_eq!(made.headers["location"], format!("https://broker.test/scim/v2/Users/{id}"));
    assert_eq!((made.headers["etag"].to_str().unwrap(), &json["meta"]["version"]), ("W/\"1\"", &json!("W/\"1\"")));
    assert_eq!(kind(&directory.send("POST", "/Users", Some(body)).await), (409, "uniqueness".to_owned()));

    let found = directory.send("GET", "/Users?filter=userName%20eq%20%22ada%40EXAMPLE.com%22", None).await.json();
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)));
    let found = directory.send("GET", "/Users?filter=externalId%20eq%20%2200U1%22", None).await.json();
    assert_eq!(found["totalResults"], 0, "the directory's own key has a case");
    let same = directory.with("GET", &format!("/Users/{id}"), None, &[("if-none-match", "W/\"1\"")]).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));

    let path = format!("/Users/{id}");
    let renamed =
        directory.patch(&path, json!([{ "op": "Replace", "path": "name.familyName", "value": "King" }])).await;
    assert_eq!((renamed.status, &renamed.json()["name"]["formatted"]), (200, &json!("Ada King")), "{}", renamed.text);
    let stale =
        directory.with("PUT", &path, Some(json!({ "schemas": [USER], "userName": "ada" })), &[("if-match", "W/\"1\"")]);
    assert_eq!(kind(&stale.await).0, 412);
    let put = json!({ "schemas": [USER], "userName": "ada", "displayName": "A." });
    let put = directory.with("PUT", &path, Some(put), &[("if-match", "W/\"2\"")]).await;
    assert_eq!((put.status, &put.json()["externalId"], &put.json()["displayName"]), (200, &Value::Null, &json!("A.")));
    assert_eq!(directory.send("DELETE", &path, None).await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(kind(&directory.send(method, &path, None).await).0, 404);
    }
    let again = directory.user("ada").await;
    assert_ne!(again, id, "an id is never given again");
    let events = directory.scene.world.events("user_changed").await;
    let told: Vec<String> = events.iter().map(|event| format!("{:?}", event.body)).collect();
    assert!(told.iter().any(|event| event.contains("workload:okta") && event.contains("provisioned")), "{told:?}");
    assert!(!told.iter().any(|event| event.contains("Lovelace") || event.contains("example.com")), "{told:?}");
}

#[tokio::test]
async fn who_is_deactivated_or_removed_has_nothing_left_at_once() {
    let directory = Directory::new().await;
    for (how, operations) in [
        ("Okta", Some(json!([{ "op": "replace", "value": { "active": false } }]))),
        ("Entra", Some(json!([{ "op": "Replace", "path": "active", "value": "False" }]))),
        ("removed", None),
    ] {
        let (ada, bob) = (directory.user(&format!("ada-{how}")).await, directory.user(&format!("bob-{how}")).await);
        let (of_ada, of_bob) = (directory.signed_in(&ada).await, directory.signed_in(&bob).await);
        assert_eq!(directory.stands(&of_ada).await, (true, true));
        let path = format!("/Users/{ada}");
        let status = match operations {
            Some(operations) => directory.patch(&path, operations).await.status,
            None => directory.send("DELETE", &path, None).await.status,
        };
        assert!(matches!(status, 200 | 204), "{how}: {status}");
        assert!(directory.known(&ada).standing().is_err());
        assert_eq!(directory.stands(&of_ada).await, (false, false), "{how}");
        assert_eq!(directory.stands(&of_bob).await, (true, true), "nobody else is concerned");
        if how != "removed" {
            let back = directory.patch(&path, json!([{ "op": "replace", "path": "active", "value": "true" }])).await;
            assert_eq!(back.json()["active"], true);
            assert_eq!(directory.stands(&of_ada).await, (false, false), "who comes back is asked anew");
        }
    }
}

#[tokio::test]
async fn what_operators_stopped_a_directory_does_not_let_go_on() {
    let directory = Directory::new().await;
    let broker = &directory.scene.world.broker;
    let ada = directory.user("ada").await;
    let id: UserId = ada.parse().unwrap();
    users::suspend(broker, &operator(), &id, "lost a laptop").await.unwrap();
    let path = format!("/Users/{ada}");
    for body in [json!({ "active": true }), json!({ "active": false }), json!({ "active": true })] {
        let answer = directory.patch(&path, json!([{ "op": "replace", "value": body }])).await;
        assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(false)), "{}", answer.text);
    }
    assert!(directory.known(&ada).standing().is_err());
    directory.patch(&path, json!([{ "op": "replace", "value": { "active": false } }])).await;
    users::resume(broker, &operator(), &id).await.unwrap();
    assert!(directory.known(&ada).standing().is_err(), "nor the other way round");
    assert!(
        sessions::open(broker, &id, Authentication { at: broker.now(), methods: Default::default(), acr: None })
            .await
            .is_err()
    );
    let silent = directory.send("PUT", &path, Some(json!({ "schemas": [USER], "userName": "ada" }))).await;
    assert_eq!(silent.json()["active"], false, "silence lets nobody go on");
}

#[tokio::test]
async fn groups_are_policys_from_the_next_call_on() {
    let directory = Directory::new().await;
    let (ada, bob) = (directory.user("ada").await, directory.user("bob").await);
    let finance = directory.group("finance", &[&ada]).await;
    assert_eq!((directory.groups(&ada), directory.groups(&bob)), (vec!["finance".to_owned()], vec![]));
    let path = format!("/Groups/{finance}");
    let added = directory.patch(&path, json!([{ "op": "Add", "path": "members", "value": [{ "value": bob }] }])).await;
    assert_eq!(added.status, 204, "{}", added.text);
    let removed = format!("members[value eq \"{ada}\"]");
    assert_eq!(directory.patch(&path, json!([{ "op": "remove", "path": removed }])).await.status, 204);
    assert_eq!((directory.groups(&ada), directory.groups(&bob)), (vec![], vec!["finance".to_owned()]));
    let user = directory.send("GET", &format!("/Users/{bob}"), None).await.json();
    assert_eq!((&user["groups"][0]["display"], &user["groups"][0]["value"]), (&json!("finance"), &json!(finance)));

    assert_eq!(
        directory.patch(&path, json!([{ "op": "replace", "value": { "displayName": "money" } }])).await.status,
        204
    );
    assert_eq!(directory.groups(&bob), ["money"], "a name is policy's, so a new one is another group");
    let small = directory
        .send("GET", "/Groups?excludedAttributes=members&filter=displayName+eq+%22money%22", None)
        .await
        .json();
    assert_eq!((&small["totalResults"], small["Resources"][0].get("members")), (&json!(1), None));
    directory.group("money2", &[]).await;
    assert_eq!(
        kind(&directory.patch(&path, json!([{ "op": "replace", "path": "displayName", "value": "money2" }])).await).0,
        409
    );
    assert_eq!(directory.send("DELETE", &path, None).await.status, 204);
    assert!(directory.groups(&bob).is_empty());
}

#[tokio::test]
async fn a_directory_makes_and_takes_over_no_administrator() {
    let directory = Directory::new().await;
    let broker = &directory.scene.world.broker;
    let root: UserId = "root-admin".parse().unwrap();
    users::add(broker, &operator(), root.clone(), "Root", Some("root@example.com"), Default::default()).await.unwrap();
    users::set_administrator(broker, &operator(), &root, true).await.unwrap();
    let before = broker.live().users[&root].clone();
    // A user of this broker's own is not there for a directory, whatever it asks, and gives its name to nobody.
    for name in ["root-admin", "ROOT-ADMIN"] {
        let body = json!({ "schemas": [USER], "userName": name });
        assert_eq!(kind(&directory.send("POST", "/Users", Some(body)).await), (409, "uniqueness".to_owned()));
    }
    let ada = directory.user("ada").await;
    let path = format!("/Users/{ada}");
    let taken = directory.patch(&path, json!([{ "op": "replace", "path": "userName", "value": "Root-Admin" }]));
    assert_eq!(kind(&taken.await), (409, "uniqueness".to_owned()));
    for (method, body) in
        [("GET", None), ("PUT", Some(json!({ "schemas": [USER], "userName": "x", "active": false }))), ("DELETE", None)]
    {
        assert_eq!(kind(&directory.send(method, &format!("/{}/root-admin", "Users"), body).await).0, 404, "{method}");
    }
    assert_eq!(directory.send("GET", "/Users", None).await.json()["totalResults"], 1);
    // No group of the directory administers, however it is written, and no member is one whom it did not provision.
    for name in [ADMINISTRATORS, "Bailiwick:Administrators", " bailiwick:administrators", "bailiwick:anything"] {
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": [{ "value": ada }] });
        assert_eq!(kind(&directory.send("POST", "/Groups", Some(body)).await).0, 400, "{name}");
    }
    let staff = directory.group("staff", &[&ada]).await;
    let path = format!("/Groups/{staff}");
    for operations in [
        json!([{ "op": "replace", "path": "displayName", "value": ADMINISTRATORS }]),
        json!([{ "op": "replace", "value": { "displayName": ADMINISTRATORS } }]),
        json!([{ "op": "add", "path": "members", "value": [{ "value": "root-admin" }] }]),
        json!([{ "op": "add", "path": "members", "value": [{ "value": staff }] }]),
    ] {
        assert_eq!(kind(&directory.patch(&path, operations.clone()).await).0, 400, "{operations}");
    }
    let mine = json!({ "schemas": [USER], "userName": "ada", "groups": [{ "value": ADMINISTRATORS }], "roles": [{ "value": ADMINISTRATORS }] });
    assert_eq!(directory.send("PUT", &format!("/Users/{ada}"), Some(mine)).await.status, 200);
    assert_eq!(directory.groups(&ada), ["staff"]);
    assert_eq!(*broker.live().users[&root], *before);
    // One whom an operator made an administrator stays one until an operator, or their leaving, ends it.
    users::set_administrator(broker, &operator(), &ada.parse().unwrap(), true).await.unwrap();
    let emptied = directory.send("PUT", &path, Some(json!({ "schemas": [GROUP], "displayName": "staff" }))).await;
    assert_eq!((emptied.status, directory.groups(&ada)), (200, vec![ADMINISTRATORS.to_owned()]));
    let shown = directory.send("GET", &format!("/Users/{ada}"), None).await;
    assert!(!shown.text.contains(ADMINISTRATORS), "{}", shown.text);
}

#[tokio::test]
async fn only_who_may_provision_comes_in() {
    let mut directory = Directory::new().await;
    let good = directory.token.clone();
    assert_eq!(directory.send("GET", "/ServiceProviderConfig", None).await.json()["patch"]["supported"], true);
    assert_eq!(directory.send("GET", "/ResourceTypes", None).await.json()["totalResults"], 2);
    assert_eq!(directory.send("GET", &format!("/Schemas/{GROUP}"), None).await.json()["name"], "Group");
    let longer = format!("{good}x");
    for wrong in ["bwp_", "bwp_AAAA", longer.as_str(), &good[4..], "null"] {
        wrong.clone_into(&mut directory.token);
        let answer = directory.send("GET", "/Users", None).await;
        assert_eq!(kind(&answer).0, 401, "{wrong}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    // Somebody who goes on guessing is not heard for a while; the directory beside them is.
    "bwp_guess".clone_into(&mut directory.token);
    let mut last = 0;
    for _ in 0..12 {
        last = directory.send("GET", "/Users", None).await.status;
    }
    assert_eq!(last, 429);
    directory.token.clone_from(&good);
    assert_eq!(directory.send("GET", "/Users", None).await.status, 200);
    directory.scene.world.clock.advance(600);
    let listed = directory.scene.admin("GET", "/api/v1/scim/tokens", None).await;
    assert_eq!(listed.json()["tokens"][0]["name"], "okta");
    assert!(!listed.text.contains(&good) && !listed.text.contains("bwp_"));
    let revoked = directory.scene.admin("POST", "/api/v1/scim/tokens/okta/revoke", Some(json!({}))).await;
    assert_eq!(revoked.status, 204, "{}", revoked.text);
    assert_eq!(kind(&directory.send("GET", "/Users", None).await).0, 401, "the very next message");
    let short =
        directory.scene.admin("POST", "/api/v1/scim/tokens", Some(json!({ "name": "entra", "days": 1 }))).await.json();
    short["token"].as_str().unwrap().clone_into(&mut directory.token);
    assert_eq!(directory.send("GET", "/Users", None).await.status, 200);
    directory.scene.world.clock.advance(24 * 3_600);
    assert_eq!(kind(&directory.send("GET", "/Users", None).await).0, 401, "it ends by itself");
    for days in [0, 367] {
        let refused =
            directory.scene.admin("POST", "/api/v1/scim/tokens", Some(json!({ "name": "x", "days": days }))).await;
        assert_eq!(refused.status, 400);
    }
    // An agent's token of another kind opens nothing here.
    let token = directory.scene.world.token("gate", Audience::Access, true).await;
    let proof = directory.scene.world.proof("gate", "GET", "https://broker.test/scim/v2/Users", Some(&token));
    let message = Request::get("/scim/v2/Users").header("host", "broker.test");
    let message = message.header("authorization", format!("DPoP {token}")).header("dpop", proof);
    assert_eq!(kind(&send(&directory.scene.network, message, None).await).0, 401);
}

/// Whoever provisions can write any address: it must not stop the agents of a team that is called so.
#[tokio::test]
async fn an_address_of_a_directory_is_nobody_who_owns_agents() {
    let directory = Directory::new().await;
    let broker = &directory.scene.world.broker;
    let reader = "reader".parse().unwrap();
    lifecycle::set_owner(broker, &operator(), &reader, "build team", "test").await.unwrap();
    let body = json!({ "schemas": [USER], "userName": "x", "emails": [{ "value": "build team" }] });
    let made = directory.send("POST", "/Users", Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/Users/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(directory.send("DELETE", &path, None).await.status, 204);
    lifecycle::advance(broker).await.unwrap();
    assert_eq!(broker.agent(&reader).unwrap().successor_by, None);
    lifecycle::set_owner(broker, &operator(), &reader, "another team", "test").await.unwrap();
    lifecycle::set_owner(broker, &operator(), &reader, "build team", "test").await.unwrap();
}

/// Many directories deactivate whoever leaves and remove nobody: their agents must not go on for ever.
#[tokio::test]
async fn agents_of_who_is_deactivated_wait_for_a_successor() {
    let directory = Directory::new().await;
    let broker = &directory.scene.world.broker;
    let (ada, bob) = (directory.user("ada").await, directory.user("bob").await);
    let reader = "reader".parse().unwrap();
    lifecycle::set_owner(broker, &operator(), &reader, &ada, "test").await.unwrap();
    let path = format!("/Users/{ada}");
    directory.patch(&path, json!([{ "op": "replace", "path": "displayName", "value": "Ada L." }])).await;
    assert_eq!(broker.agent(&reader).unwrap().successor_by, None);
    directory.patch(&path, json!([{ "op": "replace", "path": "active", "value": false }])).await;
    let stops = broker.agent(&reader).unwrap().successor_by.expect("from that moment on");
    assert_eq!(stops, broker.now() + SignedDuration::from_hours(i64::from(lifecycle::SUCCESSOR_HOURS)));
    assert!(lifecycle::set_owner(broker, &operator(), &reader, &ada, "test").await.is_err(), "nor a new owner");
    // Coming back moves no end by itself: it may be the directory that was taken over. An operator says so.
    directory.patch(&path, json!([{ "op": "replace", "path": "active", "value": true }])).await;
    assert_eq!(broker.agent(&reader).unwrap().successor_by, Some(stops));
    lifecycle::set_owner(broker, &operator(), &reader, &ada, "is back").await.unwrap();
    assert_eq!(broker.agent(&reader).unwrap().successor_by, None);
    lifecycle::set_owner(broker, &operator(), &reader, &bob, "test").await.unwrap();
    directory.patch(&format!("/Users/{bob}"), json!([{ "op": "replace", "path": "active", "value": false }])).await;
    directory.scene.world.clock.advance(i64::from(lifecycle::SUCCESSOR_HOURS) * 3_600);
    lifecycle::advance(broker).await.unwrap();
    let status = format!("{:?}", broker.agent(&reader).unwrap().status);
    assert!(status.contains("Suspended"), "{status}");
}

#[tokio::test]
async fn a_directory_has_so_many_users_and_removing_them_makes_no_room() {
    let directory = Directory::new().await;
    let first = directory.user("u0").await;
    for number in 1..DIRECTORY_USERS_MAX {
        directory.user(&format!("u{number}")).await;
    }
    let one_more = json!({ "schemas": [USER], "userName": "more" });
    let refused = directory.send("POST", "/Users", Some(one_more.clone())).await;
    assert_eq!(kind(&refused), (403, String::new()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("`scim.users_max`"), "{}", refused.text);
    assert_eq!(directory.send("DELETE", &format!("/Users/{first}"), None).await.status, 204);
    assert_eq!(directory.send("POST", "/Users", Some(one_more)).await.status, 403);
}

#[tokio::test]
async fn messages_that_are_none_change_nothing() {
    let directory = Directory::new().await;
    let ada = directory.user("ada").await;
    let before = directory.known(&ada);
    let path = format!("/Users/{ada}");
    for body in [
        json!({ "userName": "x" }),
        json!({ "schemas": [GROUP], "userName": "x" }),
        json!({ "schemas": [USER] }),
        json!({ "schemas": [USER], "userName": "" }),
        json!({ "schemas": [USER], "userName": "a", "USERNAME": "b" }),
        json!({ "schemas": [USER], "userName": "a".repeat(2_000) }),
        json!({ "schemas": [USER], "userName": "x", "active": "yes" }),
        json!({ "schemas": [USER], "userName": "x", "administrator": true }),
        json!([]),
    ] {
        assert_eq!(kind(&directory.send("PUT", &path, Some(body.clone())).await).0, 400, "{body}");
    }
    let message = || {
        Request::put(format!("/scim/v2{path}"))
            .header("host", "broker.test")
            .header("authorization", format!("Bearer {}", directory.token))
            .header("content-type", "application/scim+json")
    };
    for text in ["", "{", r#"{"schemas":[],"schemas":[]}"#, "[1e9999]"] {
        let response =
            directory.scene.network.clone().oneshot(message().body(Body::from(text)).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{text}");
    }
    let plain = message().header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    assert!(directory.scene.network.clone().oneshot(plain).await.unwrap().status().is_client_error());
    for query in
        ["?filter=userName", "?filter=password%20sw%20%22a%22%20eq", "?count=x", "?filter=a%20eq%20%22b%22&filter=c"]
    {
        assert_eq!(kind(&directory.send("GET", &format!("/Users{query}"), None).await).0, 400, "{query}");
    }
    for id in ["..", "a/b", "%00", &"x".repeat(500)] {
        assert_eq!(directory.send("GET", &format!("/Users/{id}"), None).await.status, 404, "{id}");
    }
    assert_eq!(*directory.known(&ada), *before);
    assert_eq!(directory::users(&directory.scene.world.broker).len(), 1);
}
