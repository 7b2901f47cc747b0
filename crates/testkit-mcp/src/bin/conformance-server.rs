//! The server as a program: `conformance-server [ADDRESS]`. The first line that
//! it writes is the URL of its endpoint.

use std::io::{self, Write as _};

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    let mut out = io::stdout();
    writeln!(out, "http://{}/mcp", listener.local_addr()?)?;
    out.flush()?;
    bailiwick_testkit_mcp::http::serve(listener).await
}
