//! Whether a browser was tricked into calling: `Host` must be ours (DNS
//! rebinding) and `Origin`, where there is one, too. Says nothing about who calls.

use http::{HeaderMap, StatusCode, Uri, header};

use crate::problem::Problem;

/// Names that a loopback listener answers to.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The hosts and origins that are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnNames {
    authority: String,
    origin: String,
    /// The authority of the listener that asks for certificates. No page is served there.
    for_certificates: Option<String>,
}

impl OwnNames {
    /// Of a public URL without path, such as `https://broker.example`.
    pub fn of(public_url: &url::Url) -> Self {
        let host = public_url.host_str().unwrap_or_default();
        let authority = match public_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self { origin: format!("{}://{authority}", public_url.scheme()), authority, for_certificates: None }
    }

    /// The same, and the listener that asks for certificates.
    pub(crate) fn and_for_certificates(self, url: &url::Url) -> Self {
        Self { for_certificates: Some(url.authority().to_owned()), ..self }
    }

    /// Whether `authority` (a `Host` header) names this broker or its machine.
    pub fn is_own_host(&self, authority: &str) -> bool {
        let here = |own: &str| authority.eq_ignore_ascii_case(own);
        here(&self.authority) || self.for_certificates.as_deref().is_some_and(here) || is_loopback(authority)
    }

    /// Whether a page of `origin` (an `Origin` header) may call: only our own, or one served from this machine.
    pub fn is_own_origin(&self, origin: &str) -> bool {
        origin.eq_ignore_ascii_case(&self.origin)
            || origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(is_loopback)
    }

    /// Checks both headers of one message.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = match (hosts.next(), hosts.next(), authority) {
            (Some(host), None, None) => host,
            (None, None, Some(authority)) => authority,
            (Some(host), None, Some(authority)) if host.eq_ignore_ascii_case(authority) => host,
            _ => return Err(misdirected("exactly one host must be named")),
        };
        if !self.is_own_host(host) {
            return Err(misdirected("the `Host` header does not name this broker"));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if origin.to_str().is_ok_and(|origin| self.is_own_origin(origin)) => Ok(()),
            _ => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin_refused",
                "pages of this origin may not call the broker",
            )
            .with_hint("call from a program, or from a page that the broker itself serves")),
        }
    }
}

fn misdirected(detail: &str) -> Problem {
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_refused", detail)
        .with_hint("use the host of `public_url`, or a loopback name on the broker's own machine")
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    LOOPBACK_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &[&str], origin: Option<&str>, expected: bool) {
        let names = OwnNames::of(&"https://broker.example".parse().unwrap());
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let outcome = names.check(&Uri::from_static("/mcp/files"), &headers);
        assert_eq!(outcome.is_ok(), expected, "{host:?} {origin:?}");
    }

    #[test]
    fn only_own_hosts_and_origins_pass() {
        check(&["broker.example"], None, true);
        check(&["Broker.Example"], Some("https://broker.example"), true);
        check(&["localhost:8080"], Some("http://127.0.0.1:3000"), true);
        check(&["[::1]:8080"], None, true);
        check(&["127.0.0.1"], None, true);
        for host in [
            "evil.example",
            "broker.example.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "broker.example:444",
            "user@localhost",
        ] {
            check(&[host], None, false);
        }
        check(&[], None, false);
        check(&["broker.example", "evil.example"], None, false);
        for origin in [
            "https://evil.example",
            "null",
            "http://broker.example",
            "https://localhost.evil.example",
            "file://",
            "http://user@localhost",
        ] {
            check(&["broker.example"], Some(origin), false);
        }
    }
}
