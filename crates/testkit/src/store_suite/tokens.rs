//! Refresh tokens, and access tokens as they are listed.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    confirmation::Confirmation,
    digest::Digest,
    grant::{GrantKind, GrantStatus},
    id::{GrantId, TokenId},
    jwk::Thumbprint,
};
use bailiwick_ports::{
    store::{IssuedToken, Store, StoreError},
    token_rows::{RefreshToken, Rotation, TokenFilter},
};

use super::{Bench, fixtures::*, identity::grant};

fn refresh(number: u8, of: u8) -> RefreshToken {
    RefreshToken {
        digest: Digest::of(&[number, of]),
        grant: GrantId::from_bytes([of; 16]),
        number: number.into(),
        confirmation: Some(Confirmation::Certificate(Thumbprint::of_der(b"certificate"))),
        issued_at: at(10),
        used_at: None,
        expires_at: at(900),
    }
}

fn issued(number: u8) -> IssuedToken {
    IssuedToken { grant: Some(GrantId::from_bytes([1; 16])), ..token(number, "bot", 20) }
}

async fn granted(store: &dyn Store) {
    store.register_agent(agent("bot"), changed("evt_a")).await.unwrap();
    store.give_grant(grant(1, None), vec![], entry(EventKind::GrantChanged, "evt_g")).await.unwrap();
}

/// Every field comes back; a second use is a conflict that issues nothing; a grant has one family.
pub async fn a_refresh_token_is_used_once_and_the_next_takes_its_place(bench: &dyn Bench) {
    let store = bench.open(1).await;
    granted(&*store).await;
    let told = |id| entry(EventKind::GrantChanged, id);
    let first = refresh(0, 1);
    store.first_refresh_token(first.clone(), told("evt_1")).await.unwrap();
    assert_eq!(store.refresh_token(first.digest).await.unwrap(), Some(first.clone()));
    let twice = RefreshToken { digest: Digest::of(b"other"), ..first.clone() };
    assert!(matches!(store.first_refresh_token(twice, told("evt_x")).await, Err(StoreError::Exists(_))));
    let rotation = |used: u8| Rotation { used: refresh(used, 1).digest, next: refresh(used + 1, 1) };
    let turn = entry_at(EventKind::TokenIssued, "evt_2", at(20));
    store.rotate_refresh_token(rotation(0), issued(1), vec![spent("a", 900)], turn).await.unwrap();
    let used = store.refresh_token(first.digest).await.unwrap().unwrap();
    assert_eq!(used, RefreshToken { used_at: Some(at(20)), ..first.clone() });
    let again = Rotation { used: first.digest, next: refresh(7, 1) };
    let again = store.rotate_refresh_token(again, issued(2), vec![], told("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Conflict(digest)) if digest == first.digest.to_string()));
    let replayed = store.rotate_refresh_token(rotation(1), issued(2), vec![spent("a", 900)], told("evt_x")).await;
    assert!(matches!(replayed, Err(StoreError::Replayed)));
    assert_eq!(store.refresh_token(refresh(1, 1).digest).await.unwrap(), Some(refresh(1, 1)), "it was not used up");
    assert_eq!(store.token(issued(2).id).await.unwrap(), None);
    let unknown = Rotation { used: Digest::of(b"guess"), next: refresh(9, 1) };
    let unknown = store.rotate_refresh_token(unknown, issued(2), vec![], told("evt_x")).await;
    assert!(matches!(unknown, Err(StoreError::Missing(_))));
    assert_eq!(count(&*store).await, 4, "what was refused leaves no evidence");
}

/// Neither the first nor the next is given under a grant that has ended.
pub async fn a_refresh_token_needs_an_active_grant(bench: &dyn Bench) {
    let store = bench.open(1).await;
    granted(&*store).await;
    let told = |id| entry(EventKind::GrantChanged, id);
    assert!(matches!(store.first_refresh_token(refresh(0, 5), told("evt_x")).await, Err(StoreError::Missing(_))));
    store.first_refresh_token(refresh(0, 1), told("evt_1")).await.unwrap();
    let ended = GrantStatus::Ended { at: at(11), reason: "withdrawn".into() };
    store.end_grants(vec![GrantId::from_bytes([1; 16])], ended, told("evt_2")).await.unwrap();
    let rotation = Rotation { used: refresh(0, 1).digest, next: refresh(1, 1) };
    let late = store.rotate_refresh_token(rotation, issued(1), vec![], told("evt_x")).await;
    assert!(matches!(late, Err(StoreError::Missing(_))), "a refresh lost the race with a revocation");
    assert_eq!(store.refresh_token(refresh(0, 1).digest).await.unwrap(), Some(refresh(0, 1)));
}

/// Every field comes back; what expired is not listed; a page begins after the one before.
pub async fn issued_tokens_are_listed_with_what_became_of_them(bench: &dyn Bench) {
    let store = bench.open(1).await;
    granted(&*store).await;
    store.register_agent(agent("other"), changed("evt_b")).await.unwrap();
    let own = |number, seconds| token(number, "bot", seconds);
    for (number, one) in [own(1, 0), issued(2), own(3, 60), token(4, "other", 60)].into_iter().enumerate() {
        store.issue_token(one, vec![], entry(EventKind::TokenIssued, &format!("evt_{number}"))).await.unwrap();
    }
    store.revoke_token(own(3, 60).id, at(960), None, entry(EventKind::GrantChanged, "evt_r")).await.unwrap();
    let all =
        TokenFilter { unexpired_at: at(0), after: TokenId::from_bytes([0; 16]), client: None, grant: None, limit: 100 };
    let listed = async |filter: TokenFilter| store.tokens(filter).await.unwrap();
    let tokens = listed(all.clone()).await;
    assert_eq!(
        tokens.iter().map(|one| one.token.clone()).collect::<Vec<_>>(),
        [own(1, 0), issued(2), own(3, 60), token(4, "other", 60)]
    );
    assert_eq!(tokens.iter().map(|one| one.revoked).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(tokens[1].kind, Some(GrantKind::AuthorizationCode));
    assert_eq!(store.token(issued(2).id).await.unwrap().as_ref(), Some(&tokens[1]));
    let ids = |tokens: Vec<bailiwick_ports::token_rows::ListedToken>| {
        tokens.iter().map(|one| one.token.id.as_bytes()[0]).collect::<Vec<_>>()
    };
    assert_eq!(ids(listed(TokenFilter { unexpired_at: at(900), ..all.clone() }).await), [2, 3, 4], "one has expired");
    let page = TokenFilter { after: issued(2).id, limit: 1, ..all.clone() };
    assert_eq!(ids(listed(page).await), [3]);
    assert_eq!(ids(listed(TokenFilter { client: "other".parse().ok(), ..all.clone() }).await), [4]);
    assert_eq!(ids(listed(TokenFilter { grant: Some(GrantId::from_bytes([1; 16])), ..all }).await), [2]);
}
