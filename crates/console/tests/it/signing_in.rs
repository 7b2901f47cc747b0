//! Signing in: only a passkey of ours, asked for here, answered once, by a device that saw its user.

use bailiwick_engine::users;
use bailiwick_testkit_engine::world::operator;
use http::StatusCode;

use crate::{
    browser::{Scene, ada},
    device::Device,
};

#[tokio::test]
async fn a_passkey_signs_in_under_a_new_token_each_time() {
    let scene = Scene::new().await;
    let (mut first, mut device) = scene.signed_in().await;
    let mut second = scene.browser();
    assert_eq!(second.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    assert!(first.is_signed_in().await && second.is_signed_in().await);
    assert_ne!(first.cookie, second.cookie);
    let before = second.clone();
    assert_eq!(second.sign_in(&mut device).await, StatusCode::SEE_OTHER, "step-up");
    assert_ne!(second.cookie, before.cookie);
    assert!(!{ before }.is_signed_in().await, "the session that it had is closed");
    let told = format!("{:?}", scene.world.events("session_changed").await);
    assert!(told.contains("hwk") && told.contains("otp"), "{told}");
}

#[tokio::test]
async fn a_cookie_that_was_planted_is_not_what_signing_in_makes_valid() {
    let scene = Scene::new().await;
    let (_, mut device) = scene.signed_in().await;
    let planted = format!("__Host-bailiwick={}", "A".repeat(43));
    let mut victim = scene.browser();
    victim.cookie = Some(planted.clone());
    assert_eq!(victim.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    assert_ne!(victim.cookie.as_ref(), Some(&planted));
    let mut attacker = scene.browser();
    attacker.cookie = Some(planted);
    assert!(!attacker.is_signed_in().await);
}

#[tokio::test]
async fn a_challenge_is_answered_once_and_in_time() {
    let scene = Scene::new().await;
    let (_, mut device) = scene.signed_in().await;
    let mut browser = scene.browser();
    let page = browser.get("/sign-in").await;
    let answer = device.get(&page.options());
    let fields = [("ceremony", &*page.ceremony()), ("credential", &answer)];
    assert_eq!(browser.post("/sign-in", &fields).await.status, StatusCode::SEE_OTHER);
    let mut thief = scene.browser();
    assert_eq!(thief.post("/sign-in", &fields).await.status, StatusCode::BAD_REQUEST, "replayed");
    let other = thief.get("/sign-in").await;
    let moved = [("ceremony", &*other.ceremony()), ("credential", &answer)];
    assert_eq!(thief.post("/sign-in", &moved).await.status, StatusCode::FORBIDDEN, "the answer to another question");
    let late = thief.get("/sign-in").await;
    let answer = device.get(&late.options());
    scene.world.clock.advance(300);
    let late = [("ceremony", &*late.ceremony()), ("credential", &answer)];
    assert_eq!(thief.post("/sign-in", &late).await.status, StatusCode::BAD_REQUEST);
    assert!(!thief.is_signed_in().await);
}

#[tokio::test]
async fn an_answer_that_proves_too_little_signs_nobody_in() {
    let scene = Scene::new().await;
    let (_, mut device) = scene.signed_in().await;
    let mut browser = scene.browser();
    device.verifies = false;
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::FORBIDDEN, "no finger, face or PIN");
    device.verifies = true;
    let here = std::mem::replace(&mut device.origin, "https://broker.test.evil.example".to_owned());
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::FORBIDDEN, "another site asked the device");
    device.origin = here;
    let handle = std::mem::replace(&mut device.handle, vec![7; 16]);
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::FORBIDDEN, "another user's");
    device.handle = handle;
    let mut stranger = Device::new(9);
    stranger.handle.clone_from(&device.handle);
    assert_eq!(browser.sign_in(&mut stranger).await, StatusCode::FORBIDDEN, "nobody registered it");
    stranger.credential.clone_from(&device.credential);
    assert_eq!(browser.sign_in(&mut stranger).await, StatusCode::FORBIDDEN, "another key under a known id");
    assert!(!browser.is_signed_in().await);
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    device.counter -= 1;
    assert_eq!(browser.clone().sign_in(&mut device).await, StatusCode::FORBIDDEN, "a copy: its counter does not rise");
    let page = browser.get("/sign-in?step_up=1").await;
    let nonsense = [("ceremony", &*page.ceremony()), ("credential", "{}")];
    assert_eq!(browser.post("/sign-in", &nonsense).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn whoever_is_suspended_does_not_get_in() {
    let scene = Scene::new().await;
    let (mut browser, mut device) = scene.signed_in().await;
    users::suspend(&scene.world.broker, &operator(), &ada(), "away").await.unwrap();
    assert!(!browser.is_signed_in().await);
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::FORBIDDEN);
    users::resume(&scene.world.broker, &operator(), &ada()).await.unwrap();
    assert!(!browser.is_signed_in().await, "a session does not come back");
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    users::leave(&scene.world.broker, &operator(), &ada(), "gone").await.unwrap();
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_of_another_site_signs_nobody_in_or_out() {
    let scene = Scene::new().await;
    let (mut browser, mut device) = scene.signed_in().await;
    let page = browser.get("/sign-in?step_up=1").await;
    let answer = device.get(&page.options());
    let mut tricked = browser.clone();
    for origin in [None, Some("null"), Some("https://evil.example"), Some("http://localhost:3000")] {
        tricked.origin = origin.map(str::to_owned);
        let fields = [("ceremony", &*page.ceremony()), ("credential", &answer)];
        assert_eq!(tricked.post("/sign-in", &fields).await.status, StatusCode::FORBIDDEN, "{origin:?}");
        let token = browser.get("/account").await.form_token();
        assert_eq!(tricked.post("/sign-out", &[("form_token", &token)]).await.status, StatusCode::FORBIDDEN);
    }
    let mut other = scene.browser();
    assert_eq!(other.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    let foreign = other.get("/account").await.form_token();
    for fields in [vec![], vec![("form_token", "")], vec![("form_token", foreign.as_str())]] {
        assert_eq!(browser.post("/sign-out", &fields).await.status, StatusCode::FORBIDDEN, "{fields:?}");
    }
    assert!(browser.is_signed_in().await);
    let token = browser.get("/account").await.form_token();
    let gone = browser.clone();
    assert_eq!(browser.post("/sign-out", &[("form_token", &token)]).await.status, StatusCode::SEE_OTHER);
    assert!(!{ gone }.is_signed_in().await, "the token opens nothing after signing out");
    assert!(other.is_signed_in().await, "another browser is not concerned");
}

#[tokio::test]
async fn signing_in_leads_back_to_us_alone() {
    let scene = Scene::new().await;
    let (_, mut device) = scene.signed_in().await;
    for (wish, expected) in [
        ("/account", "/account"),
        ("/oauth/authorize?client_id=a", "/oauth/authorize?client_id=a"),
        ("//evil.example", "/account"),
        ("https://evil.example", "/account"),
        ("/\\evil.example", "/account"),
    ] {
        let mut browser = scene.browser();
        let page = browser.get("/sign-in").await;
        let answer = device.get(&page.options());
        let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("return_to", wish)];
        assert_eq!(browser.post("/sign-in", &fields).await.location(), expected, "{wish}");
    }
}
