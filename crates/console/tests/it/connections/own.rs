//! The broker's own tokens (`client_credentials`).

use super::*;

/// The broker's own, in nobody's name: one for everybody who needs it, renewed in time, not asked for again and again.
#[tokio::test]
async fn the_brokers_own_token_is_asked_for_once_and_renewed() {
    let scene = Scene::new().await;
    let policy = scene.world.broker.live().policy.clone().unwrap();
    let (accounts, binding) = policy.catalogue().system(&crm()).unwrap().accounts().unwrap();
    let own = async |refused: Option<&str>| {
        let refused = refused.map(|token| Secret::new(token.to_owned()));
        let (broker, login) = (&scene.world.broker, scene.login.as_ref());
        let client = (&accounts.client, binding);
        let token = connections::own_token(broker, login, &crm(), client, refused.as_ref()).await;
        token.map(|token| token.expose().clone())
    };
    for token in futures((0..10).map(|_| own(None))).await {
        assert_eq!(token.unwrap(), "access-token-1");
    }
    assert_eq!(own(Some("access-token-1")).await.unwrap(), "access-token-2");
    assert_eq!(own(Some("access-token-1")).await.unwrap(), "access-token-2", "it was renewed already");
    scene.world.clock.advance(580);
    assert_eq!(own(None).await.unwrap(), "access-token-3");
    assert_eq!(scene.asked(), 3);
    scene.world.clock.advance(580);
    for mood in [Mood::Away, Mood::Wider, Mood::ClientUnknown] {
        scene.login.is(mood);
        let before = scene.asked();
        for token in futures((0..10).map(|_| own(None))).await {
            assert_eq!(token, Err(NoToken::Unavailable), "{mood:?}");
        }
        assert_eq!(scene.asked(), before + 1, "{mood:?}: whoever waited does not ask again");
        scene.world.clock.advance(3);
    }
    scene.login.is(Mood::Honest);
    assert!(own(None).await.is_ok());
}

/// Systems at one server, and the same with other scopes, come each with what they asked for.
#[tokio::test]
async fn the_brokers_own_token_serves_no_other_system_and_no_other_scopes() {
    let scene = Scene::new().await;
    let policy = scene.world.broker.live().policy.clone().unwrap();
    let (accounts, binding) = policy.catalogue().system(&crm()).unwrap().accounts().unwrap();
    let mut wider = accounts.client.clone();
    wider.scopes.insert("contacts.write".parse().unwrap());
    let own = async |system: &str, client| {
        let (broker, login) = (&scene.world.broker, scene.login.as_ref());
        let token = connections::own_token(broker, login, &system.parse().unwrap(), (client, binding), None).await;
        token.unwrap().expose().clone()
    };
    assert_eq!(own("crm", &wider).await, "access-token-1");
    assert_eq!(own("crm", &accounts.client).await, "access-token-2", "not with the wider one");
    assert_eq!(own("other", &accounts.client).await, "access-token-3");
    assert_eq!(own("crm", &wider).await, "access-token-1");
}
