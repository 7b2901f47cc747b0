//! A user says whether an agent may act for them, and takes it back: the authorization endpoint (RFC 6749 §3.1) and its pages.
//!
//! One file per page. What may happen is decided in [`bailiwick_engine::authorization`].

mod apart;
mod authorize;
mod documents;
mod given;
mod notice;
mod page;
mod question;
pub(crate) mod words;

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRef,
    routing::{get, post},
};
use bailiwick_fetch::Fetcher;
use bailiwick_oauth::metadata::AUTHORIZATION_PATH;
use bailiwick_web::{
    entrance::Entrance,
    limits::{EXCHANGE_TIME_MAX, Limits},
};

pub(crate) use self::question::see;
pub use self::{apart::REQUESTS_PATH, given::GIVEN_PATH, question::CONSENT_PATH};
use self::{
    apart::{Apart, ENTER_PATH},
    documents::Documents,
    given::{WITHDRAW_PATH, WITHDRAW_REQUEST_PATH},
};

/// Bytes of one form.
const FORM_BYTES_MAX: usize = 8 * 1_024;

/// What the pages need.
#[derive(Clone)]
struct Consent {
    entrance: Arc<Entrance>,
    documents: Arc<Documents>,
}

impl FromRef<Consent> for Arc<Entrance> {
    fn from_ref(consent: &Consent) -> Self {
        Self::clone(&consent.entrance)
    }
}

impl FromRef<Consent> for Arc<Documents> {
    fn from_ref(consent: &Consent) -> Self {
        Self::clone(&consent.documents)
    }
}

/// The authorization endpoint, and the pages that it leads to. Documents of clients are fetched by `fetcher`.
pub fn router(entrance: Arc<Entrance>, fetcher: Fetcher) -> Router {
    let documents = Arc::new(Documents::new(fetcher));
    let pages = Router::new()
        .route(AUTHORIZATION_PATH, get(authorize::authorize))
        .route(CONSENT_PATH, get(question::show).post(question::decide))
        .route(GIVEN_PATH, get(given::list))
        .route(WITHDRAW_PATH, post(given::withdraw))
        .route(WITHDRAW_REQUEST_PATH, post(given::withdraw_request))
        .route(REQUESTS_PATH, get(apart::list))
        .route(&format!("{REQUESTS_PATH}/{{id}}"), get(apart::show).post(apart::decide))
        .with_state(Consent { entrance: Arc::clone(&entrance), documents });
    let device =
        Router::new().route(ENTER_PATH, get(apart::device).post(apart::enter)).with_state(Apart::new(entrance));
    let limits =
        Limits { body_bytes_max: FORM_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: true };
    limits.around(pages.merge(device))
}

#[cfg(test)]
mod tests;
