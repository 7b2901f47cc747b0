//! Fetches the documents of clients whose `client_id` is a URL, when a user who is signed in comes from one of them. Nobody
//! else makes us fetch anything, and nothing is fetched that no rule of the bundle names.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_engine::{broker::Broker, client_documents};
use bailiwick_fetch::{FetchError, Fetched, Fetcher};
use bailiwick_model::agent::{Agent, ClientUrl};
use bailiwick_oauth::client_document::{ClientDocument, DOCUMENT_BYTES_MAX, DocumentError};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::notice::Notice;

/// How long a document is good for if its publisher does not say.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// How long whatever its publisher says: a redirect URI that was taken back is forgotten by then.
const FRESH_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Documents that are known of at a time.
const KNOWN_MAX: usize = 1_024;

/// Documents and until when they are good.
pub(crate) struct Documents {
    fetcher: Fetcher,
    known: Mutex<HashMap<ClientUrl, Arc<Known>>>,
}

/// Until when one is good. Whoever holds it is the only one who asks; an error leaves it as it was.
type Known = tokio::sync::Mutex<Timestamp>;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
enum NoDocument {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("the answer is not JSON")]
    Type,
    #[error("{0}")]
    Document(#[from] DocumentError),
}

impl Documents {
    pub(crate) fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, known: Mutex::default() }
    }

    /// The agent of a client, as its document says now.
    pub(crate) async fn agent(&self, broker: &Broker, url: &ClientUrl) -> Result<Arc<Agent>, Notice> {
        // Before anything is fetched.
        if client_documents::rule_of(&broker.live(), url).is_none() {
            return Err(refused(StatusCode::BAD_REQUEST, url, "is not taken here"));
        }
        let known = self.known(url, broker.now());
        let mut fresh_until = known.lock().await;
        if broker.now() < *fresh_until
            && let Some(agent) = client_documents::known(broker, url)
            && client_documents::judge(&broker.live(), &agent).is_ok()
        {
            return Ok(agent);
        }
        let (document, fresh) = self.fetch(url).await.map_err(|error| {
            tracing::warn!(client.url = url.as_str(), %error, "a client's document was refused");
            refused(StatusCode::BAD_GATEWAY, url, "publishes no document that can be used")
        })?;
        let agent = client_documents::accept(broker, url, document).await?;
        *fresh_until = broker.now().checked_add(fresh).unwrap_or_else(|_| broker.now());
        Ok(agent)
    }

    fn known(&self, url: &ClientUrl, now: Timestamp) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX && !known.contains_key(url) {
            known.retain(|_, one| one.try_lock().is_ok_and(|until| now < *until) || Arc::strong_count(one) > 1);
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
        }
        Arc::clone(known.entry(url.clone()).or_insert_with(|| Arc::new(Known::new(Timestamp::MIN))))
    }

    async fn fetch(&self, url: &ClientUrl) -> Result<(ClientDocument, SignedDuration), NoDocument> {
        let parsed = Url::parse(url.as_str()).map_err(|_| FetchError::Url("it is no URL"))?;
        let fetched = self.fetcher.get(&parsed, "application/json", DOCUMENT_BYTES_MAX).await?;
        if fetched.status != 200 {
            return Err(NoDocument::Status(fetched.status));
        }
        let kind = fetched.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
            return Err(NoDocument::Type);
        }
        let document = ClientDocument::parse(&fetched.body, url)?;
        Ok((document, fresh(&fetched)))
    }
}

/// How long a document is good for (RFC 9111 §5.2.2), within our own bounds.
fn fresh(fetched: &Fetched) -> SignedDuration {
    let said: Vec<String> = fetched
        .headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    if said.iter().any(|word| matches!(word.as_str(), "no-store" | "no-cache" | "private")) {
        return SignedDuration::ZERO;
    }
    let age = said.iter().find_map(|word| word.strip_prefix("max-age=")?.trim_matches('"').parse::<u32>().ok());
    age.map_or(FRESH, |age| SignedDuration::from_secs(i64::from(age))).min(FRESH_MAX)
}

fn refused(status: StatusCode, url: &ClientUrl, what: &str) -> Notice {
    Notice::new(status, format!("the application at {} {what}", url.host()))
        .with_hint("nothing was sent to it; tell whoever runs this broker which application it was")
}
