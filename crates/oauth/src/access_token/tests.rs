//! Access tokens that must not open anything.

use bailiwick_model::task::Pin;

use super::*;
use crate::test_keys::{TestKey, ed25519, p256};

const ISSUER: &str = "https://b.example";
const AUDIENCE: &str = "https://b.example/mcp/files";
const NOW_S: i64 = 1_800_000_000;
const EXPECTED: AccessTokenExpectation<'static> =
    AccessTokenExpectation { issuer: ISSUER, audience: AUDIENCE, environment: Some(Environment::Production) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn claims(chain: &[&str]) -> AccessTokenClaims {
    let chain: Vec<Principal> = chain.iter().map(|text| read_principal(text).unwrap()).collect();
    AccessTokenClaims {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        client: chain.last().unwrap().id().parse().unwrap(),
        chain: DelegationChain::new(chain).unwrap(),
        id: TokenId::new(1_800_000_000_000, [3; 10]),
        scopes: ["files:read", "files.write_file"].iter().map(|scope| scope.parse().unwrap()).collect(),
        details: Some(vec![ToolGrant {
            action: "files.write_file".parse().unwrap(),
            pins: [("path".to_owned(), Pin::Under("/data".to_owned()))].into(),
        }]),
        issued_at: at(NOW_S),
        expires_at: at(NOW_S + 900),
        confirmation: Some(Confirmation::Key(ed25519().public.thumbprint)),
        may_act: None,
        authentication: Some(Authentication {
            at: at(NOW_S - 60),
            methods: BTreeSet::from(["hwk".to_owned(), "user".to_owned()]),
            acr: "phr".parse().ok(),
        }),
        grant: Some(GrantId::new(1_800_000_000_000, [4; 10])),
        task: Some(TaskId::new(1_800_000_000_000, [4; 10])),
        environment: Environment::Production,
    }
}

fn issue(key: &TestKey, claims: &AccessTokenClaims) -> String {
    let input = claims.signing_input(&key.public);
    let signature = key.sign(input.as_bytes());
    input.assemble(&signature)
}

fn check(key: &TestKey, token: &str) -> Result<AccessTokenClaims, AccessTokenError> {
    let keys = KeySet::new(std::slice::from_ref(&key.public)).unwrap();
    let claims = read_signed(token, &keys)?;
    claims.check(&EXPECTED, at(NOW_S)).map(|()| claims)
}

/// The claims of a token as JSON, changed, signed by the issuer all the same.
fn altered(changes: Value) -> Result<AccessTokenClaims, AccessTokenError> {
    let key = p256();
    let mut json: Value = serde_json::from_str(&claims(&["bot"]).to_json()).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        let members = json.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    check(&key, &key.token(TokenType::AccessToken, &json))
}

#[test]
fn what_is_issued_is_read_back() {
    let key = p256();
    for chain in [&["bot"][..], &["user:usr-1", "bot"], &["user:usr-1", "planner", "searcher", "bot"]] {
        let issued = claims(chain);
        assert_eq!(check(&key, &issue(&key, &issued)), Ok(issued.clone()));
        let bare = AccessTokenClaims {
            scopes: BTreeSet::new(),
            details: None,
            confirmation: None,
            may_act: None,
            authentication: None,
            grant: None,
            task: None,
            ..issued
        };
        assert_eq!(check(&key, &issue(&key, &bare)), Ok(bare));
    }
}

#[test]
fn how_a_user_proved_who_they_are_is_said_whole_or_not_at_all() {
    let json: Value = serde_json::from_str(&claims(&["user:usr-1", "bot"]).to_json()).unwrap();
    assert_eq!((&json["auth_time"], &json["acr"]), (&json!(NOW_S - 60), &json!("phr")));
    assert_eq!(json["amr"], json!(["hwk", "user"]));
    for changes in [
        json!({ "auth_time": null }),
        json!({ "auth_time": "now" }),
        json!({ "acr": "not one class" }),
        json!({ "acr": ["phr"] }),
        json!({ "amr": "hwk" }),
        json!({ "amr": [1] }),
        json!({ "amr": vec!["hwk"; METHODS_MAX + 1] }),
    ] {
        assert!(matches!(altered(changes.clone()), Err(AccessTokenError::Claim(_))), "{changes}");
    }
    assert!(altered(json!({ "acr": null })).is_ok_and(|claims| claims.authentication.unwrap().acr.is_none()));
}

#[test]
fn the_outermost_actor_is_the_current_one() {
    let json: Value = serde_json::from_str(&claims(&["user:usr-1", "planner", "bot"]).to_json()).unwrap();
    assert_eq!(json["sub"], "user:usr-1");
    assert_eq!(json["act"], json!({"sub": "bot", "act": {"sub": "planner"}}));
    assert_eq!(json["client_id"], "bot");
    let json: Value = serde_json::from_str(&claims(&["bot"]).to_json()).unwrap();
    assert_eq!((json.get("act"), &json["sub"]), (None, &json!("bot")));
}

#[test]
fn a_token_is_for_here_and_now() {
    for (changes, expected) in [
        (json!({"iss": "https://b.example/"}), AccessTokenError::Issuer),
        (json!({"iss": "https://evil.example"}), AccessTokenError::Issuer),
        (json!({"aud": "https://b.example/mcp"}), AccessTokenError::Audience { expected: AUDIENCE.to_owned() }),
        (json!({"aud": "https://b.example/mcp/files/"}), AccessTokenError::Audience { expected: AUDIENCE.to_owned() }),
        (json!({"bailiwick_env": "staging"}), AccessTokenError::Environment),
        (json!({"exp": NOW_S}), AccessTokenError::Expired),
        (json!({"exp": 1}), AccessTokenError::Expired),
        (json!({"iat": NOW_S + CLOCK_SKEW_S + 1}), AccessTokenError::Clock),
        (json!({"iat": NOW_S + 20, "exp": NOW_S + 10}), AccessTokenError::Clock),
        (json!({"entitlements": []}), AccessTokenError::UnknownClaim),
    ] {
        assert_eq!(altered(changes.clone()), Err(expected), "{changes}");
    }
    for details in [json!(null), json!({}), json!([{"type": "other"}]), json!(["bailiwick_tool"])] {
        let read =
            if details.is_null() { altered(json!({})) } else { altered(json!({"authorization_details": details})) };
        assert_eq!(read.is_ok(), details.is_null(), "what narrows is never lost: {read:?}");
    }
}

#[test]
fn every_claim_has_its_type_and_is_there() {
    for name in ["iss", "sub", "client_id", "aud", "exp", "iat", "jti", "bailiwick_env"] {
        assert!(matches!(altered(json!({name: null})), Err(AccessTokenError::Claim(_))), "{name}");
    }
    for changes in [
        json!({"aud": [AUDIENCE]}),
        json!({"exp": "1800000900"}),
        json!({"jti": "j-1"}),
        json!({"scope": "a  b"}),
        json!({"scope": ""}),
        json!({"scope": ["a"]}),
        json!({"bailiwick_task": "x"}),
        json!({"bailiwick_env": "prod"}),
        json!({"sub": "other"}),
        json!({"sub": "root:bot"}),
        json!({"client_id": "other"}),
        json!({"cnf": {}}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"cnf": {"jkt": ed25519().public.thumbprint.to_string(), "x5t#S256": "y"}}),
        json!({"cnf": "x"}),
    ] {
        assert!(matches!(altered(changes.clone()), Err(AccessTokenError::Claim(_))), "{changes}");
    }
}

#[test]
fn a_chain_of_actors_is_bounded_and_whole() {
    let deep =
        |depth: usize| (1..depth).fold(json!({"sub": "a0"}), |act, i| json!({"sub": format!("a{i}"), "act": act}));
    let chained = |act: Value| altered(json!({"sub": "user:u", "act": act, "client_id": null}));
    for (act, client) in [
        (json!({"sub": "x"}), "bot"),
        (json!({"sub": "user:u"}), "bot"),
        (json!({"sub": "bot", "act": {"sub": "bot"}}), "bot"),
        (json!({"sub": "bot", "act": {}}), "bot"),
        (json!({"sub": "bot", "may_act": 1}), "bot"),
        (json!({}), "bot"),
        (json!([]), "bot"),
        (json!("bot"), "bot"),
        (deep(CHAIN_DEPTH_MAX), "a7"),
        (deep(12), "a11"),
    ] {
        let outcome = altered(json!({"sub": "user:u", "act": act.clone(), "client_id": client}));
        assert!(outcome.is_err(), "{act}");
    }
    let longest = altered(json!({"sub": "user:u", "act": deep(CHAIN_DEPTH_MAX - 1), "client_id": "a6"})).unwrap();
    assert_eq!(longest.chain.principals().len(), CHAIN_DEPTH_MAX);
    assert!(chained(json!({"sub": "bot"})).is_err(), "no client");
}

#[test]
fn only_our_published_keys_count() {
    let (ours, stranger) = (p256(), p256());
    let token = issue(&stranger, &claims(&["bot"]));
    assert_eq!(check(&ours, &token), Err(AccessTokenError::UnknownKey));
    let posing = p256().named(&ours.public.kid);
    assert!(matches!(check(&ours, &issue(&posing, &claims(&["bot"]))), Err(AccessTokenError::Token(_))));
    let nameless = ours.raw_token(r#"{"typ":"at+jwt","alg":"ES256"}"#, &claims(&["bot"]).to_json());
    assert_eq!(check(&ours, &nameless), Err(AccessTokenError::UnknownKey));
}

#[test]
fn a_bound_token_needs_its_key() {
    let bound = claims(&["bot"]);
    let (own, other) = (bound.confirmation.and_then(Confirmation::key), Some(p256().public.thumbprint));
    let free = AccessTokenClaims { confirmation: None, ..bound.clone() };
    for (token, scheme, proof, expected) in [
        (&bound, Scheme::Dpop, own, Ok(())),
        (&bound, Scheme::Dpop, other, Err(AccessTokenError::OtherKey)),
        (&bound, Scheme::Dpop, None, Err(AccessTokenError::ProofRequired)),
        (&bound, Scheme::Bearer, None, Err(AccessTokenError::ProofRequired)),
        (&bound, Scheme::Bearer, own, Err(AccessTokenError::ProofRequired)),
        (&free, Scheme::Bearer, None, Ok(())),
        (&free, Scheme::Bearer, own, Err(AccessTokenError::NotBound)),
        (&free, Scheme::Dpop, own, Err(AccessTokenError::NotBound)),
        (&free, Scheme::Dpop, None, Err(AccessTokenError::NotBound)),
    ] {
        // A certificate proves nothing of a key.
        for certificate in [None, own, other] {
            assert_eq!(token.check_possession(scheme, proof, certificate), expected, "{scheme:?} {proof:?}");
        }
    }
}

#[test]
fn a_token_of_a_certificate_needs_the_connection() {
    let key = p256();
    let (own, other) = (Thumbprint::of_der(b"own"), Thumbprint::of_der(b"other"));
    let bound = AccessTokenClaims { confirmation: Some(Confirmation::Certificate(own)), ..claims(&["bot"]) };
    assert_eq!(check(&key, &issue(&key, &bound)).unwrap(), bound);
    use AccessTokenError::{CertificateRequired, OtherCertificate};
    for (scheme, proof, certificate, expected) in [
        (Scheme::Bearer, None, Some(own), Ok(())),
        (Scheme::Bearer, None, Some(other), Err(OtherCertificate)),
        (Scheme::Bearer, None, None, Err(CertificateRequired)),
        (Scheme::Dpop, None, Some(own), Err(CertificateRequired)),
        (Scheme::Dpop, Some(own), Some(own), Err(CertificateRequired)),
        (Scheme::Bearer, Some(own), Some(own), Err(CertificateRequired)),
    ] {
        assert_eq!(bound.check_possession(scheme, proof, certificate), expected, "{scheme:?} {certificate:?}");
    }
}

#[test]
fn a_token_that_hands_over_says_to_whom_and_is_presented_nowhere() {
    let key = p256();
    let handed = AccessTokenClaims { confirmation: None, may_act: Some("writer".parse().unwrap()), ..claims(&["bot"]) };
    let read = check(&key, &issue(&key, &handed)).unwrap();
    assert_eq!(read, handed);
    for (scheme, proof) in [(Scheme::Bearer, None), (Scheme::Dpop, Some(ed25519().public.thumbprint))] {
        assert_eq!(read.check_possession(scheme, proof, None), Err(AccessTokenError::HandsOver));
    }
    for unfit in [
        json!("writer"),
        json!({}),
        json!({"sub": 1}),
        json!({"sub": "user:u"}),
        json!({"sub": "a", "act": {}}),
        json!([]),
    ] {
        let refused = altered(json!({ "may_act": unfit }));
        assert!(matches!(refused, Err(AccessTokenError::Claim(_))), "{unfit} gives {refused:?}");
    }
}

#[test]
fn a_chain_of_actors_that_was_reordered_or_cut_is_refused() {
    for forged in [
        json!({"act": {"sub": "other"}}),
        json!({"act": {"sub": "a", "act": {"sub": "bot"}}}),
        json!({"act": {"sub": "bot", "act": {"sub": "bot"}}}),
        json!({"sub": "a", "act": {"sub": "bot", "act": {"sub": "a"}}}),
        json!({"act": {"sub": "bot", "client_id": "bot"}}),
        json!({"act": []}),
    ] {
        assert!(altered(forged.clone()).is_err(), "{forged}");
    }
}
