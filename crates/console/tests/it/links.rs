//! One-time links: for their user, once, in their hour.

use bailiwick_engine::{invitations, refusal::Refusal, users};
use bailiwick_model::user::ADMINISTRATORS;
use bailiwick_testkit_engine::world::operator;
use http::StatusCode;

use crate::{
    browser::{Scene, ada},
    device::Device,
};

#[tokio::test]
async fn a_link_makes_one_passkey_and_signs_in() {
    let scene = Scene::new().await;
    assert!(!invitations::administered(&scene.world.broker).await.unwrap());
    let (link, mut device) = (scene.link(&ada()).await, Device::new(1));
    let mut browser = scene.browser();
    let (page, again) = (browser.get(&link).await, browser.get(&link).await);
    assert_eq!(again.status, StatusCode::OK, "looking at it uses nothing up");
    assert_eq!(page.options()["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(page.options()["authenticatorSelection"]["residentKey"], "required");
    let answer = device.create(&page.options());
    let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "Laptop")];
    let done = browser.post(&link, &fields).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/account"));
    assert!(browser.get("/account").await.text.contains("Laptop"));
    assert!(invitations::administered(&scene.world.broker).await.unwrap());

    let mut thief = scene.browser();
    assert_eq!(thief.get(&link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(thief.post(&link, &fields).await.status, StatusCode::NOT_FOUND, "replayed");
    let mut other = Device::new(2);
    let answer = other.create(&again.options());
    let late = [("ceremony", &*again.ceremony()), ("credential", &answer), ("name", "Mine")];
    assert_eq!(thief.post(&link, &late).await.status, StatusCode::NOT_FOUND, "opened before, sent afterwards");
    assert!(!thief.is_signed_in().await);
}

/// A start of the broker makes nobody an administrator who is known already for another reason.
#[tokio::test]
async fn whoever_bears_the_first_administrators_name_is_not_made_one() {
    let scene = Scene::new().await;
    let (broker, taken) = (&scene.world.broker, "u-2".parse().unwrap());
    let refused = invitations::first_administrator(broker, &operator(), &taken).await.unwrap_err();
    assert!(matches!(refused, Refusal::Conflict(_)), "{refused}");
    assert!(broker.live().users[&taken].groups.is_empty());
    let fresh = "first".parse().unwrap();
    assert!(invitations::first_administrator(broker, &operator(), &fresh).await.unwrap().is_some());
    assert!(broker.live().users[&fresh].groups.contains(ADMINISTRATORS));
    let again = invitations::first_administrator(broker, &operator(), &fresh).await.unwrap();
    assert!(again.is_some(), "until a passkey is made, each start gives a new link");
}

#[tokio::test]
async fn a_link_that_is_over_replaced_or_guessed_opens_nothing() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let first = scene.link(&ada()).await;
    let page = browser.get(&first).await;
    let second = scene.link(&ada()).await;
    assert_eq!(browser.get(&first).await.status, StatusCode::NOT_FOUND, "a newer one took its place");
    let answer = Device::new(1).create(&page.options());
    let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "Laptop")];
    let crossed = browser.post(&second, &fields).await;
    assert_eq!(crossed.status, StatusCode::BAD_REQUEST, "what one link asked is no answer to another");
    scene.world.clock.advance(invitations::INVITATION_TTL.as_secs());
    for link in [&second, "/setup/x", "/setup/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(browser.get(link).await.status, StatusCode::NOT_FOUND);
    }
    let third = scene.link(&ada()).await;
    assert_eq!(browser.get(&third).await.status, StatusCode::OK);
    users::suspend(&scene.world.broker, &operator(), &ada(), "away").await.unwrap();
    assert_eq!(browser.get(&third).await.status, StatusCode::NOT_FOUND);
    users::resume(&scene.world.broker, &operator(), &ada()).await.unwrap();
    assert_eq!(browser.get(&third).await.status, StatusCode::NOT_FOUND, "it does not come back");
}

#[tokio::test]
async fn the_same_link_used_at_once_makes_one_passkey() {
    let scene = Scene::new().await;
    let link = scene.link(&ada()).await;
    let send = async |number: u8| {
        let (mut browser, mut device) = (scene.browser(), Device::new(number));
        let page = browser.get(&link).await;
        let answer = device.create(&page.options());
        browser.post(&link, &[("ceremony", &page.ceremony()), ("credential", &answer), ("name", "x")]).await.status
    };
    let (a, b, c) = tokio::join!(send(1), send(2), send(3));
    let made = [a, b, c].into_iter().filter(|status| *status == StatusCode::SEE_OTHER).count();
    assert_eq!(made, 1, "{a} {b} {c}");
}

#[tokio::test]
async fn a_recovery_is_recorded_and_tells_no_token() {
    let scene = Scene::new().await;
    let (_, mut lost) = scene.signed_in().await;
    let link = scene.link(&ada()).await;
    let mut browser = scene.browser();
    let page = browser.get(&link).await;
    assert!(page.text.contains("You have passkeys already"));
    let answer = Device::new(2).create(&page.options());
    let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "New")];
    assert_eq!(browser.post(&link, &fields).await.status, StatusCode::SEE_OTHER);
    let account = browser.get("/account").await;
    let removed = [("form_token", &*account.form_token()), ("passkey", &*text(&lost.credential))];
    assert_eq!(browser.post("/account/passkeys/remove", &removed).await.status, StatusCode::SEE_OTHER);
    assert_eq!(scene.browser().sign_in(&mut lost).await, StatusCode::FORBIDDEN, "what was lost opens nothing");
    let told = format!("{:?}", scene.world.events("user_changed").await);
    for change in ["invited", "passkey added by link", "passkey removed"] {
        assert!(told.contains(change), "{change}");
    }
    assert!(!told.contains(link.trim_start_matches("/setup/")));
}

fn text(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
