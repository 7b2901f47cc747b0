//! The operators' door: a Unix socket that only this account and root can open. Agents have another door.

use std::{
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use axum::Router;
use bailiwick_api::operator::Operator;
use bailiwick_model::name::OperatorName;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Operators at once.
pub const CONNECTIONS_MAX: usize = 64;

/// A socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("socket `{path}`: {reason}")]
pub struct SocketError {
    path: String,
    reason: String,
}

/// Opens the socket, 0600, and makes its folder, 0700, if there is none: one that is there may be everybody's (`/run`),
/// and keeps its mode. A socket that another broker answers on is left alone.
pub async fn open(path: &Path) -> Result<UnixListener, SocketError> {
    let refuse = |reason: String| SocketError { path: path.display().to_string(), reason };
    if let Some(folder) = path.parent() {
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(folder).map_err(|error| refuse(error.to_string()))?;
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(error.to_string())),
        Ok(found) if !found.file_type().is_socket() => return Err(refuse("exists and is not a socket".to_owned())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(refuse("another broker answers on it; stop that one first".to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(|error| refuse(error.to_string()))?,
    }
    let listener = UnixListener::bind(path).map_err(|error| refuse(error.to_string()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| refuse(error.to_string()))?;
    Ok(listener)
}

/// Serves `router` to operators until `stop`.
pub async fn serve(listener: UnixListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let Some(operator) = operator(&stream) else {
            tracing::warn!("a stranger at the operators' socket was turned away");
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            let service = TowerToHyperService::new(router.map_request(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(Operator(operator.clone()));
                request
            }));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(crate::listen::HEAD);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(error = %error, "operator connection ended");
            }
            drop(slot);
        });
    }
}

/// The Unix account at the other end, as the kernel says: this broker's own, or root.
fn operator(stream: &UnixStream) -> Option<OperatorName> {
    let peer = stream.peer_cred().ok()?;
    let own = rustix::process::geteuid().as_raw();
    (peer.uid() == own || peer.uid() == 0).then(|| OperatorName::of_uid(peer.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_folder_that_was_there_keeps_its_mode() {
        let shared = tempfile::tempdir().unwrap();
        std::fs::set_permissions(shared.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let listener = open(&shared.path().join("broker.sock")).await.unwrap();
        assert_eq!(mode(shared.path()), 0o755);
        assert_eq!(mode(&shared.path().join("broker.sock")), 0o600);
        assert!(open(&shared.path().join("broker.sock")).await.is_err(), "somebody answers there");
        drop(listener);
        open(&shared.path().join("new/broker.sock")).await.unwrap();
        assert_eq!(mode(&shared.path().join("new")), 0o700);
    }
}
