//! What every page has: its policy, its form tokens, and nothing that another user typed as markup.

use http::{StatusCode, header};

use crate::{
    browser::{Scene, ada},
    device::Device,
};

#[tokio::test]
async fn every_page_has_its_policy_and_no_markup_of_others() {
    let scene = Scene::new().await;
    let (mut browser, _) = scene.signed_in().await;
    let link = scene.link(&ada()).await;
    for path in ["/account", "/account/passkeys/new", "/sign-in?step_up=1", &link, "/setup/x"] {
        let page = browser.get(path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(page.headers[header::REFERRER_POLICY], "same-origin", "{path}");
        assert!(!page.text.contains("<b>"), "{path}: a name is text");
        assert!(!page.text.contains(" style=") && !page.text.contains("onclick"), "{path}");
    }
    let on = browser.get("/sign-in?step_up=1&return_to=%2Foauth%2Fauthorize").await;
    assert!(!on.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("form-action"));
    for (path, kind) in [("/assets/console.css", "text/css"), ("/assets/console.js", "text/javascript")] {
        let asset = browser.get(path).await;
        assert!(asset.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with(kind), "{path}");
    }
}

#[tokio::test]
async fn an_account_adds_and_removes_its_own_passkeys_only() {
    let scene = Scene::new().await;
    let (mut browser, first) = scene.signed_in().await;
    let account = browser.get("/account").await;
    let last = [("form_token", &*account.form_token()), ("passkey", &*text(&first.credential))];
    assert_eq!(browser.post("/account/passkeys/remove", &last).await.status, StatusCode::BAD_REQUEST, "the last one");
    let page = browser.get("/account/passkeys/new").await;
    assert_eq!(page.options()["excludeCredentials"][0]["id"], text(&first.credential));
    let answer = Device::new(2).create(&page.options());
    let (token, ceremony) = (page.form_token(), page.ceremony());
    let fields = [("form_token", &*token), ("ceremony", &ceremony), ("credential", &answer), ("name", "Key")];
    assert_eq!(browser.post("/account/passkeys", &fields[1..]).await.status, StatusCode::FORBIDDEN, "no token");
    assert_eq!(browser.post("/account/passkeys", &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.post("/account/passkeys", &fields).await.status, StatusCode::BAD_REQUEST, "replayed");
    assert!(browser.get("/account").await.text.contains("Key"));

    // Another user can neither remove it, nor end the session, nor register what was asked for Ada.
    let (mut mallory, mut device) = (scene.browser(), Device::new(3));
    let link = scene.link(&"u-2".parse().unwrap()).await;
    let page = mallory.get(&link).await;
    let answer = device.create(&page.options());
    let made = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "M")];
    assert_eq!(mallory.post(&link, &made).await.status, StatusCode::SEE_OTHER);
    let own = mallory.get("/account").await.form_token();
    let foreign = [("form_token", &*own), ("passkey", &*text(&first.credential))];
    assert_eq!(mallory.post("/account/passkeys/remove", &foreign).await.status, StatusCode::NOT_FOUND);
    let sessions = scene.world.broker.store().sessions(&ada()).await.unwrap();
    let id = sessions[0].id.to_string();
    let foreign = [("form_token", &*own), ("session", &*id)];
    assert_eq!(mallory.post("/account/sessions/end", &foreign).await.status, StatusCode::NOT_FOUND);
    let asked = browser.get("/account/passkeys/new").await;
    let answer = Device::new(4).create(&asked.options());
    let crossed = [("form_token", &*own), ("ceremony", &*asked.ceremony()), ("credential", &answer), ("name", "x")];
    assert_eq!(mallory.post("/account/passkeys", &crossed).await.status, StatusCode::BAD_REQUEST);
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn a_session_elsewhere_can_be_ended() {
    let scene = Scene::new().await;
    let (mut here, mut device) = scene.signed_in().await;
    let mut there = scene.browser();
    assert_eq!(there.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    let account = here.get("/account").await;
    let (_, rest) = account.text.split_once("name=\"session\" value=\"").unwrap();
    let other = rest.split('"').next().unwrap();
    let ended = here.post("/account/sessions/end", &[("form_token", &account.form_token()), ("session", other)]).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER);
    assert!(!there.is_signed_in().await);
    assert!(here.is_signed_in().await);
}

/// Whoever holds a cookie alone can neither move in nor lock the owner out.
#[tokio::test]
async fn passkeys_change_only_after_a_fresh_proof() {
    let scene = Scene::new().await;
    let (mut browser, mut device) = scene.signed_in().await;
    let mut stolen = scene.browser();
    assert_eq!(stolen.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    let asked = browser.get("/account/passkeys/new").await;
    let answer = Device::new(5).create(&asked.options());
    scene.world.clock.advance(301);
    let token = asked.form_token();
    let added = [("form_token", &*token), ("ceremony", &*asked.ceremony()), ("credential", &answer), ("name", "x")];
    let removed = [("form_token", &*token), ("passkey", &*text(&device.credential))];
    let led_away = [
        browser.get("/account/passkeys/new").await,
        browser.post("/account/passkeys", &added).await,
        browser.post("/account/passkeys/remove", &removed).await,
    ];
    for answer in led_away {
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert!(answer.headers[header::LOCATION].to_str().unwrap().contains("step_up=1"));
    }
    // After it all is as before, and what is taken away ends what was opened with it elsewhere.
    assert_eq!(browser.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    let page = browser.get("/account/passkeys/new").await;
    let answer = Device::new(6).create(&page.options());
    let (token, ceremony) = (page.form_token(), page.ceremony());
    let added = [("form_token", &*token), ("ceremony", &*ceremony), ("credential", &answer), ("name", "Key")];
    assert_eq!(browser.post("/account/passkeys", &added).await.status, StatusCode::SEE_OTHER);
    assert!(stolen.is_signed_in().await);
    let removed = [("form_token", &*token), ("passkey", &*text(&device.credential))];
    assert_eq!(browser.post("/account/passkeys/remove", &removed).await.status, StatusCode::SEE_OTHER);
    assert!(browser.is_signed_in().await && !stolen.is_signed_in().await);
}

fn text(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
