//! Token requests that must be refused, and how.

use super::*;
use crate::form::{FORM_BYTES_MAX, PARAMETERS_MAX, RESOURCE_BYTES_MAX, SCOPES_MAX};

const HONEST: &str = "grant_type=client_credentials\
    &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
    &client_assertion=a.b.c\
    &resource=https%3A%2F%2Fb.example%2Fmcp%2Ffiles";

fn refused(body: &str) -> ErrorCode {
    TokenRequest::parse(body.as_bytes()).expect_err(body).code
}

#[test]
fn an_honest_form_is_read() {
    let body = format!("{HONEST}&scope=files%3Aread+files%3Awrite&client_id=bot&unknown=1&empty=");
    let read = |body: &str| match TokenRequest::parse(body.as_bytes()).unwrap() {
        TokenRequest { client, grant: GrantRequest::ClientCredentials(asked) } => (client, asked),
        other => panic!("{other:?}"),
    };
    let (client, asked) = read(&body);
    let named = ClientAuthentication::Assertion { assertion: "a.b.c".to_owned(), client: Some("bot".parse().unwrap()) };
    assert_eq!(client, named);
    assert_eq!(asked.resource, "https://b.example/mcp/files");
    assert_eq!(asked.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(), ["files:read", "files:write"]);
    assert_eq!(asked.task, None);
    let task = TaskId::new(1, [1; 10]);
    let (client, asked) = read(&format!("{HONEST}&bailiwick_task={task}&scope="));
    assert_eq!((asked.task, asked.scopes.len()), (Some(task), 0));
    assert!(!format!("{client:?}").contains("a.b.c"), "an assertion never prints");
}

#[test]
fn a_refresh_names_its_token_and_perhaps_less_than_was_granted() {
    let plain = HONEST.replace("client_credentials", "refresh_token").replace("&resource=", "&unknown=");
    let read = |body: &str| match TokenRequest::parse(body.as_bytes()).map(|asked| asked.grant) {
        Ok(GrantRequest::RefreshToken(asked)) => asked,
        other => panic!("{other:?}"),
    };
    let asked = read(&format!("{plain}&refresh_token=bwr_x"));
    assert_eq!((asked.token.expose().as_str(), asked.resource.as_deref(), asked.scopes.len()), ("bwr_x", None, 0));
    assert!(!format!("{asked:?}").contains("bwr_x"), "a refresh token never prints");
    let resource = "https%3A%2F%2Fb.example%2Fmcp%2Ffiles";
    let narrow = read(&format!("{plain}&refresh_token=bwr_x&scope=a+b&resource={resource}"));
    assert_eq!((narrow.resource.as_deref(), narrow.scopes.len()), (Some("https://b.example/mcp/files"), 2));
    for (more, code) in [
        ("", ErrorCode::InvalidRequest),
        ("&refresh_token=", ErrorCode::InvalidRequest),
        ("&refresh_token=a&refresh_token=b", ErrorCode::InvalidRequest),
        ("&refresh_token=a&resource=files", ErrorCode::InvalidTarget),
        ("&refresh_token=a&scope=a++b", ErrorCode::InvalidScope),
    ] {
        assert_eq!(refused(&format!("{plain}{more}")), code, "{more}");
    }
}

#[test]
fn a_client_presents_what_another_domain_vouches_for() {
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    let plain = HONEST.replace("client_credentials", grant).replace("&resource=", "&unknown=");
    let read = |more: &str| match TokenRequest::parse(format!("{plain}{more}").as_bytes()).map(|asked| asked.grant) {
        Ok(GrantRequest::JwtBearer(asked)) => asked,
        other => panic!("{other:?}"),
    };
    let asked = read("&assertion=x.y.z");
    assert_eq!((asked.assertion.expose().as_str(), asked.resource.as_deref(), asked.scopes.len()), ("x.y.z", None, 0));
    assert!(!format!("{asked:?}").contains("x.y.z"), "an assertion never prints");
    assert_eq!(read("&assertion=x&scope=a+b&resource=https%3A%2F%2Fb.example%2Fmcp").scopes.len(), 2);
    for (more, code) in [
        ("", ErrorCode::InvalidRequest),
        ("&assertion=", ErrorCode::InvalidRequest),
        ("&assertion=a&assertion=b", ErrorCode::InvalidRequest),
        ("&assertion=a&resource=files", ErrorCode::InvalidTarget),
        ("&assertion=a&scope=a++b", ErrorCode::InvalidScope),
    ] {
        assert_eq!(refused(&format!("{plain}{more}")), code, "{more}");
    }
    let long = "a".repeat(crate::jws::TOKEN_BYTES_MAX + 1);
    assert_eq!(refused(&format!("{plain}&assertion={long}")), ErrorCode::InvalidGrant);
}

#[test]
fn a_client_asks_us_to_vouch_for_its_user() {
    let exchange = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
    let kind = |name: &str| format!("urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A{name}");
    let plain = format!(
        "{}&requested_token_type={}",
        HONEST.replace("client_credentials", exchange).replace("&resource=", "&unknown="),
        kind("id-jag")
    );
    let refresh = format!("&subject_token=bwr_x&subject_token_type={}", kind("refresh_token"));
    let to = "&audience=https%3A%2F%2Fother.example";
    match TokenRequest::parse(format!("{plain}{refresh}{to}").as_bytes()).map(|asked| asked.grant) {
        Ok(GrantRequest::Vouch(asked)) => {
            assert_eq!(asked.audience, "https://other.example");
            assert!(matches!(&asked.held, HeldToken::Refresh(token) if token.expose() == "bwr_x"));
            assert!(!format!("{asked:?}").contains("bwr_x"), "what a client holds never prints");
        }
        other => panic!("{other:?}"),
    }
    for (more, code) in [
        (to.to_owned(), ErrorCode::InvalidRequest),
        (refresh.clone(), ErrorCode::InvalidTarget),
        (format!("{refresh}{to}&actor_token=a"), ErrorCode::InvalidRequest),
        (format!("{refresh}{to}&authorization_details=[]"), ErrorCode::InvalidRequest),
        (format!("{refresh}{to}{to}"), ErrorCode::InvalidRequest),
        (format!("&subject_token=a&subject_token_type={}{to}", kind("id_token")), ErrorCode::InvalidRequest),
        (format!("{refresh}&audience={}", "a".repeat(RESOURCE_BYTES_MAX + 1)), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(refused(&format!("{plain}{more}")), code, "{more}");
    }
}

#[test]
fn every_refusal_has_its_code() {
    let without = |name: &str| {
        HONEST.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect::<Vec<_>>().join("&")
    };
    for (body, code) in [
        (String::new(), ErrorCode::InvalidRequest),
        (without("grant_type"), ErrorCode::InvalidRequest),
        (HONEST.replace("client_credentials", "password"), ErrorCode::UnsupportedGrantType),
        (HONEST.replace("client_credentials", "implicit"), ErrorCode::UnsupportedGrantType),
        (without("client_assertion"), ErrorCode::InvalidClient),
        (without("client_assertion_type"), ErrorCode::InvalidRequest),
        (HONEST.replace("jwt-bearer", "saml2-bearer"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&client_secret=x"), ErrorCode::InvalidClient),
        (format!("{HONEST}&client_id=../x"), ErrorCode::InvalidClient),
        (format!("{HONEST}&bailiwick_task=x"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&grant_type=client_credentials"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&scope=a&scope=b"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&scope=a&%73cope=b"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&unknown=1&unknown=2"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&scope=a++b"), ErrorCode::InvalidScope),
        (format!("{HONEST}&scope=%22a%22"), ErrorCode::InvalidScope),
        (format!("{HONEST}&x=%"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&x=%zz"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&x=%+1"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&x=%ff"), ErrorCode::InvalidRequest),
        (format!("{HONEST}&x=%00"), ErrorCode::InvalidRequest),
        (without("resource"), ErrorCode::InvalidTarget),
        (format!("{HONEST}&resource=https%3A%2F%2Fb.example%2Fmcp"), ErrorCode::InvalidTarget),
        (format!("{HONEST}%23fragment"), ErrorCode::InvalidTarget),
        (format!("{}&resource=files", without("resource")), ErrorCode::InvalidTarget),
        (format!("{}&resource=urn:x:y", without("resource")), ErrorCode::InvalidTarget),
        (format!("{}&resource=", without("resource")), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(refused(&body), code, "{body}");
    }
}

#[test]
fn every_limit_holds() {
    let extra = |count: usize| (0..count).map(|i| format!("&p{i}=1")).collect::<String>();
    assert!(TokenRequest::parse(format!("{HONEST}{}", extra(PARAMETERS_MAX - 4)).as_bytes()).is_ok());
    assert_eq!(refused(&format!("{HONEST}{}", extra(PARAMETERS_MAX - 3))), ErrorCode::InvalidRequest);
    assert_eq!(refused(&format!("{HONEST}&x={}", "y".repeat(FORM_BYTES_MAX))), ErrorCode::InvalidRequest);
    let scopes = |count: usize| (0..count).map(|i| format!("s{i}")).collect::<Vec<_>>().join("+");
    assert!(TokenRequest::parse(format!("{HONEST}&scope={}", scopes(SCOPES_MAX)).as_bytes()).is_ok());
    assert_eq!(refused(&format!("{HONEST}&scope={}", scopes(SCOPES_MAX + 1))), ErrorCode::InvalidScope);
    assert_eq!(refused(&format!("{HONEST}{}", "x".repeat(RESOURCE_BYTES_MAX))), ErrorCode::InvalidTarget);
}

fn exchange(extra: &str) -> String {
    let kind = "subject_token_type=urn:ietf:params:oauth:token-type:access_token";
    let grant = HONEST.replace("client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange");
    format!("{grant}&subject_token=x.y.z&{kind}{extra}")
}

#[test]
fn an_exchange_is_read_and_never_prints_its_token() {
    let TokenRequest { grant: GrantRequest::TokenExchange(asked), .. } =
        TokenRequest::parse(exchange("&scope=files%3Aread").as_bytes()).unwrap()
    else {
        panic!("not an exchange")
    };
    assert_eq!((asked.subject_token.expose().as_str(), asked.scopes.len(), asked.task), ("x.y.z", 1, None));
    assert!(!format!("{asked:?}").contains("x.y.z"));
    let requested = "&requested_token_type=urn:ietf:params:oauth:token-type:access_token";
    assert!(TokenRequest::parse(exchange(requested).as_bytes()).is_ok());
}

#[test]
fn what_an_exchange_does_not_take_is_refused() {
    let without = |name: &str| {
        exchange("").split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect::<Vec<_>>().join("&")
    };
    for (body, code) in [
        (without("subject_token"), ErrorCode::InvalidRequest),
        (without("subject_token_type"), ErrorCode::InvalidRequest),
        (without("resource"), ErrorCode::InvalidTarget),
        (exchange("").replace("token-type:access_token", "token-type:jwt"), ErrorCode::InvalidRequest),
        (exchange("").replace("token-type:access_token", "token-type:refresh_token"), ErrorCode::InvalidRequest),
        (exchange("&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token"), ErrorCode::InvalidRequest),
        (exchange("&actor_token=a.b.c"), ErrorCode::InvalidRequest),
        (exchange("&actor_token_type=urn:ietf:params:oauth:token-type:access_token"), ErrorCode::InvalidRequest),
        (exchange("&audience=crm"), ErrorCode::InvalidTarget),
        (exchange("&subject_token=again"), ErrorCode::InvalidRequest),
        (exchange("&bailiwick_task=x"), ErrorCode::InvalidRequest),
        (exchange("&resource=https%3A%2F%2Fb.example%2Fmcp%2Fmail"), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(refused(&body), code, "{body}");
    }
}

#[test]
fn a_code_comes_with_its_verifier() {
    let verifier = "v".repeat(43);
    let honest = format!(
        "{}&code=abc&code_verifier={verifier}&redirect_uri=https%3A%2F%2Fc.example%2Fcb",
        HONEST.replace("client_credentials", "authorization_code")
    );
    let TokenRequest { grant, .. } = TokenRequest::parse(honest.as_bytes()).unwrap();
    let GrantRequest::AuthorizationCode(asked) = &grant else { panic!("another grant") };
    assert_eq!(asked.redirect_uri, "https://c.example/cb");
    assert_eq!(asked.resource.as_deref(), Some("https://b.example/mcp/files"));
    let printed = format!("{grant:?}");
    assert!(!printed.contains("abc") && !printed.contains("vvv"), "{printed}");
    let without = |name: &str| {
        honest.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect::<Vec<_>>().join("&")
    };
    assert!(TokenRequest::parse(without("resource").as_bytes()).is_ok(), "the code knows its resource");
    for (body, code) in [
        (without("code"), ErrorCode::InvalidRequest),
        (without("code_verifier"), ErrorCode::InvalidRequest),
        (without("redirect_uri"), ErrorCode::InvalidRequest),
        (honest.replace(&verifier, "short"), ErrorCode::InvalidRequest),
        (honest.replace("code=abc", &format!("code={}", "x".repeat(CODE_BYTES_MAX + 1))), ErrorCode::InvalidGrant),
        (format!("{honest}&code=abc"), ErrorCode::InvalidRequest),
        (format!("{honest}&resource=https%3A%2F%2Fb.example%2Fmcp"), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(refused(&body), code, "{body}");
    }
}
