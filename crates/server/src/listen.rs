//! Accepts connections: plain on loopback or behind a declared proxy, TLS from files elsewhere.
//! Bounds how many, how long their heads may take, and ends them in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use bailiwick_web::address::Peer;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustix::process::{Resource, Rlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{config::TlsFiles, trace::Traced};

/// Connections at once on one listener; a further one waits in the kernel's queue.
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

/// Reads certificate chain and key.
pub fn tls(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
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
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves `router` until `stop`, then lets open requests end within [`DRAIN`].
pub async fn serve_tcp(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(connections_max()));
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
        let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, peer, router, watcher).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, peer, router, watcher).await,
                    Ok(Err(_)) | Err(_) => tracing::debug!("TLS handshake failed"),
                },
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("open requests were cut at shutdown");
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let begun = CancellationToken::new();
    let first = begun.clone();
    let service = TowerToHyperService::new(router.map_request(move |mut request: hyper::Request<Incoming>| {
        first.cancel();
        request.extensions_mut().insert(Peer(peer));
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
        tokio::spawn(serve_tcp(listener, None, router, CancellationToken::new()));
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
