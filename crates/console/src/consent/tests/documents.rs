//! Clients that are known by a document: who makes us fetch it, from where nothing is ever fetched, and what a user is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use bailiwick_engine::client_documents;
use bailiwick_oauth::client_document::ClientDocument;
use bailiwick_testkit_engine::bundle;

use super::*;

const URL: &str = "https://claude.example/oauth/client.json";

fn rule(urls: &str) -> String {
    format!(
        "urls = [{urls}]\nowner = \"it@example.com\"\npurpose = \"Assistants of our people\"\n\
         environment = \"production\"\nrole = \"reader\"\n"
    )
}

async fn publish(scene: &Scene, urls: &str) {
    scene.world.publish(bundle::with_files(&[("clients/a.toml", &rule(urls))])).await;
}

/// A socket of this machine, and how many came.
async fn inside() -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

#[tokio::test]
async fn only_a_user_makes_us_fetch_and_only_what_a_rule_names() {
    let scene = Scene::new().await;
    let (port, came) = inside().await;
    let client = format!("https://127.0.0.1:{port}/client.json");
    let pairs = with("client_id", &client);
    let cookie = scene.signed_in("ada").await;
    // No rule: nobody is told more, and nothing is fetched.
    scene.authorize(&pairs, Some(&cookie)).await.is_page(400);
    publish(&scene, &format!("\"{client}\"")).await;
    let stranger = scene.authorize(&pairs, None).await;
    assert_eq!(stranger.status, 303);
    assert!(stranger.location().contains("/sign-in"), "{}", stranger.location());
    // A rule for what is inside opens nothing: that is for `[fetch]` to say.
    for _ in 0..2 {
        let refused = scene.authorize(&pairs, Some(&cookie)).await;
        refused.is_page(502);
        assert!(!refused.text.contains(CALLBACK), "nobody is sent anywhere: {}", refused.text);
    }
    assert_eq!(came.load(Ordering::SeqCst), 0, "nothing inside hears of it");
    assert!(
        scene
            .world
            .broker
            .agent(&client.parse::<bailiwick_model::agent::ClientUrl>().unwrap().agent_name().unwrap())
            .is_none()
    );
}

#[tokio::test]
async fn nothing_inside_is_fetched_whatever_the_rule_says() {
    let scene = Scene::new().await;
    let cookie = scene.signed_in("ada").await;
    for host in ["169.254.169.254", "[::ffff:a9fe:a9fe]", "10.0.0.1", "[::1]", "[fd00::1]", "192.0.2.1", "localhost"] {
        let client = format!("https://{host}/latest/meta-data");
        publish(&scene, &format!("\"{client}\"")).await;
        scene.authorize(&with("client_id", &client), Some(&cookie)).await.is_page(502);
    }
    // Other spellings are no client's id at all.
    for client in [
        "https://2852039166/latest/meta-data",
        "https://0xa9.0xfe.0xa9.0xfe/latest",
        "https://169.254.169.254:443/latest",
        "https://user@claude.example/oauth/client.json",
        "https://claude.example/oauth/client.json#x",
        "https://claude.example/oauth/../oauth/client.json",
        "http://claude.example/oauth/client.json",
        "https://claude.example/",
        "file:///etc/passwd",
    ] {
        scene.authorize(&with("client_id", client), Some(&cookie)).await.is_page(400);
    }
}

#[tokio::test]
async fn a_user_is_told_the_host_and_that_anything_may_wait_on_their_own_machine() {
    let scene = Scene::new().await;
    let cookie = scene.signed_in("ada").await;
    publish(&scene, &format!("\"{URL}\"")).await;
    let (broker, url) = (&scene.world.broker, URL.parse().unwrap());
    let asked_at = async |redirect_uri: &str, other: Option<&str>| {
        let uris = [redirect_uri].into_iter().chain(other).map(|uri| uri.parse().unwrap());
        let document = ClientDocument { redirect_uris: uris.collect() };
        let agent = client_documents::accept(broker, &url, document).await.unwrap();
        let request = AuthorizationRequest {
            client: agent.name.clone(),
            redirect_uri: redirect_uri.to_owned(),
            ..request(&honest("reader"))
        };
        let session = scene.signed_in("ada").await;
        let visitor = authorization::Visitor {
            user: "ada".parse().unwrap(),
            authentication: Authentication { at: scene.world.clock.now(), methods: BTreeSet::new(), acr: None },
            session_ends_at: scene.world.clock.now() + SignedDuration::from_hours(1),
        };
        let came = authorization::Came::Plain;
        let next = authorization::arrive(broker, request, came, Some(&visitor)).await.unwrap();
        let authorization::Next::Ask(handle) = next else { panic!("{next:?}") };
        scene.get(&format!("{CONSENT_PATH}?request={}", handle.expose()), Some(&session)).await
    };
    let here = "http://127.0.0.1/cb";
    // Where this answer goes counts, not where another could.
    for other in [None, Some(CALLBACK)] {
        let page = asked_at(here, other).await;
        page.is_page(200);
        assert!(page.text.contains("claude.example") && page.text.contains("your own computer"), "{}", page.text);
    }
    for other in [None, Some(here)] {
        let page = asked_at(CALLBACK, other).await;
        page.is_page(200);
        assert!(page.text.contains("claude.example") && !page.text.contains("your own computer"), "{}", page.text);
        assert!(page.text.contains("https://client.example"), "where the browser goes: {}", page.text);
    }
    // By its name it would come past its document.
    let name = url.agent_name().unwrap();
    scene.authorize(&with("client_id", name.as_str()), Some(&cookie)).await.is_page(400);
}
