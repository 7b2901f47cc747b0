//! Requests for a user's consent, and documents of clients: what is accepted says one thing only, and what goes back reaches
//! only where it should.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_model::{
    agent::ClientUrl,
    redirect_uri::{REDIRECT_URIS_MAX, RedirectUri},
};
use bailiwick_oauth::{
    apart_request::{Asked, BINDING_MESSAGE_CHARACTERS_MAX, BackchannelRequest, HINT_BYTES_MAX, Hint, OPENID},
    authorization_request::{ACR_VALUES_MAX, AuthorizationQuery, STATE_BYTES_MAX},
    authorization_response::AuthorizationResponse,
    client_document::ClientDocument,
    form::Form,
};
use libfuzzer_sys::fuzz_target;

const ISSUER: &str = "https://broker.example";
const CLIENT: &str = "https://client.example/client.json";

fuzz_target!(|data: &[u8]| {
    if let Ok(AuthorizationQuery::Plain(addressee)) = AuthorizationQuery::parse(data) {
        assert!(addressee.state.as_ref().is_none_or(|state| state.len() <= STATE_BYTES_MAX));
        let (redirect_uri, state) = (addressee.redirect_uri.clone(), addressee.state.clone());
        goes_back_to_the_same_place(&redirect_uri, state.as_deref());
        if let Ok(request) = addressee.read() {
            assert!(!(request.prompt.none && (request.prompt.login || request.prompt.consent)));
            assert!(!request.resource.contains('#'));
            assert!(request.details.is_none_or(|details| details.task.is_none() && !details.tools.is_empty()));
            assert_eq!((request.redirect_uri, request.state), (redirect_uri, state));
        }
    }
    if let Ok(mut form) = Form::parse(data)
        && let Ok(request) = BackchannelRequest::take(&mut form)
    {
        assert!(
            request.asked.scopes.iter().all(|scope| scope.as_str() != OPENID) && !request.asked.resource.contains('#')
        );
        let plain =
            |message: &String| message.len() <= BINDING_MESSAGE_CHARACTERS_MAX && !message.contains(['<', '&', '@']);
        assert!(request.binding_message.as_ref().is_none_or(plain));
        assert!(request.requested_expiry_s.is_none_or(|seconds| seconds > 0));
        match &request.hint {
            Hint::Login(hint) => assert!(!hint.is_empty() && hint.len() <= HINT_BYTES_MAX),
            Hint::IdToken(token) => assert!(!token.is_empty()),
        }
        let leftover = ["login_hint", "id_token_hint", "login_hint_token", "request", "scope", "acr_values"];
        assert!(leftover.into_iter().all(|name| form.take(name).is_none()), "each is read, and none is ignored");
    }
    if let Ok(mut form) = Form::parse(data)
        && let Ok(asked) = Asked::take(&mut form)
    {
        assert!(!asked.resource.contains('#') && asked.acr_values.len() <= ACR_VALUES_MAX);
        assert!(asked.details.is_none_or(|details| details.task.is_none() && !details.tools.is_empty()));
    }
    let client: ClientUrl = CLIENT.parse().expect("it is one");
    if let Ok(document) = ClientDocument::parse(data, &client) {
        assert!((1..=REDIRECT_URIS_MAX).contains(&document.redirect_uris.len()));
        assert!(document.redirect_uris.is_sorted());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(client) = text.parse::<ClientUrl>() {
            let url: url::Url = text.parse().expect("a client is known by a URL");
            assert!(
                url.scheme() == "https" && url.has_host() && url.as_str() == text && url.path().len() > 1,
                "{text}"
            );
            assert!(url.query().is_none() && url.fragment().is_none() && url.username().is_empty(), "{text}");
            assert!(client.agent_name().is_some(), "{text}");
        }
        for registered in ["https://client.example/cb", "http://127.0.0.1/cb"] {
            let registered: RedirectUri = registered.parse().expect("it is one");
            if registered.admits(text) {
                let url: url::Url = text.parse().expect("what is admitted is a URL");
                assert!(matches!(url.host_str(), Some("client.example" | "127.0.0.1")), "{text}");
                assert_eq!((url.path(), url.query(), url.fragment()), ("/cb", None, None), "{text}");
            }
        }
    }
});

/// Whatever the client sent, a redirect URI that may be registered is answered at its own origin and path, once.
fn goes_back_to_the_same_place(redirect_uri: &str, state: Option<&str>) {
    if redirect_uri.parse::<RedirectUri>().is_err() {
        return;
    }
    let answer = AuthorizationResponse::Code("code".to_owned());
    let location = answer.location(redirect_uri, state, ISSUER).expect("a registered one is a URL");
    let (before, after): (url::Url, url::Url) =
        (redirect_uri.parse().expect("a URL"), location.parse().expect("a URL"));
    assert_eq!((before.origin(), before.path()), (after.origin(), after.path()));
    for (name, expected) in [("code", Some("code")), ("iss", Some(ISSUER)), ("state", state)] {
        let mut values = after.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        assert_eq!((values.next().as_deref(), values.next()), (expected, None), "{name}");
    }
}
