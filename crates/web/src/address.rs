//! The address that a call comes from. A forwarding header counts only when the
//! peer is a proxy that the configuration declares, and only the one header
//! that this proxy is declared to set. Must not resolve names.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// Forwarded hops that are read; a longer list is not believed at all.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// The other end of the connection, as the listener put it into the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The header that the declared proxies set. A client can write the other one, so it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The reverse proxies that the configuration declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredProxies {
    /// Their networks; empty is none.
    pub networks: Vec<IpNet>,
    /// The header that they set.
    pub header: ForwardedHeader,
}

impl DeclaredProxies {
    /// Whether `address` is one of them.
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the peer's, or, behind a declared proxy, the last forwarded one that is no declared
    /// proxy itself. `None` where a declared proxy says nothing that can be understood: an unknown address is in no
    /// network zone.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer?.to_canonical();
        if !self.holds(peer) {
            return Some(peer);
        }
        let hops = match self.header {
            ForwardedHeader::XForwardedFor => x_forwarded_for(headers)?,
            ForwardedHeader::Forwarded => forwarded(headers)?,
        };
        for hop in hops.iter().rev() {
            let address = (*hop)?;
            if !self.holds(address) {
                return Some(address);
            }
        }
        // Every hop is a declared proxy: a call that one of them made itself, or nothing was forwarded.
        hops.first().copied().flatten()
    }
}

fn x_forwarded_for(headers: &HeaderMap) -> Option<Vec<Option<IpAddr>>> {
    list(headers, "x-forwarded-for", |element| address(element.trim()))
}

/// `for` parameters of RFC 7239 §4, in order. Obfuscated and unknown nodes are `None`.
fn forwarded(headers: &HeaderMap) -> Option<Vec<Option<IpAddr>>> {
    list(headers, "forwarded", |element| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))?
        })
    })
}

fn list(headers: &HeaderMap, name: &str, read: impl Fn(&str) -> Option<IpAddr>) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    for value in headers.get_all(name) {
        for element in value.to_str().ok()?.split(',') {
            if hops.len() == FORWARDED_HOPS_MAX {
                return None;
            }
            hops.push(read(element));
        }
    }
    Some(hops)
}

/// An address with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    plain.or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: ForwardedHeader, peer: &str, sent: &[(&'static str, &str)], expected: Option<&str>) {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let proxies = DeclaredProxies { networks, header };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let client = proxies.client(Some(peer.parse().unwrap()), &headers);
        assert_eq!(client, expected.map(|text| text.parse().unwrap()), "{peer} {sent:?}");
    }

    #[test]
    fn an_undeclared_peer_speaks_for_itself_only() {
        use ForwardedHeader::XForwardedFor as X;
        check(X, "203.0.113.9", &[("x-forwarded-for", "10.1.1.1")], Some("203.0.113.9"));
        check(X, "203.0.113.9", &[("forwarded", "for=10.1.1.1")], Some("203.0.113.9"));
        check(X, "::ffff:203.0.113.9", &[], Some("203.0.113.9"));
    }

    #[test]
    fn a_declared_proxy_names_the_client_and_the_client_cannot() {
        use ForwardedHeader::{Forwarded as F, XForwardedFor as X};
        check(X, "10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], Some("198.51.100.7"));
        // What the client put in front of the list is not believed.
        check(X, "10.0.0.1", &[("x-forwarded-for", "192.0.2.1, 198.51.100.7")], Some("198.51.100.7"));
        check(
            X,
            "10.0.0.1",
            &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.7, 10.0.0.2")],
            Some("198.51.100.7"),
        );
        // Nor is the header that this proxy does not set.
        check(
            X,
            "10.0.0.1",
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "198.51.100.7")],
            Some("198.51.100.7"),
        );
        check(
            F,
            "10.0.0.1",
            &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=198.51.100.7;proto=https")],
            Some("198.51.100.7"),
        );
        check(F, "fd00::1", &[("forwarded", "For=\"[2001:db8::7]:4711\"")], Some("2001:db8::7"));
        check(X, "10.0.0.1", &[("x-forwarded-for", "198.51.100.7:5000")], Some("198.51.100.7"));
    }

    #[test]
    fn what_cannot_be_understood_is_unknown() {
        use ForwardedHeader::{Forwarded as F, XForwardedFor as X};
        check(X, "10.0.0.1", &[("x-forwarded-for", "198.51.100.7, unknown")], None);
        check(F, "10.0.0.1", &[("forwarded", "for=_hidden")], None);
        check(X, "10.0.0.1", &[], None);
        let many = vec!["198.51.100.7"; FORWARDED_HOPS_MAX + 1].join(",");
        check(X, "10.0.0.1", &[("x-forwarded-for", &many)], None);
    }
}
