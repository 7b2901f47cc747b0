//! Accepts connections: plain on loopback or behind a declared proxy, TLS from files elsewhere.
//! Bounds how many, how long their heads may take, and ends them in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use bailiwick_web::{
    address::Peer,
    certificate::{ClientCertificate, OverMutualTls},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustix::process::{Resource, Rlimit};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{any_holder::AnyHolder, config::TlsFiles, trace::Traced};

/// Connections at once on all listeners; a further one waits in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long a client may take over its TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take over a request's head.
pub const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may stay without a byte in either direction. Streams that wait say so every 15 seconds, and a
/// client that reads nothing for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long open requests may go on after shutdown began.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 256;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("TLS file `{file}`: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

/// How a listener speaks.
#[derive(Clone)]
pub enum Transport {
    /// In the clear: on loopback, or behind a declared proxy.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
    /// TLS, and clients are asked for a certificate.
    MutualTls(TlsAcceptor),
}

/// Reads certificate chain and key.
pub fn tls(files: &TlsFiles) -> Result<Transport, TlsError> {
    let config = server_config(files, |builder| builder.with_no_client_auth())?;
    Ok(Transport::Tls(TlsAcceptor::from(Arc::new(config))))
}

/// The same, for a listener that asks clients for a certificate. One without is let in: the door that wants a certificate
/// turns it away, with an answer that can be read.
pub fn mutual_tls(files: &TlsFiles) -> Result<Transport, TlsError> {
    let config = server_config(files, |builder| builder.with_client_cert_verifier(Arc::new(AnyHolder::default())))?;
    Ok(Transport::MutualTls(TlsAcceptor::from(Arc::new(config))))
}

type ConfigBuilder = rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier>;
type WithVerifier = rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert>;

fn server_config(
    files: &TlsFiles,
    verifying: impl FnOnce(ConfigBuilder) -> WithVerifier,
) -> Result<rustls::ServerConfig, TlsError> {
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
    let refuse = |path: &std::path::Path, reason: String| TlsError { file: path.display().to_string(), reason };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(&files.certificate, "holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refuse(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| verifying(builder).with_single_cert(chain, key))
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves `router` until `stop`, then lets open requests end within [`DRAIN`].
pub async fn serve_tcp(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a client that left already: neither ends the listener.
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small frames of a streamed answer must not wait for each other's acknowledgement.
        let _ = stream.set_nodelay(true);
        let (router, transport, watcher) = (router.clone(), transport.clone(), graceful.watcher());
        tokio::spawn(async move {
            accepted_by(transport, stream, peer, router, watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("open requests were cut at shutdown");
    }
}

/// Greets a client and serves what it asks for.
async fn accepted_by(transport: Transport, stream: TcpStream, peer: SocketAddr, router: Router, watcher: Watcher) {
    let (tls, asks) = match transport {
        Transport::Plain => return connection(stream, Beyond::plain(peer), router, watcher).await,
        Transport::Tls(tls) => (tls, false),
        Transport::MutualTls(tls) => (tls, true),
    };
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else {
        tracing::debug!("TLS handshake failed");
        return;
    };
    let beyond = if asks { Beyond::shown(peer, stream.get_ref().1.peer_certificates()) } else { Beyond::plain(peer) };
    connection(stream, beyond, router, watcher).await;
}

/// Who is at the other end of a connection, as far as the connection tells.
#[derive(Clone)]
struct Beyond {
    peer: Peer,
    /// Whether it was asked for a certificate.
    asked: bool,
    certificate: Option<ClientCertificate>,
}

impl Beyond {
    fn plain(peer: SocketAddr) -> Self {
        Self { peer: Peer(peer), asked: false, certificate: None }
    }

    /// One whose certificate cannot be read has none.
    fn shown(peer: SocketAddr, chain: Option<&[CertificateDer<'static>]>) -> Self {
        let certificate = chain.and_then(|chain| ClientCertificate::new(chain.to_vec()).ok());
        Self { peer: Peer(peer), asked: true, certificate }
    }

    fn put(&self, request: &mut hyper::Request<Incoming>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.peer);
        if self.asked {
            extensions.insert(OverMutualTls);
        }
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    beyond: Beyond,
    router: Router,
    watcher: Watcher,
) {
    let begun = CancellationToken::new();
    let first = begun.clone();
    let service = TowerToHyperService::new(router.map_request(move |mut request: hyper::Request<Incoming>| {
        first.cancel();
        beyond.put(&mut request);
        request
    }));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let stream = Traced::new(stream);
    let trace = stream.trace();
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = watcher.watch(served.into_owned()) => {
            if let Err(error) = served {
                tracing::debug!(error = %error, "connection ended");
            }
        }
        () = never_begun(&begun) => tracing::debug!("a connection without a request was ended"),
        () = trace.silence(SILENCE) => tracing::debug!("a silent connection was ended"),
    }
}

/// Ends when no request came in time: the protocol's own limits begin only once it is known which protocol it is.
async fn never_begun(begun: &CancellationToken) {
    if tokio::time::timeout(HEAD, begun.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Room for the connections of all listeners.
pub fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(connections_max()))
}

/// How many connections this process can hold: sockets are files, and the store and the systems need some too.
fn connections_max() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    // Many start programs with a soft limit from the age of `select`; raising it to the hard one needs no right.
    let files = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    CONNECTIONS_MAX.min(files / 4 * 3).max(1)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    /// What a client gets that sends `bytes` and then waits for the end of the connection.
    async fn told(bytes: &[u8]) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(serve_tcp(listener, Transport::Plain, router, slots(), CancellationToken::new()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_not_waited_for() {
        for bytes in [
            &b""[..],
            b"P",
            b"GET / HTTP/1.1\r\nhost",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        ] {
            let told = tokio::time::timeout(DRAIN * 100, told(bytes)).await;
            assert!(told.is_ok(), "still open after {:?}", String::from_utf8_lossy(bytes));
        }
    }
}
