//! The one outgoing HTTP client for addresses that others chose: keys of issuers, metadata documents, token endpoints.
//!
//! Whoever can name a URL that a server fetches can make it knock on doors inside (server-side request forgery). So a
//! fetch goes only to addresses that are globally reachable, or that the operator named; it is the address which is
//! connected to that is judged, after names are resolved. No redirect is followed, no proxy of the environment is used,
//! and time and size have limits.

mod address;
mod destination;
mod error;
mod fetcher;

pub use error::FetchError;
pub use fetcher::{FetchRules, Fetched, Fetcher, FetcherError, TIMEOUT};
