//! Judges where a fetch goes, before names are resolved and when they are.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{address::Addresses, error::FetchError};

/// Every address of a name lies where nothing is fetched from.
#[derive(Debug, thiserror::Error)]
#[error("no address of `{0}` may be fetched from")]
pub(crate) struct NothingAdmitted(pub(crate) String);

/// What a URL says by itself. The client does not ask the resolver about a host that is an address already.
pub(crate) fn check(url: &Url, addresses: &Addresses) -> Result<(), FetchError> {
    let refused = |why: &'static str| Err(FetchError::Url(why));
    if !url.username().is_empty() || url.password().is_some() {
        return refused("it carries a user or a password");
    }
    if url.fragment().is_some() {
        return refused("it has a fragment");
    }
    let literal = match url.host() {
        None => return refused("it has no host"),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
    };
    match url.scheme() {
        "https" => {}
        "http" if literal.is_some_and(|address| address.to_canonical().is_loopback()) => {}
        _ => return refused("it is not `https`"),
    }
    match literal {
        Some(address) if !addresses.admit(address) => Err(FetchError::Address(address.to_string())),
        _ => Ok(()),
    }
}

impl Resolve for Addresses {
    /// Resolves, and keeps only what may be connected to: what is judged is what is connected to, so a name that is
    /// answered differently a second time gains nothing.
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = resolved.filter(|address| addresses.admit(address.ip())).collect();
            if admitted.is_empty() {
                return Err(NothingAdmitted(name).into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_judged_by_itself() {
        let addresses = Addresses::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for url in [
            "http://example.com/",
            "http://localhost/",
            "http://10.0.0.1/",
            "https://10.0.0.1/",
            "https://0x7f.1@10.0.0.1/",
            "https://user@example.com/",
            "https://:password@example.com/",
            "https://example.com/#part",
            "https://[::ffff:169.254.169.254]/latest/meta-data",
            "https://2852039166/latest/meta-data",
            "https://0251.0376.0251.0376/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "unix:/run/docker.sock",
            "data:text/plain,x",
        ] {
            assert!(check(&Url::parse(url).unwrap(), &addresses).is_err(), "{url} passed");
        }
        for url in
            ["https://example.com/x?y=z", "https://127.0.0.1:1/", "http://127.1:1/", "http://[::ffff:127.0.0.1]/"]
        {
            check(&Url::parse(url).unwrap(), &addresses).unwrap();
        }
    }
}
