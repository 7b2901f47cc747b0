//! What is read, what is refused, and which refusals may be sent back.

use super::*;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn honest() -> Vec<(&'static str, String)> {
    [
        ("client_id", "reader"),
        ("redirect_uri", "http://127.0.0.1:8000/cb"),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", "https://b.example/mcp/files"),
        ("scope", "files:read"),
        ("state", "xyz"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn query(pairs: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn with(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut pairs = without(name);
    pairs.push((name, value.to_owned()));
    pairs
}

fn without(name: &str) -> Vec<(&'static str, String)> {
    honest().into_iter().filter(|(known, _)| *known != name).collect()
}

fn addressee(pairs: &[(&str, String)]) -> Result<Addressee, OAuthError> {
    match AuthorizationQuery::parse(query(pairs).as_bytes())? {
        AuthorizationQuery::Plain(addressee) => Ok(addressee),
        AuthorizationQuery::Pushed { .. } => panic!("nothing was pushed"),
    }
}

#[test]
fn an_honest_request_is_read() {
    let request = addressee(&honest()).unwrap().read().unwrap();
    assert_eq!(request.client.as_str(), "reader");
    assert_eq!(request.state.as_deref(), Some("xyz"));
    assert_eq!(request.resource, "https://b.example/mcp/files");
    assert_eq!((request.prompt, request.max_age_s, request.confirmation), (Prompt::default(), None, None));
    let asked = addressee(&with("prompt", "login consent")).unwrap().read().unwrap().prompt;
    assert_eq!(asked, Prompt { none: false, login: true, consent: true });
    let unknown = addressee(&with("nonce", "of OpenID Connect")).unwrap().read();
    assert!(unknown.is_ok(), "what is not known is ignored (RFC 6749 §3.1)");
}

#[test]
fn what_a_page_shows() {
    let twice = |name: &'static str| [honest(), vec![(name, "other".to_owned())]].concat();
    for pairs in [
        without("client_id"),
        with("client_id", "Not A Name"),
        without("redirect_uri"),
        with("redirect_uri", &format!("https://c.example/{}", "x".repeat(REDIRECT_BYTES_MAX))),
        with("state", &"x".repeat(STATE_BYTES_MAX + 1)),
        with("state", "x\r\nSet-Cookie: y"),
        with("request_uri", "https://client.example/request"),
        twice("client_id"),
        twice("redirect_uri"),
        twice("state"),
        twice("code_challenge"),
        twice("scope"),
    ] {
        assert!(addressee(&pairs).is_err(), "{pairs:?}");
    }
}

#[test]
fn what_goes_back() {
    let resources = || [honest(), vec![("resource", "https://b.example/mcp".to_owned())]].concat();
    let many = ["urn:x"; ACR_VALUES_MAX + 1].join(" ");
    for (pairs, code) in [
        (without("response_type"), ErrorCode::InvalidRequest),
        (with("response_type", "token"), ErrorCode::UnsupportedResponseType),
        (with("response_type", "code id_token"), ErrorCode::UnsupportedResponseType),
        (with("response_mode", "fragment"), ErrorCode::InvalidRequest),
        (with("request", "eyJ"), ErrorCode::RequestNotSupported),
        (without("code_challenge"), ErrorCode::InvalidRequest),
        (with("code_challenge", "x"), ErrorCode::InvalidRequest),
        (without("code_challenge_method"), ErrorCode::InvalidRequest),
        (with("code_challenge_method", "plain"), ErrorCode::InvalidRequest),
        (with("dpop_jkt", "x"), ErrorCode::InvalidRequest),
        (with("max_age", "-1"), ErrorCode::InvalidRequest),
        (with("max_age", "soon"), ErrorCode::InvalidRequest),
        (with("prompt", "create"), ErrorCode::InvalidRequest),
        (with("prompt", "none login"), ErrorCode::InvalidRequest),
        (with("acr_values", &many), ErrorCode::InvalidRequest),
        (with("scope", "a  b"), ErrorCode::InvalidScope),
        (without("resource"), ErrorCode::InvalidTarget),
        (with("resource", "files"), ErrorCode::InvalidTarget),
        (resources(), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(addressee(&pairs).unwrap().read().unwrap_err().code, code, "{pairs:?}");
    }
}

#[test]
fn a_pushed_request_is_named_and_not_pushed_again() {
    let uri = format!("{REQUEST_URI_PREFIX}x");
    let parsed = AuthorizationQuery::parse(query(&with("request_uri", &uri)).as_bytes()).unwrap();
    let AuthorizationQuery::Pushed { client, request_uri } = parsed else { panic!("it was pushed") };
    assert_eq!((client.as_str(), request_uri), ("reader", uri.clone()));
    let form = Form::parse(query(&with("request_uri", &uri)).as_bytes()).unwrap();
    assert!(Addressee::pushed(client, form).is_err());
}
