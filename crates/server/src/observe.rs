//! Logs: on stderr, for people or as JSON lines. `BAILIWICK_LOG` filters, as in `info,bailiwick_gateway=debug`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging; a second start does nothing.
pub fn logs(json: bool) {
    let filter = EnvFilter::try_from_env("BAILIWICK_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
