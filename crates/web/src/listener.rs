//! The layers around everything that is served over the network, put on once by
//! the server. Not for the local socket, where `Host` and `Origin` mean nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::{
    address::{DeclaredProxies, Peer},
    certificate::{ClientCertificate, OverMutualTls},
    entrance::Entrance,
    headers,
    origin::OwnNames,
    problem::{Problem, REASONS_PATH},
    reasons,
};

/// What holds for every message of a listener.
struct Front {
    names: OwnNames,
    /// Whether clients come over https.
    https: bool,
    /// The proxies that say which certificate a client showed, if any does.
    certifying: DeclaredProxies,
}

/// Adds the page of reasons, checks `Host` and `Origin`, echoes `X-Request-ID`, adds the security headers, and lets
/// nobody claim a certificate who may not.
pub fn around(entrance: &Entrance, router: Router) -> Router {
    let front = Front {
        names: entrance.own_names().clone(),
        https: entrance.issuer().starts_with("https://"),
        certifying: entrance.certifying_proxies(),
    };
    router.route(REASONS_PATH, get(reasons::reasons)).layer(from_fn_with_state(Arc::new(front), enter))
}

/// All of it in one layer: each further one costs every message a copy of the layers below it.
async fn enter(State(front): State<Arc<Front>>, mut message: Request, next: Next) -> Response {
    let id = headers::take_id(&mut message);
    let checked = front.names.check(message.uri(), message.headers());
    let mut response = match checked.and_then(|()| certificate(&front, &mut message)) {
        Ok(()) => next.run(message).await,
        Err(problem) => problem.into_response(),
    };
    headers::give_id(&mut response, id);
    headers::secure(&mut response);
    if front.https {
        headers::insist_on_https(&mut response);
    }
    response
}

/// Puts the certificate that a declared proxy passes on beside the message. The listener that asks for certificates
/// itself has put one there already, and believes no header.
fn certificate(front: &Front, message: &mut Request) -> Result<(), Problem> {
    let from = message.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let direct = message.extensions().get::<OverMutualTls>().is_some();
    let by_proxy = !direct && from.is_some_and(|address| front.certifying.holds(address));
    if let Some(shown) = ClientCertificate::take(message.headers_mut(), by_proxy)? {
        message.extensions_mut().insert(shown);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use axum::{Extension, body::Body};
    use bailiwick_testkit_engine::world::World;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rcgen::{CertificateParams, KeyPair};
    use tower::ServiceExt as _;

    use super::*;
    use crate::certificate::{CLIENT_CERT, CertificateRules};

    /// Whether a room behind sees a certificate that a message from `peer` claims, and whether it sees the claim itself.
    async fn seen(from_proxies: bool, peer: &str, mutual: bool) -> String {
        let world = World::new().await;
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let proxies = DeclaredProxies { networks, ..DeclaredProxies::default() };
        let rules = CertificateRules { from_proxies, ..CertificateRules::default() };
        let entrance =
            Entrance::new(Arc::clone(&world.broker), world.nonces(), proxies).unwrap().with_certificates(rules);
        let room = |shown: Option<Extension<ClientCertificate>>, message: Request| async move {
            format!("{} {}", shown.is_some(), message.headers().contains_key(CLIENT_CERT))
        };
        let router = around(&entrance, Router::new().route("/room", get(room)));
        let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let claim = format!(":{}:", STANDARD.encode(certificate.der()));
        let url: url::Url = entrance.issuer().parse().unwrap();
        let host = url.authority().to_owned();
        let mut message = Request::builder()
            .uri("/room")
            .header("host", host)
            .header(CLIENT_CERT, claim)
            .body(Body::empty())
            .unwrap();
        message.extensions_mut().insert(Peer(SocketAddr::new(peer.parse().unwrap(), 4711)));
        if mutual {
            message.extensions_mut().insert(OverMutualTls);
        }
        let answer = router.oneshot(message).await.unwrap().into_body();
        String::from_utf8(axum::body::to_bytes(answer, 1_000).await.unwrap().to_vec()).unwrap()
    }

    /// Trap 9: a certificate in a header counts from a declared proxy alone, where the operator said so.
    #[tokio::test]
    async fn a_certificate_in_a_header_counts_from_a_declared_proxy_alone() {
        assert_eq!(seen(true, "10.0.0.1", false).await, "true false");
        assert_eq!(seen(true, "203.0.113.9", false).await, "false false");
        assert_eq!(seen(false, "10.0.0.1", false).await, "false false");
        assert_eq!(seen(true, "10.0.0.1", true).await, "false false");
    }
}
