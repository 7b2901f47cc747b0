//! Fetches.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, header};
use ipnet::IpNet;
use url::Url;

use crate::{address::Addresses, destination, error::FetchError};

/// How long a whole fetch may take, from the resolver to the last byte.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Connections kept open to one host between fetches.
const IDLE_CONNECTIONS_MAX: usize = 2;

/// What the operator decided about fetching.
#[derive(Debug, Clone, Default)]
pub struct FetchRules {
    /// Networks to fetch from though not everybody reaches them.
    pub allowed: Vec<IpNet>,
    /// Certificates, PEM, that vouch for hosts beside those of the machine's trust store; empty for none.
    pub roots: Vec<u8>,
}

/// No client can be made: roots that cannot be read, or a machine without a trust store.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made: {0}")]
pub struct FetcherError(String);

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The status; no redirect was followed.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The client. Cloning it shares its connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    addresses: Addresses,
}

impl Fetcher {
    /// Makes the client.
    pub fn new(rules: FetchRules) -> Result<Self, FetcherError> {
        let refused = |error: reqwest::Error| FetcherError(error.without_url().to_string());
        let addresses = Addresses::new(rules.allowed);
        let roots = reqwest::Certificate::from_pem_bundle(&rules.roots).map_err(refused)?;
        if roots.is_empty() && !rules.roots.is_empty() {
            return Err(FetcherError("the file of roots holds no certificate".to_owned()));
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(addresses.clone()))
            .tls_certs_merge(roots)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(refused)?;
        Ok(Self { client, addresses })
    }

    /// Gets what is there, of a type that `accept` names, at most `bytes_max` of it.
    pub async fn get(&self, url: &Url, accept: &'static str, bytes_max: usize) -> Result<Fetched, FetchError> {
        destination::check(url, &self.addresses)?;
        let request = self.client.get(url.clone()).header(header::ACCEPT, HeaderValue::from_static(accept));
        whole(request, bytes_max).await
    }

    /// Posts a form and takes JSON back, at most `bytes_max` of it.
    pub async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        headers: HeaderMap,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        destination::check(url, &self.addresses)?;
        let accept = HeaderValue::from_static("application/json");
        let request = self.client.post(url.clone()).headers(headers).header(header::ACCEPT, accept).form(form);
        whole(request, bytes_max).await
    }
}

async fn whole(request: reqwest::RequestBuilder, bytes_max: usize) -> Result<Fetched, FetchError> {
    let mut response = request.send().await.map_err(FetchError::of)?;
    let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
    let mut chunks = response.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(FetchError::of)?;
        if body.len() + chunk.len() > bytes_max {
            return Err(FetchError::TooLong(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { status, headers, body: body.freeze() })
}

#[cfg(test)]
mod tests;
