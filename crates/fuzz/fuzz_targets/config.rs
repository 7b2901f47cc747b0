//! `bailiwick.toml`: nothing that is accepted opens the broker to the world in the clear.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use std::path::Path;

use bailiwick_model::directory::is_reserved;
use bailiwick_server::config::Config;
use libfuzzer_sys::fuzz_target;
use url::Url;

fn is_here(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match Config::parse(text, Path::new("bailiwick.toml"), None) {
        Ok(config) => config,
        Err(error) => return assert!(!error.message.is_empty(), "refused without a word"),
    };
    let covered = config.tls.is_some() || !config.trusted_proxies.is_empty();
    assert!(config.address.ip().is_loopback() || covered, "{text}");
    for provider in &config.providers {
        let issuer: Url = provider.issuer.parse().unwrap();
        assert!(issuer.scheme() == "https" || issuer.host_str().is_some_and(is_here), "{issuer}");
        assert!(
            provider.groups.iter().flat_map(|groups| groups.map.values()).all(|group| !is_reserved(group)),
            "{text}"
        );
    }
    if let Some(url) = config.public_url {
        assert!(matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.path() == "/", "{url}");
    }
});
