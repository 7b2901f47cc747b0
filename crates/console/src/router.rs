//! All routes of people's pages.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::FromRef,
    routing::{get, post},
};
use bailiwick_oauth::form::FORM_BYTES_MAX;
use bailiwick_web::{
    address::Peer,
    entrance::{Entrance, SETUP_PATH},
    limits::{EXCHANGE_TIME_MAX, Limits},
    session::SIGN_IN_PATH,
    throttle::{Allowance, Throttle, address_key},
};
use http::HeaderMap;

use crate::{
    account, assets,
    ceremonies::Ceremonies,
    federated::{self, FLOW_LIVES, Flows, Providers},
    setup, sign_in,
    trouble::Trouble,
};

/// Visits of one address to pages that keep something for whoever comes: an office of people, and not a flood.
const VISITS: Allowance = Allowance { burst: 60, refill_s: 2, keys_max: 16_384 };

/// What the pages need.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) ceremonies: Arc<Ceremonies>,
    pub(crate) providers: Providers,
    pub(crate) flows: Arc<Flows>,
    visits: Arc<Throttle>,
}

impl Console {
    /// Holds back an address that asks for more than people do, and says whom it is counted as. What another site puts into
    /// its own page or has fetched ahead counts for nobody: else it could hold back whoever visits that site. Where it sends them is
    /// counted apart, so that it holds back only whom a site sends.
    pub(crate) fn slow_down(&self, peer: Option<Extension<Peer>>, headers: &HeaderMap) -> Result<String, Trouble> {
        if is_no_visit(headers) {
            return Err(Trouble::NoVisit);
        }
        let (now, peer) = (self.entrance.broker().now(), peer.map(|Extension(peer)| peer));
        let address = self.entrance.client_address(peer, headers);
        let key = address_key(address);
        let sent = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        let counted = if sent { format!("{key} sent") } else { key.clone() };
        self.visits.admit(&counted, now).map_err(|throttled| Trouble::TooMany(throttled.retry_after_s))?;
        self.visits.failed(&counted, now);
        Ok(key)
    }
}

/// Whether a browser says that nobody opened this as a page (Fetch Metadata §2.1; `Sec-Purpose`, Fetch §3.7).
fn is_no_visit(headers: &HeaderMap) -> bool {
    let embedded = headers.get("sec-fetch-dest").is_some_and(|dest| dest != "document");
    let ahead = headers.get("sec-purpose").and_then(|purpose| purpose.to_str().ok());
    embedded || ahead.is_some_and(|purpose| purpose.contains("prefetch"))
}

impl FromRef<Console> for Arc<Entrance> {
    fn from_ref(console: &Console) -> Self {
        Self::clone(&console.entrance)
    }
}

/// The pages.
pub fn router(entrance: Arc<Entrance>, providers: Providers) -> Router {
    let ceremonies = Arc::new(Ceremonies::new(entrance.page_origin()));
    let router = Router::new()
        .route(SIGN_IN_PATH, get(sign_in::page).post(sign_in::sign_in))
        .route(&format!("{}/{{name}}", federated::PATH), get(federated::begin))
        .route(&format!("{}/{{name}}/callback", federated::PATH), get(federated::callback))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::page))
        .route("/account/passkeys/new", get(account::new_passkey))
        .route("/account/passkeys", post(account::add_passkey))
        .route("/account/passkeys/remove", post(account::remove_passkey))
        .route("/account/sessions/end", post(account::end_session))
        .route(&format!("{SETUP_PATH}/{{token}}"), get(setup::page).post(setup::add_passkey))
        .route("/assets/console.css", get(assets::style))
        .route("/assets/console.js", get(assets::script))
        .with_state(Console {
            entrance,
            ceremonies,
            providers,
            flows: Arc::new(Flows::new(FLOW_LIVES)),
            visits: Arc::new(Throttle::new(VISITS)),
        });
    Limits { body_bytes_max: FORM_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: true }
        .around(router)
}
