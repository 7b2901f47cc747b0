//! Clients that are known by a document of their own and have no key: what they can do, and everything that they cannot.

use bailiwick_engine::{client_documents, lifecycle, tokens::Audience};
use bailiwick_model::{agent::ClientUrl, name::AgentName};
use bailiwick_oauth::client_document::ClientDocument;

use super::{
    code::{Pairs, asked, scene},
    *,
};

const URL: &str = "https://claude.example/oauth/client.json";
const OTHER: &str = "https://claude.example/oauth/other.json";
const CALLBACK: &str = "https://client.example/cb";

const RULE: &str = r#"urls = ["https://claude.example/oauth/"]
owner = "it@example.com"
purpose = "Assistants of our people"
environment = "production"
role = "reader"
clients_max = 2
"#;

fn document(redirect_uri: &str) -> ClientDocument {
    ClientDocument { redirect_uris: vec![redirect_uri.parse().unwrap()] }
}

fn url(text: &str) -> ClientUrl {
    text.parse().unwrap()
}

fn name() -> AgentName {
    url(URL).agent_name().unwrap()
}

/// A scene with two users, a rule, and a client whose document was fetched.
async fn documented() -> Scene {
    let scene = scene().await;
    publish(&scene, RULE).await;
    client_documents::accept(&scene.world.broker, &url(URL), document(CALLBACK)).await.unwrap();
    scene
}

async fn publish(scene: &Scene, rule: &str) {
    let looker = ("roles/looker.toml", "purpose = \"Look\"\nallow = [\"files:read\"]\n");
    let files = [("clients/assistants.toml", rule), looker];
    let files = if rule.is_empty() { &files[1..] } else { &files[..] };
    scene.world.publish(bundle::with_files(files)).await;
}

fn redemption(scene: &Scene, client: &str, code: &str) -> Pairs {
    let mut form = scene.redemption("reader", code);
    form.retain(|(name, _)| !name.starts_with("client_assertion"));
    form.push(("client_id", client.to_owned()));
    form
}

/// With the key of whoever plays the client's program.
async fn redeemed(scene: &Scene, code: &str) -> Answer {
    scene.ask(&redemption(scene, URL, code), Some(scene.proof("reader"))).await
}

fn renewal(client: &str, token: &str) -> Pairs {
    [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

#[tokio::test]
async fn a_client_by_its_document_acts_for_a_user_who_allowed_it() {
    let scene = documented().await;
    let code = scene.code(&asked(URL)).await;
    // A stolen code is worth nothing without its verifier, and no token is anybody's who holds it.
    let unbound = scene.ask(&redemption(&scene, URL, &code), None).await;
    refused(&unbound, 400, "invalid_dpop_proof");
    let answer = redeemed(&scene, &code).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("user:ada"), &json!(name().as_str())));
    assert!(claims["cnf"]["jkt"].is_string(), "{claims}");
    let token = answer.json["refresh_token"].as_str().unwrap();
    // By another's key, or as another client, it renews nothing.
    let stolen = scene.ask(&renewal(URL, token), Some(scene.proof("gate"))).await;
    assert_eq!(stolen.status, 400, "{:?}", stolen.json);
    refused(&scene.ask(&renewal(OTHER, token), Some(scene.proof("reader"))).await, 401, "invalid_client");
    let renewed = scene.ask(&renewal(URL, token), Some(scene.proof("reader"))).await;
    assert_eq!(renewed.status, 200, "{:?}", renewed.json);
    let issued = scene.world.events("token_issued").await;
    assert!(issued.iter().all(|event| event.body["method"] == "none".into()), "{issued:?}");
}

#[tokio::test]
async fn it_can_do_nothing_else() {
    let scene = documented().await;
    let of = |grant: &str| vec![("grant_type", grant.to_owned()), ("client_id", URL.to_owned())];
    let with = |form: Pairs, more: &[(&'static str, &str)]| -> Pairs {
        form.into_iter().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
    };
    let token = scene.world.token("reader", Audience::of_resource(ISSUER, RESOURCE).unwrap(), true).await;
    let exchange = [
        ("subject_token", token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", RESOURCE),
    ];
    for form in [
        with(of("client_credentials"), &[("resource", RESOURCE)]),
        with(of("urn:ietf:params:oauth:grant-type:token-exchange"), &exchange),
        with(of("urn:ietf:params:oauth:grant-type:jwt-bearer"), &[("assertion", token.as_str())]),
    ] {
        scene.world.clock.advance(7);
        let answer = scene.ask(&form, Some(scene.proof("reader"))).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{form:?}");
    }
    for path in ["/oauth/par", "/oauth/introspect", "/oauth/revoke", "/oauth/deregister"] {
        scene.world.clock.advance(7);
        let form = with(asked(URL), &[("token", token.as_str())]);
        let message = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let answer = scene.send(message, &form).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{path}");
    }
    let agent = scene.world.broker.agent(&name()).unwrap();
    assert_eq!(agent.status.as_str(), "active", "whoever knows an address ends nobody");
    // Neither by its name, nor under any other spelling of its URL.
    let code = scene.code(&asked(URL)).await;
    for client in [
        name().as_str(),
        OTHER,
        "https://claude.example/oauth/./client.json",
        "https://CLAUDE.example/oauth/client.json",
    ] {
        scene.world.clock.advance(1);
        let answer = scene.ask(&redemption(&scene, client, &code), Some(scene.proof("reader"))).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{client}");
    }
    // Another client by a document does not redeem it either.
    client_documents::accept(&scene.world.broker, &url(OTHER), document(CALLBACK)).await.unwrap();
    let answer = scene.ask(&redemption(&scene, OTHER, &code), Some(scene.proof("reader"))).await;
    refused(&answer, 400, "invalid_grant");
}

#[tokio::test]
async fn it_ends_with_its_rule_its_document_and_an_operators_word() {
    let scene = documented().await;
    let broker = &scene.world.broker;
    let given = async || {
        let code = scene.code(&asked(URL)).await;
        redeemed(&scene, &code).await.json["refresh_token"].as_str().unwrap().to_owned()
    };
    let stands = || broker.live().party(&Principal::Agent(name()), broker.now()).is_ok();
    let grants = || broker.live().grants.values().count();

    // Seen again as it was: everything stays. With another redirect URI: what was allowed ends.
    let token = given().await;
    client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
    assert_eq!(grants(), 1);
    client_documents::accept(broker, &url(URL), document("https://client.example/other")).await.unwrap();
    assert_eq!(grants(), 0);
    assert_eq!(scene.ask(&renewal(URL, &token), Some(scene.proof("reader"))).await.status, 400);
    let back = client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
    assert_eq!(back.redirect_uris.len(), 1);

    // Without its rule it is nobody, on the next call.
    let token = given().await;
    assert!(stands());
    publish(&scene, "").await;
    assert!(!stands());
    assert_eq!(scene.ask(&renewal(URL, &token), Some(scene.proof("reader"))).await.status, 400);
    assert!(client_documents::accept(broker, &url(URL), document(CALLBACK)).await.is_err());
    publish(&scene, RULE).await;
    assert!(stands());

    // A rule that says something else changes it on its next visit.
    publish(&scene, &RULE.replace("it@example.com", "other@example.com")).await;
    let other = client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
    assert_eq!(other.owner, "other@example.com");

    // An operator's word is the last.
    agents::suspend(broker, &operator(), &name(), "test").await.unwrap();
    assert!(client_documents::accept(broker, &url(URL), document(CALLBACK)).await.is_err());
    agents::resume(broker, &operator(), &name(), "test").await.unwrap();
    agents::retire(broker, &operator(), &name(), "test").await.unwrap();
    assert!(client_documents::accept(broker, &url(URL), document(CALLBACK)).await.is_err());
}

/// Narrowed on the next call: whoever only refreshes keeps nothing that the rule has taken back.
#[tokio::test]
async fn it_may_nothing_until_it_was_there_once_its_rule_says_something_else() {
    let scene = documented().await;
    let broker = &scene.world.broker;
    let bearer = format!("{RULE}danger_bearer_tokens = true\n");
    for (before, after) in [
        (RULE.to_owned(), RULE.replace("role = \"reader\"", "role = \"looker\"")),
        (RULE.to_owned(), format!("{RULE}systems = [\"files\"]\n")),
        (RULE.to_owned(), RULE.replace("Assistants", "Helpers")),
        (bearer, RULE.to_owned()),
    ] {
        scene.world.clock.advance(60);
        publish(&scene, &before).await;
        client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
        let code = scene.code(&asked(URL)).await;
        let token = redeemed(&scene, &code).await.json["refresh_token"].as_str().unwrap().to_owned();
        publish(&scene, &after).await;
        let party = broker.live().party(&Principal::Agent(name()), broker.now());
        assert_eq!(party.err(), Some(bailiwick_model::agent::Inactive::Outdated), "{after}");
        let renewed = scene.ask(&renewal(URL, &token), Some(scene.proof("reader"))).await;
        assert_eq!(renewed.status, 400, "{:?}", renewed.json);
        client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
        assert!(broker.live().party(&Principal::Agent(name()), broker.now()).is_ok(), "{after}");
        assert_eq!(broker.live().grants.values().count(), 0, "what was allowed before has ended");
    }
}

/// What its next visit would change back, nobody can change but by the rule.
#[tokio::test]
async fn what_its_rule_says_of_it_is_changed_in_the_rule_alone() {
    let scene = documented().await;
    let (broker, by) = (&scene.world.broker, operator());
    let role = lifecycle::reassign(broker, &by, &name(), "looker".parse().unwrap(), "test").await;
    assert!(format!("{:?}", role.unwrap_err()).contains("change the rule in `clients/assistants.toml`"));
    assert!(agents::set_redirect_uris(broker, &by, &name(), Vec::new()).await.is_err());
    assert!(lifecycle::set_owner(broker, &by, &name(), "other@example.com", "test").await.is_err());
    let to = || lifecycle::Succession::To("other@example.com".to_owned());
    assert!(lifecycle::owner_left(broker, &by, "it@example.com", to(), "test").await.is_err());

    // Once the rule names a successor, whoever left is followed by them at once.
    publish(&scene, &RULE.replace("it@example.com", "other@example.com")).await;
    lifecycle::owner_left(broker, &by, "it@example.com", to(), "test").await.unwrap();
    let stands = || broker.live().party(&Principal::Agent(name()), broker.now());
    assert!(stands().is_ok());

    // A review comes when an operator said, however often it is there until then.
    let reviewed = lifecycle::review(broker, &by, &name(), Some(10), "test").await.unwrap();
    scene.world.clock.advance(9 * 86_400);
    let document = document("https://client.example/other");
    let seen = client_documents::accept(broker, &url(URL), document).await.unwrap();
    assert_eq!(seen.review_by, reviewed.review_by);
    assert!(seen.expires_at > reviewed.expires_at);
    scene.world.clock.advance(2 * 86_400);
    assert_eq!(stands().err(), Some(bailiwick_model::agent::Inactive::Unreviewed));
}

/// A role that demands keys in hardware is for nobody who has none.
#[tokio::test]
async fn it_gets_nothing_by_a_role_that_demands_hardware() {
    let scene = documented().await;
    let code = scene.code(&asked(URL)).await;
    let token = redeemed(&scene, &code).await.json["refresh_token"].as_str().unwrap().to_owned();
    let role = "purpose = \"Read\"\nallow = [\"files:read\"]\nkey_protection = \"hardware\"\n";
    let files = [("clients/assistants.toml", RULE), ("roles/reader.toml", role)];
    scene.world.publish(bundle::with_files(&files)).await;
    refused(&scene.ask(&renewal(URL, &token), Some(scene.proof("reader"))).await, 401, "invalid_client");
    let refused = client_documents::accept(&scene.world.broker, &url(OTHER), document(CALLBACK)).await;
    assert!(refused.unwrap_err().to_string().contains("hardware"));
}

#[tokio::test]
async fn there_are_no_more_of_them_than_the_rule_says_and_each_lives_while_it_is_used() {
    let scene = documented().await;
    let broker = &scene.world.broker;
    client_documents::accept(broker, &url(OTHER), document(CALLBACK)).await.unwrap();
    let third = url("https://claude.example/oauth/third.json");
    assert!(client_documents::accept(broker, &third, document(CALLBACK)).await.is_err());
    let first = broker.agent(&name()).unwrap();
    assert!(!first.promoted, "it only reads until an operator says otherwise");
    scene.world.clock.advance(20 * 86_400);
    let later = client_documents::accept(broker, &url(URL), document(CALLBACK)).await.unwrap();
    assert!(later.expires_at > first.expires_at && later.redirect_uris == first.redirect_uris);
    scene.world.clock.advance(15 * 86_400);
    assert!(broker.live().party(&Principal::Agent(name()), broker.now()).is_ok());
    let other = Principal::Agent(url(OTHER).agent_name().unwrap());
    assert!(broker.live().party(&other, broker.now()).is_err(), "nobody came by it for thirty days");
    // It takes no place any more, and comes back only where there is one.
    client_documents::accept(broker, &third, document(CALLBACK)).await.unwrap();
    let full = client_documents::accept(broker, &url(OTHER), document(CALLBACK)).await;
    assert!(full.unwrap_err().to_string().contains("there are 2 clients"));
    agents::retire(broker, &operator(), &name(), "test").await.unwrap();
    client_documents::accept(broker, &url(OTHER), document(CALLBACK)).await.unwrap();
    let elsewhere = url("https://elsewhere.example/client.json");
    assert!(client_documents::accept(broker, &elsewhere, document(CALLBACK)).await.is_err());
    assert!(broker.agent(&elsewhere.agent_name().unwrap()).is_none());
}

#[tokio::test]
async fn they_are_advertised_while_there_is_a_rule() {
    let scene = documented().await;
    let metadata = async || {
        let message = Request::get("/.well-known/oauth-authorization-server");
        scene.send_body(message, String::new()).await.0.json
    };
    let found = metadata().await;
    assert_eq!(found["client_id_metadata_document_supported"], true);
    assert!(found["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("none")), "{found}");
    publish(&scene, "").await;
    let found = metadata().await;
    assert!(found.get("client_id_metadata_document_supported").is_none());
    assert!(!found["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("none")), "{found}");
}
