//! Revocation through the real router: what ends, what does not, and that nobody can tell the difference.

use std::collections::BTreeSet;

use bailiwick_engine::{
    refresh,
    tokens::{self, Audience, TokenAsk},
};
use bailiwick_model::{confirmation::Confirmation, grant::GrantKind, id::TokenId};
use bailiwick_testkit_engine::{bundle, world::part};
use serde_json::{Value, json};

use crate::{
    clients::{PER_CLIENT, REVOCATIONS},
    token::tests::{Answer, Scene, granted, refused},
};

const PATH: &str = "/oauth/revoke";

impl Scene {
    async fn revoke(&self, agent: &str, token: &str) -> Answer {
        self.name(PATH, agent, token, None).await
    }

    fn is_revoked(&self, token: &str) -> bool {
        let id: TokenId = part(token, 1)["jti"].as_str().unwrap().parse().unwrap();
        self.world.broker.live().revoked.contains_key(&id)
    }
}

fn audience() -> Audience {
    Audience::System(bundle::system())
}

#[tokio::test]
async fn a_client_ends_its_own_access_token_and_no_other() {
    let scene = Scene::new().await;
    let [own, spare] =
        [scene.world.token("reader", audience(), true).await, { scene.world.token("reader", audience(), true).await }];
    let foreign = scene.world.token("scripted", audience(), true).await;
    let answer = scene.revoke("reader", &own).await;
    assert_eq!((answer.status, &answer.json), (200, &json!({})));
    assert!(scene.is_revoked(&own) && !scene.is_revoked(&spare));
    // Another's, what is none of ours, and what is over already read the same from outside.
    let altered = format!("{}x", &foreign[..foreign.len() - 1]);
    for token in [foreign.as_str(), altered.as_str(), "nothing", "bwr_nothing", own.as_str()] {
        let again = scene.revoke("reader", token).await;
        assert_eq!((again.status, &again.json), (200, &json!({})), "{token}");
    }
    assert!(!scene.is_revoked(&foreign), "a token ends by the word of its own client");
    scene.world.clock.advance(1_000);
    assert_eq!(scene.revoke("reader", &spare).await.status, 200);
    assert!(!scene.is_revoked(&spare), "what has expired needs no row");
    let told = scene.world.events("token_examined").await;
    let found: Vec<_> = told.iter().map(|event| event.body["found"].clone()).collect();
    let expected = ["access token", "another's", "nothing", "nothing", "nothing", "access token", "expired"];
    assert_eq!(found, expected.map(Into::into));
    assert_eq!(told[1].body.get("token"), None, "nor does the evidence tell a client's reader of another's token");
    assert_eq!(scene.world.events("grant_changed").await.len(), 1, "one token ended, once");
}

#[tokio::test]
async fn a_refresh_token_ends_its_grant_and_all_that_came_from_it() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let grant = granted(&scene, "reader", GrantKind::AuthorizationCode).await;
    let key = scene.world.key("reader").public().thumbprint;
    let token = refresh::first(broker, &grant, Some(Confirmation::Key(key))).await.unwrap();
    let ask = TokenAsk {
        agent: "reader".parse().unwrap(),
        credential: key,
        grant: Some(grant.id),
        audience: audience(),
        scopes: Some(BTreeSet::from(["files:read".parse().unwrap()])),
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(key)),
        spent: Vec::new(),
    };
    tokens::issue(broker, ask).await.unwrap();
    assert_eq!(scene.revoke("scripted", token.expose()).await.status, 200);
    assert!(broker.live().grant_stands(Some(grant.id), broker.now()), "another client ends nothing");
    assert_eq!(scene.revoke("reader", token.expose()).await.status, 200);
    assert!(!broker.live().grant_stands(Some(grant.id), broker.now()), "the token of the grant does not stand either");
    assert_eq!(scene.revoke("reader", token.expose()).await.status, 200, "once more changes nothing");
}

#[tokio::test]
async fn who_has_not_proved_who_it_is_ends_nothing() {
    let scene = Scene::new().await;
    let token = scene.world.token("reader", audience(), true).await;
    let form = |assertion: String| {
        [
            ("client_assertion_type", crate::token::tests::TYPE.to_owned()),
            ("client_assertion", assertion),
            ("token", token.clone()),
        ]
    };
    let head = || http::Request::post(PATH).header("content-type", "application/x-www-form-urlencoded");
    let assertion = scene.world.assertion("reader");
    // Signed by another client's key, or by nobody: the same answer.
    let [head_part, claims, _] = assertion.split('.').collect::<Vec<_>>().try_into().unwrap();
    let unsigned = format!("{head_part}.{claims}.AAAA");
    refused(&scene.send(head(), &form(unsigned)).await, 401, "invalid_client");
    let basic = head().header("authorization", "Basic cmVhZGVyOng=");
    refused(&scene.send(basic, &form(assertion.clone())).await, 401, "invalid_client");
    refused(&scene.send(head(), &form(assertion.clone())[..2]).await, 400, "invalid_request");
    assert!(!scene.is_revoked(&token));
    assert_eq!(scene.send(head(), &form(assertion.clone())).await.status, 200);
    refused(&scene.send(head(), &form(assertion)).await, 401, "invalid_client");
    let query = http::Request::post(format!("{PATH}?token={token}")).header("content-type", "text/plain");
    refused(&scene.send(query, &[]).await, 400, "invalid_request");
}

#[tokio::test]
async fn what_fails_here_counts_at_every_door_for_clients() {
    let scene = Scene::new().await;
    for _ in 0..PER_CLIENT.burst {
        refused(&scene.name("/oauth/introspect", "reader", "x", None).await, 400, "unauthorized_client");
    }
    let throttled = scene.honest("reader").await;
    assert_eq!((throttled.status, &throttled.json["access_token"]), (429, &Value::Null));
}

/// Each revocation has every open stream looked at again: nobody may keep the broker busy with them.
#[tokio::test]
async fn a_client_revokes_no_faster_than_others_can_live_with() {
    let scene = Scene::new().await;
    for _ in 0..REVOCATIONS.burst {
        assert_eq!(scene.revoke("reader", "nothing").await.status, 200);
    }
    let token = scene.world.token("reader", audience(), true).await;
    let late = scene.revoke("reader", &token).await;
    assert_eq!((late.status, late.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert!(!scene.is_revoked(&token));
    assert_eq!(scene.revoke("scripted", "nothing").await.status, 200, "another client is not concerned");
    assert_eq!(scene.honest("reader").await.status, 200, "nor is anything else of the same one");
    scene.world.clock.advance(i64::from(REVOCATIONS.refill_s));
    assert_eq!(scene.revoke("reader", &token).await.status, 200);
    assert!(scene.is_revoked(&token));
}
