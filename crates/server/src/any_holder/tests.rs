//! Connections of clients with certificates, over the wire.

use std::net::SocketAddr;

use axum::{Extension, Router, routing::get};
use bailiwick_web::certificate::{ClientCertificate, OverMutualTls};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    client::ResolvesClientCert,
    pki_types::{PrivateKeyDer, ServerName},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{config::TlsFiles, listen};

/// A server whose answer says whose certificate came, if one did.
struct Server {
    address: SocketAddr,
    roots: RootCertStore,
    _folder: tempfile::TempDir,
}

fn made(name: &str) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

impl Server {
    async fn started() -> Self {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        std::fs::write(&files.certificate, own.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let told = |shown: Option<Extension<ClientCertificate>>, _: Extension<OverMutualTls>| async move {
            let now = "2026-06-01T00:00:00Z".parse().unwrap();
            shown.and_then(|shown| shown.thumbprint(now)).map_or("nobody".to_owned(), |one| one.to_string())
        };
        let router = Router::new().route("/", get(told));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let transport = listen::mutual_tls(&files).unwrap();
        tokio::spawn(listen::serve_tcp(listener, transport, router, listen::slots(), CancellationToken::new()));
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).unwrap();
        Self { address, roots, _folder: folder }
    }

    fn client(&self, version: &'static SupportedProtocolVersion, shows: Option<Arc<Shows>>) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        Arc::new(match shows {
            Some(shows) => builder.with_client_cert_resolver(shows),
            None => builder.with_no_client_auth(),
        })
    }

    /// The last line of the answer, and how the handshake went.
    async fn ask(&self, client: &Arc<ClientConfig>) -> std::io::Result<(String, HandshakeKind)> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut told = String::new();
        stream.read_to_string(&mut told).await?;
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        Ok((told.lines().last().unwrap_or_default().to_owned(), kind))
    }
}

/// Shows a certificate, with whatever key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl Shows {
    fn new(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<Self> {
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(vec![certificate], key))))
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A session that is resumed proves no key again: it must stand for the one that its first handshake proved.
#[tokio::test]
async fn a_resumed_session_keeps_its_certificate_and_gives_it_to_nobody_else() {
    let server = Server::started().await;
    for version in VERSIONS {
        let (certificate, key) = made("reader.example");
        let own = bailiwick_model::jwk::Thumbprint::of_der(&certificate).to_string();
        let client = server.client(version, Some(Shows::new(certificate, &key)));
        let first = server.ask(&client).await.unwrap();
        assert_eq!(first, (own.clone(), HandshakeKind::Full), "{version:?}");
        let again = server.ask(&client).await.unwrap();
        assert_eq!(again, (own, HandshakeKind::Resumed), "{version:?}");
        let (other, other_key) = made("writer.example");
        let shown = bailiwick_model::jwk::Thumbprint::of_der(&other).to_string();
        let client = server.client(version, Some(Shows::new(other, &other_key)));
        assert_eq!(server.ask(&client).await.unwrap().0, shown, "{version:?}");
        let client = server.client(version, None);
        assert_eq!(server.ask(&client).await.unwrap().0, "nobody", "{version:?}");
        assert_eq!(server.ask(&client).await.unwrap().0, "nobody", "{version:?}");
    }
}

/// A certificate is public: showing one proves nothing without its key.
#[tokio::test]
async fn a_certificate_without_its_key_ends_the_handshake() {
    let server = Server::started().await;
    for version in VERSIONS {
        let (certificate, _) = made("reader.example");
        let (_, other_key) = made("mallory.example");
        let client = server.client(version, Some(Shows::new(certificate, &other_key)));
        // In TLS 1.3 the client learns of it when it reads.
        let told = server.ask(&client).await;
        assert!(told.as_ref().map_or(true, |(told, _)| told.is_empty()), "{version:?}: {told:?}");
    }
}
