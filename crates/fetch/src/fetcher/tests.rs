//! Fetches from real sockets of this machine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// A server that answers every connection with the same bytes, and counts them.
struct Peer {
    port: u16,
    heard: Arc<AtomicUsize>,
}

impl Peer {
    async fn answering(answer: &'static str) -> Self {
        Self::with(None, answer).await
    }

    async fn with(tls: Option<tokio_rustls::TlsAcceptor>, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                match &tls {
                    None => drop(tokio::spawn(answer_one(stream, answer))),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            tokio::spawn(answer_one(stream, answer));
                        }
                    }
                }
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    fn url(&self, host: &str) -> Url {
        Url::parse(&format!("http://{host}:{}/keys", self.port)).unwrap()
    }
}

async fn answer_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    if answer.is_empty() {
        tokio::time::sleep(TIMEOUT * 4).await;
    }
    let _ = stream.shutdown().await;
}

fn local() -> FetchRules {
    FetchRules { allowed: vec!["127.0.0.0/8".parse().unwrap()], roots: Vec::new() }
}

async fn get(rules: FetchRules, url: &Url) -> Result<Fetched, FetchError> {
    Fetcher::new(rules).unwrap().get(url, "application/json", 64).await
}

#[tokio::test]
async fn what_is_there_is_fetched() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}").await;
    let fetched = get(local(), &peer.url("127.0.0.1")).await.unwrap();
    assert_eq!((fetched.status, &fetched.body[..]), (200, &b"{\"keys\":[]}"[..]));
}

#[tokio::test]
async fn nothing_inside_hears_of_a_fetch_unless_the_operator_named_it() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let refused = get(FetchRules::default(), &peer.url("127.0.0.1")).await.unwrap_err();
    assert!(matches!(refused, FetchError::Address(_)), "{refused}");
    // A name that resolves to an address inside: judged when it is resolved.
    let name = Url::parse(&format!("https://localhost:{}/keys", peer.port)).unwrap();
    let refused = get(FetchRules::default(), &name).await.unwrap_err();
    assert!(matches!(refused, FetchError::Address(_)), "{refused}");
    assert_eq!(peer.heard(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let location = target.url("127.0.0.1");
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let peer = Peer::answering(Box::leak(answer.into_boxed_str())).await;
    let fetched = get(local(), &peer.url("127.0.0.1")).await.unwrap();
    assert_eq!((fetched.status, target.heard()), (302, 0));
}

#[tokio::test]
async fn what_is_too_long_is_given_up() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n46\r\n0123456789012345678901234567890123456789012345678901234567890123456789\r\n46\r\n",
    ] {
        let peer = Peer::answering(answer).await;
        let refused = get(local(), &peer.url("127.0.0.1")).await.unwrap_err();
        assert!(matches!(refused, FetchError::TooLong(64)), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_answer_is_not_waited_for() {
    let peer = Peer::answering("").await;
    let refused = get(local(), &peer.url("127.0.0.1")).await.unwrap_err();
    assert!(matches!(refused, FetchError::Timeout), "{refused}");
}

#[tokio::test]
async fn a_host_is_who_its_certificate_says_and_the_roots_decide() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let peer = Peer::with(Some(acceptor), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let [named, unnamed] =
        ["localhost", "127.0.0.1"].map(|host| Url::parse(&format!("https://{host}:{}/", peer.port)).unwrap());
    let trusting = FetchRules { roots: cert.pem().into_bytes(), ..local() };
    assert_eq!(get(trusting.clone(), &named).await.unwrap().status, 200);
    for (rules, url) in [(local(), &named), (trusting, &unnamed)] {
        let refused = get(rules, url).await.unwrap_err();
        assert!(matches!(&refused, FetchError::Unreachable(why) if why.contains("certificate")), "{refused}");
    }
}

#[test]
fn roots_that_hold_nothing_are_refused() {
    let rules = FetchRules { allowed: Vec::new(), roots: b"no certificate".to_vec() };
    assert!(Fetcher::new(rules).is_err());
}
