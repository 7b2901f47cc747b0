//! The endpoint: Streamable HTTP on loopback, each small frame sent at once.

use std::{io, sync::Arc};

use axum::{Router, serve::ListenerExt as _};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::net::TcpListener;

use crate::server::ConformanceServer;

/// Serves `/mcp` until the process ends.
///
/// Only hosts and origins of loopback are let in: that is one of the things that the suite checks.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let server = ConformanceServer::default();
    let config = StreamableHttpServerConfig::default().with_allowed_origins(["http://localhost", "http://127.0.0.1"]);
    let service =
        StreamableHttpService::new(move || Ok(server.copy()), Arc::new(LocalSessionManager::default()), config);
    // Without this, small frames of a stream wait for the other side's acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().nest_service("/mcp", service)).await
}
